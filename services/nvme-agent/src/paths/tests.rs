use std::fs;
use std::os::unix::fs::symlink;

use proto::fault::Reason;

use super::*;

fn kubelet() -> (tempfile::TempDir, KubeletDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let kubelet = KubeletDir::open(folder.path()).expect("kubelet's folder");
    (folder, kubelet)
}

fn at(kubelet: &KubeletDir, rest: &str) -> KubeletPath {
    let text = format!("{}/{rest}", kubelet.as_path().display());
    kubelet.check("target_path", &text).expect("a path below")
}

#[test]
fn a_path_outside_the_kubelet_folder_is_refused_with_field_value_and_what_is_allowed() {
    let (_keep, kubelet) = kubelet();
    let root = kubelet.as_path().display().to_string();
    let outside = [
        String::new(),
        "/etc/passwd".to_owned(),
        "relative".to_owned(),
        root.clone(),
        format!("{root}/"),
        format!("{root}/../etc"),
        format!("{root}/a/../../b"),
        format!("{root}/a//b"),
        format!("{root}/./a"),
        format!("{root}/a/."),
        format!("{root}x/a"),
        format!("{root}/a\0b"),
        format!("{root}/{}", "a".repeat(5000)),
    ];
    for text in outside {
        let fault = kubelet.check("staging_path", &text).expect_err("outside");
        assert_eq!(fault.reason, Reason::InvalidArgument, "{text:?}");
        assert!(fault.message.contains("staging_path") && fault.message.contains(&root), "{}", fault.message);
    }
}

#[test]
fn kubelets_folder_may_itself_be_reached_through_a_link() {
    let (keep, _) = kubelet();
    fs::create_dir(keep.path().join("real")).expect("a folder");
    symlink(keep.path().join("real"), keep.path().join("link")).expect("a link");
    let kubelet = KubeletDir::open(&keep.path().join("link")).expect("kubelet's folder");
    let path = kubelet.check("p", &keep.path().join("link/a").to_string_lossy()).expect("below");
    assert_eq!(path.to_path(), keep.path().canonicalize().expect("real").join("real/a"));
}

#[test]
fn no_link_is_followed_on_the_way_nor_at_the_end() {
    let (keep, kubelet) = kubelet();
    let outside = tempfile::tempdir().expect("a folder");
    symlink(outside.path(), keep.path().join("link")).expect("a link");
    assert!(at(&kubelet, "link/pod").make_folder().is_err());
    assert!(at(&kubelet, "link/pod").make_file().is_err());
    assert!(at(&kubelet, "link/pod").look().is_err());
    assert_eq!(at(&kubelet, "link").look(), Ok(Entry::Other));
    assert_eq!(at(&kubelet, "link").remove(), Err(Errno::ENOTEMPTY));
    assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
}

#[test]
fn one_level_is_made_and_no_more() {
    let (_keep, kubelet) = kubelet();
    assert_eq!(at(&kubelet, "a/b").look(), Ok(Entry::ParentMissing));
    assert_eq!(at(&kubelet, "a/b").make_folder(), Err(Errno::ENOENT));
    at(&kubelet, "a").make_folder().expect("made");
    at(&kubelet, "a").make_folder().expect("made already");
    at(&kubelet, "a/file").make_file().expect("made");
    assert_eq!(at(&kubelet, "a/file").look(), Ok(Entry::File(0)));
}

#[test]
fn what_holds_something_is_never_removed() {
    let (keep, kubelet) = kubelet();
    fs::create_dir(keep.path().join("full")).expect("a folder");
    fs::write(keep.path().join("full/data"), "precious").expect("a file");
    assert_eq!(at(&kubelet, "full").remove(), Err(Errno::ENOTEMPTY));
    assert_eq!(at(&kubelet, "full/data").remove(), Err(Errno::ENOTEMPTY));
    assert!(keep.path().join("full/data").exists());
    fs::write(keep.path().join("full/data"), "").expect("a file");
    at(&kubelet, "full/data").remove().expect("an empty file goes");
    at(&kubelet, "full").remove().expect("an empty folder goes");
    at(&kubelet, "full").remove().expect("gone already");
    at(&kubelet, "no/where").remove().expect("gone already");
}
