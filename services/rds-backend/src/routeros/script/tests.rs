use super::*;
use crate::mark::{AccessClass, Claim, Holder, Mark};
use proptest::prelude::*;
use proto::id::{ClusterId, NodeId, Slot};
use proto::nqn::{Epoch, NqnPrefix};
use proto::size::ByteSize;

fn cluster() -> ClusterId {
    "demo".parse().expect("a cluster")
}

fn slot() -> Slot {
    Slot::derive(&cluster(), "pvc-1")
}

fn prefix() -> NqnPrefix {
    "nqn.2026-09.io.srvlab:rds".parse().expect("a prefix")
}

fn places(count: usize) -> Vec<Place> {
    (0..count)
        .map(|n| Place {
            directory: format!("/raid{n}/volumes"),
            pool: format!("raid{n}"),
            btrfs: n % 2 == 1,
        })
        .collect()
}

/// One of each, with `places` folders.
fn all(places: &[Place], node: &str, comment: &str) -> Vec<Script> {
    let (slot, head, prefix) = (slot(), crate::mark::head(&cluster()), prefix());
    let node = NodeId::issue(node).expect("a node");
    let rules =
        attachment::Rules { prefix: &prefix, join: true, lock: Some("nqn.2014-08.org.nvmexpress:uuid:0") };
    let holder = Holder { node: (&node).into(), read_only: false };
    let nqn = prefix.volume(slot.as_str(), Epoch::default()).expect("fits");
    let new = volume::NewDisk {
        slot: &slot,
        place: &places[0],
        size: ByteSize::GIB,
        reserve: ByteSize::GIB,
        port: 4420,
        nqn: &nqn,
        comment,
    };
    let snapshot = Slot::derive_snapshot(&cluster(), "snap-1");
    let copy = content::NewSnapshot {
        slot: &snapshot,
        source: &slot,
        source_code: &crate::mark::source_code(&slot).expect("room"),
        created: 1_764_000_000,
        reserve: ByteSize::GIB,
    };
    let marked = Mark::new(&cluster(), AccessClass::SingleBlock, None).to_string();
    let restored = volume::NewDisk { comment: &marked, ..new.clone() };
    vec![
        content::snapshot(&copy, places, &head),
        content::volume_from(&restored, &snapshot, 1 << 40, Some(&places[0]), places, &head),
        content::prove(&places[0], "0123456789abcdef"),
        volume::set_comment(&slot, places, comment, comment),
        status::census(places),
        status::health(places),
        status::files(places),
        volume::observe(&slot),
        volume::create(&new),
        volume::delete(&slot, places, &head),
        volume::expand(&slot, places, &head, ByteSize::GIB, ByteSize::GIB),
        volume::mark_formatted(&slot, places, &head, 7, &crate::mark::node_field(&node)),
        attachment::attach(&slot, places, &head, &holder, AccessClass::SingleFilesystem, rules),
        attachment::attach(&slot, places, &head, &holder, AccessClass::MultiBlock, rules),
        attachment::detach(&slot, places, &head, Some(&node)),
        attachment::detach(&slot, places, &head, None),
        status::status(places, &head),
        status::hello(),
    ]
}

