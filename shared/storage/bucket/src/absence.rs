//! The meaning of a missing object: it was not needed so far, or it is lost.
//!
//! A register that is missing looks like one that was never created. A process that took a lost register for a new one
//! would give out ids again, and answer without the rows that the register names. [`Key::absence`] states for each kind of
//! key how the two are told apart.
//!
//! ```text
//!   process                                         store
//!     |-- GET catalog ---------------------------->  |   missing
//!     |-- LIST db/ ------------------------------->  |   an object: the catalog is lost, unless it exists by now
//!     |-- PUT catalog if it is still missing ----->  |   nothing: the bucket is unused
//! ```

use futures::future::{try_join, try_join_all};

use crate::{Bucket, Key, ListRequest, StoreError};

/// How a missing object is told apart from one that was never needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsencePolicy {
    /// It is lost if there is an object that is put only after it: below one of [`Key::dependents`]. It is listed before
    /// the register is created.
    Dependents,
    /// It is lost if a catalog records that it was created.
    Recorded,
    /// It is lost if a register names it.
    Named,
    /// It is created again when it is needed: no row and no id depends on it.
    Restarted,
    /// No object tells that it has existed. The store must not lose it.
    Unnoticed,
    /// It may be missing at any time.
    Optional,
}

/// A register or another object is missing that must exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{key}' is missing, although {evidence}: put it back from a copy of the bucket, or restore a backup; \
     `neap fsck` lists what is missing"
)]
pub struct MissingObject {
    /// The object.
    pub key: String,
    /// Why it must exist.
    pub evidence: String,
}

impl MissingObject {
    /// A catalog records that the object was created.
    pub fn recorded(key: &Key) -> Self {
        Self::new(key, "a catalog records it".to_owned())
    }

    /// Another object exists that needs this one.
    pub fn needed_by(key: &Key, other: &Key) -> Self {
        Self::new(key, format!("'{other}' needs it"))
    }

    /// This process has read the object before.
    pub(crate) fn vanished(key: &Key) -> Self {
        Self::new(key, "it existed before".to_owned())
    }

    fn new(key: &Key, evidence: String) -> Self {
        Self { key: key.to_string(), evidence }
    }
}

impl Key {
    /// Returns how a missing object with a key of this kind is told apart from one that was never needed.
    pub fn absence(&self) -> AbsencePolicy {
        match self {
            Self::RootCatalog | Self::DatabaseCatalog(_) => AbsencePolicy::Dependents,
            Self::Manifest(_) | Self::Documents(_) | Self::RowDeletes => AbsencePolicy::Recorded,
            // The root catalog has entries of the copies that backups hold. Those at a place lie beside their register.
            Self::Backups
            | Self::BackupManifest(_)
            | Self::Parquet(..)
            | Self::Bundle(..)
            | Self::Page(..)
            | Self::PluginCode(_)
            | Self::ImportFile(_) => AbsencePolicy::Named,
            // Windows are computed again, rules begin again, segments are delivered again, caches built again, and files
            // imported again. Sites stop.
            Self::ViewProgress(_)
            | Self::RuleProgress(_)
            | Self::SiteProgress(_)
            | Self::Checkpoint(..)
            | Self::Cache(..)
            | Self::ImportJob(_)
            | Self::BackupProgress(..)
            | Self::Published(..) => AbsencePolicy::Restarted,
            Self::Segment(..) => AbsencePolicy::Unnoticed,
            Self::Tick(..)
            | Self::EngineLog(..)
            | Self::QueryResult(..)
            | Self::TaskResult(..)
            | Self::Export(..)
            | Self::Console(_)
            | Self::Node(_)
            | Self::Probe(..) => AbsencePolicy::Optional,
        }
    }

    /// Returns the prefixes of the objects that are put only after this register exists.
    pub fn dependents(&self) -> Vec<String> {
        match self {
            Self::RootCatalog => vec![Self::DATABASES_PREFIX.to_owned()],
            // A manifest says itself which version of the catalog it needs.
            Self::DatabaseCatalog(database) => {
                vec![Self::tail_prefix(*database), Self::data_prefix(*database)]
            }
            _ => Vec::new(),
        }
    }
}

impl Bucket {
    /// Returns an object that is put only after a register exists: 1 LIST for each of [`Key::dependents`], and another one
    /// in the former location of a tail that is moved. Objects that are not Neap's do not count.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn find_dependent(&self, register: &Key) -> Result<Option<Key>, StoreError> {
        let prefixes = register.dependents();
        let listings = prefixes.iter().map(|prefix| self.list(ListRequest::new(prefix)));
        // A first page has objects of the current location only.
        let former = prefixes.iter().filter_map(|prefix| {
            let store = self.former_store(prefix)?;
            Some(store.list(ListRequest::new(prefix)))
        });
        let (pages, former) = try_join(try_join_all(listings), try_join_all(former)).await?;
        let mut entries = pages.into_iter().chain(former).flat_map(|page| page.value.entries);
        Ok(entries.find_map(|entry| entry.key.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use neap_schema::DatabaseId;

    use super::*;
    use crate::{
        MemoryStore, PutMode, SegmentName, Stamp, Store, TailLocation, TailLocations, World,
    };

    const DATABASE: DatabaseId = DatabaseId::new(5);

    #[test]
    fn registers_that_dependents_prove_have_dependents() {
        for key in Key::one_of_each_kind(DATABASE) {
            let is_proven = key.absence() == AbsencePolicy::Dependents;
            assert_eq!(key.dependents().is_empty(), !is_proven, "{key}");
        }
    }

    #[tokio::test]
    async fn objects_of_the_same_database_prove_that_a_catalog_existed_and_others_do_not() {
        let register = Key::DatabaseCatalog(DATABASE);
        for (other, is_proof) in [
            (Key::Documents(DATABASE).to_string(), false),
            ("data/5/note.txt".to_owned(), false),
            (Key::Bundle(DatabaseId::new(6), ulid::Ulid(1)).to_string(), false),
            (Key::Bundle(DATABASE, ulid::Ulid(1)).to_string(), true),
        ] {
            let world = World::system();
            let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
            let bucket = Bucket::new(Arc::clone(&store) as _, world);
            assert_eq!(bucket.find_dependent(&register).await.unwrap(), None);
            store.put(&other, Bytes::new(), PutMode::Create).await.unwrap();
            let dependent = bucket.find_dependent(&register).await.unwrap();
            assert_eq!(dependent.map(|key| key.to_string()), is_proof.then_some(other));
        }
    }

    #[tokio::test]
    async fn segments_that_are_left_in_the_former_location_prove_that_a_catalog_existed() {
        let world = World::system();
        let [main, tail] = [(); 2].map(|()| {
            let store = MemoryStore::new(Arc::clone(&world.clock));
            Arc::new(store) as Arc<dyn Store>
        });
        let name = SegmentName { stamp: Stamp::from_u64(7), nonce: 1 };
        let segment = Key::Segment(DATABASE, name);
        main.put(&segment.to_string(), Bytes::new(), PutMode::Create).await.unwrap();
        let locations = TailLocations {
            current: TailLocation::bucket("fast"),
            former: Some(TailLocation::MAIN),
        };
        let bucket = Bucket::with_tail(Arc::clone(&main), tail, world)
            .with_tail_locations(locations, Some(main));
        let dependent = bucket.find_dependent(&Key::DatabaseCatalog(DATABASE)).await.unwrap();
        assert_eq!(dependent, Some(segment));
    }
}
