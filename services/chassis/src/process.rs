//! The life of a process: options, telemetry, runtime, the service itself, and the last flush.

use std::ffi::OsString;
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

/// Parses the options, has `configure` check them all, starts telemetry and a runtime, runs `start` until it returns,
/// and flushes spans.
///
/// `configure` includes [`ProcessOptions::check`], so that every mistake is reported in one go. A panic anywhere is
/// logged, in the trace it belongs to.
///
/// Exit codes: 0 stopped as asked, 64 the options are wrong (all mistakes are printed), 1 anything else.
pub fn run<O, C, F>(
    service: &'static str,
    configure: impl FnOnce(O) -> Result<C, Mistakes>,
    start: F,
) -> ExitCode
where
    O: clap::Parser + AsRef<ProcessOptions>,
    F: AsyncFnOnce(C, Shutdown) -> Result<(), StartError>,
{
    ExitCode::from(live(service, std::env::args_os(), configure, start))
}

fn live<O, C, F>(
    service: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    configure: impl FnOnce(O) -> Result<C, Mistakes>,
    start: F,
) -> u8
where
    O: clap::Parser + AsRef<ProcessOptions>,
    F: AsyncFnOnce(C, Shutdown) -> Result<(), StartError>,
{
    let options = match O::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Printing help can only fail when nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    let process = options.as_ref().clone();
    let config = match configure(options) {
        Ok(config) => config,
        Err(mistakes) => return fail(service, &StartError::Config(mistakes)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(service, &StartError::failed(error)),
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init(service, &process) {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(service, &StartError::failed(error)),
        };
        std::panic::set_hook(Box::new(log_panic));
        let shutdown = match Shutdown::on_signal() {
            Ok(shutdown) => shutdown,
            Err(error) => return fail(service, &StartError::failed(error)),
        };
        let result = start(config, shutdown).await;
        telemetry.shutdown().await;
        match result {
            Ok(()) => 0,
            Err(error) => fail(service, &error),
        }
    })
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let text = panic.payload_as_str();
    tracing::error!(panic.location = at, panic.message = text, "a defect ended a task");
}

#[expect(clippy::print_stderr, reason = "the last words of a process whose telemetry is gone")]
fn fail(service: &str, error: &StartError) -> u8 {
    eprintln!("{service}: {error}");
    let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
    while let Some(cause) = source {
        eprintln!("{service}:   because {cause}");
        source = cause.source();
    }
    match error {
        StartError::Config(_) => EXIT_USAGE,
        StartError::Failed(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Options {
        #[command(flatten)]
        process: ProcessOptions,
    }

    impl AsRef<ProcessOptions> for Options {
        fn as_ref(&self) -> &ProcessOptions {
            &self.process
        }
    }

    fn code_of(arguments: &[&str]) -> u8 {
        let arguments = ["service"].iter().chain(arguments).map(OsString::from);
        let configure = |options: Options| {
            let mut mistakes = Mistakes::new();
            options.process.check(&mut mistakes);
            mistakes.finish()
        };
        live("service", arguments, configure, async |(), _| panic!("the service must not start"))
    }

    #[test]
    fn wrong_options_exit_with_64_before_anything_starts() {
        assert_eq!(code_of(&["--no-such-option"]), 64);
        assert_eq!(code_of(&["--log", "a=b=c", "--trace-sample-ratio", "7"]), 64);
        assert_eq!(fail("service", &StartError::Config(Mistakes::new())), 64);
    }

    #[test]
    fn help_is_no_mistake_and_any_other_failure_is_1() {
        assert_eq!(code_of(&["--help"]), 0);
        assert_eq!(fail("service", &StartError::failed("no port")), 1);
    }
}
