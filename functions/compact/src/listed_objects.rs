//! The data objects of a database, as the store lists them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{Bucket, Key, ListEntry};
use neap_manifest::{Manifest, ObjectName};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{CompactError, listing::ListingPages};

/// The data objects of a database that a collection looks at.
#[derive(Debug, Default)]
pub(crate) struct ListedObjects {
    /// Objects that are old enough to be orphans and that the register itself does not reference. Its pages may still
    /// reference them.
    pub(crate) old: BTreeSet<ObjectName>,
    /// The sizes of bundles in bytes, if the manifest records row deletes.
    pub(crate) bundle_sizes: BTreeMap<Ulid, u64>,
}

impl ListedObjects {
    /// Lists the objects. Those of at least `orphan_age` are old.
    pub(crate) async fn list(
        bucket: &Bucket,
        database: DatabaseId,
        manifest: &Manifest,
        orphan_age: Duration,
    ) -> Result<Self, CompactError> {
        let inline: BTreeSet<_> = manifest
            .sections
            .iter()
            .map(|section| section.object_name())
            .chain(manifest.pages.iter().map(|page| ObjectName::Page(page.object)))
            .collect();
        let has_row_deletes = manifest.deletes.iter().any(|recorded| !recorded.expiry);
        let mut listed = Self::default();
        let prefix = Key::data_prefix(database);
        let mut pages = ListingPages::new(bucket, &prefix);
        while let Some(page) = pages.next().await? {
            let is_old = |entry: &ListEntry| {
                let age = page.date.map(|date| date.since(entry.last_modified));
                age.is_some_and(|age| age >= orphan_age)
            };
            for entry in &page.entries {
                let named = entry.key.parse::<Key>().ok().and_then(|key| ObjectName::of_key(&key));
                let Some((_, name)) = named.filter(|(of, _)| *of == database) else {
                    continue;
                };
                if let ObjectName::Bundle(bundle) = name
                    && has_row_deletes
                {
                    listed.bundle_sizes.insert(bundle, entry.size_bytes);
                }
                if is_old(entry) && !inline.contains(&name) {
                    listed.old.insert(name);
                }
            }
        }
        Ok(listed)
    }
}
