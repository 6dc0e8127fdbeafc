//! Assembles the compact function from a bucket and its settings.

use std::sync::Arc;

use neap_bucket::{Bucket, ProtocolMargins, ProtocolRules};
use neap_catalog::Catalog;
use neap_manifest::{ManifestSettings, ManifestStore};
use neap_wal::{TailReader, TailReaderSettings};

use crate::{
    CacheBackfill, Compactor, CompactorSettings, EventDispatcher, FlushLimits, Flusher,
    GarbageCollector, GarbageCollectorSettings, Maintainer, MergePolicy, Merger,
    merge::{max_input_bytes, max_inputs_within},
};

/// Components and settings of a [`Compactor`]. Each compactor has its own caches.
#[derive(Clone, Debug)]
pub struct CompactParts {
    /// The bucket.
    pub bucket: Bucket,
    /// Margins for a cluster that this function creates on first access.
    pub margins: ProtocolMargins,
    /// The rules of the storage protocol in this cluster.
    pub rules: ProtocolRules,
    /// Limits of one flush.
    pub flush: FlushLimits,
    /// Policy that selects sections to merge.
    pub merge: MergePolicy,
    /// Settings of garbage collection.
    pub collect: GarbageCollectorSettings,
    /// Settings of invocations.
    pub settings: CompactorSettings,
}

impl CompactParts {
    /// Builds the function. Without a dispatcher, it runs its merges itself.
    pub fn assemble(self, dispatcher: Option<Arc<dyn EventDispatcher>>) -> Compactor {
        let Self { bucket, rules, merge, collect, settings, .. } = self;
        // Plan only merges that fit into memory.
        let max_inputs = merge.max_inputs.min(max_inputs_within(settings.merge_memory_bytes));
        let fitting = max_input_bytes(settings.merge_memory_bytes, max_inputs);
        let merge = MergePolicy {
            max_inputs,
            max_output_bytes: merge.max_output_bytes.min(fitting),
            max_rewrite_bytes: merge
                .max_rewrite_bytes
                .min(max_input_bytes(settings.merge_memory_bytes, 1)),
            ..merge
        };
        let catalog = Arc::new(Catalog::new(bucket.clone(), self.margins, None));
        let manifests = ManifestStore::new(bucket.clone(), &rules, ManifestSettings::default());
        let tail = TailReader::new(bucket.clone(), TailReaderSettings::default());
        let flusher = Flusher::new(
            bucket.clone(),
            Arc::clone(&catalog),
            manifests.clone(),
            tail,
            rules,
            self.flush,
        );
        let merger = Merger::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        let maintainer =
            Maintainer::new(bucket.clone(), Arc::clone(&catalog), manifests.clone(), merger, merge)
                .with_damaged_objects(flusher.damaged_objects());
        let backfill = CacheBackfill::new(bucket.clone(), Arc::clone(&catalog), manifests.clone());
        let collector = GarbageCollector::new(bucket.clone(), catalog, manifests, collect);
        Compactor::new(bucket, flusher, maintainer, backfill, collector, dispatcher, settings)
    }
}
