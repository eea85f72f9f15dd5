//! Attach and detach: compare-and-set on the nodes and the epoch in the comment, together with the export.

use proto::id::{NodeId, Slot};
use proto::nqn::{MAX_EPOCH, NqnPrefix};

use super::guard::{error, field, find, ours, rows, unchanged, when};
use super::{Place, Script, Verb};
use crate::mark::{self, AccessClass, Holder};
use crate::routeros::quote::quote;
use crate::routeros::rejection::Code;

/// What scripts add to an epoch while they calculate, so that it always has ten digits.
pub(super) const EPOCH_BASE: u64 = 1_000_000_000;

/// Puts the comment together again from its parts: `zNew`.
fn rebuilt() -> String {
    format!(
        ":local zNew ([:pick $zOld 0 {}].[:pick [:tostr $zNum] 1 10].[:pick $zOld {} {}].$zA.\" \".$zB.[:pick $zOld {} [:len $zOld]])",
        mark::EPOCH.start,
        mark::EPOCH.end,
        mark::FIRST_NODE.start,
        mark::SECOND_NODE.end
    )
}

fn nodes() -> [String; 2] {
    [format!(":local zA {}", field(mark::FIRST_NODE)), format!(":local zB {}", field(mark::SECOND_NODE))]
}

/// Rules of an attachment that come from the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// What the names of exports begin with.
    pub(crate) prefix: &'a NqnPrefix,
    /// A second node may join.
    pub(crate) join: bool,
    /// Host NQN that alone may connect; an empty one lets everybody; `None` = the appliance is not told.
    pub(crate) lock: Option<&'a str>,
}

/// Attaches the volume to a node if nobody has it, or if it may be shared and has room. A new owner raises the epoch;
/// name and export are set in one command, and left alone when they are right: a second node must not disturb the first.
pub(crate) fn attach(
    slot: &Slot,
    places: &[Place],
    head: &str,
    holder: &Holder,
    class: AccessClass,
    rules: Rules<'_>,
) -> Script {
    let prefix = rules.prefix;
    let other = Holder { read_only: !holder.read_only, ..holder.clone() };
    let mut present = ours(slot, places, head);
    present.push(":set zBefore $zOld".to_owned());
    present.extend(nodes());
    present.push(format!(
        ":local zWant {}; :local zOther {}; :local zNone {}",
        quote(&holder.field()),
        quote(&other.field()),
        quote(&mark::no_node())
    ));
    let raise = [
        when(
            &format!("$zNum >= {}", EPOCH_BASE + MAX_EPOCH),
            &[error(Code::Epoch, "it has had too many owners")],
        ),
        ":set zNum ($zNum + 1)".to_owned(),
        ":set zA $zWant".to_owned(),
    ]
    .join("; ");
    let join = if class.is_shared() && rules.join {
        " else={ :if ($zA = $zNone) do={ :set zA $zWant } else={ :if ($zB = $zNone) do={ :set zB $zWant } } }"
    } else {
        ""
    };
    present.push(when(
        &format!(
            "($zA != $zWant) && ($zB != $zWant) && ($zA != $zOther) && ($zB != $zOther) && ({} = {})",
            field(mark::CLASS),
            quote(&format!(" {} ", class.as_str()))
        ),
        &[format!(":if (($zA = $zNone) && ($zB = $zNone)) do={{ {raise} }}{join}")],
    ));
    let lock = rules
        .lock
        .map(|host| format!("nvme-tcp-server-allow-host-name={} ", quote(host)))
        .unwrap_or_default();
    let export = [
        rebuilt(),
        format!(
            ":local zNqn ({}.[:tostr ($zNum - {EPOCH_BASE})])",
            quote(&format!("{prefix}:{slot}.e"))
        ),
        unchanged(),
        ":if (([/disk/get $zId nvme-tcp-export] = true) && ([:tostr [/disk/get $zId nvme-tcp-server-nqn]] = $zNqn)) \
         do={ :if ($zNew != $zOld) do={ /disk/set $zId comment=$zNew } } \
         else={ /disk/set $zId comment=$zNew LOCKnvme-tcp-server-nqn=$zNqn nvme-tcp-export=yes }"
            .replace("LOCK", &lock),
    ];
    present.push(when("($zA = $zWant) || ($zB = $zWant)", &export));
    guarded(Verb::Attach, slot, &present)
}

/// Takes the volume away from a node, or from all; the export goes off with the last one.
pub(crate) fn detach(slot: &Slot, places: &[Place], head: &str, node: Option<&NodeId>) -> Script {
    let mut present = ours(slot, places, head);
    present.push(":set zBefore $zOld".to_owned());
    present.extend(nodes());
    present.push(format!(":local zNone {}", quote(&mark::no_node())));
    for variable in ["zA", "zB"] {
        let clear = format!(":set {variable} $zNone");
        present.push(match node {
            None => clear,
            Some(node) => {
                when(&format!("[:pick ${variable} 2 34] = {}", quote(&mark::node_field(node))), &[clear])
            }
        });
    }
    present.push(rebuilt());
    // A node that did not hold it takes nothing away, not even an export that nobody is recorded for (a volume that was
    // adopted while it is in use); only an operator who means everybody does.
    let off = match node {
        Some(_) => "$zNew != $zOld",
        None => "($zNew != $zOld) || ([/disk/get $zId nvme-tcp-export] != false)",
    };
    present.push(unchanged());
    present.push(format!(
        ":if (($zA = $zNone) && ($zB = $zNone)) \
         do={{ :if ({off}) do={{ /disk/set $zId nvme-tcp-export=no comment=$zNew }} }} \
         else={{ :if ($zNew != $zOld) do={{ /disk/set $zId comment=$zNew }} }}"
    ));
    guarded(Verb::Detach, slot, &present)
}

/// Does `present` when there is a row, and answers with the comment before and the row after.
fn guarded(verb: Verb, slot: &Slot, present: &[String]) -> Script {
    let mut statements = vec![":local zBefore \"\"".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 1", present));
    statements.push(format!(":set zRes {{\"before\"=$zBefore;\"rows\"={}}}", rows(slot)));
    Script::new(verb, Some(slot), &statements)
}
