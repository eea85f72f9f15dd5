//! `rdsctl appliance repair-comment`: the mark of one volume is written anew.

use proto::rds::volume::v1::{RepairCommentRequest, RepairCommentResponse};
use serde_json::Value;

use crate::backend::{Backend, SHORT};
use crate::cli::RepairArguments;
use crate::message;
use crate::outcome::Failure;
use crate::output::tell;
use crate::prompt::Consent;
use crate::table::{fields, visible};

/// Shows the comment as it is and as it would be, asks, writes.
pub(super) async fn repair(arguments: RepairArguments) -> Result<(), Failure> {
    // The command line demands one: how a volume is shared is the one thing that cannot be found out.
    let class = arguments.mark.access_class.unwrap_or_default();
    let consent = Consent::of(arguments.yes || arguments.dry_run)?;
    let backend = Backend::of(arguments.backend, SHORT)?;
    let request = RepairCommentRequest {
        handle: arguments.handle,
        access_class: class.into(),
        claim: arguments.mark.wire_claim(),
        formatted: !arguments.mark.blank,
        epoch: arguments.epoch,
        dry_run: true,
    };
    let plan = ask(&backend, request.clone()).await?;
    let done = if arguments.dry_run || !plan.repaired {
        plan
    } else {
        tell(&text(&plan, "would be repaired"));
        consent.confirm(&format!("Write the new comment of {}?", visible(&request.handle)))?;
        ask(&backend, RepairCommentRequest { dry_run: false, ..request }).await?
    };
    let verb = if arguments.dry_run { "would be repaired" } else { "repaired" };
    let dry_run = ("dry_run", Value::from(arguments.dry_run));
    arguments.output.show(|| text(&done, verb), || message::value_with(&done, &[dry_run]));
    Ok(())
}

async fn ask(backend: &Backend, message: RepairCommentRequest) -> Result<RepairCommentResponse, Failure> {
    backend.call("RepairComment", message, async |m| backend.appliances().repair_comment(m).await).await
}

fn text(answer: &RepairCommentResponse, verb: &str) -> String {
    let state = if answer.repaired { verb } else { "nothing has to be done" };
    fields(&[("before", answer.before.clone()), ("after", answer.after.clone()), ("state", state.to_owned())])
}
