//! The data objects that a publication names.

use std::collections::{BTreeMap, BTreeSet};

use neap_bucket::{Bucket, Key, StoreError};
use neap_manifest::Section;
use neap_schema::DatabaseId;

use crate::listing::ListingPages;

/// The lengths of the objects of sections, as a listing gives them.
///
/// Objects of the first releases may be bundles with the name of a section. Their lengths show it.
#[derive(Debug, Default)]
pub(super) struct DataObjects(BTreeMap<Key, u64>);

impl DataObjects {
    /// Lists the objects of sections of `database`, which may be in several databases.
    pub(super) async fn of(
        bucket: &Bucket,
        database: DatabaseId,
        sections: impl Iterator<Item = &Section>,
    ) -> Result<Self, StoreError> {
        let mut wanted = BTreeSet::new();
        let mut owners = BTreeSet::new();
        for section in sections {
            wanted.insert(section.key(database));
            owners.insert(section.origin.unwrap_or(database));
        }
        let mut lengths = BTreeMap::new();
        for owner in owners {
            let prefix = Key::data_prefix(owner);
            let mut pages = ListingPages::of(bucket, &prefix);
            while let Some(page) = pages.next().await? {
                let entries = page.entries.into_iter();
                let keys = entries.filter_map(|entry| {
                    let key = entry.key.parse().ok()?;
                    wanted.contains(&key).then_some((key, entry.size_bytes))
                });
                lengths.extend(keys);
            }
        }
        Ok(Self(lengths))
    }

    /// Returns whether a section is a whole object that is stored.
    pub(super) fn has_whole(&self, database: DatabaseId, section: &Section) -> bool {
        let length = self.0.get(&section.key(database));
        length == Some(&section.length)
    }
}
