//! Random lines and random stops: the interpreter always ends, and memory and disk agree whenever it stops.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::mpsc;

use crate::appliance::Appliance;
use crate::config::{Config, Pool};
use crate::execution::{End, Execution};
use crate::faults::Effect;
use crate::language::eval::Limits;
use crate::world::World;

const LIMITS: Limits = Limits { steps: 5_000, time: Duration::from_secs(2), memory: 4 << 20 };

fn config(folder: &Path) -> Config {
    let mut config = Config::new(folder.to_owned(), "csi", Vec::new());
    config.pools = vec![Pool::new("raid1", "xfs", 8 << 30), Pool::new("pool", "btrfs", 8 << 30)];
    config
}

fn open(folder: &Path) -> World {
    let (reboots, _) = mpsc::unbounded_channel();
    let config = config(folder);
    World::new(Appliance::open(&config).unwrap(), &config, reboots)
}

/// Commands of the transcripts: what real conversations are made of.
fn real_lines() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcripts");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        lines.extend(text.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned));
    }
    lines.sort();
    lines
}

/// A real line with some of its bytes replaced, taken out, doubled or cut off.
fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 0..6);
    (prop::sample::select(real_lines()), edits).prop_map(|(line, edits)| {
        let mut bytes = line.into_bytes();
        for (at, kind, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                _ => bytes.truncate(at),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Sizes stay small here: a mutated terabyte is sparse, but copies of it are walked.
fn change() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        (name(), name()).prop_map(|(slot, file)| {
            format!("/disk/add type=file slot={slot} file-path=pool/v/{file}.img file-size=8192")
        }),
        (name(), name(), name()).prop_map(|(slot, s, file)| {
            format!("/disk/add type=file slot={slot} file-path=pool/s{s}/{file}.img file-size=16384")
        }),
        Just(
            "/disk/set pool comment=pools-come-from-the-configuration; /disk/set pool comment=\"\""
                .to_owned()
        ),
        (name(), 1..5u32).prop_map(|(slot, size)| format!("/disk/set {slot} file-size={}", size * 8192)),
        name()
            .prop_map(|slot| format!("/disk/set {slot} nvme-tcp-server-nqn=nqn.{slot} nvme-tcp-export=yes")),
        name().prop_map(|slot| format!("/disk/remove {slot}")),
        name().prop_map(|file| format!("/file/remove \"pool/v/{file}.img\"")),
        (name(), name()).prop_map(|(a, b)| format!("/file/copy src=pool/v/{a}.img dst=pool/v/{b}.img")),
        (name(), any::<bool>()).prop_map(|(s, snapshot)| {
            let parent = if snapshot { " parent=v" } else { "" };
            format!("/disk/btrfs/subvolume/add fs=pool name=s{s}{parent}")
        }),
        name().prop_map(|s| format!("/disk/btrfs/subvolume/remove [find where name=s{s}]")),
    ]
}

/// All that must be the same after a restart. Ids are not.
fn seen(world: &World) -> (Vec<serde_json::Value>, Vec<serde_json::Value>, Vec<(String, u64)>) {
    let without_id = |mut rows: Vec<serde_json::Value>| {
        for row in &mut rows {
            if let Some(row) = row.as_object_mut() {
                row.remove(".id");
                // What is said about a pool is not kept.
                if row.get("type").is_some_and(|kind| kind == "raid") {
                    row.remove("comment");
                }
            }
        }
        rows
    };
    let files = world.appliance().files();
    (without_id(world.disks()), without_id(world.subvolumes()), files)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_real_line_is_answered(lines in prop::collection::vec(mutated(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let world = open(folder.path());
        for line in lines {
            let ran = Execution::at_console(&world).with_limits(LIMITS).run(&line);
            prop_assert!(ran.end != End::Stopped || line.contains("reboot"));
            prop_assert!(ran.output.len() <= 33 << 20);
        }
    }

    #[test]
    fn whenever_a_script_stops_disk_and_memory_agree(
        script in prop::collection::vec(change(), 1..16),
        stop in 0..16u32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let world = open(folder.path());
        world.run("/disk/btrfs/subvolume/add fs=pool name=v");
        let guarded: Vec<String> =
            script.iter().map(|line| format!(":do {{ {line} }} on-error={{}}")).collect();
        let ran = Execution::at_console(&world)
            .with_fault(Some(Effect::StopAfter(stop)))
            .run(&guarded.join("; "));
        prop_assert!(ran.changes <= stop);
        prop_assert_eq!(ran.end == End::Stopped, ran.changes == stop);
        let before = seen(&world);
        drop(world);
        prop_assert_eq!(seen(&open(folder.path())), before);
    }
}
