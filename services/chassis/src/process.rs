//! The life of a process: options, telemetry, runtime, the service itself, and the last flush.

use std::process::ExitCode;

use crate::options::{Mistakes, ProcessOptions};
use crate::shutdown::Shutdown;
use crate::telemetry;

/// `EX_USAGE` of sysexits.h: the command line or a configuration file is wrong.
const EXIT_USAGE: u8 = 64;

/// Why a service ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong; every mistake is listed.
    #[error("{0}")]
    Config(#[from] Mistakes),
    /// It could not start, or stopped serving.
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// Any other error.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl From<crate::server::BindError> for StartError {
    fn from(error: crate::server::BindError) -> Self {
        Self::failed(error)
    }
}

impl From<crate::server::ServeError> for StartError {
    fn from(error: crate::server::ServeError) -> Self {
        Self::failed(error)
    }
}

/// Parses the options, starts telemetry and a runtime, runs `start` until it returns, and flushes spans.
///
/// Exit codes: 0 stopped as asked, 64 the options are wrong (all mistakes are printed), 1 anything else.
pub fn run<O, F>(service: &'static str, start: F) -> ExitCode
where
    O: clap::Parser + AsRef<ProcessOptions>,
    F: AsyncFnOnce(O, Shutdown) -> Result<(), StartError>,
{
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // Printing help can only fail when nobody reads it.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(service, &StartError::failed(error)),
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init(service, options.as_ref()) {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(service, &StartError::failed(error)),
        };
        let shutdown = match Shutdown::on_signal() {
            Ok(shutdown) => shutdown,
            Err(error) => return fail(service, &StartError::failed(error)),
        };
        let result = start(options, shutdown).await;
        telemetry.shutdown().await;
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(service, &error),
        }
    })
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a process whose telemetry is gone"
)]
fn fail(service: &str, error: &StartError) -> ExitCode {
    eprintln!("{service}: {error}");
    let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(cause) = source {
        eprintln!("{service}:   because {cause}");
        source = cause.source();
    }
    match error {
        StartError::Config(_) => ExitCode::from(EXIT_USAGE),
        StartError::Failed(_) => ExitCode::FAILURE,
    }
}
