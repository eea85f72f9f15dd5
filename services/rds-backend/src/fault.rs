//! What operations conclude, and the one place where that becomes a [`Fault`].
//!
//! [`Refusal`] is a conclusion from rows that were seen: nothing was changed, so its fault is settled. [`Failure`] is
//! any way an operation ends without its outcome. A fault is settled only when it rests on something that was seen.

use proto::fault::{Fault, Reason};
use proto::size::ByteSize;

use crate::appliance::RunError;
use crate::mark::{Claim, Mark, MarkedNode};
use crate::routeros::disk::RowError;
use crate::routeros::rejection::{Code, Rejection};

/// Why what was seen does not allow what was asked. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such row.
    NotFound,
    /// A row is there and not ours.
    NotOurs(String),
    /// It exists with another property than asked for.
    Incompatible(String),
    /// The pool has this much free, which is not enough.
    NoSpace { free: Option<ByteSize> },
    /// The pool cannot be used.
    PoolUnhealthy(String),
    /// The size cannot be given.
    SizeOutOfRange(String),
    /// Others hold it.
    AttachedElsewhere(Vec<MarkedNode>),
    /// Somebody holds it; `None` when it is exported though nobody is recorded.
    StillAttached(Option<Vec<MarkedNode>>),
    /// The asking node does not hold it in that epoch.
    StaleEpoch(String),
    /// It has had as many owners as can be counted.
    EpochsUsedUp,
    /// What it is to be made from is not there.
    NoSource,
    /// The pool cannot copy what it is to be made from.
    CannotCopy(String),
    /// Only other clusters have volumes there: their marks.
    OtherClusters(Vec<String>),
}

impl Refusal {
    /// What a script of ours concluded when it stopped itself.
    fn of_script(code: Code, detail: &str, mark: Option<&Mark>) -> Self {
        match code {
            Code::Foreign | Code::Damaged | Code::Ambiguous => Self::NotOurs(detail.to_owned()),
            Code::Attached => Self::StillAttached(
                mark.map(|mark| mark.holders().map(|holder| holder.node.clone()).collect()),
            ),
            Code::Pool => Self::PoolUnhealthy(detail.to_owned()),
            Code::Space => Self::NoSpace { free: detail.parse().ok().map(ByteSize::from_bytes) },
            Code::Epoch => Self::EpochsUsedUp,
            Code::Left => {
                Self::PoolUnhealthy(format!("what an earlier attempt has left cannot be removed: {detail}"))
            }
            Code::Source => Self::NoSource,
            Code::Copy => Self::CannotCopy(detail.to_owned()),
            Code::Range => Self::SizeOutOfRange(format!(
                "what it is made from has {}, which is more than the limit",
                detail
                    .parse()
                    .map_or_else(|_| detail.to_owned(), |bytes| ByteSize::from_bytes(bytes).to_string())
            )),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::VolumeNotFound,
            Self::NotOurs(_) => Reason::NotOurs,
            Self::Incompatible(_) => Reason::Incompatible,
            Self::NoSpace { .. } => Reason::NoSpace,
            Self::PoolUnhealthy(_) => Reason::PoolUnhealthy,
            Self::SizeOutOfRange(_) => Reason::SizeOutOfRange,
            Self::AttachedElsewhere(_) => Reason::AttachedElsewhere,
            Self::StillAttached(_) => Reason::StillAttached,
            Self::StaleEpoch(_) => Reason::StaleEpoch,
            Self::EpochsUsedUp => Reason::ApplianceRefused,
            Self::NoSource => Reason::VolumeNotFound,
            Self::CannotCopy(_) => Reason::Unsupported,
            Self::OtherClusters(_) => Reason::NotOurs,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NotFound => "there is no such volume".to_owned(),
            Self::NotOurs(found) => format!(
                "a disk of this name is not ours to touch: {found}; if it should be, mend its comment, otherwise move it away"
            ),
            Self::Incompatible(what) => format!("it exists with other properties: {what}"),
            Self::NoSpace { free: Some(free) } => {
                format!("the pool has only {free} free, and the reserve is kept; free space or ask for less")
            }
            Self::NoSpace { free: None } => {
                "the pool does not say how much is free, so nothing is put on it".to_owned()
            }
            Self::PoolUnhealthy(state) => {
                format!("the pool cannot be used: {state}; see /disk on the appliance")
            }
            Self::SizeOutOfRange(what) => what.clone(),
            Self::AttachedElsewhere(nodes) => {
                format!("it is attached to {}; it has to be detached there first", names(nodes))
            }
            Self::StillAttached(Some(nodes)) if !nodes.is_empty() => {
                format!("it is still attached to {}; detach it first", names(nodes))
            }
            Self::StillAttached(_) => "it is still exported; detach it first".to_owned(),
            Self::StaleEpoch(what) => what.clone(),
            Self::NoSource => "what it is to be made from is not there".to_owned(),
            Self::OtherClusters(marks) => format!(
                "it holds volumes of other clusters only ({}); if this cluster was made anew, take them over with rdsctl \
                 appliance adopt-cluster, if the appliance is shared on purpose, configure it with shared=yes",
                marks.join(", ")
            ),
            Self::CannotCopy(why) => format!("this pool cannot copy it: {why}"),
            Self::EpochsUsedUp => {
                "it has had as many owners as can be counted; copy it to a new volume".to_owned()
            }
        }
    }
}

