//! The contents that the manifests of the copies of a backup reference.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use neap_bucket::Key;
use neap_catalog::DatabaseCatalog;
use neap_fsck::{Finding, ReferencedContents};
use neap_schema::DatabaseId;

/// The contents that the manifest of each copy references. Copies may share objects, and reference different sections of
/// them.
#[derive(Debug, Default)]
pub(crate) struct BackupContents(pub(crate) BTreeMap<DatabaseId, ReferencedContents>);

impl BackupContents {
    /// Returns the copies that reference an object.
    pub(crate) fn referencing(
        &self,
        key: &Key,
    ) -> impl Iterator<Item = (DatabaseId, &ReferencedContents)> {
        let all = self.0.iter().map(|(copy, contents)| (*copy, contents));
        all.filter(|(_, contents)| contents.contains(key))
    }

    /// Returns the first bytes of the sections or pages of an object.
    pub(crate) fn offsets(&self, key: &Key) -> BTreeSet<u64> {
        let contents = self.0.values();
        contents.flat_map(|one| one.offsets(key)).collect()
    }

    /// Verifies an object. Errors: as of [`ReferencedContents::verify`].
    pub(crate) fn verify(&self, key: &Key, object: &Bytes) -> Result<(), Finding> {
        let mut contents = self.referencing(key).map(|(_, contents)| contents);
        let Some(first) = contents.next() else {
            return ReferencedContents::default().verify(key, object);
        };
        first.verify(key, object)?;
        contents.try_for_each(|contents| contents.verify(key, object))
    }
}

/// Returns the keys of the code that the triggers of a catalog refer to.
pub(crate) fn code_of(catalog: &DatabaseCatalog) -> impl Iterator<Item = Key> {
    let code = catalog.triggers().filter_map(|trigger| trigger.code);
    code.map(Key::PluginCode)
}
