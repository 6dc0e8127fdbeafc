//! The client of a store.

use object_store::{ObjectStore, list::PaginatedListStore, signer::Signer};

/// The `object_store` traits that the client of a store implements.
pub(crate) trait ObjectStoreBackend: ObjectStore + PaginatedListStore + Signer {}

impl<T: ObjectStore + PaginatedListStore + Signer> ObjectStoreBackend for T {}
