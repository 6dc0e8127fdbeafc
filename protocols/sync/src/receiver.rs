//! Stores the parts of sites, each of them once. (Rule E1, see [`SiteProgress`])

use std::{sync::Arc, time::Duration};

use neap_bucket::{
    Bucket, CommitOutcome, Key, RECENT_PUT_IDS, Register, RegisterChange, RegisterError, Stamp,
    VersionedValue,
};
use neap_http::{ApiError, Kind};
use neap_rows::columnar::ColumnarRows;
use neap_schema::DatabaseId;
use neap_wal::{ImportProgress, PartRefusal, SettledPart, SitePart, SiteProgress, StartedPart};
use neap_write::{
    DeleteContext, DeleteFailure, NamedDelete, Precision, RequestMemoryReservation, WriteOptions,
    WriteService,
};
use serde_json::json;

/// Maximum time from before the start of a part to the arrival of its rows. With the wait that rule W1 allows, and the time that
/// stamps may be ahead, it is less than [`neap_wal::SETTLING_TIME`].
const MAX_START_TIME: Duration = Duration::from_secs(10);

/// Time after which a site that waits for a flush asks again.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// The database that a site ships to.
#[derive(Clone, Debug)]
pub(crate) struct SiteDatabase {
    pub(crate) name: String,
    pub(crate) id: DatabaseId,
}

/// The content of a part.
#[derive(Debug)]
pub(crate) enum PartContent {
    Rows(ColumnarRows, RequestMemoryReservation),
    Deletes(Vec<NamedDelete>),
}

/// The reason why the start or the end of a part is not recorded.
#[derive(Debug, thiserror::Error)]
enum ProgressFailure {
    #[error(transparent)]
    Refused(#[from] PartRefusal),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error("the store's time is unknown")]
    NoStoreTime,
    #[error("it is unknown whether the part was started or ended: {0}")]
    Unknown(String),
}

impl From<ProgressFailure> for ApiError {
    fn from(failure: ProgressFailure) -> Self {
        match failure {
            ProgressFailure::Register(error) => error.into(),
            other => Self::json(Kind::Unavailable, other.to_string()),
        }
    }
}

/// Stores the parts of sites.
#[derive(Debug)]
pub(crate) struct SiteReceiver {
    pub(crate) service: Arc<WriteService>,
}

impl SiteReceiver {
    fn bucket(&self) -> &Bucket {
        self.service.catalog().bucket()
    }

    fn register(&self, database: DatabaseId) -> Register<SiteProgress> {
        let key = Key::SiteProgress(database);
        Register::new(self.bucket().clone(), key, RECENT_PUT_IDS)
    }

    /// Returns the last part of a source that the manifest has.
    async fn settled(
        &self,
        database: DatabaseId,
        part: &SitePart<'_>,
    ) -> Result<SettledPart, ApiError> {
        let settled = self.service.imported_rows(database, part.source).await?;
        Ok(SettledPart { mark: settled.mark, part: settled.rows })
    }

    /// Returns the position of a site.
    ///
    /// # Errors
    /// `Unavailable`: it is not known yet. `Conflict`: the site is that of another source.
    pub(crate) async fn position(
        &self,
        database: &SiteDatabase,
        part: &SitePart<'_>,
    ) -> Result<String, ApiError> {
        let settled = self.settled(database.id, part).await?;
        let progress = self.register(database.id).read(None).await?;
        match progress.value.position(part, settled) {
            Ok(position) => Ok(position.to_owned()),
            Err(refusal) => Err(self.refused(database, part, refusal).await),
        }
    }

    /// Stores a part. Returns its stamp; `None` if there was nothing to store.
    ///
    /// # Errors
    /// `Conflict`: the part does not start at the position of the site. Other errors leave it open whether the part is stored:
    /// the site asks for its position.
    pub(crate) async fn store(
        &self,
        database: &SiteDatabase,
        part: &SitePart<'_>,
        content: PartContent,
    ) -> Result<Option<Stamp>, ApiError> {
        let settled = self.settled(database.id, part).await?;
        let world = self.service.world();
        let before = world.clock_reading();
        let started = match self.start(database.id, part, settled).await {
            Ok(started) => started,
            Err(ProgressFailure::Refused(refusal)) => {
                return Err(self.refused(database, part, refusal).await);
            }
            Err(failure) => return Err(failure.into()),
        };
        let context = DeleteContext {
            arrived: world.clock_reading(),
            after: started.after,
            progress: Some(ImportProgress {
                job: part.source,
                rows: started.number,
                is_permanent: true,
            }),
        };
        // A freeze before the arrival would allow stamps after the settling time; rule W1 refuses those after it.
        if world.elapsed(&before) > MAX_START_TIME {
            self.cancel(database.id, part.site, started).await;
            let text = "the part was not started in time";
            return Err(ApiError::json(Kind::Unavailable, text));
        }
        let stored = match content {
            PartContent::Rows(rows, memory) => self.write(database, &rows, memory, context).await,
            PartContent::Deletes(deletes) => self.delete(database.id, &deletes, context).await,
        };
        if stored.is_nothing {
            self.cancel(database.id, part.site, started).await;
        }
        let stamp = stored.result?;
        if stamp.is_none() {
            // No segment has the number, so that the mark would prove that the part is to be sent again.
            self.end(database.id, part.site, started, SiteProgress::skip).await?;
        }
        Ok(stamp)
    }

