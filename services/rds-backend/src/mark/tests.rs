use super::*;
use proptest::option;
use proptest::prelude::*;

fn holder() -> impl Strategy<Value = Holder> {
    ("[a-z0-9][a-z0-9.-]{0,60}", any::<bool>()).prop_map(|(name, read_only)| Holder {
        node: (&NodeId::issue(&name).expect("a node name")).into(),
        read_only,
    })
}

fn mark() -> impl Strategy<Value = Mark> {
    let class = prop_oneof![
        Just(AccessClass::SingleFilesystem),
        Just(AccessClass::SingleBlock),
        Just(AccessClass::MultiBlock),
        Just(AccessClass::MultiReader)
    ];
    let claim = ("[a-z0-9-]{1,63}", "[a-z0-9.-]{1,253}")
        .prop_map(|(ns, name)| Claim::new(&ns, &name).expect("names"));
    (
        "[0-9a-f]{8}",
        any::<bool>(),
        0..=proto::nqn::MAX_EPOCH,
        class,
        option::of("[sv]:[0-9a-f]{28}"),
        [option::of(holder()), option::of(holder())],
        option::of(0..=99_999_999_999_u64),
        option::of(claim),
    )
        .prop_map(|(cluster, formatted, epoch, class, source, holders, created, claim)| Mark {
            cluster,
            formatted,
            epoch: Epoch::new(epoch).expect("in range"),
            class,
            source,
            holders,
            created,
            claim,
        })
}

proptest! {
    #[test]
    fn what_is_written_fits_and_reads_back(mark in mark()) {
        let text = mark.to_string();
        prop_assert!(text.len() <= MAX_BYTES && text.is_ascii());
        let mut read: Mark = text.parse().expect("a mark");
        if text.ends_with(CUT) {
            prop_assert_eq!(&read.claim, &None, "half a name is no name");
            read.claim.clone_from(&mark.claim);
        }
        prop_assert_eq!(read, mark);
    }

    #[test]
    fn the_fields_stand_where_scripts_look_for_them(mark in mark()) {
        let text = mark.to_string();
        prop_assert_eq!(&text[HEAD], format!("R1 {} ", mark.cluster));
        prop_assert_eq!(&text[FORMATTED], if mark.formatted { "F" } else { "-" });
        prop_assert_eq!(text[EPOCH].parse::<u64>().expect("digits"), mark.epoch.number());
        prop_assert_eq!(&text[CLASS], format!(" {} ", mark.class.as_str()));
        for (range, holder) in [FIRST_NODE, SECOND_NODE].into_iter().zip(&mark.holders) {
            let wanted = holder.as_ref().map_or_else(no_node, Holder::field);
            prop_assert_eq!(&text[range], wanted);
        }
        for at in SEPARATORS {
            prop_assert_eq!(&text[at..=at], " ");
        }
    }

    #[test]
    fn any_text_is_a_mark_or_a_clear_error(text in any::<String>()) {
        let _ = text.parse::<Mark>();
    }

    #[test]
    fn a_fixed_part_that_was_touched_is_never_read_as_another_state(mark in mark(), at in 0..132_usize, with in "[ -~]") {
        let text = mark.to_string();
        prop_assume!(text[at..=at] != with);
        let mut touched = text.clone();
        touched.replace_range(at..=at, &with);
        if let Ok(read) = touched.parse::<Mark>() {
            prop_assert!(read != mark || FLAGS.contains(&at), "{touched}");
        }
    }
}

#[test]
fn somebody_elses_comment_is_foreign_and_a_hand_edited_one_is_damaged() {
    for text in ["", "backup of the mail server", "R1", "R2 0123abcd ------", "R1 0123ABCD ------"] {
        assert_eq!(text.parse::<Mark>(), Err(MarkError::Foreign), "{text:?}");
    }
    let cluster = "c".parse().expect("a cluster");
    let text = Mark::new(&cluster, AccessClass::SingleBlock, None).to_string();
    for (from, to) in [(" sb ", " xx "), ("000000000", "00000000x"), ("____ ____", "____x____")] {
        let text = text.replacen(from, to, 1);
        assert!(matches!(text.parse::<Mark>(), Err(MarkError::Damaged(_))), "{text:?}");
    }
}

#[test]
fn a_class_survives_the_wire_and_an_unset_one_is_none() {
    for (class, _, wire) in CLASSES {
        assert_eq!(AccessClass::of_wire(wire as i32), Some(class));
        assert_eq!(class.to_wire(), wire);
    }
    assert_eq!(AccessClass::of_wire(0), None);
    assert_eq!(AccessClass::of_wire(99), None);
}

#[test]
fn a_source_is_found_again_from_what_a_mark_has_room_for() {
    let cluster = "c".parse().expect("a cluster");
    for slot in [Slot::derive(&cluster, "a"), Slot::derive_snapshot(&cluster, "a")] {
        let code = source_code(&slot).expect("room");
        assert_eq!((code.len(), source_slot(&code)), (SOURCE.len(), Some(slot)));
    }
    let legacy = Slot::legacy("pvc-9d1c6a52-7a0e-4c43-9c1f-52ab8d3760e4").expect("a slot");
    assert_eq!(source_code(&legacy), None);
    for text in ["", "x", "v:", "v:00", "é:0"] {
        assert_eq!(source_slot(text), None, "{text}");
    }
}
