use proptest::prelude::*;

use std::collections::BTreeMap;

use super::*;
use crate::filesystem::Kind;
use crate::options::{MkfsOptions, MountOptions};
use crate::request::tests::{HANDLE, connection};
use crate::request::{Access, Claim, FilesystemWish, Stage, existing};

pub(crate) fn want(epoch: u64, kind: Option<Kind>) -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let kubelet = crate::paths::KubeletDir::open(folder.path()).expect("a folder");
    let staging = kubelet.as_path().join("staging").display().to_string();
    let filesystem = |kind| {
        let (mount, mkfs) = (MountOptions::default(), MkfsOptions::default());
        Access::Filesystem(FilesystemWish { kind, mount, mkfs })
    };
    Stage {
        handle: existing(HANDLE).expect("a handle"),
        staging: kubelet.check("staging_path", &staging).expect("below"),
        connection: connection(epoch),
        access: kind.map_or(Access::Block, filesystem),
        claim: Claim::default(),
    }
}

fn target(read_only: bool) -> Target {
    Target { read_only, device: Some("259:3".to_owned()), node: Some("/dev/nvme0n1".into()) }
}

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(&folder.path().join("deep/journal")).expect("a journal");
    (folder, journal)
}

#[test]
fn what_was_recorded_is_recalled_by_another_process_until_it_is_forgotten() {
    let (_keep, journal) = journal();
    let want = want(3, Some(Kind::Xfs));
    assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Nothing);
    let mut entry = Entry::begin(&want, None);
    entry.targets.insert("/k/t".to_owned(), target(true));
    entry.format = Format::Attempt;
    journal.record(&want.handle, &entry).expect("written");
    let again = Journal::open(&journal.folder).expect("a journal");
    assert_eq!(again.recall(&want.handle).expect("readable"), Recall::Entry(Box::new(entry)));
    again.forget(&want.handle).expect("removed");
    again.forget(&want.handle).expect("removed already");
    assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Nothing);
    assert_eq!(fs::read_dir(&journal.folder).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn a_torn_entry_is_kept_aside_and_remembered_and_never_guessed() {
    let (_keep, journal) = journal();
    let want = want(3, None);
    let whole = serde_json::to_string(&Entry::begin(&want, None)).expect("text");
    let torn = [
        &whole[..whole.len() / 2],
        "",
        &whole.replace("\"version\":1", "\"version\":9"),
        &whole.replace("rds1/", "rds2/"),
    ];
    for (at, text) in torn.iter().enumerate() {
        fs::write(journal.path(&want.handle), text).expect("written");
        assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Torn, "{text}");
        assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Torn, "also the next time");
        let kept = fs::read_dir(&journal.folder).expect("a folder").count();
        assert_eq!(kept, at + 1, "every one is kept");
    }
    journal.record(&want.handle, &Entry::begin(&want, None)).expect("written");
    assert!(journal.is_torn(&want.handle).expect("readable"), "a new entry does not bring the past back");
}

#[test]
fn a_new_epoch_keeps_what_this_node_knows_and_forgets_the_attempt() {
    let first = want(3, Some(Kind::Ext4));
    let mut earlier = Entry::begin(&first, None);
    earlier.format = Format::Attempt;
    earlier.ever_staged = true;
    earlier.targets.insert("/k/t".to_owned(), target(false));
    let next = Entry::begin(&want(4, Some(Kind::Ext4)), Some(&earlier));
    assert_eq!((next.format, next.ever_staged, next.staged), (Format::None, true, false));
    assert_eq!(next.targets, earlier.targets);
    earlier.format = Format::Made;
    let next = Entry::begin(&want(4, Some(Kind::Ext4)), Some(&earlier));
    assert_eq!(next.format, Format::Made, "the appliance still has to be told");
}

#[test]
fn a_journal_that_cannot_be_written_says_so_and_keeps_what_it_had() {
    let (_keep, journal) = journal();
    let want = want(3, None);
    let entry = Entry::begin(&want, None);
    journal.record(&want.handle, &entry).expect("written");
    // What stands in the way of the temporary file stands in the way of root too.
    fs::create_dir(journal.path(&want.handle).with_extension("json.tmp")).expect("a folder");
    let other = Entry { epoch: 9, ..entry.clone() };
    let error = journal.record(&want.handle, &other).expect_err("cannot be written");
    assert!(error.to_string().contains("free space"), "{error}");
    assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Entry(Box::new(entry)));
}

#[test]
fn what_was_set_aside_is_never_overwritten() {
    let (_keep, journal) = journal();
    let want = want(3, None);
    for text in ["first", "second"] {
        fs::write(journal.path(&want.handle), text).expect("written");
        journal.recall(&want.handle).expect("readable");
    }
    fs::remove_file(journal.path(&want.handle).with_extension("json.0.torn")).expect("looked at");
    fs::write(journal.path(&want.handle), "third").expect("written");
    journal.recall(&want.handle).expect("readable");
    let mut kept: Vec<String> = journal
        .torn(&journal.path(&want.handle))
        .expect("a list")
        .iter()
        .map(|path| fs::read_to_string(path).expect("readable"))
        .collect();
    kept.sort();
    assert_eq!(kept, ["second", "third"]);
}

proptest! {
    #[test]
    fn an_entry_that_ends_anywhere_or_is_anything_else_is_torn(at in any::<proptest::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_keep, journal) = journal();
        let want = want(3, Some(Kind::Ext4));
        let whole = serde_json::to_vec_pretty(&Entry::begin(&want, None)).expect("text");
        for text in [&whole[..at.index(whole.len())], &noise[..]] {
            fs::write(journal.path(&want.handle), text).expect("written");
            prop_assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Torn);
        }
        prop_assert_eq!(journal.torn(&journal.path(&want.handle)).expect("a list").len(), 2);
    }

    #[test]
    fn every_entry_is_read_back_as_it_was_written(epoch in 1u64..4_000_000_000, path in "/[ -~]{1,60}", read_only: bool, staged: bool, device in proptest::option::of("[0-9]{1,3}:[0-9]{1,7}")) {
        let (_keep, journal) = journal();
        let want = want(3, Some(Kind::Btrfs));
        let targets = BTreeMap::from([(path.clone(), target(read_only))]);
        let entry = Entry { epoch, staging_path: path, targets, staged, device, ..Entry::begin(&want, None) };
        journal.record(&want.handle, &entry).expect("written");
        prop_assert_eq!(journal.recall(&want.handle).expect("readable"), Recall::Entry(Box::new(entry)));
    }
}
