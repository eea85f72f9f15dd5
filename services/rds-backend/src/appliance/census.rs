//! Reads of a whole appliance that are shared by all who may share them: every disk, or the pools.
//!
//! Who asks joins the read that has not begun yet, so what it sees is never older than the question; while one is under
//! way the next gathers behind it. Nothing is kept after it was answered.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chassis::deadline::Deadline;
use proto::id::Slot;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tracing::Instrument as _;

use super::link::Patience;
use super::{Appliance, RunError};
use crate::routeros::disk::{DiskRow, Fields, PoolRow};
use crate::routeros::probe;
use crate::routeros::script::Script;
use crate::volume::plan::Volume;

/// How long a read waits for others who want it, too.
const GATHER: Duration = Duration::from_millis(5);
/// What one read may take: 10,000 rows are megabytes.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Every file disk and the pools.
#[derive(Debug, Deserialize)]
pub(crate) struct Census {
    /// File disks, whosever.
    #[serde(deserialize_with = "disks")]
    pub(crate) disks: Vec<DiskRow>,
    /// The configured pools, as far as they exist.
    #[serde(deserialize_with = "pools")]
    pub(crate) pools: Vec<PoolRow>,
    #[serde(skip)]
    ours: OnceLock<Vec<Listed>>,
}

/// A volume or snapshot that is proven ours.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) handle: String,
    pub(crate) slot: Slot,
    pub(crate) volume: Volume,
}

impl Census {
    /// The disks that are ours, as the first who asks finds them: all who share the read share that work.
    pub(crate) fn ours(&self, find: impl FnOnce(&[DiskRow]) -> Vec<Listed>) -> &[Listed] {
        self.ours.get_or_init(|| find(&self.disks))
    }
}

/// The pools alone.
#[derive(Debug, Deserialize)]
pub(crate) struct PoolList {
    /// The configured pools, as far as they exist.
    #[serde(deserialize_with = "pools")]
    pub(crate) pools: Vec<PoolRow>,
}

type Outcome<T> = Option<Result<Arc<T>, RunError>>;
type Next<T> = Mutex<Option<watch::Receiver<Outcome<T>>>>;

/// The read that has not begun yet, and the turn of the one that is under way.
#[derive(Debug)]
pub(super) struct Shared<T> {
    next: Arc<Next<T>>,
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { next: Arc::default(), reading: Arc::default() }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Shared<T> {
    /// Joins the next read, or begins it.
    pub(super) async fn read(
        &self,
        appliance: &Arc<Appliance>,
        command: Script,
        deadline: Deadline,
    ) -> Result<Arc<T>, RunError> {
        let mut outcome = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.get_or_insert_with(|| self.begin(Arc::clone(appliance), command)).clone()
        };
        match timeout_at(deadline.instant(), outcome.wait_for(Option::is_some)).await {
            Ok(Ok(seen)) => {
                seen.clone().unwrap_or_else(|| Err(RunError::Unreachable("nothing was read".to_owned())))
            }
            Ok(Err(_)) => Err(RunError::Unreachable("the read was given up".to_owned())),
            Err(_) => {
                Err(RunError::Unreachable("the disks could not be read within the deadline".to_owned()))
            }
        }
    }

    fn begin(&self, appliance: Arc<Appliance>, command: Script) -> watch::Receiver<Outcome<T>> {
        let (told, outcome) = watch::channel(None);
        let (next, reading) = (Arc::clone(&self.next), Arc::clone(&self.reading));
        let read = async move {
            tokio::time::sleep(GATHER).await;
            let _turn = reading.lock().await;
            // From here on whoever asks wants a later one.
            next.lock().unwrap_or_else(PoisonError::into_inner).take();
            let answer = appliance.run::<T>(&command, Deadline::after(LIMIT), Patience::None).await;
            told.send_replace(Some(answer.map(Arc::new)));
        };
        tokio::spawn(read.in_current_span());
        outcome
    }
}

fn pools<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PoolRow>, D::Error> {
    let pools = Value::deserialize(deserializer)?;
    probe::rows_of_pools(&pools).map_err(serde::de::Error::custom)
}

// Row by row: the text of thousands of disks is never held as a tree.
fn disks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DiskRow>, D::Error> {
    struct Rows;
    impl<'de> Visitor<'de> for Rows {
        type Value = Vec<DiskRow>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of disks")
        }

        // An empty list of RouterOS may come as an empty text.
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
            let mut disks = Vec::new();
            while let Some(row) = rows.next_element::<Value>()? {
                match Fields::of(&row, "disks").and_then(DiskRow::read) {
                    Ok(disk) => disks.push(disk),
                    // Somebody else's disk may be of a kind we cannot read; it must not hide ours.
                    Err(error) => tracing::warn!(%error, "a disk could not be read"),
                }
            }
            disks.shrink_to_fit();
            Ok(disks)
        }
    }
    deserializer.deserialize_any(Rows)
}
