//! Copies databases as of one stamp into hidden databases, without a copy of their sections.
//!
//! ```text
//!   job                                              store
//!     |-- read each manifest, and pin its version ----> |   its objects are kept from now on
//!     |   choose a stamp above all acknowledged ones    |
//!     |   wait for the flush lag                        |   no segment up to the stamp can appear any more
//!     |-- list each tail, copy segments up to it -----> |   all of them, because their manifest was read before
//!     |-- first manifests, catalogs of the copies ----> |
//!     |-- flush the copies ---------------------------> |   the copied segments become sections
//! ```
//!
//! A flush of the database may pass the segments in the meantime. They stay for two minutes after it, so the job fails
//! if it has not copied them by then.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{
    CommitOutcome, Key, MAX_DELETE_KEYS, PutMode, RECENT_PUT_IDS, Register, RegisterChange,
    RegisterError, Stamp, StoreTime, VersionedValue,
};
use neap_catalog::{CopyOptions, DatabaseDocuments};
use neap_compact::{FlushResult, FlushSkipped};
use neap_manifest::{Manifest, ManifestError};
use neap_schema::DatabaseId;
use neap_wal::{ListedSegment, TailError};
use tokio::sync::Semaphore;

use crate::{BackupError, BackupParts, Restore, register::DatabaseInBackup};

/// Number of databases that are copied concurrently.
const DATABASES_AT_ONCE: usize = 16;

/// Number of segments of a database that are copied concurrently.
const SEGMENTS_AT_ONCE: usize = 8;

/// Maximum memory for segments in flight, in KiB (64 MiB).
const SEGMENTS_KIB: u32 = 64 << 10;

/// Maximum time from the read of a manifest to the copy of the last segment above its mark. A collector deletes a segment
/// 120 s after the commit of a flush that passed it.
const TAIL_TIME: Duration = Duration::from_secs(100);

/// Maximum difference between the clocks of the store's hosts.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(2);

/// Maximum pause before the clock is read again.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Maximum number of flushes and listings of one copy.
const MAX_ATTEMPTS: usize = 10_000;

/// The version of the catalog of a copy that has all its tables and columns.
const COPIED_CATALOG: u64 = 1;

/// The options of the copies that a backup has: everything of their sources.
pub(crate) const OF_BACKUP: CopyOptions = CopyOptions {
    as_of: None,
    keep_retention: true,
    keep_views_into_other_databases: true,
};

/// Returns the options of the copies of a restore. A database that is restored beside its source lacks views into other
/// databases, because the source keeps writing their rows.
pub(crate) fn options_of_restore(restore: &Restore) -> CopyOptions {
    CopyOptions {
        as_of: None,
        keep_retention: restore.keep_retention,
        keep_views_into_other_databases: restore.to.is_none(),
    }
}

/// A database whose version is pinned for a copy.
struct PinnedDatabase<'a> {
    database: &'a DatabaseInBackup,
    /// The pinned version.
    view: Arc<Manifest>,
    /// Whether the view is the newest version, so that segments above its mark belong to the copy.
    has_tail: bool,
    /// When the manifest was read, by the store's clock.
    read: StoreTime,
}

impl BackupParts {
    /// Fills hidden databases with the contents of their sources: with a moment, their newest states without writes
    /// after it, otherwise with all writes up to the returned stamp, which is above all stamps that were acknowledged
    /// before the call.
    /// Fails if a database is damaged or gone, the segments can't be copied in time, or a store does not answer.
    pub(crate) async fn copy_databases(
        &self,
        databases: &[DatabaseInBackup],
        moment: Option<Stamp>,
        options: CopyOptions,
    ) -> Result<Stamp, BackupError> {
        let pins: Vec<_> = databases.iter().map(|one| self.pin(one, moment)).collect();
        let pins = stream::iter(pins).buffered(DATABASES_AT_ONCE);
        let pinned: Vec<_> = pins.try_collect().await?;
        let stamp = match moment {
            Some(moment) => moment,
            None => self.next_stamp()?,
        };
        if pinned.is_empty() {
            return Ok(stamp);
        }
        self.wait_until(stamp.time().plus(self.rules.flush_lag)).await?;
        let memory = &Semaphore::new(SEGMENTS_KIB as usize);
        let tails: Vec<_> = pinned.iter().map(|one| self.copy_tail(one, stamp, memory)).collect();
        let tails = stream::iter(tails).buffer_unordered(DATABASES_AT_ONCE);
        tails.try_collect::<()>().await?;
        let options = CopyOptions { as_of: Some(stamp.time()), ..options };
        let is_present = moment.is_none();
        let copies: Vec<_> =
            pinned.iter().map(|one| self.finish_copy(one, options, is_present)).collect();
        let copies = stream::iter(copies).buffer_unordered(DATABASES_AT_ONCE);
        copies.try_collect::<()>().await?;
        Ok(stamp)
    }

