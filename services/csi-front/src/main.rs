//! The process around [`csi_front::serve`].

use std::process::ExitCode;

use chassis::StartError;
use csi_front::{Listeners, Options};

fn main() -> ExitCode {
    chassis::run("csi-front", Options::into_config, async |config, shutdown| {
        let listeners = Listeners::bind(&config).await.map_err(StartError::failed)?;
        csi_front::serve(config, listeners, shutdown).await.map_err(StartError::failed)
    })
}
