//! The ownership mark: the comment of a volume's disk row, where everything we know of it lives.
//!
//! Fields stand at fixed places, so that a script can take them apart with `:pick` and put them together again in the
//! same command that acts on them:
//!
//! ```text
//! R1 1f2e3d4c F----- 000000007 sf ______________________________ w:node-a-0123456789ab_____________ __________________________________ demo/data
//! 0  3        12     19        29 32                             63                                 98                                 133
//! ```
//!
//! version, cluster, flags, epoch, access class, content source, two nodes (mode and id), claim. What does not parse is
//! not ours: it is never changed. Text behind the fixed part is for people and for Events only.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use proto::id::{ClusterId, NodeId, Slot};
use proto::nqn::Epoch;
use proto::rds::volume::v1 as wire;

/// Longest comment we write, in bytes.
pub(crate) const MAX_BYTES: usize = 200;
/// What every mark begins with.
pub(crate) const VERSION: &str = "R1 ";
/// What stands in an empty place, and behind a text that is shorter than its place.
const BLANK: char = '_';

/// Version and cluster with their spaces: what a row of ours begins with.
pub(crate) const HEAD: Range<usize> = 0..12;
/// The flag for "holds a filesystem".
pub(crate) const FORMATTED: Range<usize> = 12..13;
/// The epoch, nine digits.
pub(crate) const EPOCH: Range<usize> = 19..28;
/// The access class with the spaces around it.
pub(crate) const CLASS: Range<usize> = 28..32;
/// The first node.
pub(crate) const FIRST_NODE: Range<usize> = 63..97;
/// The second node.
pub(crate) const SECOND_NODE: Range<usize> = 98..132;
/// Where the claim begins.
pub(crate) const CLAIM: usize = 133;
/// Single spaces of the fixed part that no other field covers.
pub(crate) const SEPARATORS: [usize; 4] = [18, 62, 97, 132];

const FLAGS: Range<usize> = 12..18;
pub(crate) const SOURCE: Range<usize> = 32..62;
const NODE_ID_BYTES: usize = 32;
/// What the place of a node that may write begins with.
pub(crate) const WRITES: &str = "w:";
/// What the place of a node that may only read begins with.
pub(crate) const READS: &str = "r:";
/// Ends a claim that had to be cut; no name of Kubernetes holds it.
const CUT: char = '+';

/// The flags that nothing sets yet, as they must stand there.
pub(crate) const OTHER_FLAGS: (Range<usize>, &str) = (13..18, "-----");

/// What may stand in [`CLASS`].
pub(crate) fn classes() -> impl Iterator<Item = String> {
    CLASSES.iter().map(|(_, text, _)| format!(" {text} "))
}

/// How a volume may be shared. Fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessClass {
    /// One node, with a filesystem.
    SingleFilesystem,
    /// One node, raw block.
    SingleBlock,
    /// Two nodes write, raw block.
    MultiBlock,
    /// Two nodes read.
    MultiReader,
}

const CLASSES: [(AccessClass, &str, wire::AccessClass); 4] = [
    (AccessClass::SingleFilesystem, "sf", wire::AccessClass::SingleNodeFilesystem),
    (AccessClass::SingleBlock, "sb", wire::AccessClass::SingleNodeBlock),
    (AccessClass::MultiBlock, "mb", wire::AccessClass::MultiNodeBlock),
    (AccessClass::MultiReader, "mr", wire::AccessClass::MultiNodeReader),
];

impl AccessClass {
    /// The class of a request; `None` for one that is unset or newer than this version.
    pub(crate) fn of_wire(value: i32) -> Option<Self> {
        let wire = wire::AccessClass::try_from(value).ok()?;
        CLASSES.iter().find(|(_, _, known)| *known == wire).map(|(class, _, _)| *class)
    }

    /// As messages carry it.
    pub(crate) fn to_wire(self) -> wire::AccessClass {
        CLASSES
            .iter()
            .find(|(class, _, _)| *class == self)
            .map_or(wire::AccessClass::Unspecified, |(_, _, wire)| *wire)
    }

    /// As the mark carries it.
    pub(crate) fn as_str(self) -> &'static str {
        CLASSES.iter().find(|(class, _, _)| *class == self).map_or("", |(_, text, _)| *text)
    }

    /// True when two nodes may hold it at once.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::MultiBlock | Self::MultiReader)
    }

    /// True when a node has to grow a filesystem after the volume has grown.
    pub(crate) fn has_filesystem(self) -> bool {
        matches!(self, Self::SingleFilesystem | Self::MultiReader)
    }
}

