//! Random sequences of calls with crashes and faults at every effect, against a model of the kernel, the appliance and the
//! backend. The laws are checked inside the model at the moment of each effect, and after each call.
//!
//! `RDS_SEQUENCES` says how many (200 if unset), `RDS_SEED` where to begin; a failure names its seed.

mod host;
mod sequence;
mod world;

use self::sequence::Sequence;

/// Sequences that run at once: most of their time is waiting for a path that does not come back.
const AT_ONCE: u64 = 24;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_in_whatever_order_no_law_is_broken_and_everything_can_be_taken_down_again() {
    let sequences = variable("RDS_SEQUENCES").unwrap_or(200);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = variable("RDS_SEED").unwrap_or_else(|| now.map_or(1, |now| now.as_secs() << 20));
    println!("{sequences} sequences from RDS_SEED={first}");
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE.min(sequences) {
        workers.spawn(async move {
            let mut calls = 0;
            for seed in (first + worker..first + sequences).step_by(usize::try_from(AT_ONCE).expect("small"))
            {
                calls += Sequence::new(seed).run().await;
            }
            calls
        });
    }
    let calls: u64 = workers.join_all().await.into_iter().sum();
    println!("{calls} calls");
}
