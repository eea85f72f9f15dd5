//! The process around [`rdsctl::run`].

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    rdsctl::run(rdsctl::Cli::parse())
}
