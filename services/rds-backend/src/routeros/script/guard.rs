//! The conditions every script checks before it changes anything.

use proto::id::Slot;

use crate::mark;
use crate::routeros::quote::quote;
use crate::routeros::rejection::{Code, LATE, OURS};

/// A configured folder for images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// With its leading slash, e.g. `/raid1/volumes`.
    pub(crate) directory: String,
    /// Slot of the pool it lies on: its first segment, e.g. `raid1`.
    pub(crate) pool: String,
    /// The pool is known to be btrfs: images lie in subvolumes of their own, so that they can be copied at once.
    pub(crate) btrfs: bool,
}

/// Name of an image inside its subvolume: the same in a copy, whatever the copy is called.
const IMAGE: &str = "disk.img";

impl Place {
    /// Path of an image that lies in the folder itself, with the leading slash.
    pub(crate) fn flat(&self, slot: &Slot) -> String {
        format!("{}/{slot}.img", self.directory)
    }

    /// Path of an image in a subvolume of its own, with the leading slash.
    pub(crate) fn nested(&self, slot: &Slot) -> String {
        format!("{}/{slot}/{IMAGE}", self.directory)
    }

    /// Path of a new image.
    pub(crate) fn image(&self, slot: &Slot) -> String {
        if self.btrfs { self.nested(slot) } else { self.flat(slot) }
    }

    /// Every path an image of this slot may have here.
    pub(crate) fn images(&self, slot: &Slot) -> [String; 2] {
        [self.flat(slot), self.nested(slot)]
    }

    /// Name of a subvolume, as `/disk/btrfs/subvolume/add` takes it: from the root of the filesystem.
    pub(crate) fn subvolume(&self, slot: &Slot) -> String {
        format!("{}/{slot}", self.folder())
    }

    /// The folder from the root of its filesystem; a configured folder is never the root itself.
    pub(crate) fn folder(&self) -> String {
        let inside = self.directory.trim_start_matches('/');
        inside.split_once('/').map_or("", |(_, folder)| folder).to_owned()
    }
}

