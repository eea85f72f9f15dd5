//! Who may call what is decided by the caller's certificate.

use anyhow::{Context, Result, ensure};
use harness::Stack;
use harness::orchestrator::call;
use proto::rds::volume::v1::volume_facts_client::VolumeFactsClient;
use proto::rds::volume::v1::volumes_client::VolumesClient;
use proto::rds::volume::v1::{DeleteVolumeRequest, GetFactsRequest, MarkFormattedRequest};
use tonic::Code;

use crate::wish;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_can_call_only_what_its_certificate_entitles_it_to() -> Result<()> {
    let stack = Stack::start().await?;
    let volume = stack.controller().create(&wish("data")).await?;
    stack.appliance().forget_journal().await?;

    for role in ["nvme-agent", "event-relay", "nobody"] {
        let mut volumes = VolumesClient::new(stack.backend_as(role)?);
        let delete = DeleteVolumeRequest { handle: volume.id.clone() };
        let status = volumes.delete_volume(call(delete)).await.err();
        let status = status.with_context(|| format!("{role} deleted a volume"))?;
        ensure!(status.code() == Code::PermissionDenied, "{role}: {status:?}");
        ensure!(status.message().contains(role), "who was refused is not named: {}", status.message());
    }
    for role in ["csi-front", "event-relay"] {
        let mut facts = VolumeFactsClient::new(stack.backend_as(role)?);
        let node_id = stack.node("node-a").id;
        let ask = GetFactsRequest { handle: volume.id.clone(), node_id: node_id.clone() };
        let status = facts.get_facts(call(ask)).await.err();
        ensure!(
            status.as_ref().map(tonic::Status::code) == Some(Code::PermissionDenied),
            "{role}: {status:?}"
        );
        let mark = MarkFormattedRequest { handle: volume.id.clone(), node_id, epoch: 1 };
        let status = facts.mark_formatted(call(mark)).await.err();
        ensure!(
            status.as_ref().map(tonic::Status::code) == Some(Code::PermissionDenied),
            "{role}: {status:?}"
        );
    }
    ensure!(
        stack.appliance().journal().await?.is_empty(),
        "the appliance was asked for somebody without a right"
    );
    stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_opens_nothing_whatever_name_it_bears() -> Result<()> {
    let stack = Stack::start().await?;
    let mut volumes = VolumesClient::new(stack.backend_as_stranger("csi-front")?);
    let delete = DeleteVolumeRequest { handle: "rds1/csi-00000000000000000000000000ff".to_owned() };
    let status = volumes.delete_volume(call(delete)).await.err().context("a stranger was let in")?;
    ensure!(status.code() == Code::Unavailable, "{status:?}");
    stack.stop().await
}
