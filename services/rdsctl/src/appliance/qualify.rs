//! `rdsctl appliance qualify`: tries an appliance out on a scratch volume, and writes down what it said.
//!
//! Findings are shown on standard error as they come, all of them on standard output at the end. When the stream ends
//! early, what was found until then is printed and kept all the same.

mod redact;
mod transcript;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use proto::rds::volume::v1::{ApplianceStatus, QualifyRequest, QualifyResponse};
use time::OffsetDateTime;

use self::redact::Secrets;
use super::health;
use crate::backend::{Backend, LONG, failure};
use crate::cli::{NamedArguments, QualifyArguments};
use crate::message;
use crate::outcome::Failure;
use crate::output::tell;
use crate::prompt::Consent;
use crate::table::{Table, lines, rough, visible, yes_or_no};

/// What the backend has for the cleaning up when time is up here.
const CLEANING: Duration = Duration::from_secs(60);

/// Says what it will do, asks, tries, prints. A finding that is not fine is bad news.
pub(super) async fn qualify(arguments: QualifyArguments) -> Result<(), Failure> {
    let NamedArguments { name, backend, output } = arguments.appliance;
    let consent = Consent::of(arguments.yes)?;
    let backend = Backend::of(backend, LONG)?;
    let status = status(&backend, &name).await?;
    tell(&announcement(&status, arguments.directory.as_deref(), arguments.size));
    consent.confirm(&format!("Try {} out now?", visible(&name)))?;
    // Made before it starts: minutes later would be too late to learn that it cannot be.
    let file = arguments.transcript.as_deref().map(create).transpose()?;
    let secrets = match &file {
        Some(_) => secrets(&backend, &status).await,
        None => Secrets::default(),
    };
    let directory = arguments.directory.unwrap_or_default();
    let request = QualifyRequest { appliance: name, directory, size_bytes: arguments.size };
    let (findings, end) = run(&backend, request).await;
    output.show(|| text(&findings), || message::values(&findings));
    if let (Some(mut file), Some(path)) = (file, &arguments.transcript) {
        let now = OffsetDateTime::now_utc();
        let text = transcript::render(&status, &findings, now, end.is_ok(), &secrets);
        let shown = visible(&path.display().to_string());
        file.write_all(text.as_bytes()).map_err(|error| {
            Failure::Refused(format!("{shown}: the transcript could not be written: {error}"))
        })?;
        tell(&format!("the transcript is in {shown}; read it before you give it away"));
    }
    end?;
    if findings.iter().all(|finding| finding.fine) { Ok(()) } else { Err(Failure::BadNews) }
}

async fn status(backend: &Backend, name: &str) -> Result<ApplianceStatus, Failure> {
    let appliances = backend.status(name).await?;
    let status = appliances.into_iter().find(|appliance| appliance.name == name);
    let status = status.ok_or_else(|| Failure::Refused(format!("rds-backend said nothing of {name}")))?;
    if status.reachable {
        Ok(status)
    } else {
        Err(Failure::Refused(format!("{name} cannot be reached: {}", status.problem)))
    }
}

/// What must not be in a transcript. Serial numbers that cannot be had are still recognised by what stands before them.
async fn secrets(backend: &Backend, status: &ApplianceStatus) -> Secrets {
    let health = health::ask(backend, &status.name).await.ok();
    let drives = health.map(|health| health.drives).unwrap_or_default();
    let serials = drives.into_iter().map(|drive| drive.serial);
    Secrets::of(&status.name, &status.address, serials)
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| {
        let path = path.display();
        Failure::Usage(format!("{path}: the transcript cannot be written there: {error}; nothing was done"))
    })
}

fn announcement(status: &ApplianceStatus, directory: Option<&str>, size: u64) -> String {
    let folder = directory.map_or("the first configured folder".to_owned(), visible);
    format!(
        "This makes a scratch volume of {} in {folder} of {} ({}, RouterOS {}), exports it, grows it, copies it, tries \
         what the appliance refuses, and removes it again. No volume of anybody else is touched. It takes minutes, and \
         the appliance has more to do in that time. What it makes has names that begin with rds-qualify-: should \
         rds-backend die on the way, a disk and files of that name are left.\n",
        rough(size),
        visible(&status.name),
        visible(&status.board),
        visible(&status.version),
    )
}

/// All findings, and how it ended. Dropping the call ends it; the backend then cleans up.
async fn run(backend: &Backend, request: QualifyRequest) -> (Vec<QualifyResponse>, Result<(), Failure>) {
    let mut findings = Vec::new();
    let reading = async {
        // Its time ends after ours, so that it can still clean up when we go.
        let patient = backend.patient(CLEANING);
        let send = async |m| patient.appliances().qualify(m).await;
        let mut stream = patient.call("Qualify", request, send).await?;
        while let Some(finding) = stream.message().await.map_err(failure)? {
            tell(&progress(&finding));
            findings.push(finding);
        }
        Ok(())
    };
    let limit = backend.limit();
    let end = tokio::select! {
        end = reading => end,
        // The limit of the call ends with its first answer; this one holds to the last.
        () = tokio::time::sleep(limit) => {
            Err(Failure::Refused(format!("not finished within {} s; --timeout gives it longer", limit.as_secs())))
        }
        // What was found is worth keeping.
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Failure::Refused("broken off; the appliance is cleaned up by rds-backend".to_owned()))
        }
    };
    (findings, end)
}

fn progress(finding: &QualifyResponse) -> String {
    let mark = if finding.fine { "fine    " } else { "NOT FINE" };
    let (question, said) = (visible(&finding.question), visible(&finding.finding));
    let mut text = format!("{mark}  {question} -> {said} ({} ms)", finding.milliseconds);
    if !finding.fine {
        text += &format!("\n          > {}", visible(&finding.command));
        text.extend(lines(&finding.output).map(|line| format!("\n          {line}")));
    }
    text
}

fn text(findings: &[QualifyResponse]) -> String {
    let mut table = Table::new(["QUESTION", "FINDING", "FINE", "TIME"]);
    for finding in findings {
        let (question, found) = (finding.question.clone(), finding.finding.clone());
        table.row([question, found, yes_or_no(finding.fine), format!("{} ms", finding.milliseconds)]);
    }
    let not_fine = findings.iter().filter(|finding| !finding.fine).count();
    format!("{table}\n{} finding(s), {not_fine} not fine\n", findings.len())
}