/// Braces, brackets and parentheses outside of strings close in order, and no string is left open.
fn is_balanced(line: &str) -> bool {
    let mut open = Vec::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // The rest of the string is passed over.
            '"' if chars.any(|c| c == '"') => {}
            '"' => return false,
            '{' | '[' | '(' => open.push(c),
            '}' | ']' | ')' => {
                let wanted = match c {
                    '}' => '{',
                    ']' => '[',
                    _ => '(',
                };
                if open.pop() != Some(wanted) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty()
}

#[test]
fn every_command_is_one_line_below_the_limit_with_four_folders() {
    let name = "x".repeat(60);
    for script in all(&places(4), &name, &"c".repeat(crate::mark::MAX_BYTES)) {
        let line = script.line(&fresh_nonce(), Some(123_456_789));
        assert!(!line.contains(['\n', '\r']), "{}", script.verb());
        assert!(line.len() < MAX_LINE_BYTES, "{}: {} bytes", script.verb(), line.len());
        assert!(is_balanced(&line), "{line}");
    }
}

#[test]
fn an_outline_says_what_a_command_does_and_no_text_of_a_user() {
    let scripts = all(&places(4), "node-of-somebody", "claim-of-somebody");
    assert!(
        scripts.iter().any(|script| script.body.contains("claim-of-somebody")),
        "there is something to leave out"
    );
    for script in scripts {
        let outline = script.outline();
        assert!(!outline.contains("somebody"), "{outline}");
        assert!(outline.len() <= OUTLINE + 8 && outline.starts_with(&script.body[..5]), "{outline}");
    }
}

#[test]
fn a_marker_never_stands_whole_in_the_command() {
    let nonce = fresh_nonce();
    for script in all(&places(1), "n", "c") {
        let line = script.line(&nonce, Some(7));
        for kind in ["OK", "ERR", "END"] {
            assert!(!line.contains(&format!("{nonce}-{kind}")));
        }
    }
}

#[test]
fn nothing_is_matched_by_pattern_and_no_variable_is_named_like_a_property() {
    for script in all(&places(2), "n", "c") {
        let line = script.line(&fresh_nonce(), Some(123_456_789));
        assert!(!line.contains('~') && !line.contains(":return"));
        for part in line.split(":local ").skip(1) {
            assert!(part.starts_with('z'), "{part}");
        }
    }
}

#[test]
fn every_script_that_changes_something_proves_first_that_the_row_is_ours() {
    for script in all(&places(2), "n", "c") {
        let line = script.line(&fresh_nonce(), Some(123_456_789));
        let Some(change) = ["/disk/set", "/disk/remove"].iter().filter_map(|verb| line.find(verb)).min()
        else {
            continue;
        };
        assert!(script.verb().mutates());
        match script.verb() {
            // Touches only what carries a nonce of its own.
            Verb::Prove => continue,
            // What an operator has looked at: the comment that was seen must still stand there.
            Verb::SetComment => {
                assert!(line.find("$zOld = ").expect("a comparison") < change);
                continue;
            }
            _ => {}
        }
        let proof = line.find("it does not carry the mark of this cluster").expect("a proof");
        let path = line.find("its image is").expect("a proof");
        assert!(proof < change && path < change, "{}", script.verb());
    }
}

#[test]
fn directly_before_each_change_of_a_row_it_is_looked_at_once_more() {
    let mut changes = 0;
    for script in all(&places(2), "n", "c") {
        // What an operator decided compares the whole comment itself.
        if script.verb() == Verb::SetComment {
            continue;
        }
        let line = script.line(&fresh_nonce(), Some(123_456_789));
        for change in ["/disk/set $zId ", "/disk/remove $zId"] {
            for (at, _) in line.match_indices(change) {
                let looked = line[..at].rfind("its comment has changed meanwhile").expect("a look");
                let in_time = line[..looked].rfind("uptime] > 123456789s").expect("a look at the clock");
                assert!(
                    at - looked < 330 && looked - in_time < 330,
                    "{}: {}",
                    script.verb(),
                    &line[in_time..at]
                );
                changes += 1;
            }
        }
    }
    assert!(changes > 8, "{changes}");
}

#[test]
fn a_new_volume_is_never_mounted_by_the_appliance_and_not_exported() {
    let scripts = all(&places(1), "n", "c");
    let create = scripts.iter().find(|script| script.verb() == Verb::Create).expect("a create");
    let line = create.line(&fresh_nonce(), Some(123_456_789));
    assert!(line.contains("mount-filesystem=no nvme-tcp-export=no"));
    assert!(line.contains("file-size=1073741824 "));
}

proptest! {
    #[test]
    fn whatever_a_claim_is_called_it_stays_inside_its_string(namespace in any::<String>(), name in any::<String>()) {
        // Not even a name that validation would refuse can leave the literal.
        let claim = Claim { namespace, name };
        let mark = Mark::new(&cluster(), AccessClass::SingleBlock, Some(claim.clone()));
        let text = format!("{}{}/{}", &mark.to_string()[..133], claim.namespace, claim.name);
        let line = all(&places(1), "n", &text).iter().find(|script| script.verb() == Verb::Create).expect("a create").line(&fresh_nonce(), Some(123_456_789));
        prop_assert!(is_balanced(&line));
        prop_assert!(!line.contains(['\n', '\r']));
    }
}
