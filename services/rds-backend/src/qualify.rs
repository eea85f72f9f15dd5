//! Asks an appliance what no documentation says, on a scratch disk of its own making, and removes it again.
//!
//! Commands run as they are, without the envelope of the driver: what comes back is the finding. Names carry a nonce, so
//! nothing of anybody else is touched; the cleaning up runs whatever happened before.

use std::sync::Arc;

use chassis::deadline::Deadline;
use proto::rds::volume::v1::QualifyResponse;
use proto::size::ByteSize;
use tokio::sync::mpsc::Sender;

use crate::appliance::{Appliance, Heard, RunError};
use crate::routeros::quote::quote;
use crate::routeros::script::{Place, fresh_nonce};

/// Where findings go; the caller may have gone.
type Findings = Sender<Result<QualifyResponse, tonic::Status>>;

/// One run.
struct Run {
    appliance: Arc<Appliance>,
    findings: Findings,
    deadline: Deadline,
    slot: String,
    /// The scratch image, as `/file` names it.
    file: String,
    pool: String,
    size: ByteSize,
}

/// Asks everything and cleans up. Ends early when nobody listens any more or the connection is lost.
pub(crate) async fn run(
    appliance: Arc<Appliance>,
    place: &Place,
    size: ByteSize,
    findings: Findings,
    deadline: Deadline,
) -> Result<(), RunError> {
    let nonce: String = fresh_nonce().chars().skip(5).take(8).collect();
    let slot = format!("rds-qualify-{nonce}");
    let file = format!("{}/{slot}.img", place.directory.trim_start_matches('/'));
    let run = Run { appliance, findings, deadline, slot, file, pool: place.pool.clone(), size };
    let asked = run.everything().await;
    let cleaned = run.clean().await;
    asked.and(cleaned)
}

impl Run {
    async fn everything(&self) -> Result<(), RunError> {
        self.language().await?;
        self.existing_file().await?;
        self.disk().await?;
        self.limits().await?;
        self.copies().await
    }

    /// Executes one command and tells what came of it.
    async fn ask(
        &self,
        question: &str,
        command: String,
        judge: impl FnOnce(&Heard) -> (String, bool),
    ) -> Result<Heard, RunError> {
        let heard = self.appliance.hear(&command, self.deadline).await?;
        let (finding, fine) = judge(&heard);
        let response = QualifyResponse {
            question: question.to_owned(),
            finding,
            fine,
            command,
            output: heard.text.clone(),
            milliseconds: u64::try_from(heard.took.as_millis()).unwrap_or(u64::MAX),
        };
        let gone = |_| RunError::Unusable("nobody listens any more".to_owned());
        self.findings.send(Ok(response)).await.map_err(gone)?;
        Ok(heard)
    }

    async fn language(&self) -> Result<(), RunError> {
        for (class, command) in [
            ("a row that is not there", "/disk/remove *FFFFFFF"),
            ("a command that is not there", "/disk/nonsense"),
            ("a value that is none", "/disk/add type=nonsense"),
            ("an error of its own", ":error \"RDSE-TEST\""),
        ] {
            self.ask(&format!("exit status and text of {class}"), command.to_owned(), |heard| {
                (format!("exit status {}: {}", heard.status, heard.text), !heard.text.is_empty())
            })
            .await?;
        }
        self.ask(
            "can uptimes be compared",
            ":put ([/system/resource/get uptime] > 0s)".to_owned(),
            |heard| (heard.text.clone(), heard.text == "true"),
        )
        .await?;
        self.ask(
            "what is a text that is not found",
            ":put [:typeof [:find \"a\" \"b\"]]".to_owned(),
            |heard| (heard.text.clone(), heard.text != "num"),
        )
        .await?;
        for feature in
            ["/file/copy a name=b", "/disk/btrfs/subvolume/print", "/disk/trim", "/disk/smart-info"]
        {
            let command = format!(":put [:parse {}]", quote(feature));
            self.ask(&format!("does it know {feature}"), command, |heard| {
                (if heard.text.starts_with('(') { "yes" } else { "no" }.to_owned(), true)
            })
            .await?;
        }
        Ok(())
    }

    /// What a disk over an existing file does to it: the one thing that must not be believed.
    async fn existing_file(&self) -> Result<(), RunError> {
        let (file, slot) = (quote(&self.file), quote(&self.slot));
        let folder = self.file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let command = format!(
            ":onerror zE in={{ /file/add type=directory name={} }} do={{}}; :local zText \"abcdefgh\"; :while ([:len $zText] < 4096) do={{ :set zText ($zText.$zText) }}; \
             /file/add type=file name={file} contents=$zText; \
             :onerror zE in={{ /disk/add type=file slot={slot} file-path={file} file-size=4096 mount-filesystem=no \
             nvme-tcp-export=no }} do={{ :put (\"refused: \".$zE) }}; \
             /disk/remove [/disk/find where slot={slot}]; \
             :put (\"kept: \".([/file/get {file} contents] = $zText)); /file/remove {file}",
            quote(folder)
        );
        self.ask("what does add do to a file that is there", command, |heard| {
            let finding = if heard.text.contains("refused") {
                "it refuses"
            } else if heard.text.contains("kept: true") {
                "it adopts it and leaves its content alone"
            } else if heard.text.contains("kept: false") {
                "it DESTROYS the content"
            } else {
                "it cannot be told"
            };
            (finding.to_owned(), finding.starts_with("it refuses") || finding.starts_with("it adopts"))
        })
        .await?;
        Ok(())
    }

