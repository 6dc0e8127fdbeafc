//! Restores a version of a database as a new database, without a copy of its data.
//!
//! ```text
//!   restore                                      store
//!     |-- commit to the source: pin the version -> |   crash after: an unused pin; a collector removes it
//!     |                                            |   if the new database does not appear
//!     |-- PUT the pages of the new database -----> |   crash after: an orphan
//!     |-- commit the new manifest ---------------> |   references the objects of the source
//!     |-- GET the source: does the pin exist? ---> |   if not, or if it is old, the new database is void
//! ```
//!
//! A pin prevents objects of the version from becoming doomed. A collector removes a pin without a database only after
//! twice the time that a restore may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use futures::TryStreamExt;
use neap_bucket::{CommitOutcome, Key, PutMode, RegisterChange, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    DamageRecord, DamagedPart, Manifest, ManifestError, ManifestStore, PendingObject, Section,
    SectionWithFooter, VersionGone, VersionPin,
    error::no_date,
    packing::{MIN_PAGE_SECTIONS, PageLimits, count_tables, divide},
};

/// Maximum time of a restore since its pin (12 h): half of the time after which a collector removes pins without a
/// database.
const RESTORE_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Size from which an object with pages of a restored database is put (16 MiB).
const PAGE_OBJECT_BYTES: usize = 16 << 20;