impl fmt::Display for AccessClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SingleFilesystem => "one node at a time, with a filesystem",
            Self::SingleBlock => "one node at a time, raw block",
            Self::MultiBlock => "up to two nodes, raw block",
            Self::MultiReader => "up to two nodes, read-only",
        })
    }
}

/// A node as a mark names it. Normally an id that was issued; any other text is kept as it is, because a script cannot
/// check the digits of an id, and script and plan must agree on what a mark is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkedNode(String);

impl MarkedNode {
    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&NodeId> for MarkedNode {
    fn from(node: &NodeId) -> Self {
        Self(node.to_string())
    }
}

impl PartialEq<NodeId> for MarkedNode {
    fn eq(&self, node: &NodeId) -> bool {
        self.0 == node.as_str()
    }
}

impl fmt::Display for MarkedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node a volume is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Which.
    pub(crate) node: MarkedNode,
    /// It may only read.
    pub(crate) read_only: bool,
}

impl Holder {
    /// The 34 bytes that stand for it.
    pub(crate) fn field(&self) -> String {
        let mode = if self.read_only { READS } else { WRITES };
        format!("{mode}{}", padded(self.node.as_str(), NODE_ID_BYTES))
    }

    /// True for a node id that was issued.
    pub(crate) fn is_issued(&self) -> bool {
        self.node.as_str().parse::<NodeId>().is_ok()
    }

    /// Reads the 34 bytes that stand for it.
    pub(crate) fn parse(field: &str) -> Option<Self> {
        let read_only = match field.get(..2)? {
            WRITES => false,
            READS => true,
            _ => return None,
        };
        let node = field.get(2..)?.trim_end_matches(BLANK);
        Some(Self { node: MarkedNode(node.to_owned()), read_only })
    }
}

/// The 32 bytes of a node id inside its place, without the mode.
pub(crate) fn node_field(node: &NodeId) -> String {
    padded(node.as_str(), NODE_ID_BYTES)
}

/// The place of a node when there is none.
pub(crate) fn no_node() -> String {
    padded("", FIRST_NODE.len())
}

/// The claim a volume belongs to: for people and for Events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    /// Namespace of the PersistentVolumeClaim.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl Claim {
    /// A claim; `None` when either is not a name of Kubernetes.
    pub(crate) fn new(namespace: &str, name: &str) -> Option<Self> {
        let valid = |text: &str| {
            (1..=253).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        (valid(namespace) && valid(name))
            .then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// The comment of a row of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Eight hex digits that stand for the cluster.
    pub(crate) cluster: String,
    /// It holds a filesystem and must never be formatted again.
    pub(crate) formatted: bool,
    /// How often it has had a new owner.
    pub(crate) epoch: Epoch,
    /// How it may be shared.
    pub(crate) class: AccessClass,
    /// What it was made from, as [`source_code`] writes it.
    pub(crate) source: Option<String>,
    /// Who holds it.
    pub(crate) holders: [Option<Holder>; 2],
    /// When a snapshot was made, Unix time in seconds; volumes have none.
    pub(crate) created: Option<u64>,
    /// Whose it is; `None` also when the name did not fit.
    pub(crate) claim: Option<Claim>,
}

/// Begins the time at which a snapshot was made, in front of the claim.
pub(crate) const CREATED: char = '@';

/// How a mark names the volume or the snapshot that something was made from: `v:` or `s:` and the digits of its slot.
/// `None` for a volume of an earlier driver, whose name has no room.
pub(crate) fn source_code(slot: &Slot) -> Option<String> {
    let digits = slot.as_str().get(4..)?;
    match (slot.is_legacy(), slot.is_snapshot()) {
        (true, _) => None,
        (false, true) => Some(format!("s:{digits}")),
        (false, false) => Some(format!("v:{digits}")),
    }
}

/// The slot that [`source_code`] stands for.
pub(crate) fn source_slot(code: &str) -> Option<Slot> {
    match code.split_at_checked(2)? {
        ("v:", digits) => Slot::volume(&format!("csi-{digits}")),
        ("s:", digits) => Slot::snapshot(&format!("snp-{digits}")),
        _ => None,
    }
}

/// What every row of ours begins with: version and cluster.
pub(crate) fn head(cluster: &ClusterId) -> String {
    format!("{VERSION}{} ", cluster.mark())
}

fn padded(text: &str, width: usize) -> String {
    format!("{text:_<width$}")
}

impl Mark {
    /// The mark of a new volume.
    pub(crate) fn new(cluster: &ClusterId, class: AccessClass, claim: Option<Claim>) -> Self {
        Self {
            cluster: cluster.mark(),
            formatted: false,
            epoch: Epoch::default(),
            class,
            source: None,
            holders: [None, None],
            created: None,
            claim,
        }
    }

    /// The nodes that hold it.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.holders.iter().flatten()
    }

    /// How `node` holds it.
    pub(crate) fn holder<N>(&self, node: &N) -> Option<&Holder>
    where
        MarkedNode: PartialEq<N>,
    {
        self.holders().find(|holder| holder.node == *node)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = |at: usize| self.holders[at].as_ref().map_or_else(no_node, Holder::field);
        let fixed = format!(
            "{VERSION}{} {}----- {:09} {} {} {} {} ",
            self.cluster,
            if self.formatted { 'F' } else { '-' },
            self.epoch.number(),
            self.class.as_str(),
            padded(self.source.as_deref().unwrap_or_default(), SOURCE.len()),
            node(0),
            node(1),
        );
        let mut claim = match &self.claim {
            Some(claim) => format!("{}/{}", claim.namespace, claim.name),
            None => "-".to_owned(),
        };
        let created = self.created.map(|seconds| format!("{CREATED}{seconds} ")).unwrap_or_default();
        let room = MAX_BYTES - CLAIM - created.len();
        if claim.len() > room {
            claim.truncate(claim.floor_char_boundary(room - 1));
            claim.push(CUT);
        }
        write!(f, "{fixed}{created}{claim}")
    }
}

