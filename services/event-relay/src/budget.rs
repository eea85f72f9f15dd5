//! How much may be written: per reporter and subject, and towards the API altogether.
//!
//! Each budget is a token bucket kept as one instant (the moment at which it would be full again). Pure: the time
//! is passed in. Bounded: buckets that are full again carry no knowledge and are dropped first.

use std::collections::HashMap;
use std::time::Duration;

use proto::event::Severity;
use tokio::time::Instant;

/// Size and refill of a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Tokens in a full bucket.
    pub(crate) burst: u32,
    /// Time in which one token comes back.
    pub(crate) every: Duration,
}

/// As client-go's spam filter: 25 at once, then one per five minutes.
pub(crate) const PER_SUBJECT: Allowance = Allowance { burst: 25, every: Duration::from_secs(300) };

/// Towards the API server: 200 at once, then 20 per second, well below what one client may ask by default.
pub(crate) const GLOBAL: Allowance = Allowance { burst: 200, every: Duration::from_millis(50) };

/// Most buckets that are remembered. One takes about 200 bytes.
const MAX_BUCKETS: usize = 4096;

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    /// Service and instance that reported.
    pub(crate) reporter: String,
    /// Kind, namespace and name of the subject.
    pub(crate) subject: String,
}

/// What a budget says about one new Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it.
    Granted,
    /// The account is overdrawn.
    Overdrawn {
        /// True once per overdraft: the moment to tell people.
        first: bool,
    },
    /// The global budget is used up.
    Exhausted,
}

#[derive(Debug)]
struct Bucket {
    full_at: Instant,
    told: bool,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { full_at: now, told: false }
    }

    /// Whether a token can be taken so that `keep` are left.
    fn has(&self, now: Instant, allowance: Allowance, keep: u32) -> bool {
        let used_after = self.full_at.saturating_duration_since(now) + allowance.every;
        used_after <= allowance.every * allowance.burst.saturating_sub(keep)
    }

    fn take(&mut self, now: Instant, allowance: Allowance) {
        self.full_at = self.full_at.max(now) + allowance.every;
    }
}

/// All budgets.
#[derive(Debug)]
pub(crate) struct Budget {
    accounts: HashMap<Account, Bucket>,
    global: Bucket,
    per_subject: Allowance,
    towards_api: Allowance,
}

impl Budget {
    /// Full budgets.
    pub(crate) fn new(per_subject: Allowance, towards_api: Allowance, now: Instant) -> Self {
        Self { accounts: HashMap::new(), global: Bucket::new(now), per_subject, towards_api }
    }

    /// Asks for one new Event. Nothing is taken unless it is granted.
    pub(crate) fn new_event(&mut self, account: &Account, severity: Severity, now: Instant) -> Verdict {
        self.make_room(account, now);
        let allowance = self.per_subject;
        let bucket = self.accounts.entry(account.clone()).or_insert_with(|| Bucket::new(now));
        if !bucket.has(now, allowance, 0) {
            let first = !std::mem::replace(&mut bucket.told, true);
            return Verdict::Overdrawn { first };
        }
        if !self.global.has(now, self.towards_api, self.kept_for_warnings(severity)) {
            return Verdict::Exhausted;
        }
        self.global.take(now, self.towards_api);
        if let Some(bucket) = self.accounts.get_mut(account) {
            bucket.take(now, allowance);
            bucket.told = false;
        }
        Verdict::Granted
    }

    /// Asks for one write that is not a new Event: only the global budget counts.
    pub(crate) fn update(&mut self, severity: Severity, now: Instant) -> bool {
        let granted = self.global.has(now, self.towards_api, self.kept_for_warnings(severity));
        if granted {
            self.global.take(now, self.towards_api);
        }
        granted
    }

    /// Normal is dropped before Warning: the last quarter is for Warnings.
    fn kept_for_warnings(&self, severity: Severity) -> u32 {
        match severity {
            Severity::Normal => self.towards_api.burst / 4,
            Severity::Warning => 0,
        }
    }

    fn make_room(&mut self, account: &Account, now: Instant) {
        if self.accounts.len() < MAX_BUCKETS || self.accounts.contains_key(account) {
            return;
        }
        self.accounts.retain(|_, bucket| bucket.full_at > now);
        if self.accounts.len() < MAX_BUCKETS {
            return;
        }
        // The one that will be full soonest loses least by being forgotten.
        let soonest =
            self.accounts.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(account, _)| account.clone());
        if let Some(account) = soonest {
            self.accounts.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(subject: usize) -> Account {
        Account {
            reporter: "nvme-agent/node-a".into(),
            subject: format!("PersistentVolumeClaim/demo/{subject}"),
        }
    }

    fn unlimited() -> Allowance {
        Allowance { burst: 1_000_000, every: Duration::from_nanos(1) }
    }

    #[test]
    fn an_account_may_write_25_at_once_then_one_in_five_minutes() {
        let now = Instant::now();
        let mut budget = Budget::new(PER_SUBJECT, unlimited(), now);
        let mut granted = |at: Instant, times: usize| {
            (0..times)
                .filter(|_| budget.new_event(&account(0), Severity::Warning, at) == Verdict::Granted)
                .count()
        };
        assert_eq!(granted(now, 100), 25);
        assert_eq!(granted(now + Duration::from_secs(299), 100), 0);
        assert_eq!(granted(now + Duration::from_secs(300), 100), 1);
        assert_eq!(granted(now + Duration::from_secs(300 + 3600), 100), 12);
        assert_eq!(granted(now + Duration::from_secs(1_000_000), 100), 25);
    }

    #[test]
    fn an_overdraft_is_told_once_and_again_after_a_recovery() {
        let now = Instant::now();
        let mut budget = Budget::new(PER_SUBJECT, unlimited(), now);
        let mut told = |at: Instant| {
            (0..60)
                .filter(|_| {
                    budget.new_event(&account(0), Severity::Normal, at) == Verdict::Overdrawn { first: true }
                })
                .count()
        };
        assert_eq!(told(now), 1);
        assert_eq!(told(now), 0);
        assert_eq!(told(now + Duration::from_secs(86_400)), 1);
    }

    #[test]
    fn one_subject_never_uses_up_the_budget_of_another() {
        let now = Instant::now();
        let mut budget = Budget::new(PER_SUBJECT, unlimited(), now);
        for _ in 0..100 {
            budget.new_event(&account(0), Severity::Warning, now);
        }
        assert_eq!(budget.new_event(&account(1), Severity::Warning, now), Verdict::Granted);
    }

    #[test]
    fn normal_is_dropped_before_warning_when_the_global_budget_runs_low() {
        let now = Instant::now();
        let global = Allowance { burst: 8, every: Duration::from_secs(1) };
        let mut budget = Budget::new(PER_SUBJECT, global, now);
        let mut granted = |severity, range: std::ops::Range<usize>| {
            range.filter(|at| budget.new_event(&account(*at), severity, now) == Verdict::Granted).count()
        };
        assert_eq!(granted(Severity::Normal, 0..20), 6);
        assert_eq!(granted(Severity::Warning, 20..40), 2);
        assert!(!budget.update(Severity::Warning, now));
        assert!(budget.update(Severity::Warning, now + Duration::from_secs(1)));
    }

    #[test]
    fn ten_thousand_subjects_take_bounded_memory() {
        let now = Instant::now();
        let mut budget = Budget::new(PER_SUBJECT, unlimited(), now);
        for subject in 0..10_000 {
            budget.new_event(&account(subject), Severity::Warning, now);
        }
        assert!(budget.accounts.len() <= MAX_BUCKETS);
    }
}