/// A database could not be restored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestoreError {
    /// The version can no longer be read.
    #[error(transparent)]
    Gone(#[from] VersionGone),
    /// The new database already has data.
    #[error("the new database already has data")]
    NotEmpty,
    /// A manifest could not be read or written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl ManifestStore {
    /// Pins a version of a database, so that its objects are kept for another database.
    ///
    /// # Errors
    /// [`RestoreError::Gone`] if the version can no longer be read, or an error of the store.
    pub async fn pin(
        &self,
        source: DatabaseId,
        base: VersionedValue<Manifest>,
        version: u64,
        database: DatabaseId,
    ) -> Result<VersionedValue<Manifest>, RestoreError> {
        let created = self.bucket.clock().now().ok_or_else(no_date)?;
        let change = |base: &VersionedValue<Manifest>| {
            if version < base.value.oldest_readable || version > base.version {
                let oldest = Manifest::versions(base).first().map(|one| one.mark);
                return Err(VersionGone { oldest });
            }
            let mut next = Manifest::successor(base);
            next.pins.push(VersionPin { version, database, created });
            Ok(RegisterChange::Put(next, ()))
        };
        match self
            .register(source)
            .commit(Some(base), change)
            .await
            .map_err(ManifestError::from)?
        {
            CommitOutcome::Committed { current, .. } => Ok(current),
            CommitOutcome::Refused(gone) => Err(gone.into()),
            CommitOutcome::Unknown { reason } => {
                Err(ManifestError::OutcomeUnknown { reason }.into())
            }
        }
    }

    /// Commits a view of a version of `source` as the first manifest of `database`. The version must be pinned. Rows
    /// before the time of their table in `expired_before` stay invisible, because they have expired in the source.
    ///
    /// # Errors
    /// [`RestoreError::NotEmpty`] if the new database has a manifest. [`ManifestError::InvalidCommit`] if the version is
    /// not or no longer pinned; then the new database must not be used. Otherwise an error of the store.
    pub async fn adopt(
        &self,
        source: DatabaseId,
        view: &Manifest,
        database: DatabaseId,
        needs_catalog: u64,
        expired_before: &[(TableId, i64)],
    ) -> Result<VersionedValue<Manifest>, RestoreError> {
        let view = AdoptedView {
            store: self,
            source,
            manifest: view,
            owner: ObjectOwner::Source,
            expired_before,
        };
        let first = self.first_manifest(view, database, needs_catalog).await?;
        let current = self.commit_first(database, &first).await?;
        self.check_pin(source, database).await?;
        Ok(current)
    }

    async fn commit_first(
        &self,
        database: DatabaseId,
        first: &Manifest,
    ) -> Result<VersionedValue<Manifest>, RestoreError> {
        let change = |base: &VersionedValue<Manifest>| match base.version {
            0 => Ok(RegisterChange::Put(first.clone(), ())),
            _ => Err(RestoreError::NotEmpty),
        };
        let register = self.register(database);
        let commit = register.commit(None, change).await;
        match commit.map_err(ManifestError::from)? {
            CommitOutcome::Committed { current, .. } => Ok(current),
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => {
                Err(ManifestError::OutcomeUnknown { reason }.into())
            }
        }
    }

    /// Commits a manifest of another cluster's database as the first one of `database`, which has copies of all its
    /// sections' objects under its own keys. `from` reads the pages of `source`. Damage that `view` records is left
    /// out, because the damaged objects are not copied.
    ///
    /// # Errors
    /// [`RestoreError::NotEmpty`] if the new database has a manifest, or an error of a store.
    pub async fn adopt_copied_objects(
        &self,
        from: &Self,
        source: DatabaseId,
        view: &Manifest,
        database: DatabaseId,
        needs_catalog: u64,
    ) -> Result<VersionedValue<Manifest>, RestoreError> {
        let view = AdoptedView {
            store: from,
            source,
            manifest: view,
            owner: ObjectOwner::Adopter,
            expired_before: &[],
        };
        let first = self.first_manifest(view, database, needs_catalog).await?;
        self.commit_first(database, &first).await
    }

    /// Returns the sections of a manifest by the keys of their objects. Reads only the heads of pages.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn sections_by_object(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<BTreeMap<Key, Vec<Arc<Section>>>, ManifestError> {
        let mut objects: BTreeMap<Key, Vec<Arc<Section>>> = BTreeMap::new();
        let mut add = |section: &Arc<Section>| {
            let of_object = objects.entry(section.key(database)).or_default();
            of_object.push(Arc::clone(section));
        };
        manifest.sections.iter().for_each(&mut add);
        let mut heads = self.stream_heads(database, manifest.pages.clone());
        while let Some(page) = heads.try_next().await? {
            let of_view = page.iter().filter(|found| manifest.has(&found.section));
            of_view.for_each(|found| add(&found.section));
        }
        Ok(objects)
    }

    /// Checks that a pin has kept the objects of the new database since before its manifest was committed.
    async fn check_pin(
        &self,
        source: DatabaseId,
        database: DatabaseId,
    ) -> Result<(), ManifestError> {
        let current = self.read(source, None).await?;
        let is_young = |pin: &VersionPin| {
            let age = current.current_at.map(|now| now.since(pin.created));
            pin.database == database && age.is_some_and(|age| age < RESTORE_TIME)
        };
        if current.value.pins.iter().any(is_young) {
            return Ok(());
        }
        Err(ManifestError::InvalidCommit {
            reason: format!(
                "database {database} was restored from a version of {source} that is not pinned"
            ),
        })
    }

    async fn first_manifest(
        &self,
        adopted_view: AdoptedView<'_>,
        database: DatabaseId,
        needs_catalog: u64,
    ) -> Result<Manifest, ManifestError> {
        let AdoptedView { store, source, manifest: view, owner, expired_before } = adopted_view;
        let mut first = Manifest {
            needs_catalog,
            deletes: view.pending_deletes().cloned().collect(),
            damage: view
                .reported_damage()
                .filter(|_| owner == ObjectOwner::Source)
                // Damaged sections of the view are live in the new database, and are detected there again.
                .filter(|record| {
                    let is_section = |part| {
                        matches!(part, DamagedPart::Section(..) | DamagedPart::BundledSection(..))
                    };
                    !is_section(record.part)
                })
                .map(|record| DamageRecord {
                    origin: Some(record.origin.unwrap_or(source)),
                    since: 1,
                    ..record.clone()
                })
                .collect(),
            // Earlier states can be read only in the source.
            oldest_readable: 1,
            ..Manifest::default()
        };
        for recorded in &mut first.deletes {
            recorded.added = 1;
        }
        // Views keep rows of windows whose source has expired. Expiries after the version of the view count, too, because
        // they may have replaced earlier ones. They hide no rows.
        let expiries = view.expiries.iter();
        for expiry in expiries.filter(|expiry| expiry.before < i64::MAX) {
            first.record_expiry(expiry.table, expiry.before, 1);
        }
        let cutoffs: BTreeMap<_, _> = expired_before.iter().copied().collect();
        let mut with_expired_rows = BTreeSet::new();
        let mut adopted = |found: &SectionWithFooter| {
            let table = found.section.table;
            let cutoff = cutoffs.get(&table);
            if cutoff.is_some_and(|cutoff| found.section.min_time < *cutoff) {
                with_expired_rows.insert(table);
            }
            SectionWithFooter {
                section: Arc::new(Section {
                    origin: match owner {
                        ObjectOwner::Source => Some(found.section.origin.unwrap_or(source)),
                        ObjectOwner::Adopter => None,
                    },
                    added: 1,
                    dropped: None,
                    ..Section::clone(&found.section)
                }),
                footer: found.footer.clone(),
            }
        };
        let mut inline: Vec<_> = view
            .sections
            .iter()
            .map(SectionWithFooter::inline)
            .map(|found| adopted(&found))
            .collect();
        let mut writer = PageWriter::default();
        let mut pages = store.stream_pages(source, view.pages.clone());
        while let Some(page) = pages.try_next().await? {
            let of_view = page.iter().filter(|found| view.has(&found.section));
            let sections: Vec<_> = of_view.map(&mut adopted).collect();
            if sections.len() < MIN_PAGE_SECTIONS {
                inline.extend(sections);
            } else {
                writer.add(self, database, &mut first, &sections).await?;
            }
        }
        drop(pages);
        let inline = self.page_surplus_sections(database, &mut first, inline, &mut writer);
        first.sections = inline.await?;
        writer.put(self, database).await?;
        first.raise_mark(view.low_water_mark, 1);
        for (table, cutoff) in expired_before {
            if with_expired_rows.contains(table) {
                first.expire_rows(*table, *cutoff, 1);
            } else {
                first.record_expiry(*table, *cutoff, 1);
            }
        }
        debug_assert_eq!(first.check(), Ok(()));
        Ok(first)
    }

    /// Writes sections to pages if there are too many to stay in the manifest. Returns the inline sections.
    async fn page_surplus_sections(
        &self,
        database: DatabaseId,
        first: &mut Manifest,
        sections: Vec<SectionWithFooter>,
        writer: &mut PageWriter,
    ) -> Result<Vec<Arc<Section>>, ManifestError> {
        let limit = self.settings.inline_sections;
        let mut inline = Vec::new();
        if sections.len() <= limit {
            inline.extend(sections.into_iter().map(|one| one.section));
        } else {
            let mut sections = sections;
            sections.sort_by_key(SectionWithFooter::page_order);
            let limits = PageLimits::new(count_tables(&sections), limit);
            for page in divide(sections, &limits) {
                if page.len() < MIN_PAGE_SECTIONS {
                    inline.extend(page.into_iter().map(|one| one.section));
                } else {
                    writer.add(self, database, first, &page).await?;
                }
            }
        }
        inline.sort_by_key(|section| section.order());
        Ok(inline)
    }
}

