//! Damaged objects found by jobs: selects the readable parts of a tail, and reports the damage to operators.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neap_manifest::{DamageRecord, Manifest};
use neap_schema::DatabaseId;
use neap_wal::Segment;

/// Maximum number of damaged objects remembered for a database, besides those in its manifest.
const MAX_OBJECTS: usize = 100;

/// The damaged objects of one database.
#[derive(Debug, Default)]
struct DatabaseDamage {
    /// Objects that the manifest records and that no operator has quarantined.
    recorded: BTreeSet<String>,
    /// The segment that stopped the last flush.
    segment: Option<String>,
    /// Pages and bundles that plans and merges could not read since the latest quarantine.
    data: BTreeSet<String>,
    /// Manifest version of the latest quarantine by an operator.
    quarantine: u64,
}

impl DatabaseDamage {
    fn names(&self) -> impl Iterator<Item = &String> {
        let unreadable = self.segment.iter().chain(&self.data);
        self.recorded.iter().chain(unreadable)
    }
}

/// Damaged objects of a bucket that the jobs of this process know, for metrics and `/ready`.
#[derive(Debug, Default)]
pub struct DamagedObjects(Mutex<BTreeMap<DatabaseId, DatabaseDamage>>);

impl DamagedObjects {
    fn databases(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, DatabaseDamage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, database: DatabaseId, change: impl FnOnce(&mut DatabaseDamage)) {
        let mut databases = self.databases();
        let of_database = databases.entry(database).or_default();
        change(of_database);
        if of_database.names().next().is_none() && of_database.quarantine == 0 {
            databases.remove(&database);
        }
    }

    /// Takes over the damage recorded in a manifest. A new quarantine clears the pages and bundles found before.
    pub(crate) fn record_manifest(&self, database: DatabaseId, manifest: &Manifest) {
        let reported = manifest.reported_damage();
        let recorded = reported.map(|record| record.name(database)).collect();
        let quarantine = manifest.last_quarantine();
        self.change(database, |one| {
            one.recorded = recorded;
            if quarantine != one.quarantine {
                one.quarantine = quarantine;
                // Remaining damage is found again.
                one.data.clear();
            }
        });
    }

    /// Records the segment that stops a flush, or `None` if no segment does.
    pub(crate) fn record_flush(&self, database: DatabaseId, segment: Option<String>) {
        self.change(database, |one| one.segment = segment);
    }

    /// Records a page or bundle that a plan or merge could not read.
    pub(crate) fn record_data(&self, database: DatabaseId, name: String) {
        self.change(database, |one| {
            if one.data.len() < MAX_OBJECTS {
                one.data.insert(name);
            }
        });
    }

    /// Returns the names of the objects, sorted.
    pub fn names(&self) -> Vec<String> {
        let databases = self.databases();
        let names: BTreeSet<_> = databases.values().flat_map(DatabaseDamage::names).collect();
        names.into_iter().cloned().collect()
    }
}

/// Returns the segments in order, without damaged or quarantined streams, and the damage records of streams that the
/// manifest does not record yet.
pub(crate) fn readable(
    manifest: &Manifest,
    segments: &[Arc<Segment>],
) -> (Vec<Arc<Segment>>, Vec<DamageRecord>) {
    let mut damage = Vec::new();
    let rest = segments.iter().filter_map(|segment| {
        let segment = manifest.admit(segment)?;
        if !segment.is_damaged() {
            return Some(segment);
        }
        let record = DamageRecord::of_streams(&segment);
        let rest = segment.without_streams(&record.streams);
        damage.push(record);
        Some(Arc::new(rest))
    });
    (rest.collect(), damage)
}
