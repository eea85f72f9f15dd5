//! The simulated appliance as a test sees it: its disks, its files, what it was asked, and what goes wrong with it.
//!
//! Looking and breaking go over its control port, so they are the same for one in this process and one in another.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use routeros_sim::{Config, Costs, Effect, Entry, Fault, Flaky, Growth, Simulator};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::settings::{DIRECTORY, SSH_USER, Settings};

/// The appliance, in this process or in another.
pub struct Appliance {
    addresses: Addresses,
    files: PathBuf,
    here: Option<Simulator>,
}

/// Where it is and who it is: what `routeros-sim --ready-file` writes.
#[derive(Debug, Clone, Deserialize)]
pub struct Addresses {
    /// Management address.
    pub ssh: SocketAddr,
    /// Storage address.
    pub portal: SocketAddr,
    /// Control address.
    pub control: SocketAddr,
    /// Fingerprint of the host key, `SHA256:…`.
    pub host_key: String,
}

impl Appliance {
    /// Starts one in this process. Its data grows live, as the demo's does; `differ` says what else is not as usual.
    pub async fn start(settings: &Settings, differ: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config =
            Config::new(settings.appliance.clone(), SSH_USER, vec![settings.user_key.public.clone()]);
        config.growth = Growth::Live;
        differ(&mut config);
        let simulator = Simulator::start(config).await.context("the simulated appliance does not start")?;
        let addresses = Addresses {
            ssh: simulator.ssh_addr(),
            portal: simulator.portal_addr(),
            control: simulator.control_addr(),
            host_key: simulator.host_key_fingerprint(),
        };
        Ok(Self { addresses, files: settings.appliance.join("fs"), here: Some(simulator) })
    }

    /// One that runs elsewhere and has written its addresses to `ready`.
    pub fn elsewhere(settings: &Settings, ready: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(ready).context("the simulated appliance is not ready")?;
        let addresses = serde_json::from_str(&text).context("the simulated appliance has no addresses")?;
        Ok(Self { addresses, files: settings.appliance.join("fs"), here: None })
    }

