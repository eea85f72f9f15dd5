//! Who holds a volume, and under which name it is exported.

use proto::fault::Reason;
use proto::rds::volume::v1::{
    AccessClass, EnsureVolumeRequest, GetFactsRequest, GetFactsResponse, MarkFormattedRequest,
};

use crate::world::{World, answer, node_id, order};

impl World {
    async fn shared(&self, name: &str, class: AccessClass) -> String {
        let request = EnsureVolumeRequest { access_class: class.into(), ..order(name) };
        self.create(request).await.unwrap().volume.unwrap().handle
    }

    async fn facts_of(&self, handle: &str, node: &str) -> GetFactsResponse {
        let request = GetFactsRequest { handle: handle.to_owned(), node_id: node_id(node) };
        answer(self.facts().get_facts(request).await).unwrap()
    }
}

#[tokio::test]
async fn each_new_owner_gets_a_new_epoch_and_a_name_that_carries_it() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let mut names = Vec::new();
    for (round, node) in ["node-a", "node-b", "node-b"].into_iter().enumerate() {
        world.sim.clear_journal();
        let attached = world.attach(&handle, node).await.unwrap();
        assert_eq!((attached.attached, attached.epoch, world.commands()), (true, round as u64 + 1, 1));
        assert!(attached.nqn.ends_with(&format!(".e{}", attached.epoch)), "{}", attached.nqn);
        let row = world.row(&handle).unwrap();
        assert_eq!(
            (&row["nvme-tcp-export"], &row["nvme-tcp-server-nqn"]),
            (&true.into(), &attached.nqn.as_str().into())
        );
        assert!(!names.contains(&attached.nqn), "a name never comes back");
        names.push(attached.nqn);

        world.sim.clear_journal();
        let detached = world.detach(&handle, node).await.unwrap();
        assert_eq!((detached.detached, detached.still_exported, world.commands()), (true, false, 1));
        assert_eq!(world.row(&handle).unwrap()["nvme-tcp-export"], false);
    }
}

#[tokio::test]
async fn attaching_again_changes_nothing_and_detaching_again_is_fine() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let first = world.attach(&handle, "node-a").await.unwrap();
    let row = world.row(&handle);
    let again = world.attach(&handle, "node-a").await.unwrap();
    assert_eq!((again.attached, again.epoch, &again.nqn), (false, first.epoch, &first.nqn));
    assert_eq!(world.row(&handle), row);
    assert!(world.detach(&handle, "node-a").await.unwrap().detached);
    assert!(!world.detach(&handle, "node-a").await.unwrap().detached);
    assert!(!world.detach("rds1/csi-0123456789abcdef0123456789ab", "node-a").await.unwrap().detached);
}

#[tokio::test]
async fn a_volume_for_one_node_is_refused_to_another_which_is_told_who_has_it() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.attach(&handle, "node-a").await.unwrap();
    let row = world.row(&handle);
    let fault = world.attach(&handle, "node-b").await.unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::AttachedElsewhere, true));
    assert!(fault.message.contains(&node_id("node-a")), "{fault}");
    let fault =
        world.attach_as(&handle, "node-a", AccessClass::SingleNodeFilesystem, true).await.unwrap_err();
    assert_eq!(fault.reason, Reason::Incompatible, "{fault}");
    assert_eq!(world.row(&handle), row);
    assert!(!world.detach(&handle, "node-b").await.unwrap().detached, "node-b never had it");
    assert_eq!(world.row(&handle), row);
}

#[tokio::test]
async fn two_nodes_share_a_shared_volume_in_one_epoch_and_a_third_is_refused() {
    let world = World::warm().await;
    for (class, read_only) in [(AccessClass::MultiNodeBlock, false), (AccessClass::MultiNodeReader, true)] {
        let handle = world.shared(&format!("pvc-{read_only}"), class).await;
        let attach = async |node| world.attach_as(&handle, node, class, read_only).await;
        let a = attach("node-a").await.unwrap();
        let b = attach("node-b").await.unwrap();
        assert_eq!((a.epoch, &a.nqn), (b.epoch, &b.nqn));
        assert_eq!(attach("node-c").await.unwrap_err().reason, Reason::AttachedElsewhere);

        let left = world.detach(&handle, "node-a").await.unwrap();
        assert!(left.detached && left.still_exported);
        let row = world.row(&handle).unwrap();
        assert_eq!(
            (&row["nvme-tcp-export"], &row["nvme-tcp-server-nqn"]),
            (&true.into(), &b.nqn.as_str().into())
        );
        let c = attach("node-c").await.unwrap();
        assert_eq!(c.epoch, b.epoch, "it joins the running epoch");

        let left = world.detach(&handle, "").await.unwrap();
        assert!(left.detached && !left.still_exported, "an empty node means all");
        assert!(attach("node-a").await.unwrap().epoch > c.epoch);
    }
}

