//! Commands about the volume itself: read, make, remove, grow.

use proto::id::Slot;
use proto::nqn::Nqn;
use proto::size::ByteSize;

use super::guard::{
    IN_TIME, clear, error, error_with, field, file_name, find, located, ours, room, rows, unchanged, users,
    when,
};
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

/// Adds the disk unless the slot is taken. The appliance must not mount what a guest will put on it. What an earlier
/// attempt has left of the image is removed first: a new volume never shows old data.
pub(crate) fn create(new: &NewDisk<'_>) -> Script {
    let need = new.size.bytes().saturating_add(new.reserve.bytes());
    let mut absent = room(&quote(&new.place.pool), &need.to_string(), "\"\"");
    absent.push(same_filesystem(new.place, "\"\""));
    absent.extend(clear(new.slot, &quote(&new.place.directory), new.place.btrfs));
    absent.extend(folder(new.place));
    if new.place.btrfs {
        absent.push(format!(
            "/disk/btrfs/subvolume/add fs={} name={}",
            quote(&new.place.pool),
            quote(&new.place.subvolume(new.slot))
        ));
    }
    absent.push(IN_TIME.to_string());
    absent.push(new.add(
        &quote(&new.place.image(new.slot)),
        &new.size.bytes().to_string(),
        &quote(new.comment),
    ));
    absent.push(":set zMade true".to_owned());
    made(Verb::Create, new.slot, &absent)
}

/// Does `absent` when there is no row, and answers with the row after.
pub(super) fn made(verb: Verb, slot: &Slot, absent: &[String]) -> Script {
    let mut statements = vec![":local zMade false".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 0", absent));
    statements.push(format!(":set zRes {{\"made\"=$zMade;\"rows\"={}}}", rows(slot)));
    Script::new(verb, Some(slot), &statements)
}

/// Proves that the pool `zP` still has the filesystem that decides where images lie.
pub(super) fn same_filesystem(place: &Place, comment: &str) -> String {
    let differs = if place.btrfs { "!=" } else { "=" };
    when(
        &format!("[:tostr ($zP->\"fs\")] {differs} \"btrfs\""),
        &[error_with(
            Code::Pool,
            &format!("(\"its filesystem has changed, it is read again\".\" \".{comment})"),
        )],
    )
}

/// Makes the folder; that it is there already is fine.
pub(super) fn folder(place: &Place) -> Vec<String> {
    let path = quote(file_name(&place.directory));
    vec![format!(":onerror zE in={{ /file/add type=directory name={path} }} do={{}}")]
}

impl NewDisk<'_> {
    /// The command that adds the row; path, size and comment are expressions.
    pub(super) fn add(&self, path: &str, size: &str, comment: &str) -> String {
        format!(
            "/disk/add type=file slot={} file-path={path} file-size={size} mount-filesystem=no nvme-tcp-export=no \
             nvme-tcp-server-port={} nvme-tcp-server-nqn={} comment={comment}",
            quote(self.slot.as_str()),
            self.port,
            quote(self.nqn.as_str()),
        )
    }
}

/// Removes the row if it is ours and unused, then the image by name in each folder, its subvolume included. A name is removed only when no disk
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
    present.push(":local zFile [:pick $zPath 1 999]".to_owned());
    present.push(when(
        "([:len [/disk/find where file-path=$zPath]] + [:len [/disk/find where file-path=$zFile]]) > 1",
        &[error(Code::Foreign, "another disk uses its image")],
    ));
    present.push(":set zBefore $zOld".to_owned());
    present.push(unchanged());
    present.push("/disk/remove $zId".to_owned());

    let mut statements = vec![":local zBefore \"\"".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 1", &present));
    let mut files = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let [flat, nested] = place.images(slot);
        let all = if place.btrfs { vec![flat.clone(), nested.clone()] } else { vec![flat.clone()] };
        statements.push(when(
            &format!("{} > 0", users(&all)),
            &[error(Code::Foreign, "another disk uses its image")],
        ));
        let (first, last) = (format!("zFirst{number}"), format!("zLast{number}"));
        let remove = |variable: &str| {
            format!(
                ":onerror zE in={{ /file/remove {} }} do={{ :set {variable} $zE }}",
                quote(file_name(&flat))
            )
        };
        if slot.is_legacy() {
            // Without its row nothing says that such a file is ours.
            statements.push(format!(":local {first} \"no such item\"; :local {last} \"no such item\""));
            statements.push(when(
                "$zBefore != \"\"",
                &[format!(":set {first} \"\"; :set {last} \"\""), remove(&first), remove(&last)],
            ));
        } else {
            statements.push(format!(":local {first} \"\"; :local {last} \"\""));
            statements.extend([remove(&first), remove(&last)]);
        }
        files.push(format!("{}={{\"first\"=${first};\"last\"=${last}}}", quote(&flat)));
        if place.btrfs && !slot.is_legacy() {
            let found = format!("[/disk/btrfs/subvolume/find where name={}]", quote(slot.as_str()));
            statements
                .push(format!(":local zSub{number} [:len {found}]; /disk/btrfs/subvolume/remove {found}"));
            files.push(format!("{}={{\"removed\"=$zSub{number};\"left\"=[:len {found}]}}", quote(&nested)));
        }
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
    smaller.push(unchanged());
    smaller.push(format!("/disk/set $zId file-size={}", size.bytes()));
    present.push(when(&format!("$zBefore < {}", size.bytes()), &smaller));

    let mut statements = vec![":local zBefore 0".to_owned()];
    statements.extend(find(slot));
    statements.push(when("[:len $zIds] = 1", &present));
    statements.push(format!(":set zRes {{\"before\"=$zBefore;\"rows\"={}}}", rows(slot)));
    Script::new(Verb::Expand, Some(slot), &statements)
}

/// Writes a comment if the one that was seen still stands there: what an operator has looked at and decided. The row
/// must be a file disk whose image lies where we put one.
pub(crate) fn set_comment(slot: &Slot, places: &[Place], before: &str, after: &str) -> Script {
    let mut present = located(slot, places);
    present.push(when(
        &format!("$zOld = {}", quote(before)),
        &[format!("/disk/set $zId comment={}", quote(after))],
    ));
    let mut statements = find(slot);
    statements.push(when("[:len $zIds] = 1", &present));
    statements.push(format!(":set zRes {{\"rows\"={}}}", rows(slot)));
    Script::new(Verb::SetComment, Some(slot), &statements)
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
        unchanged(),
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
