//! Publications that have ended, and their objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use neap_bucket::{Bucket, Key, PublishedObject, VersionedValue};
use neap_catalog::{ANY_AGE, Catalog};
use neap_manifest::Manifest;
use neap_schema::{DatabaseId, TableId};

use crate::{CompactError, listing::ListingPages};

/// The publications of a database that have ended.
#[derive(Debug, Default)]
pub(crate) struct EndedPublications {
    pub(crate) publications: BTreeSet<(TableId, u64)>,
    /// The keys of their objects. The version hints come first, so that readers don't find metadata without files.
    pub(crate) keys: Vec<String>,
}

/// The numbers of a table whose objects are deleted.
enum DeletedNumbers {
    /// All up to this one, and the version hint: the table is withdrawn.
    UpTo(u64),
    /// All below this one.
    Below(u64),
}

impl DeletedNumbers {
    fn has(&self, object: PublishedObject) -> bool {
        match (self, object.number()) {
            (Self::UpTo(last), number) => number.is_none_or(|number| number <= *last),
            (Self::Below(first), number) => number.is_some_and(|number| number < *first),
        }
    }
}

impl EndedPublications {
    /// Finds the publications that have ended: those of dropped tables, those that were replaced at least `grace` ago,
    /// and old ones. Sends no request if nothing is published.
    pub(crate) async fn list(
        bucket: &Bucket,
        catalogs: &Catalog,
        database: DatabaseId,
        manifest: &VersionedValue<Manifest>,
        grace: Duration,
    ) -> Result<Self, CompactError> {
        let Some(now) = manifest.current_at else {
            return Ok(Self::default());
        };
        let value = &manifest.value;
        if value.publications.is_empty() {
            return Ok(Self::default());
        }
        let withdrawn = dropped_tables(catalogs, database, value).await?;
        let publications = value.ended_publications(now, grace, &withdrawn);
        if publications.is_empty() {
            return Ok(Self::default());
        }
        let keys = keys(bucket, database, deleted_numbers(value, &publications)).await?;
        Ok(Self { publications, keys })
    }
}

/// Returns the published tables that are dropped.
async fn dropped_tables(
    catalogs: &Catalog,
    database: DatabaseId,
    manifest: &Manifest,
) -> Result<BTreeSet<TableId>, CompactError> {
    let root = catalogs.root(ANY_AGE).await?;
    let entry = root.value.databases().get(&database);
    let is_dropped = entry.is_none_or(|entry| entry.deletion.is_some());
    // A catalog from memory may lack tables that another process has published.
    let catalog = catalogs.database(database, Duration::ZERO).await?.value;
    let is_gone = |table: &TableId| {
        let known = catalog.table_by_id(*table);
        is_dropped || known.is_none_or(|table| table.deletion().is_some())
    };
    let published = manifest.publications.iter().map(|one| one.table);
    Ok(published.filter(is_gone).collect())
}

/// Returns which objects of each table are deleted.
fn deleted_numbers(
    manifest: &Manifest,
    ended: &BTreeSet<(TableId, u64)>,
) -> BTreeMap<TableId, DeletedNumbers> {
    let mut numbers: BTreeMap<TableId, DeletedNumbers> = BTreeMap::new();
    for (table, number) in ended {
        // In ascending order, so the last one of a table counts.
        numbers.insert(*table, DeletedNumbers::UpTo(*number));
    }
    for kept in &manifest.publications {
        if ended.contains(&(kept.table, kept.number)) {
            continue;
        }
        if let Some(deleted) = numbers.get_mut(&kept.table) {
            let first = match deleted {
                DeletedNumbers::UpTo(_) => kept.number,
                DeletedNumbers::Below(first) => kept.number.min(*first),
            };
            *deleted = DeletedNumbers::Below(first);
        }
    }
    numbers
}

async fn keys(
    bucket: &Bucket,
    database: DatabaseId,
    numbers: BTreeMap<TableId, DeletedNumbers>,
) -> Result<Vec<String>, CompactError> {
    let prefix = Key::published_prefix(database);
    let (mut hints, mut others) = (Vec::new(), Vec::new());
    let mut pages = ListingPages::new(bucket, &prefix);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            let Ok(Key::Published(of, table, object)) = entry.key.parse() else {
                continue;
            };
            let deleted = numbers.get(&table);
            if of != database || !deleted.is_some_and(|numbers| numbers.has(object)) {
                continue;
            }
            match object {
                PublishedObject::VersionHint => hints.push(entry.key),
                _ => others.push(entry.key),
            }
        }
    }
    hints.append(&mut others);
    Ok(hints)
}