    /// Where it is.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    fn simulator(&mut self) -> Result<&mut Simulator> {
        self.here.as_mut().context("the appliance runs in another process")
    }

    /// Switches it off: sessions are cut, disks stay.
    pub async fn down(&mut self) -> Result<()> {
        self.simulator()?.down().await;
        Ok(())
    }

    /// Switches it on again, at the same addresses.
    pub async fn up(&mut self) -> Result<()> {
        self.simulator()?.up().await.context("the appliance does not come back")
    }

    /// Images in its folder for volumes, as paths on this machine.
    pub fn images(&self) -> Result<Vec<PathBuf>> {
        let folder = self.files.join(DIRECTORY.trim_start_matches('/'));
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", folder.display())),
        };
        let mut images = Vec::new();
        for entry in entries {
            images.push(entry.with_context(|| format!("cannot list {}", folder.display()))?.path());
        }
        images.sort();
        Ok(images)
    }

    /// Rows of its disk menu that are files: volumes, and whatever else somebody put there.
    pub async fn disks(&self) -> Result<Vec<Value>> {
        let rows: Vec<Value> =
            serde_json::from_value(self.ask(&json!("disks")).await?).context("not rows")?;
        Ok(rows.into_iter().filter(|row| row.get("type").and_then(Value::as_str) == Some("file")).collect())
    }

    /// How many disks have this slot.
    pub async fn disks_of(&self, slot: &str) -> Result<usize> {
        let disks = self.disks().await?;
        Ok(disks.iter().filter(|disk| disk.get("slot").and_then(Value::as_str) == Some(slot)).count())
    }

    /// How many hosts are connected to its storage portal.
    pub async fn sessions(&self) -> Result<usize> {
        let sessions = self.ask(&json!("sessions")).await?;
        sessions.as_array().map(Vec::len).context("not a list of sessions")
    }

    /// Commands it was asked to execute since the journal was last forgotten.
    pub async fn journal(&self) -> Result<Vec<String>> {
        let entries = self.ask(&json!("journal")).await?;
        let command = |entry: &Value| entry.get("command").and_then(Value::as_str).map(str::to_owned);
        let entries = entries.as_array().context("not a journal")?;
        entries.iter().map(|entry| command(entry).context("not a journal")).collect()
    }

    /// Forgets what it was asked.
    pub async fn forget_journal(&self) -> Result<()> {
        self.ask(&json!("clear-journal")).await.map(|_| ())
    }

    /// The next command that contains `text` takes effect, but its answer is lost with the connection.
    pub async fn lose_reply_to(&self, text: &str) -> Result<()> {
        let fault = Fault::next_matching(Effect::PerformThenDrop, text);
        self.ask(&json!({ "fault": fault })).await.map(|_| ())
    }

    /// The next command that contains `text` is answered so many milliseconds late.
    pub async fn delay(&self, text: &str, milliseconds: u64) -> Result<()> {
        let fault = Fault::next_matching(Effect::DelayMs(milliseconds), text);
        self.ask(&json!({ "fault": fault })).await.map(|_| ())
    }

    /// Every command takes so many milliseconds from now on.
    pub async fn slow(&self, milliseconds: u64) -> Result<()> {
        self.ask(&json!({ "fault": Fault::always(Effect::DelayMs(milliseconds)) })).await.map(|_| ())
    }

    /// What it was asked since the journal was last forgotten, with what became of it.
    pub async fn entries(&self) -> Result<Vec<Entry>> {
        serde_json::from_value(self.ask(&json!("journal")).await?).context("not a journal")
    }

    /// The next command that contains `text` runs until it has made so many changes, then stops for good, as if power
    /// failed there; the connection is cut.
    pub async fn stop_after(&self, text: &str, changes: u32) -> Result<()> {
        self.next(Effect::StopAfter(changes), text).await
    }

    /// The next command that contains `text` loses its connection when it has made so many changes, and goes on.
    pub async fn drop_after(&self, text: &str, changes: u32) -> Result<()> {
        self.next(Effect::DropAfter(changes), text).await
    }

    /// The next command that contains `text` makes so many changes, then neither answers nor goes on.
    pub async fn hang_after(&self, text: &str, changes: u32) -> Result<()> {
        self.next(Effect::HangAfter(changes), text).await
    }

    async fn next(&self, effect: Effect, text: &str) -> Result<()> {
        self.ask(&json!({ "fault": Fault::next_matching(effect, text) })).await.map(|_| ())
    }

    /// Nothing goes wrong any more: faults are forgotten, the link is firm.
    pub async fn clear_faults(&self) -> Result<()> {
        self.ask(&json!("clear-faults")).await?;
        self.flaky(0, 0).await
    }

    /// Every so many-th connection is cut after so many commands; 0 = none.
    pub async fn flaky(&self, every: u64, after: u64) -> Result<()> {
        self.ask(&json!({ "flaky": Flaky { every, after } })).await.map(|_| ())
    }

    /// What commands and changes take in time from now on.
    pub async fn costs(&self, costs: Costs) -> Result<()> {
        self.ask(&json!({ "costs": costs })).await.map(|_| ())
    }

    /// Reboots: returns when it is down; it comes back by itself after so many seconds.
    pub async fn reboot(&self, seconds: u64) -> Result<()> {
        self.ask(&json!({ "reboot": seconds })).await.map(|_| ())
    }

    /// State of a pool from now on: `clean`, `degraded`, `resyncing`, ….
    pub async fn pool_state(&self, slot: &str, state: &str) -> Result<()> {
        self.pool(&json!({ "slot": slot, "state": state })).await
    }

    /// Whether a pool is mounted.
    pub async fn pool_mounted(&self, slot: &str, mounted: bool) -> Result<()> {
        self.pool(&json!({ "slot": slot, "mounted": mounted })).await
    }

    /// Whether a pool has no free byte left.
    pub async fn pool_full(&self, slot: &str, full: bool) -> Result<()> {
        self.pool(&json!({ "slot": slot, "full": full })).await
    }

    async fn pool(&self, change: &Value) -> Result<()> {
        self.ask(&json!({ "pool": change })).await.map(|_| ())
    }

    /// Another host key from the next connection on; its fingerprint. [`Self::addresses`] keeps the old one.
    pub async fn new_host_key(&self) -> Result<String> {
        let answer = self.ask(&json!("new-host-key")).await?;
        answer.get("host_key").and_then(Value::as_str).map(str::to_owned).context("not a fingerprint")
    }

    /// Policies of the user's group from now on, with commas between.
    pub async fn policies(&self, policies: &str) -> Result<()> {
        self.ask(&json!({ "policies": policies })).await.map(|_| ())
    }

    /// Traces of a compromise are found, or not.
    pub async fn flagged(&self, flagged: bool) -> Result<()> {
        self.ask(&json!({ "flag": flagged })).await.map(|_| ())
    }

    /// Every btrfs subvolume that somebody made; without the roots of filesystems.
    pub async fn subvolumes(&self) -> Result<Vec<Value>> {
        serde_json::from_value(self.ask(&json!("subvolumes")).await?).context("not subvolumes")
    }

    /// Runs a command as its administrator would: not in the journal, without faults and costs.
    pub async fn console(&self, command: &str) -> Result<String> {
        let answer = self.ask(&json!({ "console": command })).await?;
        answer.get("output").and_then(Value::as_str).map(str::to_owned).context("not an output")
    }

    /// Adds a disk that is not ours, as its administrator would.
    pub fn add_foreign_disk(&mut self, slot: &str, comment: &str) -> Result<()> {
        let said = self.simulator()?.console(&format!(
            "/disk/add type=file slot=\"{slot}\" file-path=\"{DIRECTORY}/{slot}.img\" file-size=1073741824 \
             mount-filesystem=no nvme-tcp-export=no comment=\"{comment}\""
        ));
        ensure!(!said.contains("failure") && !said.contains("error") && !said.contains("bad "), "{said}");
        Ok(())
    }

    async fn ask(&self, request: &Value) -> Result<Value> {
        let control = self.addresses.control;
        let talk = async {
            let mut stream = TcpStream::connect(control).await?;
            stream.write_all(format!("{request}\n").as_bytes()).await?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).await?;
            std::io::Result::Ok(line)
        };
        let line = tokio::time::timeout(Duration::from_secs(5), talk).await;
        let line =
            line.map_err(|_| anyhow!("no answer"))?.with_context(|| format!("control port {control}"))?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("not an answer: {line:?}"))?;
        match answer.get("error") {
            Some(error) => bail!("the appliance's control port: {error}"),
            None => Ok(answer),
        }
    }
}
