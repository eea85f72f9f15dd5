//! `rdsctl appliance adopt`: volumes of the earlier driver become ours.
//!
//! First each is asked about with `dry_run`, then all are shown, then the operator agrees, then they are adopted one by
//! one. One that cannot be adopted does not stop the others; it is named, and the exit code tells.

use proto::rds::volume::v1::{AccessClass, AdoptVolumeRequest, AdoptVolumeResponse, Claim, mismatch};
use serde_json::Value;

use super::orphans;
use crate::backend::{Backend, LONG, SHORT};
use crate::cli::AdoptArguments;
use crate::outcome::{Failure, explain};
use crate::output::tell;
use crate::persistent::Persistent;
use crate::prompt::Consent;
use crate::table::{Table, rough, yes_or_no};
use crate::{kubernetes, message, persistent, volumes};

/// A volume, what is asked for, and what was answered last.
struct Adoption {
    request: AdoptVolumeRequest,
    answer: AdoptVolumeResponse,
}

impl Adoption {
    /// Refuses a volume of another appliance than was named: its slot may be on both, and the backend takes the first.
    fn on(self, wanted: Option<&str>) -> Result<Self, Failure> {
        let found = self.answer.volume.as_ref().map(|volume| volume.appliance.as_str()).unwrap_or_default();
        match wanted {
            Some(wanted) if wanted != found => Err(Failure::Refused(format!(
                "{}: it would be adopted on {found}, not on {wanted}; nothing was done with it. Is it on both?",
                self.request.handle
            ))),
            Some(_) | None => Ok(self),
        }
    }
}

/// Shows, asks, adopts.
pub(super) async fn adopt(arguments: AdoptArguments) -> Result<(), Failure> {
    if arguments.mark.claim.is_some() && (arguments.all_legacy || arguments.handles.len() != 1) {
        return Err(Failure::Usage(
            "--claim is of one volume: name one HANDLE, or use --from-cluster".to_owned(),
        ));
    }
    let consent = Consent::of(arguments.yes || arguments.dry_run)?;
    let limit = if arguments.all_legacy { LONG } else { SHORT };
    let backend = Backend::of(arguments.backend.clone(), limit)?;
    let handles = if arguments.all_legacy {
        legacy(&backend, arguments.appliance.as_deref()).await?
    } else {
        arguments.handles.clone()
    };
    let mut all_well = true;
    let mut adoptions = Vec::new();
    for request in requests(&arguments, handles).await? {
        let answer = match request {
            Ok(request) => {
                ask(&backend, request, true).await.and_then(|it| it.on(arguments.appliance.as_deref()))
            }
            Err(problem) => Err(Failure::Refused(problem)),
        };
        keep(answer, &mut adoptions, &mut all_well)?;
    }
    if !arguments.dry_run && adoptions.iter().any(|adoption| adoption.answer.adopted) {
        tell(&text(&adoptions, true));
        if !arguments.mark.blank {
            tell("They are taken to hold data: no node will ever format them.");
        }
        consent.confirm(&format!("Adopt {} volume(s)?", adoptions.len()))?;
        for Adoption { request, .. } in std::mem::take(&mut adoptions) {
            keep(ask(&backend, request, false).await, &mut adoptions, &mut all_well)?;
        }
    }
    let dry_run = arguments.dry_run;
    arguments.output.show(|| text(&adoptions, dry_run), || adoptions.iter().map(value).collect());
    if all_well { Ok(()) } else { Err(Failure::BadNews) }
}

/// Notes what was answered about one. Where nobody answers, there is no use in going on.
fn keep(
    answer: Result<Adoption, Failure>,
    adoptions: &mut Vec<Adoption>,
    all_well: &mut bool,
) -> Result<(), Failure> {
    match answer {
        Ok(adoption) => adoptions.push(adoption),
        Err(Failure::Usage(text)) => return Err(Failure::Usage(text)),
        Err(failure) => {
            explain(&failure);
            *all_well = false;
        }
    }
    Ok(())
}

/// Slots of the earlier driver that nobody has adopted.
async fn legacy(backend: &Backend, appliance: Option<&str>) -> Result<Vec<String>, Failure> {
    let appliances = match appliance {
        Some(name) => vec![name.to_owned()],
        None => backend.status("").await?.into_iter().map(|appliance| appliance.name).collect(),
    };
    let mut slots = Vec::new();
    for appliance in appliances {
        let inventory = orphans::inventory(backend, &appliance).await?;
        let legacy = inventory.mismatches.into_iter().filter(|it| it.kind() == mismatch::Kind::NotAdopted);
        slots.extend(legacy.map(|it| it.what));
    }
    Ok(slots)
}