#[tokio::test]
async fn a_volume_is_attached_only_in_the_class_it_was_made_for() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let fault = world.attach_as(&handle, "node-a", AccessClass::MultiNodeBlock, false).await.unwrap_err();
    assert_eq!(fault.reason, Reason::Incompatible, "{fault}");
    assert_eq!(world.row(&handle).unwrap()["nvme-tcp-export"], false);
}

#[tokio::test]
async fn an_export_that_was_turned_off_by_hand_comes_back_under_the_name_of_its_epoch() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let first = world.attach(&handle, "node-a").await.unwrap();
    let (_, slot) = handle.split_once('/').unwrap();
    world.sim.console(&format!(
        "/disk/set [find where slot=\"{slot}\"] nvme-tcp-export=no nvme-tcp-server-nqn=nqn.x"
    ));
    let again = world.attach(&handle, "node-a").await.unwrap();
    assert_eq!((again.attached, &again.nqn), (false, &first.nqn));
    assert_eq!(world.row(&handle).unwrap()["nvme-tcp-server-nqn"], first.nqn.as_str());
}

#[tokio::test]
async fn an_unknown_node_is_not_found_on_attach_and_fine_on_detach() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    world.sim.clear_journal();
    let request = proto::rds::volume::v1::AttachVolumeRequest {
        handle: handle.clone(),
        node_id: "node-a".to_owned(),
        access_class: AccessClass::SingleNodeFilesystem.into(),
        read_only: false,
    };
    let fault = answer(world.volumes().attach_volume(request).await).unwrap_err();
    assert_eq!((fault.reason, fault.settled), (Reason::NodeNotFound, true));
    let request =
        proto::rds::volume::v1::DetachVolumeRequest { handle, node_id: "node-a".to_owned(), force: false };
    assert!(!answer(world.volumes().detach_volume(request).await).unwrap().detached);
    assert_eq!(world.commands(), 0);
}

#[tokio::test]
async fn an_agent_learns_what_it_needs_and_only_the_holder_marks_a_volume_formatted() {
    let world = World::warm().await;
    let handle = world.volume("pvc-1").await;
    let before = world.facts_of(&handle, "node-a").await;
    assert_eq!(
        (before.size_bytes, before.epoch, before.attached, before.formatted),
        (1 << 30, 0, false, false)
    );
    let epoch = world.attach(&handle, "node-a").await.unwrap().epoch;
    let facts = world.facts_of(&handle, "node-a").await;
    assert_eq!((facts.epoch, facts.attached, facts.content_source.as_str()), (epoch, true, ""));
    assert!(!world.facts_of(&handle, "node-b").await.attached);

    let mark = async |node: &str, epoch: u64| {
        let request = MarkFormattedRequest { handle: handle.clone(), node_id: node_id(node), epoch };
        answer(world.facts().mark_formatted(request).await)
    };
    for (node, epoch) in [("node-b", epoch), ("node-a", epoch + 1), ("node-a", epoch - 1)] {
        let fault = mark(node, epoch).await.unwrap_err();
        assert_eq!((fault.reason, fault.settled), (Reason::StaleEpoch, true), "{fault}");
    }
    assert!(!world.facts_of(&handle, "node-a").await.formatted);
    world.sim.clear_journal();
    mark("node-a", epoch).await.unwrap();
    assert_eq!(world.commands(), 1);
    mark("node-a", epoch).await.expect("again is fine");
    assert!(world.facts_of(&handle, "node-a").await.formatted);

    world.detach(&handle, "node-a").await.unwrap();
    let attached = world.attach(&handle, "node-b").await.unwrap();
    let facts = world.facts_of(&handle, "node-b").await;
    assert!(facts.formatted && facts.epoch == attached.epoch, "the mark survives its owner");
}
