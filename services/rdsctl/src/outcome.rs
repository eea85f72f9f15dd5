//! From a command line to an exit code.
//!
//! 0: it went well. 1: the other side answered an error, or an appliance cannot be reached. 2: the command line is
//! wrong, or nobody answers at the socket or address.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use chassis::channel::Endpoint;
use chassis::options::{LogFormat, ProcessOptions};
use chassis::telemetry;
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::certificates;
use crate::cli::{
    ApplianceCommand, CertificatesArguments, CertificatesCommand, Cli, Command, CsiArguments,
    SnapshotsCommand, UninstallArguments, UninstallCommand, VolumesCommand,
};
use crate::csi::Csi;
use crate::kubernetes::{self, ApiFailure};
use crate::show::show;
use crate::uninstall;
use crate::{adoption, appliance, orphans, qualify, volumes};

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
        Command::Appliance(command) => ask_appliance(command).await,
        Command::Volumes(VolumesCommand::List(arguments)) => volumes::list(arguments).await,
        Command::Volumes(VolumesCommand::Show(arguments)) => volumes::read(arguments).await,
        Command::Volumes(VolumesCommand::Detach(arguments)) => volumes::detach(arguments).await,
        Command::Snapshots(SnapshotsCommand::List(arguments)) => volumes::snapshots(arguments).await,
        Command::Snapshots(SnapshotsCommand::Show(arguments)) => volumes::read_snapshot(arguments).await,
        Command::Snapshots(SnapshotsCommand::Delete(arguments)) => volumes::delete_snapshot(arguments).await,
        Command::Certificates(CertificatesCommand::Ensure(arguments)) => ensure_certificates(arguments).await,
        Command::Uninstall(UninstallCommand::Check(arguments)) => check_uninstall(arguments).await,
    }
}

async fn ask_appliance(command: ApplianceCommand) -> Result<(), Failure> {
    match command {
        ApplianceCommand::Status(arguments) => appliance::status(arguments).await,
        ApplianceCommand::Health(arguments) => appliance::health(arguments).await,
        ApplianceCommand::Pools(arguments) => appliance::pools(arguments).await,
        ApplianceCommand::Volumes(arguments) => volumes::list(arguments).await,
        ApplianceCommand::Snapshots(arguments) => volumes::snapshots(arguments).await,
        ApplianceCommand::Orphans(arguments) => orphans::orphans(arguments).await,
        ApplianceCommand::Adopt(arguments) => adoption::adopt(arguments).await,
        ApplianceCommand::AdoptCluster(arguments) => adoption::adopt_cluster(arguments).await,
        ApplianceCommand::RepairComment(arguments) => adoption::repair(arguments).await,
        ApplianceCommand::Qualify(arguments) => qualify::qualify(arguments).await,
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
    print(&format!("{answer:#}\n"));
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
    show(arguments.output, &done, || {
        done.iter().map(|done| format!("{} {}: {}\n", done.action, done.secret, done.detail)).collect()
    })
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

/// Prints on standard output. A reader that went away is no failure of ours.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn fail(failure: &Failure) -> ExitCode {
    let (text, code) = match failure {
        Failure::Answer(status) => {
            (format!("{}: {}", code_name(status.code()), status.message()), EXIT_ANSWER)
        }
        Failure::BadNews => return ExitCode::from(EXIT_ANSWER),
        Failure::Refused(text) => (text.clone(), EXIT_ANSWER),
        Failure::Usage(text) => (text.clone(), EXIT_USAGE),
    };
    let _ = writeln!(std::io::stderr(), "rdsctl: {text}");
    ExitCode::from(code)
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