    async fn disk(&self) -> Result<(), RunError> {
        let (file, slot) = (quote(&self.file), quote(&self.slot));
        let free = format!(":put [:tonum [/disk/get [/disk/find where slot={}] free]]", quote(&self.pool));
        let number = |heard: &Heard| heard.text.parse::<u64>().ok();
        let plain = |heard: &Heard| (heard.text.clone(), true);
        let before = self.ask("free space before", free.clone(), plain).await?;
        let add = format!(
            "/disk/add type=file slot={slot} file-path={file} file-size={} mount-filesystem=no nvme-tcp-export=no",
            self.size.bytes()
        );
        self.ask("how long does a new disk take", add, |heard| {
            (format!("{} in {} ms{}", self.size, heard.took.as_millis(), said(heard)), heard.text.is_empty())
        })
        .await?;
        let size = self.size.bytes();
        self.ask("is the space taken at once (thick) or when written (thin)", free, |after| {
            match number(&before).zip(number(after)) {
                Some((before, after)) if before.saturating_sub(after) >= size / 2 => {
                    ("thick".to_owned(), true)
                }
                Some(_) => ("thin".to_owned(), true),
                None => ("it cannot be told".to_owned(), false),
            }
        })
        .await?;
        let find = format!("[/disk/find where slot={slot}]");
        self.ask(
            "can it grow",
            format!("/disk/set {find} file-size={}; :put [/disk/get {find} file-size]", size * 2),
            |heard| (heard.text.clone(), number(heard) == Some(size * 2)),
        )
        .await?;
        let nqn = "nqn.2026-09.io.srvlab:rds-qualify.e1";
        self.ask(
            "can the exported name be set in the command that exports",
            format!(
                "/disk/set {find} nvme-tcp-server-nqn={} nvme-tcp-export=yes; \
                 :put ([/disk/get {find} nvme-tcp-server-nqn].\" \".[/disk/get {find} nvme-tcp-export])",
                quote(nqn)
            ),
            |heard| (heard.text.clone(), heard.text == format!("{nqn} true")),
        )
        .await?;
        self.ask(
            "is a host name accepted as a second lock",
            format!(
                "/disk/set {find} nvme-tcp-server-allow-host-name=\"nqn.2026-09.io.srvlab:nobody\"; \
                 :put [/disk/get {find} nvme-tcp-server-allow-host-name]"
            ),
            |heard| (heard.text.clone(), true),
        )
        .await?;
        self.ask("does the export go off", format!("/disk/set {find} nvme-tcp-export=no"), |heard| {
            (if heard.text.is_empty() { "yes".to_owned() } else { heard.text.clone() }, heard.text.is_empty())
        })
        .await?;
        Ok(())
    }

    async fn limits(&self) -> Result<(), RunError> {
        let find = format!("[/disk/find where slot={}]", quote(&self.slot));
        for length in [200_usize, 255, 256, 1024] {
            let comment = "c".repeat(length);
            let command = format!(
                ":onerror zE in={{ /disk/set {find} comment={} }} do={{ :put $zE }}; :put [:len [/disk/get {find} comment]]",
                quote(&comment)
            );
            self.ask(&format!("does a comment of {length} bytes fit"), command, |heard| {
                let fits = heard.text == length.to_string();
                (if fits { "yes".to_owned() } else { heard.text.clone() }, fits || length > 200)
            })
            .await?;
        }
        for length in [8_000_usize, 16_000] {
            let command = format!(":put [:len \"{}\"]", "x".repeat(length));
            self.ask(&format!("does a command of {length} bytes fit"), command, |heard| {
                let fits = heard.text == length.to_string();
                (if fits { "yes" } else { "no" }.to_owned(), fits || length > 8_000)
            })
            .await?;
        }
        Ok(())
    }

    async fn copies(&self) -> Result<(), RunError> {
        let (from, to) = (quote(&self.file), quote(&format!("{}.copy", self.file)));
        let command = format!("/file/copy {from} name={to}");
        self.ask("what does a copy of the image cost", command, |heard| {
            (format!("{} ms{}", heard.took.as_millis(), said(heard)), true)
        })
        .await?;
        Ok(())
    }

    /// Removes the scratch disk and its files; that one is not there is fine.
    async fn clean(&self) -> Result<(), RunError> {
        let slot = quote(&self.slot);
        let removed = |path: &str| format!(":onerror zE in={{ /file/remove {} }} do={{}}", quote(path));
        let command = format!(
            "/disk/remove [/disk/find where slot={slot}]; {}; {}; \
             :put ([:len [/disk/find where slot={slot}]])",
            removed(&self.file),
            removed(&format!("{}.copy", self.file)),
        );
        self.ask("is everything removed again", command, |heard| {
            (if heard.text == "0" { "yes".to_owned() } else { heard.text.clone() }, heard.text == "0")
        })
        .await?;
        Ok(())
    }
}

/// What was said besides, if anything.
fn said(heard: &Heard) -> String {
    if heard.text.is_empty() { String::new() } else { format!(": {}", heard.text) }
}
