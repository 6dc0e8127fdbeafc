//! Takes the snapshots of a query: of one database, or of each of several ones.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future, stream};
use neap_bucket::{Stamp, StoreTime, TRACE_TARGET, VersionedValue};
use neap_catalog::INTERNAL_DATABASE_ID;
use neap_manifest::{Snapshot, SnapshotOptions};
use neap_operators::Cancellation;
use neap_scan::StaleTail;
use neap_schema::DatabaseId;
use neap_tables::{QueryContext, QueryTimes};
use tracing::{Instrument, trace_span};

use super::QueryEngine;
use crate::{QueryError, QueryRequest, request::QueryDatabases};

/// The maximum number of databases of a query whose snapshots are read at once.
const CONCURRENT_SNAPSHOTS: usize = 8;

impl QueryEngine {
    /// Returns the snapshot that a request asks for.
    pub(crate) fn snapshot_options(&self, request: &QueryRequest) -> SnapshotOptions {
        SnapshotOptions {
            max_staleness: request.max_staleness.unwrap_or(self.settings.max_staleness),
            at_least: request.after,
            as_of: request.as_of,
        }
    }

    /// Takes a snapshot for a request and returns the query context.
    pub(crate) async fn context(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
        request: &QueryRequest,
        stale_tail: StaleTail,
        cancellation: Cancellation,
    ) -> Result<QueryContext, QueryError> {
        let snapshot = self.snapshot(database, options).await?;
        let times = self.times(&snapshot, request.as_of);
        Ok(self.snapshot_context(snapshot, times, request, stale_tail, cancellation))
    }

    /// Takes a snapshot of each database of a query and returns the query context. All snapshots have the same options, and
    /// all contexts have the same times.
    pub(super) async fn query_context(
        &self,
        databases: &QueryDatabases,
        options: SnapshotOptions,
        request: &QueryRequest,
        stale_tail: StaleTail,
        cancellation: &Cancellation,
    ) -> Result<QueryContext, QueryError> {
        let QueryDatabases { first, named } = databases;
        if named.is_empty() {
            let context = self.context(*first, options, request, stale_tail, cancellation.clone());
            return context.await;
        }
        let mut others = Vec::with_capacity(named.len());
        for (name, database) in named {
            if database != first {
                others.push(self.named_snapshot(name.clone(), *database, options));
            }
        }
        let others = stream::iter(others).buffered(CONCURRENT_SNAPSHOTS);
        let (of_first, others) =
            future::try_join(self.snapshot(*first, options), others.try_collect::<Vec<_>>())
                .await?;
        let times = self.times(&of_first, request.as_of);
        let context = |snapshot| {
            self.snapshot_context(snapshot, times, request, stale_tail, cancellation.clone())
        };
        let of_first = context(of_first);
        let names = named.iter().filter(|(_, database)| database == first);
        let contexts = names.map(|(name, _)| (name.clone(), of_first.clone()));
        let others = others.into_iter();
        let contexts = contexts.chain(others.map(|(name, snapshot)| (name, context(snapshot))));
        Ok(of_first.with_databases(contexts.collect()))
    }

    /// Takes a snapshot of a database, and returns it with the name of the database.
    async fn named_snapshot(
        &self,
        name: String,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<(String, Arc<Snapshot>), QueryError> {
        Ok((name, self.snapshot(database, options).await?))
    }

    /// Takes a snapshot of a database.
    async fn snapshot(
        &self,
        database: DatabaseId,
        options: SnapshotOptions,
    ) -> Result<Arc<Snapshot>, QueryError> {
        if database == INTERNAL_DATABASE_ID {
            return Ok(Arc::new(self.internal_snapshot()));
        }
        let read = self.snapshots.read(database, options);
        let step = trace_span!(target: TRACE_TARGET, "snapshot");
        let snapshot = read.instrument(step).await?;
        let scan = &self.tables().scan;
        scan.evict_superseded(database, &snapshot.manifest).await;
        Ok(snapshot)
    }

    /// Returns the context of a query over a snapshot.
    fn snapshot_context(
        &self,
        snapshot: Arc<Snapshot>,
        times: QueryTimes,
        request: &QueryRequest,
        stale_tail: StaleTail,
        cancellation: Cancellation,
    ) -> QueryContext {
        let stale_tail = match snapshot.as_of {
            None => stale_tail,
            Some(_) => StaleTail::Rebuild,
        };
        let uses_caches =
            self.settings.use_caches && !request.without_caches && snapshot.as_of.is_none();
        QueryContext::new(&self.sessions, snapshot, times, uses_caches, stale_tail, cancellation)
    }

    /// Returns an empty snapshot for `_internal`, which has no tables of its own.
    fn internal_snapshot(&self) -> Snapshot {
        let shown = self.bucket.clock().now();
        let wall = self.world().clock.wall_micros();
        Snapshot {
            database: INTERNAL_DATABASE_ID,
            catalog: VersionedValue::absent(shown),
            manifest: VersionedValue::absent(shown),
            tail: Arc::default(),
            taken: self.world().clock_reading(),
            shown: shown.unwrap_or(StoreTime::from_micros(wall)),
            as_of: None,
        }
    }

    /// Returns the times that a query over a snapshot uses. As of an earlier time, tables have the rows that they had
    /// then, but `now()` is the present.
    fn times(&self, snapshot: &Snapshot, as_of: Option<Stamp>) -> QueryTimes {
        let present = self.bucket.clock().now().unwrap_or(snapshot.shown);
        let past = as_of.map(|stamp| stamp.time().min(present));
        QueryTimes {
            now: self.world().clock.wall_micros(),
            retention_base: past.unwrap_or_else(|| self.bucket.retention_base(present)),
        }
    }
}