/// Scripts put the comment at the end of what they say, when they have read it.
fn split_mark(detail: &str) -> (&str, Option<Mark>) {
    let at = detail.find(crate::mark::VERSION).unwrap_or(detail.len());
    let (text, comment) = detail.split_at(at);
    (text.trim_end(), comment.parse().ok())
}

fn names(nodes: &[MarkedNode]) -> String {
    let names: Vec<&str> = nodes.iter().map(MarkedNode::as_str).collect();
    names.join(" and ")
}

/// Why an operation has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was seen does not allow it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whose volume it is, if that was seen.
        claim: Option<Claim>,
        /// False when this operation has changed something, or may have: what was seen is not the end of it.
        settled: bool,
    },
    /// No connection; after a loss something may have happened.
    Unreachable { why: String, after_loss: bool },
    /// The appliance must not be used as it is.
    Unusable(String),
    /// Another process changes the appliances, or may; after a loss something may have happened.
    NotOwner { why: String, after_loss: bool },
    /// The appliance refused a command in its own words.
    Rejected(Rejection),
    /// The rounds are used up and what happened is not known.
    Undecided { why: String, late: bool },
    /// The answer lacks something.
    Row(RowError),
    /// The row is gone and its image is not: path, and what the appliance said.
    ImageLeft { path: String, why: String },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal, claim: None, settled: true }
    }
}

impl From<RunError> for Failure {
    /// The failure of a command that changes nothing.
    fn from(error: RunError) -> Self {
        match error {
            RunError::Unusable(why) => Self::Unusable(why),
            RunError::NotOwner(why) => Self::NotOwner { why, after_loss: false },
            RunError::Rejected(rejection) => rejection.into(),
            RunError::Unreachable(why) | RunError::Lost(why) => Self::Unreachable { why, after_loss: false },
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let Rejection::Ours { code, detail } = &rejection else {
            return Self::Rejected(rejection);
        };
        if *code == Code::Left {
            // In the appliance's own words.
            return Self::Rejected(Rejection::parse(detail));
        }
        let (text, mark) = split_mark(detail);
        Self::Refused {
            refusal: Refusal::of_script(*code, text, mark.as_ref()),
            claim: mark.and_then(|mark| mark.claim),
            settled: true,
        }
    }
}

impl Refusal {
    /// The failure of an operation on a volume that was seen.
    pub(crate) fn of(self, mark: &Mark) -> Failure {
        Failure::Refused { refusal: self, claim: mark.claim.clone(), settled: true }
    }
}

impl From<RowError> for Failure {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// What a fault is about: the operation, the volume, and where the appliance is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// E.g. `create`.
    pub(crate) what: &'a str,
    /// Handle, or name before there is one.
    pub(crate) volume: &'a str,
    /// Name of the appliance.
    pub(crate) appliance: &'a str,
    /// Its management address.
    pub(crate) address: &'a str,
}

impl Failure {
    /// Whose volume it is, if that was seen.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Refused { claim, .. } => claim.as_ref(),
            Self::Unreachable { .. }
            | Self::Unusable(_)
            | Self::NotOwner { .. }
            | Self::Rejected(_)
            | Self::Undecided { .. }
            | Self::Row(_)
            | Self::ImageLeft { .. } => None,
        }
    }

    /// The same, of an operation that has changed something, or may have.
    pub(crate) fn unsettled(mut self) -> Self {
        if let Self::Refused { settled, .. } = &mut self {
            *settled = false;
        }
        self
    }

    /// The fault that crosses the wire.
    pub(crate) fn into_fault(self, about: About<'_>) -> Fault {
        let head = format!("cannot {} volume {}", about.what, about.volume);
        let place = format!("appliance {} at {}", about.appliance, about.address);
        match self {
            Self::Refused { refusal, settled: true, .. } => {
                Fault::settled(refusal.reason(), format!("{head} on {place}: {}", refusal.text()))
            }
            Self::Refused { refusal, settled: false, .. } => Fault::unsettled(
                refusal.reason(),
                format!("{head} on {place}: {}; what this call has changed is not known yet", refusal.text()),
            ),
            Self::Unreachable { why, after_loss } => {
                let known = if after_loss { "; whether it was done is not known yet" } else { "" };
                Fault::unsettled(
                    Reason::ApplianceUnreachable,
                    format!(
                        "{head}: {place}: {why}{known}; check the address, /ip/service and the network, it is tried again"
                    ),
                )
            }
            Self::Unusable(why) => {
                Fault::unsettled(Reason::ApplianceRefused, format!("{head}: {place}: {why}"))
            }
            Self::NotOwner { why, after_loss } => {
                let known = if after_loss { "; whether it was done is not known yet" } else { "" };
                Fault::unsettled(
                    Reason::ServiceUnreachable,
                    format!("{head} on {place}: {why}{known}; it is tried again"),
                )
            }
            Self::Rejected(rejection) => Fault::unsettled(
                Reason::ApplianceRefused,
                format!("{head}: {place} refused the command: {rejection}{}", advice(&rejection)),
            ),
            Self::Undecided { why, late: true } => Fault::unsettled(
                Reason::DeadlineExceeded,
                format!(
                    "{head}: {place}: {why}; the deadline has passed, whether it was done is not known yet"
                ),
            ),
            Self::Undecided { why, late: false } => Fault::unsettled(
                Reason::ApplianceUnreachable,
                format!("{head}: {place}: {why}; whether it was done is not known yet, call again"),
            ),
            Self::Row(error) => Fault::unsettled(
                Reason::ApplianceRefused,
                format!("{head}: {place} answered with a row that cannot be read: {error}"),
            ),
            Self::ImageLeft { path, why } => Fault::unsettled(
                Reason::ApplianceRefused,
                format!(
                    "{head}: the disk is gone from {place}, its image {path} is not: {why}; it is tried again"
                ),
            ),
        }
    }
}

