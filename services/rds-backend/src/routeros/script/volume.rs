//! Commands about the volume itself: read, make, remove, grow.

use proto::id::Slot;
use proto::nqn::Nqn;
use proto::size::ByteSize;

use super::guard::{error, error_with, field, find, ours, room, rows, when};
use super::{Place, Script, Verb};
use crate::mark;
use crate::routeros::quote::quote;
use crate::routeros::rejection::Code;

/// Reads the row of a volume.
pub(crate) fn observe(slot: &Slot) -> Script {
    Script::new(Verb::Observe, Some(slot), &[format!(":set zRes {{\"rows\"={}}}", rows(slot))])
}

/// What a new volume is to be.
#[derive(Debug, Clone)]
pub(crate) struct NewDisk<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) place: &'a Place,
    pub(crate) size: ByteSize,
    /// Kept free on the pool.
    pub(crate) reserve: ByteSize,
    /// TCP port the export will listen on.
    pub(crate) port: u16,
    /// Name of epoch 0: never exported, but an appliance that refuses to set a name says so now.
    pub(crate) nqn: &'a Nqn,
    /// The ownership mark.
    pub(crate) comment: &'a str,
}

/// Adds the disk unless the slot is taken. The appliance must not mount what a guest will put on it.
pub(crate) fn create(new: &NewDisk<'_>) -> Script {
    let need = new.size.bytes().saturating_add(new.reserve.bytes());
    let mut absent = room(&quote(&new.place.pool), &need.to_string(), "\"\"");
    absent.push(format!(
        "/disk/add type=file slot={} file-path={} file-size={} mount-filesystem=no nvme-tcp-export=no \
         nvme-tcp-server-port={} nvme-tcp-server-nqn={} comment={}",
        quote(new.slot.as_str()),
        quote(&new.place.image(new.slot)),
        new.size.bytes(),
        new.port,
        quote(new.nqn.as_str()),
        quote(new.comment),
    ));
    absent.push(":set zMade true".to_owned());
    let mut statements = vec![":local zMade false".to_owned()];
    statements.extend(find(new.slot));
    statements.push(when("[:len $zIds] = 0", &absent));
    statements.push(format!(":set zRes {{\"made\"=$zMade;\"rows\"={}}}", rows(new.slot)));
    Script::new(Verb::Create, Some(new.slot), &statements)
}

/// Removes the row if it is ours and unused, then the image by name in each folder. A name is removed only when no disk
/// uses it, and twice: the second answer proves that it is gone.
pub(crate) fn delete(slot: &Slot, places: &[Place], head: &str) -> Script {
    let mut present = ours(slot, places, head);
    let nobody = format!("{0} {0} ", mark::no_node());
    present.push(when(
        &format!(
            "([:pick $zOld {} {}] != {}) || ([/disk/get $zId nvme-tcp-export] != false)",
            mark::FIRST_NODE.start,
            mark::SECOND_NODE.end + 1,
            quote(&nobody)
        ),
        &[error_with(Code::Attached, "$zOld")],
    ));
    // Our row is one of them; whoever else uses the image must be known of before the row goes.
    let users: Vec<String> = places
        .iter()
        .flat_map(|place| [place.image(slot), place.image_file(slot)])
        .map(|path| format!("[:len [/disk/find where file-path={}]]", quote(&path)))
        .collect();
    present.push(when(
        &format!("({}) > 1", users.join(" + ")),
        &[error(Code::Foreign, "another disk uses its image")],
    ));
    present.push(":set zBefore $zOld".to_owned());
    present.push("/disk/remove $zId".to_owned());

    let mut statements = vec![":local zBefore \"\"".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 1", &present));
    for place in places {
        for path in [place.image(slot), place.image_file(slot)] {
            statements.push(when(
                &format!("[:len [/disk/find where file-path={}]] > 0", quote(&path)),
                &[error(Code::Foreign, "another disk uses its image")],
            ));
        }
    }
    let mut files = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let path = quote(&place.image_file(slot));
        let (first, last) = (format!("zFirst{number}"), format!("zLast{number}"));
        statements.push(format!(":local {first} \"\"; :local {last} \"\""));
        for variable in [&first, &last] {
            statements.push(format!(":onerror zE in={{ /file/remove {path} }} do={{ :set {variable} $zE }}"));
        }
        files.push(format!("{}={{\"first\"=${first};\"last\"=${last}}}", quote(&place.image(slot))));
    }
    statements.push(format!(
        ":set zRes {{\"before\"=$zBefore;\"rows\"={};\"files\"={{{}}}}}",
        rows(slot),
        files.join(";")
    ));
    Script::new(Verb::Delete, Some(slot), &statements)
}

/// Grows the volume to `size` if it is smaller and the pool has room for the difference.
pub(crate) fn expand(slot: &Slot, places: &[Place], head: &str, size: ByteSize, reserve: ByteSize) -> Script {
    let mut present = ours(slot, places, head);
    present.push(":set zBefore [:tonum [/disk/get $zId file-size]]".to_owned());
    let mut smaller =
        room("$zPool", &format!("({} - $zBefore + {})", size.bytes(), reserve.bytes()), "$zOld");
    smaller.push(format!("/disk/set $zId file-size={}", size.bytes()));
    present.push(when(&format!("$zBefore < {}", size.bytes()), &smaller));

    let mut statements = vec![":local zBefore 0".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 1", &present));
    statements.push(format!(":set zRes {{\"before\"=$zBefore;\"rows\"={}}}", rows(slot)));
    Script::new(Verb::Expand, Some(slot), &statements)
}

/// Sets the flag "holds a filesystem" if the volume is in `epoch` and attached to the node.
pub(crate) fn mark_formatted(slot: &Slot, places: &[Place], head: &str, epoch: u64, node: &str) -> Script {
    let mut present = ours(slot, places, head);
    let id = |range: std::ops::Range<usize>| field(range.start + 2..range.end);
    let holds = format!(
        "(({} = {node}) || ({} = {node}))",
        id(mark::FIRST_NODE),
        id(mark::SECOND_NODE),
        node = quote(node)
    );
    let changed = [
        format!(
            ":local zNew ([:pick $zOld 0 {}].\"F\".[:pick $zOld {} [:len $zOld]])",
            mark::FORMATTED.start,
            mark::FORMATTED.end
        ),
        "/disk/set $zId comment=$zNew".to_owned(),
    ];
    present.push(when(
        &format!(
            "($zNum = {}) && {holds} && ({} = \"-\")",
            super::attachment::EPOCH_BASE + epoch,
            field(mark::FORMATTED)
        ),
        &changed,
    ));
    let mut statements = find(slot);
    statements.push(when("[:len $zIds] = 1", &present));
    statements.push(format!(":set zRes {{\"rows\"={}}}", rows(slot)));
    Script::new(Verb::MarkFormatted, Some(slot), &statements)
}
