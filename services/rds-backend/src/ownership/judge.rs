//! Judges a Lease by what was seen of it. Pure but for the clock it is given.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

use super::{EXPIRES, ours};

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Write this: it is ours, or becomes ours.
    Hold(LeaseSpec),
    /// This one holds it.
    Wait(String),
}

/// Remembers since when a Lease has looked as it does: clocks of different machines are never compared.
#[derive(Debug)]
pub(super) struct Observer {
    instance: String,
    seen: Option<(LeaseSpec, Instant)>,
}

impl Observer {
    pub(super) fn new(instance: String) -> Self {
        Self { instance, seen: None }
    }

    pub(super) fn judge(&mut self, lease: Option<&LeaseSpec>, now: Instant) -> Step {
        let Some(lease) = lease else { return Step::Hold(ours(&self.instance, None)) };
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.instance {
            return Step::Hold(ours(&self.instance, Some(lease)));
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            Some(_) | None => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        // A holder of another version may count on more.
        let theirs = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let expires = EXPIRES.max(Duration::from_secs(theirs.unwrap_or_default()));
        if now.duration_since(since) > expires {
            return Step::Hold(ours(&self.instance, Some(lease)));
        }
        Step::Wait(holder.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str, renewals: i64) -> LeaseSpec {
        let mut lease = ours(holder, None);
        lease.renew_time = jiff::Timestamp::from_second(renewals)
            .ok()
            .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime);
        lease
    }

    fn takes(step: &Step) -> bool {
        matches!(step, Step::Hold(lease) if lease.holder_identity.as_deref() == Some("a"))
    }

    #[test]
    fn what_is_free_or_ours_is_taken_and_renewed() {
        let mut a = Observer::new("a".to_owned());
        let now = Instant::now();
        assert!(takes(&a.judge(None, now)));
        let mut released = held_by("b", 1);
        released.holder_identity = None;
        assert!(takes(&a.judge(Some(&released), now)));
        let Step::Hold(renewed) = a.judge(Some(&held_by("a", 1)), now) else { unreachable!("it is ours") };
        assert_eq!(renewed.lease_transitions, Some(1), "a renewal is no change of hands");
        assert_ne!(renewed.renew_time, held_by("a", 1).renew_time);
    }

    #[test]
    fn what_another_renews_is_waited_for_however_old_its_times_look() {
        let mut a = Observer::new("a".to_owned());
        let mut now = Instant::now();
        for renewal in 0..10 {
            assert_eq!(a.judge(Some(&held_by("b", renewal)), now), Step::Wait("b".to_owned()));
            now += EXPIRES;
        }
    }

    #[test]
    fn what_nobody_renews_is_taken_when_its_time_is_over_by_our_own_clock() {
        let mut a = Observer::new("a".to_owned());
        let (now, lease) = (Instant::now(), held_by("b", 7));
        assert_eq!(a.judge(Some(&lease), now), Step::Wait("b".to_owned()));
        assert_eq!(a.judge(Some(&lease), now + EXPIRES), Step::Wait("b".to_owned()));
        let Step::Hold(taken) = a.judge(Some(&lease), now + EXPIRES + Duration::from_secs(1)) else {
            unreachable!("it is over")
        };
        assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("a"), Some(2)));
    }

    #[test]
    fn a_holder_that_counts_on_more_time_gets_it() {
        let mut a = Observer::new("a".to_owned());
        let (now, mut lease) = (Instant::now(), held_by("b", 7));
        lease.lease_duration_seconds = Some(60);
        a.judge(Some(&lease), now);
        assert_eq!(a.judge(Some(&lease), now + Duration::from_secs(59)), Step::Wait("b".to_owned()));
        assert!(takes(&a.judge(Some(&lease), now + Duration::from_secs(61))));
    }
}