    async fn pin<'a>(
        &self,
        database: &'a DatabaseInBackup,
        moment: Option<Stamp>,
    ) -> Result<PinnedDatabase<'a>, BackupError> {
        let manifest = self.existing_manifest(database.source).await?;
        let read = manifest.current_at.ok_or(BackupError::NoStoreTime)?;
        let (version, view) = match moment {
            None => (manifest.version, Arc::clone(&manifest.value)),
            Some(moment) => Manifest::at(&manifest, moment)?,
        };
        let has_tail = version == manifest.version;
        let pin = self.manifests.pin(database.source, manifest, version, database.copy);
        pin.await?;
        Ok(PinnedDatabase { database, view, has_tail, read })
    }

    /// Returns a stamp above all stamps that are acknowledged by now.
    fn next_stamp(&self) -> Result<Stamp, BackupError> {
        let now = self.bucket.clock().now().ok_or(BackupError::NoStoreTime)?;
        let lead = self.rules.acknowledgement_limit + CLOCK_DIFFERENCE;
        Ok(Stamp::end_of(now.plus(lead)))
    }

    async fn wait_until(&self, time: StoreTime) -> Result<(), BackupError> {
        loop {
            let now = self.bucket.clock().now().ok_or(BackupError::NoStoreTime)?;
            let pause = time.since(now);
            if pause.is_zero() {
                return Ok(());
            }
            self.bucket.world().clock.sleep(pause.min(MAX_PAUSE)).await;
        }
    }

    /// Copies the segments of a tail up to a stamp.
    async fn copy_tail(
        &self,
        pinned: &PinnedDatabase<'_>,
        stamp: Stamp,
        memory: &Semaphore,
    ) -> Result<(), BackupError> {
        let (database, view) = (pinned.database, &pinned.view);
        if !pinned.has_tail {
            return Ok(());
        }
        let segments = self.settled_segments(database, view, stamp).await?;
        let copies = stream::iter(segments)
            .map(|segment| async move {
                let kib = u32::try_from(segment.size_bytes.div_ceil(1024)).unwrap_or(SEGMENTS_KIB);
                let permit = memory.acquire_many(kib.clamp(1, SEGMENTS_KIB)).await;
                let _permit = permit.map_err(|_| BackupError::Cancelled)?;
                self.copy_segment(database, segment).await
            })
            .buffer_unordered(SEGMENTS_AT_ONCE);
        copies.try_collect::<()>().await?;
        let now = self.bucket.clock().now().ok_or(BackupError::NoStoreTime)?;
        if now.since(pinned.read) > TAIL_TIME {
            Err(BackupError::TooSlow(database.name.clone()))
        } else {
            Ok(())
        }
    }

    /// Lists the segments above the mark of a view and up to a stamp, when no more of them can appear.
    async fn settled_segments(
        &self,
        database: &DatabaseInBackup,
        view: &Manifest,
        stamp: Stamp,
    ) -> Result<Vec<ListedSegment>, BackupError> {
        let settled = stamp.time().plus(self.rules.flush_lag);
        for _ in 0..MAX_ATTEMPTS {
            self.catalog.verify_tail().await?;
            let listing = self.tail.list(database.source, view.low_water_mark).await?;
            let date = listing.first_page_date.ok_or(BackupError::NoStoreTime)?;
            if date >= settled {
                let wanted = listing.segments.into_iter().filter(|segment| {
                    segment.name.stamp <= stamp && !view.is_quarantined(segment.name)
                });
                return Ok(wanted.collect());
            }
            let pause = settled.since(date).min(MAX_PAUSE);
            self.bucket.world().clock.sleep(pause).await;
        }
        Err(BackupError::TooSlow(database.name.clone()))
    }

    async fn copy_segment(
        &self,
        database: &DatabaseInBackup,
        segment: ListedSegment,
    ) -> Result<(), BackupError> {
        let source = Key::Segment(database.source, segment.name);
        let fetched =
            self.tail.fetch(database.source, &[segment.name]).await.map_err(
                |error| match error {
                    TailError::Segment(error) => BackupError::damaged(&source, error.to_string()),
                    error => error.into(),
                },
            )?;
        let Some(found) = fetched.segments.first() else {
            return Err(BackupError::TooSlow(database.name.clone()));
        };
        let moved = found
            .moved_to(database.copy, COPIED_CATALOG)
            .ok_or_else(|| BackupError::damaged(&source, "rows of a table"))?;
        let key = Key::Segment(database.copy, segment.name);
        let body = moved.object().clone();
        self.bucket.put(&key, body, PutMode::Overwrite).await?;
        Ok(())
    }

    /// Commits the manifest and the catalog of a copy, and flushes it. Rows that have expired in the source by now do not
    /// appear in a copy of the present state. The present retention says nothing about an earlier state.
    async fn finish_copy(
        &self,
        pinned: &PinnedDatabase<'_>,
        options: CopyOptions,
        is_present: bool,
    ) -> Result<(), BackupError> {
        let DatabaseInBackup { source, copy, .. } = *pinned.database;
        // The catalog is read after the rows, so it has all their columns.
        let catalog = self.catalog.verified_database(source, Duration::ZERO).await?;
        let expired_before = match options.as_of.filter(|_| is_present) {
            Some(time) => catalog.value.cutoffs(time),
            None => Vec::new(),
        };
        self.manifests
            .adopt(source, &pinned.view, copy, COPIED_CATALOG, &expired_before)
            .await?;
        self.catalog.put_copied_catalog(copy, &catalog.value, options).await?;
        self.copy_documents(source, copy).await?;
        self.flush_copy(copy).await
    }

    /// Copies a copy of a backup into a hidden database. Both reference the same objects.
    /// Fails if the copy is gone, or a store does not answer.
    pub(crate) async fn copy_backup(
        &self,
        held: DatabaseId,
        copy: DatabaseId,
        options: CopyOptions,
    ) -> Result<(), BackupError> {
        let manifest = self.existing_manifest(held).await?;
        let (version, view) = (manifest.version, Arc::clone(&manifest.value));
        self.manifests.pin(held, manifest, version, copy).await?;
        self.manifests.adopt(held, &view, copy, COPIED_CATALOG, &[]).await?;
        let catalog = self.catalog.database(held, Duration::ZERO).await?;
        if catalog.version == 0 {
            let key = Key::DatabaseCatalog(held);
            return Err(BackupError::damaged(&key, "it is missing"));
        }
        self.catalog.put_copied_catalog(copy, &catalog.value, options).await?;
        self.copy_documents(held, copy).await
    }

    async fn copy_documents(
        &self,
        source: DatabaseId,
        copy: DatabaseId,
    ) -> Result<(), BackupError> {
        let register = self.documents(source);
        let read = register.read(None).await?;
        let existing = self.catalog.verify_absence(&register, read).await?;
        self.put_documents(copy, &existing).await
    }

    pub(crate) fn documents(&self, database: DatabaseId) -> Register<DatabaseDocuments> {
        let key = Key::Documents(database);
        Register::new(self.bucket.clone(), key, RECENT_PUT_IDS)
    }

    /// Commits the documents of a hidden database, unless the source never had any.
    /// Fails if the store does not answer.
    pub(crate) async fn put_documents(
        &self,
        copy: DatabaseId,
        documents: &VersionedValue<DatabaseDocuments>,
    ) -> Result<(), BackupError> {
        if documents.version == 0 {
            return Ok(());
        }
        let value = DatabaseDocuments::clone(&documents.value);
        let change = |_: &VersionedValue<DatabaseDocuments>| {
            Ok::<_, RegisterError>(RegisterChange::Put(value.clone(), ()))
        };
        match self.documents(copy).commit(None, change).await? {
            CommitOutcome::Committed { .. } => {
                Ok(self.catalog.record_register(&Key::Documents(copy)).await?)
            }
            CommitOutcome::Refused(error) => Err(error.into()),
            CommitOutcome::Unknown { reason } => Err(BackupError::Unknown(reason)),
        }
    }

    /// Flushes a database as far as possible, so that a copy of its tail is short. A failure has no effect on the copy.
    pub(crate) async fn shorten_tail(&self, database: DatabaseId) {
        if let Err(error) = self.flush_whole(database).await {
            tracing::warn!(%error, %database, "a database was not flushed before its backup");
        }
    }

    /// Flushes the whole tail of a copy, and deletes the segments.
    async fn flush_copy(&self, copy: DatabaseId) -> Result<(), BackupError> {
        self.flush_whole(copy).await?;
        let manifest = self.manifests.read(copy, None).await?;
        let mark = manifest.value.low_water_mark;
        let segments = self.tail.list(copy, Stamp::ZERO).await?.segments;
        if segments.iter().any(|segment| segment.name.stamp > mark) {
            return Err(BackupError::Flush(FlushSkipped::NothingToFlush));
        }
        let keys: Vec<_> = segments
            .iter()
            .map(|segment| Key::Segment(copy, segment.name).to_string())
            .collect();
        for keys in keys.chunks(MAX_DELETE_KEYS) {
            self.bucket.delete(keys).await?;
        }
        Ok(())
    }

    async fn flush_whole(&self, database: DatabaseId) -> Result<(), BackupError> {
        for _ in 0..MAX_ATTEMPTS {
            match self.flusher.flush(database).await? {
                FlushResult::Done { more: true, .. }
                | FlushResult::Skipped(FlushSkipped::Overtaken) => {}
                FlushResult::Done { .. } | FlushResult::Skipped(FlushSkipped::NothingToFlush) => {
                    return Ok(());
                }
                FlushResult::Skipped(reason) => return Err(BackupError::Flush(reason)),
            }
        }
        Ok(())
    }

    /// Returns the newest manifest of a database; that of one that was never flushed is empty.
    /// Fails if it is lost, or the store does not answer.
    async fn existing_manifest(
        &self,
        database: DatabaseId,
    ) -> Result<VersionedValue<Manifest>, BackupError> {
        let register = self.manifests.register(database);
        let read = self.manifests.read(database, None).await?;
        Ok(self.catalog.verify_absence(&register, read).await?)
    }

    /// Returns the newest manifest of a copy.
    pub(crate) async fn manifest_of(
        &self,
        copy: DatabaseId,
    ) -> Result<VersionedValue<Manifest>, ManifestError> {
        self.manifests.read(copy, None).await
    }
}
