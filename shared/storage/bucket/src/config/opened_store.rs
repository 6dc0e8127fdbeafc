//! The stores that the flags open.

use std::sync::Arc;

use crate::{
    Bucket, FormatLevels, MarginsPreset, ObjectUploads, PresignedObjects, ProtocolMargins, Store,
    TailLocations, World,
};

/// The kind of an opened store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory, and lost when the process ends.
    Memory,
    /// In a directory, shared by the processes of one machine.
    Directory,
    /// Behind a network, shared by any number of machines.
    Network,
}

impl StoreKind {
    /// Returns the margins of a new cluster on such a store.
    pub fn margins(self, preset: MarginsPreset) -> ProtocolMargins {
        match (self, preset) {
            (Self::Memory | Self::Directory, MarginsPreset::Standard) => ProtocolMargins::LOCAL,
            (Self::Memory | Self::Directory, MarginsPreset::Short) => ProtocolMargins::SHORT_LOCAL,
            (Self::Network, MarginsPreset::Standard) => ProtocolMargins::NETWORK,
            (Self::Network, MarginsPreset::Short) => ProtocolMargins::SHORT_NETWORK,
        }
    }
}

/// The stores of a database.
#[derive(Clone, Debug)]
pub struct OpenedStore {
    /// The store of all objects, or of all objects except segments.
    pub main: Arc<dyn Store>,
    /// The store of segments; the same as `main` without `--tail-bucket`.
    pub tail: Arc<dyn Store>,
    /// The store of earlier segments; the same as `main` if `--former-tail-bucket` names the main bucket.
    pub former_tail: Option<Arc<dyn Store>>,
    /// The names of the stores of segments; `None` if the kind of the store has only one location for them.
    pub tail_locations: Option<TailLocations>,
    /// The kind of the stores.
    pub kind: StoreKind,
    /// The margins of a new cluster.
    pub margins: ProtocolMargins,
    /// The format levels of this program, with that of a new cluster.
    pub format_levels: FormatLevels,
    /// The objects of the main store that clients fetch directly from it; `None` unless the store is behind a network.
    pub links: Option<PresignedObjects>,
    /// Uploads of objects to the main store, piece by piece.
    pub uploads: ObjectUploads,
}

impl OpenedStore {
    /// Returns the bucket on the stores, each of which `wrap` wraps, and the wrapped stores, the main one first.
    pub fn bucket<S: Store>(
        &self,
        world: &World,
        wrap: impl Fn(Arc<dyn Store>) -> S,
    ) -> (Bucket, Vec<Arc<S>>) {
        let main = Arc::new(wrap(Arc::clone(&self.main)));
        let mut stores = vec![Arc::clone(&main)];
        let mut wrapped = |store: &Arc<dyn Store>| -> Arc<dyn Store> {
            if Arc::ptr_eq(store, &self.main) {
                return Arc::clone(&main) as _;
            }
            let other = Arc::new(wrap(Arc::clone(store)));
            stores.push(Arc::clone(&other));
            other
        };
        let tail = wrapped(&self.tail);
        let former = self.former_tail.as_ref().map(wrapped);
        let bucket =
            Bucket::with_tail(main, tail, world.clone()).with_format_levels(self.format_levels);
        let located = match &self.tail_locations {
            None => bucket,
            Some(locations) => bucket.with_tail_locations(locations.clone(), former),
        };
        (located, stores)
    }
}
