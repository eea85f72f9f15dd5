//! One appliance as an operator writes it: `key=value,…`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use proto::id::ApplianceName;
use proto::size::ByteSize;

use crate::appliance::HostKey;

/// Folders of one appliance; more would make a command longer than RouterOS takes.
const MAX_DIRECTORIES: usize = 4;
/// Longest folder, in bytes.
const MAX_DIRECTORY_BYTES: usize = 64;
/// Commands at once when nothing else is said, and the most that are possible: RouterOS has 20 sessions for everybody.
const DEFAULT_CHANNELS: u32 = 8;
const MAX_CHANNELS: u32 = 16;
/// When a connection is doubted and replaced. Not for operators: tests are in more of a hurry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wear {
    /// A connection that was quiet for this long is asked for a sign of life before it is used.
    pub idle: Duration,
    /// How often it is looked at: is it idle, is it old.
    pub look: Duration,
    /// It is replaced at this age, before rekeying would happen.
    pub age: Duration,
}

impl Default for Wear {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            look: Duration::from_secs(30),
            age: Duration::from_secs(30 * 60),
        }
    }
}

/// Kept free on every pool when nothing else is said.
const DEFAULT_RESERVE: ByteSize = ByteSize::GIB;

/// An appliance.
#[derive(Debug, Clone)]
pub struct ApplianceConfig {
    /// Its name in handles.
    pub name: ApplianceName,
    /// Management address, `host:port`.
    pub ssh: String,
    /// RouterOS user.
    pub user: String,
    /// Storage addresses, at least one, all with the same port.
    pub storage: Vec<SocketAddr>,
    /// Folders for images, at least one, e.g. `/raid1/volumes`; the first segment is the slot of the pool.
    pub directories: Vec<String>,
    /// Kept free on every pool.
    pub reserve: ByteSize,
    /// Host keys that are accepted, at least one.
    pub host_keys: Vec<HostKey>,
    /// Changes that run at once over its one connection, 1 to 16; one channel more is kept for reads.
    pub channels: u32,
    /// When its connection is doubted and replaced.
    pub wear: Wear,
    /// Other clusters keep volumes on it, too: then it may be used although it has no volume of ours yet.
    pub shared: bool,
    /// Exports are locked to the name of the host, too. Only where `rdsctl appliance qualify` has shown that it works.
    pub host_lock: bool,
}

impl ApplianceConfig {
    /// The TCP port volumes are exported on.
    pub(crate) fn port(&self) -> u16 {
        self.storage.first().map_or(4420, SocketAddr::port)
    }
}

/// Everything that is wrong with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ApplianceConfigError(pub Vec<String>);

#[derive(Default)]
struct Draft<'a> {
    name: Option<&'a str>,
    ssh: Option<&'a str>,
    user: Option<&'a str>,
    storage: Option<&'a str>,
    directories: Option<&'a str>,
    reserve: Option<&'a str>,
    channels: Option<&'a str>,
    shared: Option<&'a str>,
    host_lock: Option<&'a str>,
    host_keys: Vec<&'a str>,
}

impl FromStr for ApplianceConfig {
    type Err = ApplianceConfigError;

    fn from_str(text: &str) -> Result<Self, ApplianceConfigError> {
        let mut problems = Vec::new();
        let draft = Draft::read(text, &mut problems);
        let whose = draft.name.unwrap_or("?").to_owned();
        let appliance = draft.check(&mut problems);
        match appliance {
            Some(appliance) if problems.is_empty() => Ok(appliance),
            Some(_) | None => Err(ApplianceConfigError(
                problems.iter().map(|problem| format!("{whose}: {problem}")).collect(),
            )),
        }
    }
}

impl<'a> Draft<'a> {
    fn read(text: &'a str, problems: &mut Vec<String>) -> Self {
        let mut draft = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let Some((key, value)) = part.trim().split_once('=') else {
                problems.push(format!("{part:?} is not key=value"));
                continue;
            };
            let place = match key {
                "name" => &mut draft.name,
                "ssh" => &mut draft.ssh,
                "user" => &mut draft.user,
                "storage" => &mut draft.storage,
                "dirs" => &mut draft.directories,
                "reserve" => &mut draft.reserve,
                "channels" => &mut draft.channels,
                "shared" => &mut draft.shared,
                "host-lock" => &mut draft.host_lock,
                "host-key" => {
                    draft.host_keys.push(value);
                    continue;
                }
                _ => {
                    problems.push(format!(
                        "{key:?} is not known; known are name, ssh, user, storage, dirs, reserve, channels, shared, host-lock, host-key"
                    ));
                    continue;
                }
            };
            if place.replace(value).is_some() {
                problems.push(format!("{key} is given twice"));
            }
        }
        draft
    }

    fn check(self, problems: &mut Vec<String>) -> Option<ApplianceConfig> {
        let mut needed = |key: &str, value: Option<&'a str>| {
            let value = value.filter(|value| !value.is_empty());
            if value.is_none() {
                problems.push(format!("{key} is missing"));
            }
            value.map(str::to_owned)
        };
        let name = needed("name", self.name);
        let ssh = needed("ssh", self.ssh);
        let user = needed("user", self.user);
        let storage = needed("storage", self.storage);
        let directories = needed("dirs", self.directories);
        let mut check = Check(problems);
        let name = check.parsed("name", name);
        let ssh = check.ssh(ssh);
        let storage = check.storage(storage);
        let directories = check.directories(directories);
        let reserve = check.parsed(
            "reserve",
            Some(self.reserve.map_or_else(|| DEFAULT_RESERVE.bytes().to_string(), str::to_owned)),
        );
        let channels = check.channels(self.channels);
        let shared = check.flag("shared", self.shared);
        let host_lock = check.flag("host-lock", self.host_lock);
        let host_keys = check.host_keys(&self.host_keys);
        Some(ApplianceConfig {
            name: name?,
            ssh: ssh?,
            user: user?,
            storage,
            directories,
            reserve: reserve?,
            host_keys,
            channels,
            wear: Wear::default(),
            shared,
            host_lock,
        })
    }
}

