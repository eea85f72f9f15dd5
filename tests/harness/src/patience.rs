//! Waiting for what happens on its own: look again until a deadline, never sleep and hope.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How long to wait for something that happens on its own: `RDS_TEST_PATIENCE` in seconds, 20 if unset.
/// Slow machines raise it; it is never waited out when all is well.
pub fn patience() -> Duration {
    let seconds = std::env::var("RDS_TEST_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Looks until `look` answers `Ok`, at most [`patience`]; then the last problem is the error.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    within(patience(), what, look).await
}

/// Looks until `look` answers `Ok`, at most `limit`.
pub async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let problem = match look().await {
            Ok(found) => return Ok(found),
            Err(problem) => problem,
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}: {problem:#}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_happens_ends_with_the_last_problem() {
        let mut looks = 0;
        let error = within(Duration::from_secs(1), "the moon turns green", async || {
            looks += 1;
            bail!("look {looks}: still white") as Result<()>
        })
        .await
        .expect_err("it never happens");
        assert!(error.to_string().contains("still white"), "{error}");
        assert!(looks > 10);
    }
}
