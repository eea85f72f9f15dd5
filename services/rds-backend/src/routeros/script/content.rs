//! Commands that copy content: snapshots, volumes from snapshots, clones. One per operation, on btrfs pools, where an
//! image lies in a subvolume of its own and a subvolume with a parent is a copy of it at that moment.
//!
//! A copy is a disk like any other, with a mark in its comment; one that is a snapshot is never exported.

use proto::id::Slot;
use proto::size::ByteSize;

use super::guard::{IN_TIME, clear, error, error_with, field, ours, room, when};
use super::volume::{NewDisk, folder, made};
use super::{Place, Script, Verb};
use crate::mark;
use crate::routeros::quote::quote;
use crate::routeros::rejection::Code;

/// Finds the disk of `source` and proves that it is ours and can be copied; sets what [`ours`] sets, and `zSize`.
fn source(source: &Slot, places: &[Place], head: &str) -> Vec<String> {
    let mut statements = vec![
        format!(":set zIds [/disk/find where slot={}]", quote(source.as_str())),
        when("[:len $zIds] != 1", &[error(Code::Source, "its source is missing")]),
    ];
    statements.extend(ours(source, places, head));
    statements.push(when(
        "$zNest = false",
        &[
            ":local zOn [/disk/print as-value where slot=$zPool]".to_owned(),
            ":local zFs \"missing\"".to_owned(),
            ":if ([:len $zOn] = 1) do={ :set zFs [:tostr (($zOn->0)->\"fs\")] }".to_owned(),
            error_with(
                Code::Copy,
                "(\"the image \".$zPath.\" of its source is not in a btrfs subvolume of its own (pool \".$zPool.\", filesystem \".\
                 $zFs.\"); snapshots and clones need a btrfs pool\")",
            ),
        ],
    ));
    statements.push(":local zSize [:tonum [/disk/get $zId file-size]]".to_owned());
    statements
}

/// Copies the subvolume of `source` to where its folder is: a copy stays on its filesystem. Clears away first what an
/// interrupted copy has left. Expects what [`source`] sets and the row `zP` of the pool.
fn copied(source: &Slot, to: &Slot) -> Vec<String> {
    let mut statements = vec![when(
        "[:tostr ($zP->\"fs\")] != \"btrfs\"",
        &[error_with(
            Code::Copy,
            "(\"pool \".$zPool.\" has the filesystem \".[:tostr ($zP->\"fs\")].\", not btrfs\")",
        )],
    )];
    statements.extend(clear(to, "$zDir", true));
    statements.push(IN_TIME.to_string());
    statements.push(format!(
        "/disk/btrfs/subvolume/add fs=$zPool parent={} name=($zRel.{})",
        quote(source.as_str()),
        quote(&format!("/{to}"))
    ));
    statements
}

/// A snapshot that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewSnapshot<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) source: &'a Slot,
    /// How a mark names the source.
    pub(crate) source_code: &'a str,
    /// Unix time in seconds.
    pub(crate) created: u64,
    /// Kept free on the pool, besides what the volume could still write anew.
    pub(crate) reserve: ByteSize,
}

/// Makes a snapshot of a volume unless it is there. It takes over cluster, flags, epoch, class and claim of the volume.
pub(crate) fn snapshot(new: &NewSnapshot<'_>, places: &[Place], head: &str) -> Script {
    let mut absent = source(new.source, places, head);
    absent.extend(room("$zPool", &format!("($zSize + {})", new.reserve.bytes()), "$zOld"));
    let start = format!(
        "{} {} {} {}{} ",
        new.source_code,
        mark::no_node(),
        mark::no_node(),
        mark::CREATED,
        new.created
    );
    absent.push(format!(
        ":local zNew [:pick ([:pick $zOld 0 {}].{}.[:pick $zOld {} 999]) 0 {}]",
        mark::SOURCE.start,
        quote(&start),
        mark::CLAIM,
        mark::MAX_BYTES
    ));
    absent.extend(copied(new.source, new.slot));
    absent.push(format!(
        "/disk/add type=file slot={} file-path=$zNested file-size=$zSize mount-filesystem=no nvme-tcp-export=no comment=$zNew",
        quote(new.slot.as_str()),
    ));
    absent.push(":set zMade true".to_owned());
    made(Verb::Snapshot, new.slot, &absent)
}

