//! Publications: sections of a table that other tools read through metadata outside of Neap.
//!
//! ```text
//!   publisher                                     store
//!     |-- GET manifest, catalog, pages ---------->  |   selects the sections of each table
//!     |-- commit: record the publications ------->  |   from now on, their objects are kept
//!     |-- PUT metadata of each table ------------>  |   crash before the end: the next run publishes again
//! ```
//!
//! A recorded publication keeps the objects of the sections that its version of the manifest has, in the same way as a
//! [`VersionPin`](crate::VersionPin). Its number is that of the version that recorded it, so numbers are never reused.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::{CommitOutcome, RegisterChange, StoreTime, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    CondemnedEntry, Manifest, ManifestError, ManifestStore, Publication, condemned::DroppedItem,
    error::no_date,
};

/// Time for which a publication keeps its objects, unless it is replaced (7 days). A table that is not published again
/// in this time is withdrawn.
pub const PUBLICATION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum number of publications in a manifest. Each takes about 150 bytes.
pub const MAX_PUBLICATIONS: usize = 4_096;

/// A table to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationRequest {
    /// The table.
    pub table: TableId,
    /// A checksum of the content.
    pub content: String,
}

/// The result of recording publications.
#[derive(Clone, Debug)]
pub enum PublicationOutcome {
    /// The publications are recorded, in the order of the requests.
    Recorded(Vec<Publication>),
    /// The version can no longer be read, so that its objects may be deleted.
    Gone,
    /// There would be more than [`MAX_PUBLICATIONS`].
    TooMany,
}

/// Reason why publications were not recorded.
enum PublicationRefusal {
    Gone,
    TooMany,
}

impl Manifest {
    /// Returns the newest publication of a table.
    pub fn newest_publication(&self, table: TableId) -> Option<&Publication> {
        let of_table = self.publications.iter().filter(|one| one.table == table);
        of_table.max_by_key(|one| one.number)
    }

    /// Returns whether a publication keeps a dropped item.
    pub(crate) fn is_published(&self, entry: &CondemnedEntry) -> bool {
        self.publications.iter().any(|publication| {
            let is_of_table = match &entry.what {
                // Bundles are never published.
                DroppedItem::Section(section) => {
                    section.table == publication.table && !section.in_bundle
                }
                DroppedItem::Page(page) => page.may_hold(publication.table),
                DroppedItem::Object(_) => false,
            };
            is_of_table && entry.may_be_in(publication.version)
        })
    }

    /// Returns the publications that are no longer needed, by table and number: those of `withdrawn` tables, those older
    /// than [`PUBLICATION_LIFETIME`], and those that were replaced at least `grace` ago. A publication counts as replaced
    /// from its second successor on, because the metadata of the first one may be incomplete.
    pub fn ended_publications(
        &self,
        now: StoreTime,
        grace: Duration,
        withdrawn: &BTreeSet<TableId>,
    ) -> BTreeSet<(TableId, u64)> {
        let has_ended = |one: &&Publication| {
            let mut later: Vec<_> = self
                .publications
                .iter()
                .filter(|other| other.table == one.table && other.number > one.number)
                .map(|other| other.published)
                .collect();
            later.sort_unstable();
            let is_replaced = later.get(1).is_some_and(|at| now.since(*at) >= grace);
            let is_old = now.since(one.published) >= PUBLICATION_LIFETIME;
            withdrawn.contains(&one.table) || is_old || is_replaced
        };
        let ended = self.publications.iter().filter(has_ended);
        ended.map(|one| (one.table, one.number)).collect()
    }
}

impl ManifestStore {
    /// Records publications of the sections of `version`, so that their objects are kept.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::OutcomeUnknown`].
    pub async fn record_publications(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        version: u64,
        requests: &[PublicationRequest],
    ) -> Result<PublicationOutcome, ManifestError> {
        let published = self.bucket.clock().now().ok_or_else(no_date)?;
        let identity = self.bucket.draw_ulid();
        let change = |base: &VersionedValue<Manifest>| {
            if version < base.value.oldest_readable || version > base.version {
                return Err(PublicationRefusal::Gone);
            }
            if base.value.publications.len() + requests.len() > MAX_PUBLICATIONS {
                return Err(PublicationRefusal::TooMany);
            }
            let mut next = Manifest::successor(base);
            let recorded: Vec<_> = requests
                .iter()
                .map(|request| Publication {
                    table: request.table,
                    number: base.version + 1,
                    version,
                    published,
                    identity: match base.value.newest_publication(request.table) {
                        Some(newest) => newest.identity,
                        None => identity,
                    },
                    content: request.content.clone(),
                })
                .collect();
            next.publications.extend(recorded.iter().cloned());
            Ok(RegisterChange::Put(next, recorded))
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { result, .. } => Ok(PublicationOutcome::Recorded(result)),
            CommitOutcome::Refused(PublicationRefusal::Gone) => Ok(PublicationOutcome::Gone),
            CommitOutcome::Refused(PublicationRefusal::TooMany) => Ok(PublicationOutcome::TooMany),
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }
}