struct Check<'p>(&'p mut Vec<String>);

impl Check<'_> {
    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &str, text: Option<String>) -> Option<T> {
        match text?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(format!("{key}: {error}"));
                None
            }
        }
    }

    fn ssh(&mut self, text: Option<String>) -> Option<String> {
        let text = text?;
        let valid = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
        if !valid {
            self.0.push(format!("ssh: {text:?} is not HOST:PORT"));
        }
        valid.then_some(text)
    }

    fn storage(&mut self, text: Option<String>) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for part in text.iter().flat_map(|text| text.split('+')) {
            match part.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.0.push(format!("storage: {part:?} is not IP:PORT")),
            }
        }
        if addresses.iter().any(|address| address.port() != addresses[0].port()) {
            self.0.push(
                "storage: all addresses must have the same port, a volume is exported on one".to_owned(),
            );
        }
        addresses
    }

    fn directories(&mut self, text: Option<String>) -> Vec<String> {
        let directories: Vec<String> =
            text.iter().flat_map(|text| text.split('+')).map(str::to_owned).collect();
        if directories.len() > MAX_DIRECTORIES {
            self.0
                .push(format!("dirs: {} folders, at most {MAX_DIRECTORIES} are possible", directories.len()));
        }
        for directory in &directories {
            if !is_directory(directory) {
                self.0.push(format!(
                    "dirs: {directory:?} is not a folder such as /raid1/volumes (letters, digits, '.', '_', '-'; at most \
                     {MAX_DIRECTORY_BYTES} bytes)"
                ));
            }
        }
        directories
    }

    fn channels(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else {
            return DEFAULT_CHANNELS;
        };
        match text.parse() {
            Ok(channels) if (1..=MAX_CHANNELS).contains(&channels) => channels,
            Ok(_) | Err(_) => {
                self.0.push(format!("channels: {text:?} is not a number from 1 to {MAX_CHANNELS}"));
                DEFAULT_CHANNELS
            }
        }
    }

    fn flag(&mut self, key: &str, text: Option<&str>) -> bool {
        match text {
            None | Some("no") => false,
            Some("yes") => true,
            Some(text) => {
                self.0.push(format!("{key}: {text:?} is neither yes nor no"));
                false
            }
        }
    }

    fn host_keys(&mut self, texts: &[&str]) -> Vec<HostKey> {
        if texts.is_empty() {
            self.0.push(
                "host-key is missing: the fingerprint SHA256:… that the appliance's console shows, it is never learned".to_owned(),
            );
        }
        texts.iter().filter_map(|text| self.parsed("host-key", Some((*text).to_owned()))).collect()
    }
}

/// Segments `[A-Za-z0-9][A-Za-z0-9._-]*` without `..`, at least two: the pool and a folder on it.
fn is_directory(text: &str) -> bool {
    let segment = |segment: &str| {
        segment.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !segment.contains("..")
    };
    text.len() <= MAX_DIRECTORY_BYTES
        && text.strip_prefix('/').is_some_and(|rest| rest.contains('/') && rest.split('/').all(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_full_line_is_read() {
        let text = format!(
            "name=rds1,ssh=127.0.0.1:22,user=csi,storage=127.0.0.1:4420+[::1]:4420,dirs=/raid1/volumes+/raid2/v,reserve=2Gi,host-key={KEY},host-key={KEY}"
        );
        let appliance: ApplianceConfig = text.parse().expect("an appliance");
        assert_eq!(appliance.name.as_str(), "rds1");
        assert_eq!((appliance.storage.len(), appliance.directories.len()), (2, 2));
        assert_eq!(appliance.reserve, ByteSize::from_bytes(2 << 30));
        assert_eq!((appliance.host_keys.len(), appliance.port()), (2, 4420));
    }

    #[test]
    fn every_mistake_is_named() {
        let text = "name=RDS,ssh=nowhere,storage=host:1+127.0.0.1:2+127.0.0.1:3,dirs=raid1+/raid1/../x,reserve=2G,color=red,user";
        let ApplianceConfigError(problems) = text.parse::<ApplianceConfig>().expect_err("many mistakes");
        let text = problems.join("\n");
        for part in [
            "name: ",
            "ssh: ",
            "\"host:1\"",
            "same port",
            "\"raid1\"",
            "\"/raid1/../x\"",
            "reserve: ",
            "\"color\"",
            "\"user\" is not key=value",
            "user is missing",
            "host-key is missing",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(problems.iter().all(|problem| problem.starts_with("RDS: ")));
    }

    proptest! {
        #[test]
        fn no_folder_can_leave_a_path_or_a_string(text in any::<String>()) {
            if is_directory(&text) {
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b)));
                prop_assert!(!text.contains("..") && !text.contains("//") && text.starts_with('/'));
            }
        }
    }
}