/// Why a comment is no mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MarkError {
    /// It does not even begin like one: somebody else's disk.
    #[error("it does not carry our mark")]
    Foreign,
    /// It begins like one, but was changed by hand.
    #[error("its comment was changed by hand: {0} cannot be read")]
    Damaged(&'static str),
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let part = |range: Range<usize>| text.get(range).unwrap_or_default();
        let cluster = part(3..11);
        let is_hex =
            cluster.len() == 8 && cluster.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if part(0..3) != VERSION || !is_hex || part(11..12) != " " {
            return Err(MarkError::Foreign);
        }
        if SEPARATORS.iter().any(|at| part(*at..at + 1) != " ") {
            return Err(MarkError::Damaged("the spacing"));
        }
        let formatted = match part(FORMATTED) {
            "F" => true,
            "-" => false,
            _ => return Err(MarkError::Damaged("the flags")),
        };
        if !part(FLAGS).is_ascii() {
            return Err(MarkError::Damaged("the flags"));
        }
        let digits = part(EPOCH);
        let epoch = Some(digits)
            .filter(|digits| digits.len() == EPOCH.len() && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .and_then(Epoch::new)
            .ok_or(MarkError::Damaged("the epoch"))?;
        let class = CLASSES
            .iter()
            .find(|(_, code, _)| format!(" {code} ") == part(CLASS))
            .map(|(class, _, _)| *class)
            .ok_or(MarkError::Damaged("the access class"))?;
        let source = part(SOURCE).trim_end_matches(BLANK);
        let holder = |range: Range<usize>| match part(range) {
            field if field == no_node() => Ok(None),
            field => Holder::parse(field).map(Some).ok_or(MarkError::Damaged("a node")),
        };
        let mut rest = text.get(CLAIM..).unwrap_or_default();
        let mut created = None;
        if let Some((seconds, claim)) = rest.strip_prefix(CREATED).and_then(|rest| rest.split_once(' ')) {
            (created, rest) = (seconds.parse().ok(), claim);
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            formatted,
            epoch,
            class,
            source: (!source.is_empty()).then(|| source.to_owned()),
            holders: [holder(FIRST_NODE)?, holder(SECOND_NODE)?],
            created,
            claim: rest.split_once('/').and_then(|(namespace, name)| Claim::new(namespace, name)),
        })
    }
}

#[cfg(test)]
mod tests;
