//! `rdsctl appliance orphans`: what is on an appliance and nowhere else, or the other way round. Removes nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, ListParams};
use proto::rds::volume::v1 as wire;
use serde::Serialize;

use crate::backend::Backend;
use crate::cli::OrphansArguments;
use crate::confirm::progress;
use crate::kubernetes::{self, ApiFailure};
use crate::outcome::Failure;
use crate::show::{rough, row, show, table};
use crate::volumes;

/// Volumes per request.
const PAGE: u32 = 500;

/// Something that does not fit, and what would deal with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    kind: String,
    what: String,
    size_bytes: u64,
    note: String,
}

/// Looks and prints. Anything found is bad news.
pub(crate) async fn orphans(arguments: OrphansArguments) -> Result<(), Failure> {
    let backend = Backend::of(arguments.backend)?;
    progress(&format!("walking the files of {}, this can take minutes", arguments.name));
    let request = wire::GetInventoryRequest { appliance: arguments.name.clone() };
    let inventory = backend.appliances().get_inventory(backend.request(request)).await?.into_inner();
    let mut findings: Vec<Finding> = inventory.mismatches.iter().map(of_mismatch).collect();
    if !arguments.no_cluster {
        let volumes = volumes::all(&backend, &arguments.name).await?;
        let client = kubernetes::client(arguments.kubeconfig.as_deref()).await?;
        let known = persistent_volumes(client, &arguments.driver_name).await?;
        findings.extend(compare(&arguments.name, &volumes, &known));
    }
    show(arguments.output, &findings, || {
        if findings.is_empty() {
            return format!("{}: {} volumes, everything fits\n", arguments.name, inventory.volumes);
        }
        let mut rows = vec![row(["KIND", "WHAT", "SIZE", "NOTE"])];
        rows.extend(
            findings.iter().map(|finding| {
                row([&finding.kind, &finding.what, &rough(finding.size_bytes), &finding.note])
            }),
        );
        table(&rows)
    })?;
    if findings.is_empty() { Ok(()) } else { Err(Failure::BadNews) }
}

fn of_mismatch(mismatch: &wire::Mismatch) -> Finding {
    Finding {
        kind: mismatch.kind().as_str_name().trim_start_matches("KIND_").to_owned(),
        what: mismatch.what.clone(),
        size_bytes: mismatch.size_bytes,
        note: mismatch.note.clone(),
    }
}

/// PersistentVolumes of the driver: handle, name and phase.
async fn persistent_volumes(
    client: kube::Client,
    driver: &str,
) -> Result<BTreeMap<String, (String, String)>, ApiFailure> {
    let api: Api<PersistentVolume> = Api::all(client);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut found = BTreeMap::new();
    loop {
        let page = kubernetes::ask("PersistentVolumes", api.list(&parameters)).await?;
        for volume in page.items {
            let csi = volume.spec.and_then(|spec| spec.csi).filter(|csi| csi.driver == driver);
            if let Some(csi) = csi {
                let phase = volume.status.and_then(|status| status.phase).unwrap_or_default();
                found.insert(csi.volume_handle, (volume.metadata.name.unwrap_or_default(), phase));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Volumes without a PersistentVolume, PersistentVolumes without a volume, and those that wait for somebody.
fn compare(
    appliance: &str,
    volumes: &[wire::Volume],
    known: &BTreeMap<String, (String, String)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for volume in volumes.iter().filter(|volume| !known.contains_key(&volume.handle)) {
        findings.push(Finding {
            kind: "VOLUME_WITHOUT_PV".to_owned(),
            what: volume.handle.clone(),
            size_bytes: volume.size_bytes,
            note: format!(
                "no PersistentVolume names it; if nobody needs it: rdsctl csi delete {} (its data is gone then)",
                volume.handle
            ),
        });
    }
    for (handle, (name, phase)) in known {
        let here = handle.starts_with(&format!("{appliance}/"));
        if here && !volumes.iter().any(|volume| volume.handle == *handle) {
            findings.push(Finding {
                kind: "PV_WITHOUT_VOLUME".to_owned(),
                what: name.clone(),
                size_bytes: 0,
                note: format!(
                    "its volume {handle} is not on the appliance; restore it, or delete the PersistentVolume"
                ),
            });
        } else if here && (phase == "Released" || phase == "Failed") {
            let size_bytes =
                volumes.iter().find(|volume| volume.handle == *handle).map_or(0, |volume| volume.size_bytes);
            findings.push(Finding {
                kind: "PV_WAITS".to_owned(),
                what: name.clone(),
                size_bytes,
                note: format!(
                    "it is {phase}: kubectl describe pv {name} says why; deleting it keeps volume {handle}"
                ),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_one_side_only_is_found_and_what_is_elsewhere_is_not_looked_at() {
        let volume = |handle: &str| wire::Volume { handle: handle.to_owned(), ..wire::Volume::default() };
        let volumes = [volume("rds1/a"), volume("rds1/b"), volume("rds1/c")];
        let known = [
            ("rds1/a", "pv-a", "Bound"),
            ("rds1/c", "pv-c", "Released"),
            ("rds1/gone", "pv-gone", "Bound"),
            ("rds2/other", "pv-other", "Bound"),
        ];
        let known =
            known.map(|(handle, name, phase)| (handle.to_owned(), (name.to_owned(), phase.to_owned())));
        let found = compare("rds1", &volumes, &known.into());
        let found: Vec<(&str, &str)> = found.iter().map(|f| (f.kind.as_str(), f.what.as_str())).collect();
        assert_eq!(
            found,
            [("VOLUME_WITHOUT_PV", "rds1/b"), ("PV_WAITS", "pv-c"), ("PV_WITHOUT_VOLUME", "pv-gone")]
        );
    }
}
