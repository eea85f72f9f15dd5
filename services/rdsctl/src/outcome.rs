//! From a command line to an exit code.
//!
//! 0: it went well. 1: the other side answered an error, the answer is bad news, or the operator said no. 2: the command
//! line is wrong, there is nobody to ask, or nobody answers at the socket or address.

use std::process::ExitCode;
use std::time::Duration;

use chassis::channel::Endpoint;
use chassis::options::{LogFormat, ProcessOptions};
use chassis::telemetry;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::appliance;
use crate::certificates;
use crate::cli::{
    CertificatesArguments, CertificatesCommand, Cli, Command, CsiArguments, UninstallArguments,
    UninstallCommand,
};
use crate::csi::Csi;
use crate::kubernetes::{self, ApiFailure};
use crate::output::{self, print, tell};
use crate::table::visible;
use crate::{snapshots, uninstall, volumes};

const EXIT_ANSWER: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Why a command did not go well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The other side answered an error.
    Answer(Status),
    /// The answer came, and it is bad news; it has been printed.
    BadNews,
    /// The cluster does not allow it, or does not do it.
    Refused(String),
    /// The command line is wrong, or nobody answers.
    Usage(String),
}

/// Does what the command line says, and prints.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Usage(format!("no runtime: {error}"))),
    };
    runtime.block_on(async {
        let telemetry = match telemetry::init("rdsctl", &process_options(&cli)) {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(&Failure::Usage(error.to_string())),
        };
        let result = match &cli.traceparent {
            Some(traceparent) => {
                let span = tracing::info_span!("rdsctl");
                telemetry::TraceContext::named(traceparent).adopt(&span);
                obey(cli.command).instrument(span).await
            }
            None => obey(cli.command).await,
        };
        telemetry.shutdown().await;
        result.map_or_else(|failure| fail(&failure), |()| ExitCode::SUCCESS)
    })
}

async fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Csi(arguments) => speak_csi(arguments).await,
        Command::Appliance(command) => appliance::obey(command).await,
        Command::Volumes(command) => volumes::obey(command).await,
        Command::Snapshots(command) => snapshots::obey(command).await,
        Command::Certificates(CertificatesCommand::Ensure(arguments)) => ensure_certificates(arguments).await,
        Command::Uninstall(UninstallCommand::Check(arguments)) => check_uninstall(arguments).await,
    }
}

async fn speak_csi(arguments: CsiArguments) -> Result<(), Failure> {
    let socket = arguments
        .socket
        .ok_or_else(|| Failure::Usage("--socket unix:///PATH is missing (or RDS_CSI_SOCKET)".to_owned()))?;
    let Endpoint::Unix(path) = &socket else {
        return Err(Failure::Usage(format!("{socket}: CSI is spoken over unix sockets only")));
    };
    // Told apart from a driver that answers UNAVAILABLE.
    tokio::net::UnixStream::connect(path)
        .await
        .map_err(|error| Failure::Usage(format!("nobody answers at {socket}: {error}")))?;
    let csi = Csi::connect(socket).map_err(|error| Failure::Usage(error.to_string()))?;
    let csi = csi.within(Duration::from_secs(arguments.timeout));
    let answer = arguments.command.run(&csi).await.map_err(Failure::Answer)?;
    print(&output::json(&answer));
    Ok(())
}

impl From<ApiFailure> for Failure {
    fn from(failure: ApiFailure) -> Self {
        match failure {
            ApiFailure::NoAccess(_) => Self::Usage(failure.to_string()),
            ApiFailure::Answer { .. } | ApiFailure::TimedOut { .. } => Self::Refused(failure.to_string()),
        }
    }
}

async fn ensure_certificates(arguments: CertificatesArguments) -> Result<(), Failure> {
    let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
    let now = time::OffsetDateTime::now_utc();
    let done = certificates::ensure(client, &arguments, now).await;
    let done = done.map_err(|error| Failure::Refused(error.to_string()))?;
    let text = || {
        let line = |done: &certificates::Done| format!("{} {}: {}\n", done.action, done.secret, done.detail);
        done.iter().map(line).collect()
    };
    arguments.output.show(text, || serde_json::json!(done));
    Ok(())
}

async fn check_uninstall(arguments: UninstallArguments) -> Result<(), Failure> {
    let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
    let volumes = uninstall::volumes(client, &arguments.driver_name).await?;
    if volumes.is_empty() {
        print(&format!("no PersistentVolume of {} exists\n", arguments.driver_name));
        return Ok(());
    }
    Err(Failure::Refused(uninstall::refusal(&arguments.driver_name, &volumes)))
}

/// Says what went wrong. An answer may hold text of an appliance.
pub(crate) fn explain(failure: &Failure) {
    match failure {
        Failure::Answer(status) => {
            tell(&format!("rdsctl: {}: {}", code_name(status.code()), visible(status.message())));
        }
        Failure::BadNews => {}
        Failure::Refused(text) | Failure::Usage(text) => {
            // Ours may have several lines.
            let lines: Vec<String> = text.split('\n').map(visible).collect();
            tell(&format!("rdsctl: {}", lines.join("\n")));
        }
    }
}

fn fail(failure: &Failure) -> ExitCode {
    explain(failure);
    match failure {
        Failure::Answer(_) | Failure::BadNews | Failure::Refused(_) => ExitCode::from(EXIT_ANSWER),
        Failure::Usage(_) => ExitCode::from(EXIT_USAGE),
    }
}

/// A code as the gRPC specification writes it: `InvalidArgument` → `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for (at, letter) in format!("{code:?}").char_indices() {
        if letter.is_ascii_uppercase() && at != 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn process_options(cli: &Cli) -> ProcessOptions {
    ProcessOptions {
        log: "warn".to_owned(),
        log_format: LogFormat::Text,
        otlp_endpoint: cli.otlp_endpoint.clone(),
        trace_sample_ratio: 1.0,
        admin_listen: String::new(),
        shutdown_grace: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_the_grpc_specification_writes_them() {
        assert_eq!(code_name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(code_name(Code::Ok), "OK");
    }
}
