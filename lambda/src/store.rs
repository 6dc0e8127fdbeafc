//! The store of a function, and what is counted of it.

use std::sync::Arc;

use neap_bucket::{
    Bucket, CountingStore, Links, Margins, Store, StoreConfig, StoreConfigError, StoreKind, World,
};
use neap_http::{MetricKind, Metrics};

/// A store that nothing was asked of yet.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The bucket on it.
    pub bucket: Bucket,
    /// What kind it is.
    pub kind: StoreKind,
    /// The margins that a new cluster gets.
    pub margins: Margins,
    /// The objects that clients fetch themselves.
    pub links: Option<Links>,
    /// The metrics of the instance, of which the first are those of the store.
    pub metrics: Metrics,
}

impl Opened {
    /// Opens what the options name.
    ///
    /// # Errors
    /// They name nothing that can be opened.
    pub fn open(config: &StoreConfig, world: &World) -> Result<Self, StoreConfigError> {
        let opened = config.open(world, None)?;
        let metrics = Metrics::default();
        let is_one = Arc::ptr_eq(&opened.main, &opened.tail);
        let main = Arc::new(CountingStore::new(opened.main));
        let counted = Arc::clone(&main) as Arc<dyn Store>;
        let bucket = if is_one {
            show(&metrics, vec![main]);
            Bucket::new(counted, world.clone())
        } else {
            let tail = Arc::new(CountingStore::new(opened.tail));
            show(&metrics, vec![main, Arc::clone(&tail)]);
            Bucket::with_tail(counted, tail, world.clone())
        };
        Ok(Self {
            bucket,
            kind: opened.kind,
            margins: opened.margins,
            links: opened.links,
            metrics,
        })
    }
}

/// Adds the requests to the metrics, by the names that they have in `neap serve`.
fn show(metrics: &Metrics, stores: Vec<Arc<CountingStore>>) {
    let help = "Requests to the store by operation and class of key.";
    let name = "neap_store_requests_total";
    metrics.collect(name, help, MetricKind::Counter, move |samples| {
        // Keys of one class are all in the same store.
        for (operation, class, count) in stores.iter().flat_map(|store| {
            let counts = store.counts();
            counts.iter().collect::<Vec<_>>()
        }) {
            let labels = [("operation", operation.as_str()), ("class", class.as_str())];
            samples.add(&labels, count.requests);
        }
    });
}
