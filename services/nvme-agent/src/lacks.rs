//! What the node lacks: looked at again and again, told once each in the log and, as long as it is so, in readiness and in
//! a metric. A missing kernel module is also an Event of the node.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::health::Condition;
use chassis::shutdown::Shutdown;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::events::{NodeHappening, Reporter};
use crate::filesystem;
use crate::kernel::exec::is_installed;
use crate::kernel::{Kernel, Lack};

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// Everything that may be missing.
const WORDS: [&str; 6] = ["module", "host_network", "host_pid", "mount_propagation", "multipath", "tool"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    what: &'static str,
}

/// The last look.
#[derive(Clone)]
pub(crate) struct Lacks {
    kernel: Arc<dyn Kernel>,
    kubelet: PathBuf,
    reporter: Reporter,
    known: Arc<Mutex<Vec<Lack>>>,
    missing: Family<Labels, Gauge>,
}

impl Lacks {
    pub(crate) fn new(kernel: Arc<dyn Kernel>, kubelet: PathBuf, reporter: Reporter) -> Self {
        let missing = Family::<Labels, Gauge>::default();
        for what in WORDS {
            missing.get_or_create(&Labels { what }).set(0);
        }
        Self { kernel, kubelet, reporter, known: Arc::default(), missing }
    }

    /// Shows them as `rds_node_missing`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("rds_node");
        let help = "1 for each thing the node lacks: a kernel module, the host's network or processes, mount propagation, native multipath, a tool";
        registry.register("missing", help, self.missing.clone());
    }

    /// What is missing now, as of the last look.
    pub(crate) fn known(&self) -> Vec<Lack> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks until shutdown.
    pub(crate) async fn watch(self, condition: Condition, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = ticks.tick() => {}
            }
            let mut now = self.kernel.missing(&self.kubelet).await;
            now.extend(missing_tools());
            self.tell(&now);
            let grave: Vec<&str> =
                now.iter().filter(|lack| lack.grave).map(|lack| lack.why.as_str()).collect();
            if grave.is_empty() {
                condition.ready()
            } else {
                condition.not_ready(grave.join("; "))
            }
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    fn tell(&self, now: &[Lack]) {
        let before = self.known();
        for lack in now.iter().filter(|lack| !before.contains(lack)) {
            tracing::warn!(what = lack.what, grave = lack.grave, "{}", lack.why);
            if lack.what == "module" {
                self.reporter.report_node(NodeHappening::ModuleMissing(lack.why.clone()));
            }
        }
        for what in before.iter().chain(now).map(|lack| lack.what) {
            let missing = now.iter().any(|lack| lack.what == what);
            self.missing.get_or_create(&Labels { what }).set(i64::from(missing));
        }
    }
}

/// One line for all of them: a volume that needs one is told of it by name.
fn missing_tools() -> Option<Lack> {
    let missing = filesystem::TOOLS.into_iter().filter(|tool| !is_installed(*tool));
    let each: Vec<String> = missing.map(|tool| format!("{} (package {})", tool.name, tool.package)).collect();
    (!each.is_empty())
        .then(|| Lack::slight("tool", format!("not installed on this node: {}", each.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_once_and_shown_until_it_is_there() {
        let (reporter, _sending) = Reporter::new("node-a".to_owned());
        let kernel = crate::kernel::linux::Linux::new(Vec::new(), &crate::lanes::Lanes::default());
        let lacks = Lacks::new(Arc::new(kernel), "/k".into(), reporter.clone());
        let module = vec![Lack::grave("module", "load it")];
        let shown = || lacks.missing.get_or_create(&Labels { what: "module" }).get();
        lacks.tell(&module);
        assert_eq!((reporter.waiting(), shown()), (1, 1));
        *lacks.known.lock().expect("not poisoned") = module.clone();
        lacks.tell(&module);
        assert_eq!(reporter.waiting(), 1, "not again");
        lacks.tell(&[]);
        assert_eq!(shown(), 0);
    }
}