/// A path as `/file` names it: without the slash.
pub(crate) fn file_name(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// `:error "RDSE-<CODE> <text>"`.
pub(super) fn error(code: Code, text: &str) -> String {
    format!(":error {}", quote(&format!("{OURS}{} {text}", code.as_str())))
}

/// `:error ("RDSE-<CODE> ".<expression>)`.
pub(super) fn error_with(code: Code, expression: &str) -> String {
    format!(":error ({}.{expression})", quote(&format!("{OURS}{} ", code.as_str())))
}

pub(super) fn when(condition: &str, then: &[String]) -> String {
    format!(":if ({condition}) do={{ {} }}", then.join("; "))
}

/// Stands for [`in_time`] until the line is rendered; no literal holds it, since [`quote`] escapes it.
pub(super) const IN_TIME: char = '\u{1}';

/// Stops a command that is not done `uptime` seconds after the start of the appliance. It stands at the beginning of
/// every script that changes something, and directly before each change of a row.
pub(super) fn in_time(uptime: u64) -> String {
    let late =
        format!(":error ({}.[:tostr [/system/resource/get uptime]])", quote(&format!("{OURS}{LATE} ")));
    when(&format!("[/system/resource/get uptime] > {uptime}s"), &[late])
}

/// Directly before a change of the row `zId`: still in time, and its comment is still the one that was judged. A script
/// that stalled in between must not write over what was done meanwhile.
pub(super) fn unchanged() -> String {
    let late = format!(":error {}", quote(&format!("{OURS}{LATE} its comment has changed meanwhile")));
    format!("{IN_TIME}; {}", when("[:tostr [/disk/get $zId comment]] != $zOld", &[late]))
}

/// Finds the rows of the slot: `zIds`, at most one.
pub(super) fn find(slot: &Slot) -> Vec<String> {
    vec![
        format!(":local zIds [/disk/find where slot={}]", quote(slot.as_str())),
        when("[:len $zIds] > 1", &[error(Code::Ambiguous, "several rows have the slot")]),
    ]
}

/// The row of the slot as it is now.
pub(super) fn rows(slot: &Slot) -> String {
    format!("[/disk/print as-value where slot={}]", quote(slot.as_str()))
}

/// `[:pick $zOld a b]`
pub(super) fn field(range: std::ops::Range<usize>) -> String {
    format!("[:pick $zOld {} {}]", range.start, range.end)
}

/// Takes the one row `zIds` holds and proves that it is a file disk whose image lies where we put one. Sets `zId`, `zOld` (the comment), `zPath`, `zPool`, `zDir`, `zRel` (the folder from the root of its
/// filesystem) and `zNest` (the image lies in a subvolume of its own).
pub(super) fn located(slot: &Slot, places: &[Place]) -> Vec<String> {
    let mut statements = vec![
        ":local zId ($zIds->0)".to_owned(),
        ":local zOld [:tostr [/disk/get $zId comment]]".to_owned(),
        ":local zPath [:tostr [/disk/get $zId file-path]]".to_owned(),
        ":if ([:pick $zPath 0 1] != \"/\") do={ :set zPath (\"/\".$zPath) }".to_owned(),
        ":local zPool \"\"; :local zDir \"\"; :local zRel \"\"; :local zNest false".to_owned(),
    ];
    for place in places {
        let [flat, nested] = place.images(slot).map(|path| quote(&path));
        statements.push(when(
            &format!("($zPath = {flat}) || ($zPath = {nested})"),
            &[format!(
                ":set zPool {}; :set zDir {}; :set zRel {}; :set zNest ($zPath = {nested})",
                quote(&place.pool),
                quote(&place.directory),
                quote(&place.folder())
            )],
        ));
    }
    statements.push(when(
        "[:tostr [/disk/get $zId type]] != \"file\"",
        &[error(Code::Foreign, "it is not a file disk")],
    ));
    statements.push(when("$zPool = \"\"", &[error_with(Code::Foreign, "(\"its image is \".$zPath)")]));
    statements
}

/// Takes the one row `zIds` holds and proves that it is ours: as [`located`], and our mark of this cluster, undamaged.
/// Sets what that sets, and `zNum` (the epoch + 1,000,000,000: leading zeros must not be read as anything else).
pub(super) fn ours(slot: &Slot, places: &[Place], head: &str) -> Vec<String> {
    let mut statements = located(slot, places);
    statements.push(when(
        &format!("{} != {}", field(mark::HEAD), quote(head)),
        &[error(Code::Foreign, "it does not carry the mark of this cluster")],
    ));
    statements.push(":local zNum [:tonum (\"1\".".to_owned() + &field(mark::EPOCH) + ")]");
    let separators: Vec<String> = mark::SEPARATORS.iter().map(|at| field(*at..at + 1)).collect();
    let (flags, unset) = mark::OTHER_FLAGS;
    let no_class: Vec<String> =
        mark::classes().map(|class| format!("({} != {})", field(mark::CLASS), quote(&class))).collect();
    let no_node = |range: std::ops::Range<usize>| {
        let mode = field(range.start..range.start + 2);
        format!(
            "({} != {}) && ({mode} != {}) && ({mode} != {})",
            field(range),
            quote(&mark::no_node()),
            quote(mark::WRITES),
            quote(mark::READS)
        )
    };
    let undamaged = [
        no_node(mark::FIRST_NODE),
        no_node(mark::SECOND_NODE),
        no_class.join(" && "),
        format!("{} != {}", field(flags), quote(unset)),
        format!("({}) != \"    \"", separators.join(".")),
        format!("[:tostr $zNum] != (\"1\".{})", field(mark::EPOCH)),
        format!("[:len {}] != 9", field(mark::EPOCH)),
        format!("({0} != \"F\") && ({0} != \"-\")", field(mark::FORMATTED)),
    ];
    // Whatever the plan would not read as a mark must stop the script before it changes anything.
    for condition in undamaged {
        statements.push(when(&condition, &[error(Code::Damaged, "its comment was changed by hand")]));
    }
    statements
}

/// An expression: how many disks use one of these paths.
pub(super) fn users(paths: &[String]) -> String {
    let count = |path: &str| format!("[:len [/disk/find where file-path={}]]", quote(path));
    let counts: Vec<String> = paths.iter().flat_map(|path| [count(path), count(file_name(path))]).collect();
    format!("({})", counts.join(" + "))
}

/// Removes what an interrupted command has left of an image for which there is no disk, after proving that no other
/// disk uses it. `directory` is an expression. Sets `zFlat` and `zNested`, the paths an image may have there.
pub(super) fn clear(slot: &Slot, directory: &str, btrfs: bool) -> Vec<String> {
    let mut statements = vec![
        format!(":local zFlat ({directory}.{})", quote(&format!("/{slot}.img"))),
        format!(":local zNested ({directory}.{})", quote(&format!("/{slot}/{IMAGE}"))),
        ":local zUsers 0; :foreach zF in={$zFlat;$zNested} do={ :local zG [:pick $zF 1 999]; \
         :set zUsers ($zUsers + [:len [/disk/find where file-path=$zF]] + [:len [/disk/find where file-path=$zG]]) }"
            .to_owned(),
        when("$zUsers > 0", &[error(Code::Foreign, "another disk uses its image")]),
    ];
    if btrfs {
        statements.push(format!(
            "/disk/btrfs/subvolume/remove [/disk/btrfs/subvolume/find where name={}]",
            quote(slot.as_str())
        ));
    }
    statements.extend([
        ":local zLeft \"\"; :onerror zE in={ /file/remove [:pick $zFlat 1 999] } do={ :set zLeft $zE }"
            .to_owned(),
        // What is not found is `nil` or `nothing`, depending on the version.
        when(
            "($zLeft != \"\") && ([:typeof [:find $zLeft \"no such item\"]] != \"num\")",
            &[error_with(Code::Left, "$zLeft")],
        ),
    ]);
    statements
}

/// Proves that the pool has `need` bytes free, is mounted and healthy. `pool` is an expression. What cannot be proven
/// counts as not so. `comment` is an expression that is added to what the script says when it stops.
pub(super) fn room(pool: &str, need: &str, comment: &str) -> Vec<String> {
    let stop = |code, what: &str| error_with(code, &format!("({what}.\" \".{comment})"));
    vec![
        format!(":local zPools [/disk/print as-value where slot={pool}]"),
        when("[:len $zPools] != 1", &[stop(Code::Pool, "\"missing\"")]),
        ":local zP ($zPools->0)".to_owned(),
        when("[:len [:tostr ($zP->\"mount-point\")]] = 0", &[stop(Code::Pool, "\"not mounted\"")]),
        ":local zState [:tostr ($zP->\"state\")]".to_owned(),
        when(
            "($zState != \"\") && ($zState != \"clean\") && ($zState != \"active\")",
            &[stop(Code::Pool, "$zState")],
        ),
        ":local zFree [:tonum ($zP->\"free\")]".to_owned(),
        format!(":if ($zFree >= {need}) do={{}} else={{ {} }}", stop(Code::Space, "$zFree")),
    ]
}
