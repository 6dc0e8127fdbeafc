//! The UUID of the cluster, which is a header of every answer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use neap_bucket::World;
use neap_catalog::{ANY_AGE, Catalog};

/// The header with the UUID of the cluster.
pub const CLUSTER_HEADER: HeaderName = HeaderName::from_static("cluster-uuid");

/// Maximum time that an answer waits for the UUID of the cluster.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The UUID of the cluster, read from the root catalog when the first answer needs it. Clones share it.
#[derive(Clone, Debug)]
pub struct ClusterId {
    catalog: Arc<Catalog>,
    known: Arc<OnceLock<HeaderValue>>,
}

impl ClusterId {
    /// Creates the UUID of a catalog's cluster. Costs no request if the root catalog was read before.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, known: Arc::default() }
    }

    /// Returns the UUID; `None` while the store does not answer.
    pub(crate) async fn header_value(&self, world: &World) -> Option<HeaderValue> {
        if let Some(known) = self.known.get() {
            return Some(known.clone());
        }
        let root = world.timeout(LONGEST_WAIT, self.catalog.root(ANY_AGE)).await?.ok()?;
        let value = HeaderValue::from_str(root.value.cluster()).ok()?;
        Some(self.known.get_or_init(|| value).clone())
    }
}
