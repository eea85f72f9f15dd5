//! May the driver be uninstalled? Not while volumes exist: nobody could unmount them any more.

use crate::kubernetes::ApiFailure;
use crate::persistent::{self, Persistent};

/// Volumes that are named; the rest is counted.
const MAX_NAMED: usize = 20;

/// Volumes of the driver as text, `<volume> (claim <namespace>/<name>)`.
pub(crate) async fn volumes(client: kube::Client, driver: &str) -> Result<Vec<String>, ApiFailure> {
    Ok(persistent::volumes(client, driver).await?.iter().map(describe).collect())
}

fn describe(volume: &Persistent) -> String {
    match &volume.claim {
        Some((namespace, claim)) => format!("{} (claim {namespace}/{claim})", volume.name),
        None => volume.name.clone(),
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
