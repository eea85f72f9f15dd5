//! The wish to stop, as a value that is passed to whoever waits.

use tokio::sync::watch;

/// Makes the wish.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<bool>);

impl ShutdownHandle {
    /// Asks everybody who holds the [`Shutdown`] to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

/// Hears the wish. Dropping the handle counts as the wish too.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A shutdown that somebody requests through the handle.
    pub fn manual() -> (ShutdownHandle, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownHandle(sender), Self(receiver))
    }

    /// Requested by SIGTERM or SIGINT.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signal() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (handle, shutdown) = Self::manual();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "stopping");
            handle.request();
        });
        Ok(shutdown)
    }

    /// Returns when the wish was made.
    pub async fn requested(&self) {
        // An error means that the handle is gone: nobody could ask any more, so it is time to stop.
        let _ = self.0.clone().wait_for(|requested| *requested).await;
    }

    /// True when the wish was made.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_the_wish_also_who_comes_late() {
        let (handle, shutdown) = Shutdown::manual();
        assert!(!shutdown.is_requested());
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        handle.request();
        early.await.expect("ends");
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn a_dropped_handle_counts_as_the_wish() {
        let (handle, shutdown) = Shutdown::manual();
        drop(handle);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
