//! May the driver be uninstalled? Not while volumes exist: nobody could unmount them any more.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, ListParams};

use crate::kubernetes::{self, ApiFailure};

/// Volumes per request.
const PAGE: u32 = 500;
/// Volumes that are named; the rest is counted.
const MAX_NAMED: usize = 20;

/// Volumes of the driver as text, `<volume> (claim <namespace>/<name>)`.
pub(crate) async fn volumes(client: kube::Client, driver: &str) -> Result<Vec<String>, ApiFailure> {
    let api: Api<PersistentVolume> = Api::all(client);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = kubernetes::ask("PersistentVolumes", api.list(&parameters)).await?;
        found.extend(page.items.iter().filter(|volume| is_of(volume, driver)).map(describe));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn is_of(volume: &PersistentVolume, driver: &str) -> bool {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    csi.is_some_and(|csi| csi.driver == driver)
}

fn describe(volume: &PersistentVolume) -> String {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    match claim.and_then(|claim| Some((claim.namespace.as_deref()?, claim.name.as_deref()?))) {
        Some((namespace, claim)) => format!("{name} (claim {namespace}/{claim})"),
        None => name.to_owned(),
    }
}

/// Why it must not be uninstalled.
pub(crate) fn refusal(driver: &str, volumes: &[String]) -> String {
    let named = volumes.iter().take(MAX_NAMED).map(|volume| format!("\n  {volume}")).collect::<String>();
    let more = match volumes.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    format!(
        "{} PersistentVolume(s) of {driver} exist; without the driver nobody can unmount or delete them. Delete their \
         claims first, or turn the check off (uninstall.checkVolumes=false):{named}{more}",
        volumes.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_volumes_and_counts_what_would_fill_the_screen() {
        let few = refusal("rds.csi.srvlab.io", &["pv-1 (claim demo/data)".to_owned()]);
        assert!(
            few.starts_with("1 PersistentVolume(s) of rds.csi.srvlab.io") && few.contains("demo/data"),
            "{few}"
        );
        let many: Vec<String> = (0..25).map(|number| format!("pv-{number}")).collect();
        let text = refusal("d", &many);
        assert!(text.contains("pv-19") && !text.contains("pv-20") && text.ends_with("and 5 more"), "{text}");
    }
}
