//! Whether the pools of an appliance can copy images, found out and not believed.
//!
//! No documentation says that a disk over an existing file leaves its content alone, and a snapshot that holds nothing
//! is worse than none. So before the first copy over a connection a proof is run on files of its own, once per folder.

use crate::fault::{Failure, Refusal};
use crate::rounds::{Scene, Step};
use crate::routeros::disk::Fields;
use crate::routeros::rejection::Rejection;
use crate::routeros::script::{Place, content, fresh_nonce};

/// Makes sure that every btrfs folder is proven.
pub(crate) async fn proven(scene: Scene<'_>, places: &[Place]) -> Result<(), Failure> {
    for place in places.iter().filter(|place| place.btrfs) {
        if scene.appliance.is_proven(&place.directory) {
            continue;
        }
        let nonce = fresh_nonce().to_lowercase().chars().skip(5).collect::<String>();
        let command = content::prove(place, &nonce);
        scene.decide(&command, |seen| judge(Fields::of(seen.answer, "answer")?, place)).await?;
        tracing::info!(appliance = %scene.appliance.config().name, folder = place.directory, "copies are proven");
        scene.appliance.proved(&place.directory);
    }
    Ok(())
}

fn judge(answer: Fields<'_>, place: &Place) -> Result<Step<()>, Failure> {
    let why = answer.text("why")?;
    let what = match (answer.flag("copied")?, answer.flag("kept")?) {
        (true, true) => return Ok(Step::Done(())),
        (_, _) if !why.is_empty() => match Rejection::parse(&why) {
            Rejection::Unsupported(why) => format!("its RouterOS cannot: {why}"),
            // A full pool, a missing right: that says nothing about copies.
            other => return Err(Failure::Rejected(other)),
        },
        (false, _) => "a copy of a test image did not hold its data".to_owned(),
        (true, false) => "a disk over a copied test image did not leave its data alone".to_owned(),
    };
    Err(Refusal::CannotCopy(format!("{what}; seen in {} on pool {}", place.directory, place.pool)).into())
}
