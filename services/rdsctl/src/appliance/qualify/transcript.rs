//! The conversation as a transcript, in the form of tests/transcripts: a header, and for each finding the question, the
//! command and what came back. Pure.

use proto::rds::volume::v1::{ApplianceStatus, Pool, QualifyResponse};
use time::OffsetDateTime;

use super::redact::Secrets;
use crate::table::{lines, visible};

/// The whole file. `whole` is false when the conversation was broken off.
pub(super) fn render(
    status: &ApplianceStatus,
    findings: &[QualifyResponse],
    now: OffsetDateTime,
    whole: bool,
    secrets: &Secrets,
) -> String {
    let end = if whole { "" } else { ", broken off" };
    let pools: Vec<String> = status.pools.iter().map(pool).collect();
    let mut text = format!(
        "# kind: real hardware\n# source: rdsctl appliance qualify{end}\n# date: {}\n# routeros: {}\n# board: {}\n\
         # grade: M\n",
        now.date(),
        visible(&status.version),
        visible(&status.board),
    );
    if !pools.is_empty() {
        text += &format!("# pools: {}\n", pools.join(", "));
    }
    for finding in findings {
        text += "\n";
        text += &turn(finding, secrets);
    }
    text
}

/// `raid1:xfs:64`: slot, filesystem, GiB.
fn pool(pool: &Pool) -> String {
    format!("{}:{}:{}", visible(&pool.slot), visible(&pool.filesystem), pool.size_bytes >> 30)
}

fn turn(finding: &QualifyResponse, secrets: &Secrets) -> String {
    let clean = |text: &str| visible(&secrets.redact(text));
    let fine = if finding.fine { "fine" } else { "NOT fine" };
    let mut text = format!("# {}\n", clean(&finding.question));
    text += &format!("# {}, {} ms: {}\n", fine, finding.milliseconds, clean(&finding.finding));
    text += &format!("> {}\n", clean(&finding.command));
    text.extend(lines(&secrets.redact_output(&finding.command, &finding.output)).map(|line| line + "\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_has_a_header_and_a_turn_per_finding_and_no_secrets() {
        let status = ApplianceStatus {
            name: "storage-berlin".to_owned(),
            address: "10.1.2.3:22".to_owned(),
            version: "7.24.4 (stable)".to_owned(),
            board: "RDS2216".to_owned(),
            pools: vec![Pool {
                slot: "raid1".to_owned(),
                filesystem: "xfs".to_owned(),
                size_bytes: 64 << 30,
                ..Pool::default()
            }],
            ..ApplianceStatus::default()
        };
        let finding = QualifyResponse {
            question: "does remove of nothing fail?".to_owned(),
            finding: "yes".to_owned(),
            fine: true,
            command: "/disk/remove *99".to_owned(),
            output: "no such item\r\nserial-number: S3R14L at 10.1.2.3\r\n".to_owned(),
            milliseconds: 12,
        };
        let secrets = Secrets::of(&status.name, &status.address, []);
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let expected = "\
# kind: real hardware
# source: rdsctl appliance qualify
# date: 2027-01-15
# routeros: 7.24.4 (stable)
# board: RDS2216
# grade: M
# pools: raid1:xfs:64

# does remove of nothing fail?
# fine, 12 ms: yes
> /disk/remove *99
no such item
serial-number: <serial> at <address>
";
        assert_eq!(render(&status, std::slice::from_ref(&finding), now, true, &secrets), expected);
        assert!(render(&status, &[finding], now, false, &secrets).contains("qualify, broken off\n"));
    }
}