/// A manifest that becomes the first one of another database.
#[derive(Clone, Copy)]
struct AdoptedView<'a> {
    /// Reads the pages of the manifest.
    store: &'a ManifestStore,
    source: DatabaseId,
    manifest: &'a Manifest,
    owner: ObjectOwner,
    /// The times before which rows of tables have expired.
    expired_before: &'a [(TableId, i64)],
}

/// The database that the objects of adopted sections belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ObjectOwner {
    /// The source, or the database that the source was itself restored from.
    Source,
    /// The new database.
    Adopter,
}

/// Writes pages to a small number of objects of limited size.
#[derive(Default)]
struct PageWriter {
    body: BytesMut,
    object: Option<PendingObject>,
}

impl PageWriter {
    /// Adds a page to a new manifest.
    async fn add(
        &mut self,
        store: &ManifestStore,
        database: DatabaseId,
        first: &mut Manifest,
        sections: &[SectionWithFooter],
    ) -> Result<(), ManifestError> {
        if self.body.len() >= PAGE_OBJECT_BYTES {
            self.put(store, database).await?;
        }
        let object = match self.object {
            Some(object) => object,
            None => *self.object.insert(PendingObject::draw(&store.bucket).ok_or_else(no_date)?),
        };
        let page = store.append_page(&mut self.body, object, sections)?;
        first.pages.extend(page);
        Ok(())
    }

    async fn put(
        &mut self,
        store: &ManifestStore,
        database: DatabaseId,
    ) -> Result<(), ManifestError> {
        if let Some(object) = self.object.take() {
            let key = Key::Page(database, object.ulid);
            let body = std::mem::take(&mut self.body).freeze();
            store.bucket.put(&key, body, PutMode::Overwrite).await?;
        }
        Ok(())
    }
}
