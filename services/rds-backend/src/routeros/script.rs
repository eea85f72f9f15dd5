//! Renders commands: one line each, with its answer between sentinels that carry a fresh nonce.
//!
//! A mutating script looks, decides, acts and looks again by itself, so that an operation costs one round trip; what it
//! decides is only a comparison, and the row it reads back at its end is what the planner judges. A row that is not
//! proven ours is never touched: the script stops with `RDSE-FOREIGN`.
//!
//! Variables are called `zFoo`: one named like a property would break `where`. `&&` and `||` do not short-circuit, a
//! bare `:return` hangs, and there is no `~`.

pub(crate) mod attachment;
pub(crate) mod content;
mod guard;
pub(crate) mod status;
pub(crate) mod volume;

use std::fmt;

use proto::id::Slot;

pub(crate) use guard::Place;

/// Longest line RouterOS takes as one command, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 8192;
/// First half of every nonce.
const SENTINEL: &str = "RDS1-";

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// Reads one volume.
    Observe,
    /// Makes a volume.
    Create,
    /// Makes a snapshot of a volume.
    Snapshot,
    /// Makes a volume with the content of another one or of a snapshot.
    Copy,
    /// Finds out whether the pool's copies hold the data.
    Prove,
    /// Removes a volume or a snapshot and its image.
    Delete,
    /// Grows a volume.
    Expand,
    /// Exports a volume to a node.
    Attach,
    /// Takes a volume away from a node.
    Detach,
    /// Records that a volume holds a filesystem.
    MarkFormatted,
    /// Writes a comment that an operator asked for.
    SetComment,
    /// Reads disks, sensors and the device's mode.
    Health,
    /// Reads the names of files and subvolumes.
    Files,
    /// Reads what the appliance says of itself.
    Status,
    /// Reads the pools.
    Pools,
    /// Reads every disk.
    List,
    /// Asks for the version right after connecting.
    Hello,
}

impl Verb {
    /// As it stands in spans and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Create => "create",
            Self::Snapshot => "snapshot",
            Self::Copy => "copy",
            Self::Prove => "prove",
            Self::Delete => "delete",
            Self::Expand => "expand",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::MarkFormatted => "mark-formatted",
            Self::SetComment => "set-comment",
            Self::Health => "health",
            Self::Files => "files",
            Self::Status => "status",
            Self::Pools => "pools",
            Self::List => "list",
            Self::Hello => "hello",
        }
    }

    /// True when a lost answer may mean that something was changed.
    pub(crate) fn mutates(self) -> bool {
        match self {
            Self::Create
            | Self::Snapshot
            | Self::Copy
            | Self::Prove
            | Self::Delete
            | Self::Expand
            | Self::Attach
            | Self::Detach
            | Self::MarkFormatted
            | Self::SetComment => true,
            Self::Observe
            | Self::Status
            | Self::Pools
            | Self::List
            | Self::Health
            | Self::Files
            | Self::Hello => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A command that is ready to be sent, as often as need be.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    verb: Verb,
    slot: Option<Slot>,
    /// Statements that set `zRes`.
    body: String,
}

impl Script {
    fn new(verb: Verb, slot: Option<&Slot>, statements: &[String]) -> Self {
        Self { verb, slot: slot.cloned(), body: statements.join("; ") }
    }

    /// The volume it is about.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// What it is for.
    pub(crate) fn verb(&self) -> Verb {
        self.verb
    }

    /// What the command does, for a trace: without the texts in it, which are names of users, and not at its full length.
    pub(crate) fn outline(&self) -> String {
        let (mut outline, mut inside) = (String::with_capacity(OUTLINE), false);
        for c in self.body.chars().filter(|c| !c.is_control()) {
            if outline.len() >= OUTLINE {
                outline.push('…');
                break;
            }
            // A quote within a literal is always written as hex digits.
            if c == '"' {
                outline.push_str(if inside { "…\"" } else { "\"" });
                inside = !inside;
            } else if !inside {
                outline.push(c);
            }
        }
        outline
    }

    /// The line to execute. `nonce` comes from [`fresh_nonce`].
    ///
    /// The markers are split in the source so that an echoed line can never look like an answer. `zOwner` is the epoch
    /// of the replica that owns the appliance: 0 while there is only one. `expiry` is the uptime in seconds after which
    /// the command must not begin.
    pub(crate) fn line(&self, nonce: &str, expiry: Option<u64>) -> String {
        let answer = |kind: &str, value: &str| {
            format!(
                r#":put (("{nonce}"."-{kind} ").[:serialize to=json value={value} options=json.no-string-conversion].(" {nonce}"."-END"))"#
            )
        };
        let (ok, error) = (answer("OK", "$zRes"), answer("ERR", "$zErr"));
        let in_time = match expiry {
            Some(uptime) => guard::in_time(uptime),
            // Uptimes cannot be compared there: a statement that does nothing.
            None => ":local zAny 0".to_owned(),
        };
        let body = self.body.replace(guard::IN_TIME, &in_time);
        format!(
            ":onerror zErr in={{ :local zRes; :local zOwner 0; {in_time}; {body}; {ok} }} do={{ {error} }}"
        )
    }
}

/// Bytes of an outline.
const OUTLINE: usize = 600;

/// A nonce that no answer has carried before.
pub(crate) fn fresh_nonce() -> String {
    format!("{SENTINEL}{:016x}", rand::random::<u64>())
}

/// The command that asks an idle connection for a sign of life, and the answer to expect.
pub(crate) fn probe() -> (String, String) {
    let nonce = fresh_nonce();
    (format!(":put {}", crate::routeros::quote::quote(&nonce)), nonce)
}

#[cfg(test)]
mod tests;