    async fn start(
        &self,
        database: DatabaseId,
        part: &SitePart<'_>,
        settled: SettledPart,
    ) -> Result<StartedPart, ProgressFailure> {
        let clock = self.bucket().clock();
        let change = |base: &VersionedValue<SiteProgress>| {
            let now =
                base.current_at.or_else(|| clock.now()).ok_or(ProgressFailure::NoStoreTime)?;
            let mut next = SiteProgress::clone(&base.value);
            let started = next.start(part, settled, now)?;
            Ok::<_, ProgressFailure>(RegisterChange::Put(next, started))
        };
        self.commit(database, change).await
    }

    /// Takes a part back of which nothing was stored. If that fails, the site waits until the mark proves it.
    async fn cancel(&self, database: DatabaseId, site: &str, started: StartedPart) {
        if let Err(error) = self.end(database, site, started, SiteProgress::cancel).await {
            tracing::warn!(%database, site, %error, "a part of a site was not taken back");
        }
    }

    /// Ends a part without a segment, by [`SiteProgress::cancel`] or [`SiteProgress::skip`].
    async fn end(
        &self,
        database: DatabaseId,
        site: &str,
        started: StartedPart,
        end: fn(&mut SiteProgress, &str, u64) -> bool,
    ) -> Result<(), ProgressFailure> {
        let change = |base: &VersionedValue<SiteProgress>| {
            let mut next = SiteProgress::clone(&base.value);
            Ok::<_, ProgressFailure>(if end(&mut next, site, started.number) {
                RegisterChange::Put(next, ())
            } else {
                RegisterChange::Keep(())
            })
        };
        self.commit(database, change).await
    }

    async fn commit<R: Send>(
        &self,
        database: DatabaseId,
        change: impl FnMut(
            &VersionedValue<SiteProgress>,
        ) -> Result<RegisterChange<SiteProgress, R>, ProgressFailure>
        + Send,
    ) -> Result<R, ProgressFailure> {
        match self.register(database).commit(None, change).await? {
            CommitOutcome::Committed { result, .. } => Ok(result),
            CommitOutcome::Refused(failure) => Err(failure),
            CommitOutcome::Unknown { reason } => Err(ProgressFailure::Unknown(reason)),
        }
    }

    async fn write(
        &self,
        database: &SiteDatabase,
        rows: &ColumnarRows,
        memory: RequestMemoryReservation,
        context: DeleteContext,
    ) -> PartOutcome {
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            after: context.after,
            only: Some(database.id),
            progress: context.progress,
            ..WriteOptions::default()
        };
        let (arrived, name) = (context.arrived, &database.name);
        let written = self.service.write_arrived_rows(memory, arrived, name, rows, options);
        match written.await {
            Ok(accepted) => PartOutcome::stored(accepted.stamp),
            Err(failure) => PartOutcome {
                is_nothing: failure.stored_nothing(),
                result: Err(failure.into()),
            },
        }
    }

    async fn delete(
        &self,
        database: DatabaseId,
        deletes: &[NamedDelete],
        context: DeleteContext,
    ) -> PartOutcome {
        match self.service.delete_named(database, deletes, context).await {
            Ok(deleted) => PartOutcome::stored(deleted.stamp),
            Err(failure) => PartOutcome {
                is_nothing: match &failure {
                    DeleteFailure::Write(failure) => failure.stored_nothing(),
                    _ => true,
                },
                result: Err(failure.into()),
            },
        }
    }

    /// Returns the answer to a part that is not stored. Raises the mark if it must prove first whether the last part is stored.
    async fn refused(
        &self,
        database: &SiteDatabase,
        part: &SitePart<'_>,
        refusal: PartRefusal,
    ) -> ApiError {
        let text = refusal.to_string();
        match refusal {
            PartRefusal::Invalid(_) => ApiError::json(Kind::Invalid, text),
            PartRefusal::OtherSource(_) | PartRefusal::UnknownRows => {
                ApiError::json(Kind::Conflict, text)
            }
            PartRefusal::OtherPosition(position) => {
                ApiError::with_data(Kind::Conflict, text, json!({ "position": position }))
            }
            PartRefusal::TooMany => ApiError::json(Kind::Limit, text),
            PartRefusal::NotSettled => {
                self.raise_mark(database, part).await;
                ApiError::json(Kind::Unavailable, text).retry_after(Some(FLUSH_WAIT))
            }
        }
    }

    /// Writes a segment without rows, so that the next flush raises the mark, which proves whether the last part is stored. A
    /// part that is not stored is proven some time after it was started, so a site may ask several times.
    async fn raise_mark(&self, database: &SiteDatabase, part: &SitePart<'_>) {
        let marked = self.service.mark_import(&database.name, database.id, part.source);
        if let Err(error) = marked.await {
            tracing::debug!(database = database.name, %error, "the mark is not raised for a site");
        }
    }
}

/// The outcome of storing a part that was started.
struct PartOutcome {
    result: Result<Option<Stamp>, ApiError>,
    /// Whether it is certain that nothing was stored although there was something to store.
    is_nothing: bool,
}

impl PartOutcome {
    fn stored(stamp: Option<Stamp>) -> Self {
        Self { result: Ok(stamp), is_nothing: false }
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::{ProtocolMargins, ProtocolRules};
    use neap_wal::SETTLING_TIME;

    use super::*;

    #[test]
    fn no_segment_of_a_part_has_a_stamp_after_the_settling_time() {
        for margins in [ProtocolMargins::NETWORK, ProtocolMargins::LOCAL] {
            let rules = ProtocolRules::new(margins);
            let longest = MAX_START_TIME + rules.wait_limit + rules.acknowledgement_limit;
            assert!(longest < SETTLING_TIME, "{margins:?}");
        }
    }
}
