//! An operation: at most three rounds of the same command, until an answer decides.
//!
//! Every command looks before it acts, so sending it again is the way to find out what a lost one did. A round is: send,
//! read the row that came back, judge it (a pure function of `plan`). A lost answer, or a row that is not yet what it
//! should be, leads to the next round; a missing connection is answered at once in the first, and waited for in the
//! others, because by then something may have happened.

use std::sync::Arc;
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::ClusterId;
use proto::nqn::NqnPrefix;
use serde_json::Value;

use crate::appliance::link::Patience;
use crate::appliance::{Appliance, RunError};
use crate::fault::Failure;
use crate::routeros::rejection::Rejection;
use crate::routeros::script::{Place, Script};

/// Rounds of one operation.
const ROUNDS: u32 = 3;
/// A command never gets less than this, if the deadline allows.
const SHORTEST: Duration = Duration::from_secs(1);

/// What every operation needs to know besides its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// Where the volume lies.
    pub(crate) appliance: &'a Arc<Appliance>,
    /// Whose volumes we may touch.
    pub(crate) cluster: &'a ClusterId,
    /// What the names of exports begin with.
    pub(crate) prefix: &'a NqnPrefix,
    /// Until when an answer is of use.
    pub(crate) deadline: Deadline,
}

/// What a judged answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// This is the outcome.
    Done(T),
    /// Not there yet: look again. Says what was seen.
    Again(&'static str),
}

/// An answer to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// What came back.
    pub(crate) answer: &'a Value,
    /// True when an earlier round of this operation was sent and not heard of: what it made is ours.
    pub(crate) after_loss: bool,
}

impl Scene<'_> {
    /// The folders and what is known of their pools.
    pub(crate) async fn places(&self) -> Result<Vec<Place>, Failure> {
        self.appliance.known_places(self.deadline).await.map_err(Failure::from)
    }

    /// Sends `script` until `judge` has decided.
    pub(crate) async fn decide<T>(
        &self,
        script: &Script,
        mut judge: impl FnMut(Seen<'_>) -> Result<Step<T>, Failure>,
    ) -> Result<T, Failure> {
        let (mut after_loss, mut patience) = (false, Patience::None);
        let mut last = String::new();
        if let Some(slot) = script.slot().filter(|_| script.verb().mutates())
            && !self.appliance.rest(slot, self.deadline).await?
        {
            let why =
                "an earlier command for it was given up and may still begin on the appliance".to_owned();
            return Err(Failure::Undecided { why, late: true });
        }
        for round in 1..=ROUNDS {
            match self.appliance.run::<Value>(script, self.share(round), patience).await {
                Ok(answer) => match judge(Seen { answer: &answer, after_loss }) {
                    Ok(Step::Done(outcome)) => {
                        self.appliance.metrics().decided(script.verb(), round);
                        return Ok(outcome);
                    }
                    Ok(Step::Again(seen)) => seen.clone_into(&mut last),
                    // An earlier round may still be under way, and then what was seen is not the end of it.
                    Err(failure) if after_loss => return Err(failure.unsettled()),
                    Err(failure) => return Err(failure),
                },
                Err(RunError::Lost(why)) => {
                    after_loss |= script.verb().mutates();
                    patience = Patience::UntilDeadline;
                    tracing::info!(round, why, routeros.verb = %script.verb(), "answer lost, looking again");
                    last = why;
                }
                // It waited on the appliance for too long, and did nothing.
                Err(RunError::Rejected(Rejection::Late(_))) => {
                    "the appliance began the command too late, so it was not carried out"
                        .clone_into(&mut last);
                }
                // Somebody made it between our look and our act.
                Err(RunError::Rejected(Rejection::AlreadyExists(text))) => last = text,
                Err(RunError::Rejected(rejection)) => {
                    let failure = Failure::from(rejection);
                    return Err(if after_loss { failure.unsettled() } else { failure });
                }
                Err(RunError::Unreachable(why)) => return Err(Failure::Unreachable { why, after_loss }),
                Err(RunError::Unusable(why)) => return Err(Failure::Unusable(why)),
                Err(RunError::NotOwner(why)) => return Err(Failure::NotOwner { why, after_loss }),
            }
        }
        Err(Failure::Undecided { why: last, late: self.deadline.has_passed() })
    }

    /// The time a round may take: two thirds of what is left, so that a lost answer leaves time to look again.
    fn share(&self, round: u32) -> Deadline {
        if round == ROUNDS {
            return self.deadline;
        }
        let share = self.deadline.remaining() * 2 / 3;
        self.deadline.at_most(share.max(SHORTEST))
    }
}
