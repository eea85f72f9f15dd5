//! The whole refusal matrix: every missing proof, and none, times everything that may lie on a device. Whatever the answer
//! is, not one byte changes and nothing stays mounted or connected.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use nix::unistd::{Whence, lseek};
use proto::fault::Reason;
use proto::rds::node::v1 as pb;

use crate::appliance::Export;
use crate::world::{MIB, Node, SIZE, World, filesystem, nqn};

/// Random places in each run.
const RANDOM: usize = 12;

/// What lies on the device: a name, and bytes at places.
struct Content {
    name: String,
    bytes: Vec<(u64, Vec<u8>)>,
    /// A tool that makes it, instead.
    tool: Option<&'static [&'static str]>,
}

fn bytes(name: &str, at: u64, bytes: &[u8]) -> Content {
    Content { name: name.to_owned(), bytes: vec![(at, bytes.to_vec())], tool: None }
}

fn made(name: &str, tool: &'static [&'static str]) -> Content {
    Content { name: name.to_owned(), bytes: Vec::new(), tool: Some(tool) }
}

/// Signatures as they lie on disk: (libblkid's superblock probers; the LVM2, MD and ZFS on-disk formats; UEFI for GPT).
fn contents(seed: u64) -> Vec<Content> {
    let mut all = vec![
        made("ext4", &["mkfs.ext4", "-q", "-E", "nodiscard"]),
        made("xfs", &["mkfs.xfs", "-q", "-K"]),
        made("btrfs", &["mkfs.btrfs", "-q", "-K"]),
        made("swap", &["mkswap", "-q"]),
        bytes("LUKS", 0, b"LUKS\xba\xbe\x00\x02"),
        bytes(
            "LVM",
            512,
            b"LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001",
        ),
        bytes("MD 1.2", 4096, &0xa92b_4efc_u32.to_le_bytes()),
        bytes("MD 0.90", SIZE / 65536 * 65536 - 65536, &0xa92b_4efc_u32.to_le_bytes()),
        bytes("GPT", 512, b"EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00"),
        bytes("GPT backup", SIZE - 512, b"EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00"),
        bytes("MBR", 510, &[0x55, 0xaa]),
        bytes("zfs", 128 * 1024, &0x00ba_b10c_u64.to_le_bytes()),
        bytes("ntfs", 3, b"NTFS    "),
    ];
    let mut state = seed;
    for _ in 0..RANDOM {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let place = mixed % (4 * MIB);
        let at = if place < 2 * MIB { place } else { SIZE - 4 * MIB + place };
        let byte = u8::try_from(mixed >> 56).expect("a byte").max(1);
        all.push(bytes(&format!("{byte:#x} at {at}"), at, &[byte]));
    }
    all
}

/// Takes one proof away.
type Change = fn(&World, &Node, &mut pb::EnsureStagedRequest);

const PROOFS: [(&str, Change); 11] = [
    ("nothing but blankness", |_, _, _| {}),
    ("read-only", |_, _, request| request.connection.as_mut().expect("there").read_only = true),
    ("formatted before", |world, _, _| world.others.known().formatted = true),
    ("content source", |world, _, _| world.others.known().source = "snp-1".to_owned()),
    ("attachment", |world, _, _| world.others.known().attached = false),
    ("epoch", |world, _, _| world.others.known().epoch = 2),
    ("exact size", |world, _, _| world.others.known().size += 512),
    ("the backend's answer", |world, _, _| world.others.known().down = true),
    ("whole journal", |_, node, _| fs::write(node.entry(), "{\"version\":1,").expect("written")),
    ("namespace", |world, _, _| {
        world.portal.export(&nqn(1), Export { path: world.image(), size: SIZE, nsid: 2 });
    }),
    ("least size", |_, _, request| request.connection.as_mut().expect("there").size_bytes = SIZE + 1),
];

/// Everything in a sparse file that is no hole, and where it lies.
fn data(world: &World) -> Vec<(u64, Vec<u8>)> {
    let file = fs::File::open(world.image()).expect("a file");
    let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut from = 0;
    while let Ok(start) = lseek(&file, from, Whence::SeekData) {
        let end = lseek(&file, start, Whence::SeekHole).expect("there is one at the end");
        let mut bytes = vec![0; usize::try_from(end - start).expect("a size")];
        file.read_exact_at(&mut bytes, start.unsigned_abs()).expect("readable");
        // Whether a block of zeroes is a hole is the host's affair.
        for (at, block) in (start.unsigned_abs()..).step_by(4096).zip(bytes.chunks(4096)) {
            if block.iter().any(|byte| *byte != 0) {
                all.push((at, block.to_vec()));
            }
        }
        from = end;
    }
    all
}

/// A new file with this in it.
fn lay(world: &World, content: &Content) {
    fs::remove_file(world.image()).expect("removed");
    world.resize(SIZE);
    if let Some([tool, arguments @ ..]) = content.tool {
        let mut making = Command::new(tool);
        making.args(arguments).arg(world.image()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(making.status().expect("the tool").success(), "{tool}");
    }
    for (at, bytes) in &content.bytes {
        world.scribble(*at, bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_lies_on_a_device_and_whatever_proof_is_missing_nothing_is_ever_formatted() {
    let Some(world) = World::new("refusal matrix").await else { return };
    let mut node = world.node("node-a").await;
    let seed = std::env::var("RDS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_secs())
    });
    let known = world.others.known().clone();
    for content in contents(seed) {
        lay(&world, &content);
        world.export(1);
        let before = data(&world);
        assert!(!before.is_empty(), "{}: there is something to lose", content.name);
        // What is there is never what is wanted: a filesystem of the wanted kind would rightly be mounted.
        let wanted = if content.name == "ext4" { "xfs" } else { "ext4" };
        for (proof, change) in PROOFS {
            let context = || format!("{}, without {proof}; RDS_SEED={seed}", content.name);
            let mut request = node.stage_request(&world, filesystem(wanted));
            change(&world, &node, &mut request);
            let fault = node.stage(request).await.expect_err("refused");
            let refusals = [
                Reason::FormatRefused,
                Reason::Incompatible,
                Reason::IdentityMismatch,
                Reason::ApplianceUnreachable,
            ];
            assert!(refusals.contains(&fault.reason), "{}: {fault}", context());
            assert_eq!(data(&world), before, "{}: not one byte was written", context());
            assert!(world.mounts().is_empty(), "{}", context());
            *world.others.known() = known.clone();
            world.export(1);
            node.unstage().await.expect("unstaged");
            for entry in fs::read_dir(node.folder.join("journal")).expect("readable").filter_map(Result::ok) {
                fs::remove_file(entry.path()).expect("a torn entry that was looked at");
            }
            world.eventually("no loop devices", |world| world.loops().is_empty()).await;
        }
    }
}
