//! The store of a function and the metrics of its requests.

use std::sync::Arc;

use neap_bucket::{
    Bucket, CountingStore, ObjectUploads, PresignedObjects, ProtocolMargins, StoreConfig,
    StoreConfigError, StoreKind, World,
};
use neap_http::{MetricKind, Metrics};

/// A store that has received no requests yet.
#[derive(Clone, Debug)]
pub struct FunctionStore {
    /// The bucket of the store.
    pub bucket: Bucket,
    /// The kind of the store.
    pub kind: StoreKind,
    /// The margins that a new cluster gets.
    pub margins: ProtocolMargins,
    /// Signs URLs of objects that clients fetch from the store directly.
    pub links: Option<PresignedObjects>,
    /// Uploads of objects, piece by piece.
    pub uploads: ObjectUploads,
    /// The stores, which count their requests.
    pub counters: Vec<Arc<CountingStore>>,
    /// When the stores were opened, in nanoseconds since the Unix epoch.
    pub opened_at: i64,
    /// The metrics of the instance, starting with those of the store.
    pub metrics: Metrics,
}

impl FunctionStore {
    /// Sets whether the store's clock is right even if it differs from this machine's clock.
    #[must_use]
    pub fn trusting_store_clock(self, trusted: bool) -> Self {
        Self { bucket: self.bucket.trusting_store_clock(trusted), ..self }
    }

    /// Opens the configured store.
    ///
    /// # Errors
    /// The configured store can't be opened.
    pub fn open(config: &StoreConfig, world: &World) -> Result<Self, StoreConfigError> {
        let opened = config.open(world, None)?;
        let metrics = Metrics::default();
        let (bucket, counters) = opened.bucket(world, CountingStore::new);
        register_request_metrics(&metrics, counters.clone());
        Ok(Self {
            bucket,
            kind: opened.kind,
            margins: opened.margins,
            links: opened.links,
            uploads: opened.uploads,
            counters,
            opened_at: world.clock.wall_micros().saturating_mul(1_000),
            metrics,
        })
    }
}

/// Registers the request metrics under the same names as in `neap serve`.
fn register_request_metrics(metrics: &Metrics, stores: Vec<Arc<CountingStore>>) {
    let help = "Requests to the store by operation and class of key.";
    let name = "neap_store_requests_total";
    metrics.collect(name, help, MetricKind::Counter, move |samples| {
        // All keys of a class are in the same store.
        for (operation, class, count) in stores.iter().flat_map(|store| {
            let counts = store.counts();
            counts.iter().collect::<Vec<_>>()
        }) {
            let labels = [("operation", operation.as_str()), ("class", class.as_str())];
            samples.add(&labels, count.requests);
        }
    });
}