/// Makes a volume with the content of a snapshot or of another volume unless it is there: at least as large, never
/// formatted if its source was. `asked` is a folder that was asked for.
pub(crate) fn volume_from(
    new: &NewDisk<'_>,
    from: &Slot,
    limit: u64,
    asked: Option<&Place>,
    places: &[Place],
    head: &str,
) -> Script {
    let mut absent = source(from, places, head);
    if let Some(asked) = asked {
        absent.push(when(
            &format!("$zDir != {}", quote(&asked.directory)),
            &[error_with(Code::Copy, "(\"its source lies in \".$zDir.\", and a copy stays there\")")],
        ));
    }
    absent.push(format!(":local zWant {}", new.size.bytes()));
    absent.push(when("$zWant < $zSize", &[":set zWant $zSize".to_owned()]));
    if limit != 0 {
        absent.push(when(&format!("$zWant > {limit}"), &[error_with(Code::Range, "$zSize")]));
    }
    absent.extend(room("$zPool", &format!("($zWant + {})", new.reserve.bytes()), "$zOld"));
    let (before, after) = new.comment.split_at(mark::FORMATTED.start);
    absent.push(format!(
        ":local zNew ({}.{}.{})",
        quote(before),
        field(mark::FORMATTED),
        quote(after.get(1..).unwrap_or_default())
    ));
    absent.extend(copied(from, new.slot));
    absent.push(new.add("$zNested", "$zSize", "$zNew"));
    absent.push(when(
        "$zWant > $zSize",
        &[format!("/disk/set [/disk/find where slot={}] file-size=$zWant", quote(new.slot.as_str()))],
    ));
    absent.push(":set zMade true".to_owned());
    made(Verb::Copy, new.slot, &absent)
}

/// Finds out on files of its own whether this pool's copies hold the data and whether a disk over an existing file
/// leaves its content alone; removes what it made. `nonce` makes the names and the content unique.
pub(crate) fn prove(place: &Place, nonce: &str) -> Script {
    let name = |part: &str| format!("rds-proof-{nonce}-{part}");
    let (source, copy) = (name("a"), name("b"));
    let path = |subvolume: &str| format!("{}/{subvolume}/disk.img", place.directory);
    let in_fs = |subvolume: &str| quote(&format!("{}/{subvolume}", place.folder()));
    let file = |subvolume: &str| quote(super::guard::file_name(&path(subvolume)));
    let contents = |subvolume: &str| format!("[:tostr [/file/get {} contents]]", file(subvolume));
    let pool = quote(&place.pool);
    let drop = |subvolume: &str| {
        format!(
            ":onerror zE in={{ /disk/btrfs/subvolume/remove [/disk/btrfs/subvolume/find where name={}] }} do={{}}",
            quote(subvolume)
        )
    };
    let work = [
        // 4,096 bytes: as small as a disk may be anywhere.
        format!(
            ":local zText {}; :while ([:len $zText] < 4096) do={{ :set zText ($zText.$zText) }}",
            quote(nonce)
        ),
        ":set zText [:pick $zText 0 4096]".to_owned(),
        folder(place).join("; "),
        format!("/disk/btrfs/subvolume/add fs={pool} name={}", in_fs(&source)),
        format!("/file/add type=file name={} contents=$zText", file(&source)),
        format!("/disk/btrfs/subvolume/add fs={pool} parent={} name={}", quote(&source), in_fs(&copy)),
        format!("/file/remove {0}; /file/add type=file name={0} contents=\"changed\"", file(&source)),
        format!(":set zCopied ({} = $zText)", contents(&copy)),
        format!(
            "/disk/add type=file slot={} file-path={} file-size=4096 mount-filesystem=no nvme-tcp-export=no",
            quote(&copy_slot(nonce)),
            quote(&path(&copy))
        ),
        format!("/disk/remove [/disk/find where slot={}]", quote(&copy_slot(nonce))),
        format!(":set zKept ({} = $zText)", contents(&copy)),
    ];
    let statements = [
        ":local zCopied false; :local zKept false; :local zWhy \"\"".to_owned(),
        format!(":onerror zE in={{ {} }} do={{ :set zWhy $zE }}", work.join("; ")),
        format!(
            ":onerror zE in={{ /disk/remove [/disk/find where slot={}] }} do={{}}",
            quote(&copy_slot(nonce))
        ),
        drop(&copy),
        drop(&source),
        ":set zRes {\"copied\"=$zCopied;\"kept\"=$zKept;\"why\"=$zWhy}".to_owned(),
    ];
    Script::new(Verb::Prove, None, &statements)
}

/// Slot of the disk a proof makes: short enough, and of no form of ours.
fn copy_slot(nonce: &str) -> String {
    format!("rds-proof-{nonce}")
}
