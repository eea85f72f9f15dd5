//! A secret that comes in leaves nothing behind: not in a log, a span, an Event, an error, or on the appliance.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::Stack;
use harness::observatory::observatory;
use harness::orchestrator::{Controller, call};
use proto::csi::v1 as csi;

use crate::wish;

/// Nobody else has this text.
const CANARY: &str = "canary-5f0c9d2e-do-not-print";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_request_is_in_no_log_span_event_error_or_command() -> Result<()> {
    let stack = Stack::start().await?;
    let (mut controller, mut a) = (stack.controller(), stack.node("node-a"));
    let secrets = || BTreeMap::from([("passphrase".to_owned(), CANARY.to_owned())]);

    let mut create = wish("secret").create();
    create.secrets = secrets();
    controller.csi.create_volume(call(create.clone())).await?;
    let volume = controller.create(&wish("secret")).await?;
    let mut errors = Vec::new();
    create.name.clear();
    errors.extend(controller.csi.create_volume(call(create)).await.err());
    let mut attach = Controller::attach_request(&volume, &a);
    attach.secrets = secrets();
    let publish = controller.csi.controller_publish_volume(call(attach)).await?.into_inner().publish_context;
    // Staging outside kubelet's folder is refused, with or without root.
    let mut stage = a.stage_request(&volume, &publish);
    stage.secrets = secrets();
    stage.staging_target_path = "/nowhere".to_owned();
    errors.extend(a.csi.node_stage_volume(call(stage)).await.err());
    controller.detach(&volume, &a).await?;
    let delete = csi::DeleteVolumeRequest { volume_id: volume.id.clone(), secrets: secrets() };
    controller.csi.delete_volume(call(delete)).await?;

    ensure!(errors.len() == 2, "{errors:?}");
    ensure!(!format!("{errors:?}").contains(CANARY), "an error carries the secret");
    ensure!(
        !format!("{:?}", stack.appliance().journal().await?).contains(CANARY),
        "a command carries the secret"
    );
    ensure!(!format!("{:?}", stack.events()?).contains(CANARY), "an event carries the secret");
    stack.stop().await?;
    ensure!(!observatory().mentions(&volume.id).is_empty(), "nothing at all was logged about the volume");
    let leaks = observatory().mentions(CANARY);
    ensure!(leaks.is_empty(), "{leaks:#?}");
    Ok(())
}
