//! Damaged objects that components of this process have found, for `/ready` and the metrics.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use neap_compact::DamagedObjects;
use neap_fsck::Scrubber;
use neap_http::Metrics;
use neap_manifest::SnapshotReader;

use super::readiness::{ConditionSource, ReadinessCondition};

/// The maximum number of objects that `/ready` names.
const MAX_NAMES: usize = 10;

/// A component that finds damaged objects.
pub(super) trait DamageSource: std::fmt::Debug + Send + Sync {
    /// Returns the names of the objects that are damaged and that no operator has quarantined.
    fn damaged(&self) -> Vec<String>;
}

impl DamageSource for DamagedObjects {
    fn damaged(&self) -> Vec<String> {
        self.names()
    }
}

impl DamageSource for Scrubber {
    fn damaged(&self) -> Vec<String> {
        self.damaged_parts()
    }
}

/// The damaged objects that flushes, maintenance, the scrubber and queries have found and that no operator has
/// quarantined.
#[derive(Debug)]
pub(super) struct DamageMonitor {
    jobs: Mutex<Vec<Arc<dyn DamageSource>>>,
    snapshots: Arc<SnapshotReader>,
}

impl DamageMonitor {
    /// Creates a monitor of the objects that queries read.
    pub(super) fn new(snapshots: Arc<SnapshotReader>) -> Self {
        Self { jobs: Mutex::default(), snapshots }
    }

    /// Adds the damaged objects that a job finds.
    pub(super) fn add(&self, source: Arc<dyn DamageSource>) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(source);
    }

    fn names(&self) -> BTreeSet<String> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let of_jobs = jobs.iter().flat_map(|source| source.damaged());
        of_jobs.chain(self.snapshots.damaged_objects()).collect()
    }

    pub(super) fn register(self: &Arc<Self>, metrics: &Metrics) {
        metrics.read_from(Arc::clone(self)).gauge(
            "neap_damaged_objects",
            "Damaged objects that this process has found and that no operator has quarantined.",
            |monitor| monitor.names().len(),
        );
    }
}

impl ConditionSource for DamageMonitor {
    /// Returns one condition, with the names of some of the objects.
    fn conditions(&self) -> Vec<ReadinessCondition> {
        let names = self.names();
        if names.is_empty() {
            return Vec::new();
        }
        let count = names.len();
        let first: Vec<_> = names.into_iter().take(MAX_NAMES).collect();
        let more = if count > MAX_NAMES { ", …" } else { "" };
        let first = first.join(", ");
        let text = format!("{count} damaged objects, see `neap fsck`: {first}{more}");
        let name = "damage";
        vec![ReadinessCondition { name, text }]
    }
}