/// What to ask for each; or why that cannot be said.
async fn requests(
    arguments: &AdoptArguments,
    handles: Vec<String>,
) -> Result<Vec<Result<AdoptVolumeRequest, String>>, Failure> {
    let cluster = if arguments.from_cluster {
        let client = kubernetes::client(arguments.cluster.kubeconfig.as_deref()).await?;
        Some(persistent::volumes(client, &arguments.cluster.driver_name).await?)
    } else {
        None
    };
    let mark = &arguments.mark;
    let request = |handle: String| {
        let (class, claim) = match &cluster {
            Some(volumes) => from_cluster(&handle, volumes)?,
            // The command line demands a class where the cluster is not asked.
            None => (mark.access_class.unwrap_or_default(), mark.wire_claim()),
        };
        let formatted = !mark.blank;
        Ok(AdoptVolumeRequest { handle, access_class: class.into(), claim, formatted, dry_run: true })
    };
    Ok(handles.into_iter().map(request).collect())
}

/// Class and claim as the volume's PersistentVolume has them.
fn from_cluster(handle: &str, volumes: &[Persistent]) -> Result<(AccessClass, Option<Claim>), String> {
    let Some(volume) = volumes.iter().find(|volume| volume.handle == handle) else {
        return Err(format!(
            "{handle}: no PersistentVolume names it; name class and claim with --access-class and --claim instead of \
             --from-cluster"
        ));
    };
    let class = volume.class.clone().map_err(|problem| format!("{handle}: {problem}"))?;
    Ok((class, Some(volume.wire_claim())))
}

async fn ask(backend: &Backend, request: AdoptVolumeRequest, dry_run: bool) -> Result<Adoption, Failure> {
    let request = AdoptVolumeRequest { dry_run, ..request };
    let send = async |m| backend.volumes().adopt_volume(m).await;
    let answer = backend.call("AdoptVolume", request.clone(), send).await?;
    Ok(Adoption { request, answer })
}

fn value(adoption: &Adoption) -> Value {
    let more =
        [("handle", adoption.request.handle.as_str().into()), ("dry_run", adoption.request.dry_run.into())];
    message::value_with(&adoption.answer, &more)
}

fn text(adoptions: &[Adoption], dry_run: bool) -> String {
    if adoptions.is_empty() {
        return "nothing to adopt\n".to_owned();
    }
    let mut table = Table::new(["HANDLE", "APPLIANCE", "SIZE", "CLASS", "CLAIM", "FORMATTED", "STATE"]);
    for Adoption { request, answer } in adoptions {
        let volume = answer.volume.clone().unwrap_or_default();
        let state = match (answer.adopted, dry_run) {
            (false, _) => "ours already",
            (true, true) => "would be adopted",
            (true, false) => "adopted",
        };
        table.row([
            request.handle.clone(),
            volume.appliance.clone(),
            rough(volume.size_bytes),
            message::class(volume.access_class),
            volumes::claim(&volume),
            yes_or_no(volume.formatted),
            state.to_owned(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_claim_come_from_the_persistent_volume_of_that_handle() {
        let volume = Persistent {
            name: "pvc-a".to_owned(),
            handle: "pvc-a".to_owned(),
            phase: "Bound".to_owned(),
            reclaim: "Delete".to_owned(),
            size_bytes: 1,
            claim: Some(("demo".to_owned(), "data".to_owned())),
            class: Ok(AccessClass::SingleNodeBlock),
        };
        let unclear =
            Persistent { handle: "pvc-b".to_owned(), class: Err("unclear".to_owned()), ..volume.clone() };
        let all = [volume, unclear];
        let (class, claim) = from_cluster("pvc-a", &all).unwrap();
        let claim = claim.unwrap();
        assert_eq!(class, AccessClass::SingleNodeBlock);
        assert_eq!((claim.namespace.as_str(), claim.volume_name.as_str()), ("demo", "pvc-a"));
        assert_eq!(from_cluster("pvc-b", &all).unwrap_err(), "pvc-b: unclear");
        assert!(from_cluster("pvc-c", &all).unwrap_err().contains("--access-class"));
    }
}