fn advice(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::NotAllowed(_) => "; the user's group needs ssh, read, write, test and ftp",
        Rejection::Unsupported(_) | Rejection::Syntax(_) => "; RouterOS 7.21 or newer is needed",
        Rejection::Ours { .. }
        | Rejection::Late(_)
        | Rejection::AlreadyExists(_)
        | Rejection::NoSuchItem(_)
        | Rejection::InvalidValue(_)
        | Rejection::Failure(_)
        | Rejection::Unknown(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(failure: Failure) -> Fault {
        failure.into_fault(About {
            what: "create",
            volume: "rds1/csi-0",
            appliance: "rds1",
            address: "10.0.0.2:22",
        })
    }

    #[test]
    fn only_what_was_seen_is_settled() {
        let unknown = [
            Failure::Unreachable { why: "connection refused".to_owned(), after_loss: false },
            Failure::Unusable("the host key changed".to_owned()),
            Failure::NotOwner { why: "pod-2 holds the Lease".to_owned(), after_loss: false },
            Failure::Rejected(Rejection::Failure("failure: busy".to_owned())),
            Failure::Undecided { why: "no answer".to_owned(), late: true },
            Failure::Row(RowError::Missing("slot")),
            Failure::ImageLeft { path: "/raid1/x.img".to_owned(), why: "failure: busy".to_owned() },
        ];
        for failure in unknown {
            assert!(!fault(failure.clone()).settled, "{failure:?}");
        }
        for refusal in [Refusal::NotFound, Refusal::NoSpace { free: None }, Refusal::EpochsUsedUp] {
            assert!(fault(refusal.into()).settled);
        }
    }

    #[test]
    fn a_message_names_the_volume_the_address_and_the_next_step() {
        let text =
            fault(Failure::Unreachable { why: "connection refused".to_owned(), after_loss: false }).message;
        for part in ["rds1/csi-0", "10.0.0.2:22", "connection refused", "tried again"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_script_that_met_an_attached_volume_names_the_nodes() {
        let cluster = "demo".parse().expect("a cluster");
        let node = MarkedNode::from(&proto::id::NodeId::issue("node-a").expect("a node"));
        let mut mark = Mark::new(&cluster, crate::mark::AccessClass::SingleBlock, None);
        mark.holders[0] = Some(crate::mark::Holder { node: node.clone(), read_only: false });
        let rejection = Rejection::parse(&format!("RDSE-ATTACHED {mark}"));
        assert_eq!(Failure::from(rejection), Refusal::StillAttached(Some(vec![node])).into());
        mark.claim = crate::mark::Claim::new("demo", "data");
        let Failure::Refused { refusal, claim, .. } =
            Rejection::parse(&format!("RDSE-SPACE 1024 {mark}")).into()
        else {
            panic!("a refusal");
        };
        let free = Some(ByteSize::from_bytes(1024));
        assert_eq!((refusal, claim), (Refusal::NoSpace { free }, mark.claim));
    }

    #[test]
    fn what_was_seen_after_a_change_of_our_own_settles_nothing() {
        let full = || Failure::from(Refusal::NoSpace { free: None });
        assert!(fault(full()).settled);
        let fault = fault(full().unsettled());
        assert_eq!((fault.reason, fault.settled), (Reason::NoSpace, false), "{fault}");
    }
}
