//! `rdsctl appliance qualify`: finds out what no documentation says of an appliance, and writes it down.

use std::fmt::Write as _;

use proto::rds::volume::v1::{GetApplianceStatusRequest, QualifyRequest, QualifyResponse};

use crate::backend::Backend;
use crate::cli::{Output, QualifyArguments};
use crate::confirm::{confirm, progress};
use crate::outcome::Failure;
use crate::show::{row, show, table, visible};

/// Asks, prints what is found as it is found, and writes the transcript.
pub(crate) async fn qualify(arguments: QualifyArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    confirm(
        arguments.yes,
        &format!(
            "A scratch disk of up to {} is made on appliance {}, asked about and removed; nothing else is touched.",
            proto::size::ByteSize::from_bytes(arguments.size * 2),
            arguments.name
        ),
    )?;
    let request = GetApplianceStatusRequest { appliance: arguments.name.clone() };
    let status = backend.appliances().get_appliance_status(backend.request(request)).await?.into_inner();
    let appliance = status.appliances.into_iter().next().unwrap_or_default();
    let request = QualifyRequest {
        appliance: arguments.name,
        directory: arguments.directory.unwrap_or_default(),
        size_bytes: arguments.size,
    };
    let mut stream = backend.appliances().qualify(backend.request(request)).await?.into_inner();
    let mut findings = Vec::new();
    while let Some(finding) = stream.message().await? {
        progress(&format!("{}: {}", finding.question, visible(&finding.finding)));
        findings.push(finding);
    }
    if let Some(file) = &arguments.transcript {
        let text = transcript(&appliance.version, &appliance.board, &findings);
        std::fs::write(file, text)
            .map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", file.display())))?;
    }
    show(arguments.output, &findings, || {
        let mut rows = vec![row(["", "QUESTION", "FINDING", "MS"])];
        rows.extend(findings.iter().map(|finding| {
            let mark = if finding.fine { "ok" } else { "!!" };
            row([mark, &finding.question, &finding.finding, &finding.milliseconds.to_string()])
        }));
        table(&rows)
    })?;
    let fine = findings.iter().all(|finding| finding.fine);
    if !fine && arguments.output == Output::Text {
        progress("what is marked !! is not as the driver expects it; please report it with the transcript");
    }
    if fine { Ok(()) } else { Err(Failure::BadNews) }
}

/// In the form of the transcripts that the simulated appliance is held against. Addresses and serial numbers are not in
/// what is asked; what looks like an address all the same is left out.
fn transcript(version: &str, board: &str, findings: &[QualifyResponse]) -> String {
    let mut text = format!("# kind: real hardware\n# version: {version}\n# board: {board}\n# grade: M\n");
    for finding in findings {
        // Writing to a String cannot fail.
        let _ =
            write!(text, "\n# {}: {}\n> {}\n", finding.question, one_line(&finding.finding), finding.command);
        for line in finding.output.lines() {
            let _ = writeln!(text, "{}", without_addresses(line));
        }
    }
    text
}

fn one_line(text: &str) -> String {
    without_addresses(&visible(text))
}

/// Words that read as an IP address become `<address>`.
fn without_addresses(line: &str) -> String {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    let words = line.split(' ').map(|word| {
        let is_address = bare(word).parse::<std::net::IpAddr>().is_ok()
            || bare(word).parse::<std::net::SocketAddr>().is_ok();
        if is_address { "<address>" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_has_its_provenance_and_no_addresses() {
        let finding = QualifyResponse {
            question: "does it answer".to_owned(),
            finding: "yes, from 10.0.0.1".to_owned(),
            command: ":put 1".to_owned(),
            output: "1\nfrom 10.0.0.1:22, fe80::1".to_owned(),
            ..QualifyResponse::default()
        };
        let text = transcript("7.24.4 (stable)", "RDS2216", &[finding]);
        assert!(
            text.starts_with("# kind: real hardware\n# version: 7.24.4 (stable)\n# board: RDS2216\n"),
            "{text}"
        );
        assert!(
            text.contains("> :put 1\n1\n") && !text.contains("10.0.0.1") && !text.contains("fe80"),
            "{text}"
        );
    }
}
