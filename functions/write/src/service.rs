//! A write from the body to the answer, without HTTP.
//!
//! A request is validated in rounds. If a round finds that the catalog it used is outdated, it leaves behind only
//! changes that the next round needs as well, and the next round starts from the current catalog.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{ClockReading, ProtocolRules, Stamp, TRACE_TARGET, World, WriteOrder};
use neap_catalog::{Catalog, CatalogError, DatabaseCatalog, validate_database_name};
use neap_http::Metrics;
use neap_identity::IdentityService;
use neap_memory::MemoryPressure;
use neap_rows::line_protocol::{Dialect, ParsedBody, Precision, RowSource, TableRows};
use neap_schema::DatabaseId;
use neap_wal::{
    ImportProgress, InFlightRoom, TailWriter, TailWriterSettings, WriteError, WriteRequest,
};
use tracing::{Instrument, trace_span};

use crate::{
    DuplicateCheck, DuplicateRows, WriteFailure, WriteSettings,
    catalog_locks::CatalogLocks,
    duplicate_rows::{self, WarningLimit},
    freshness::{self, FreshCatalog, revalidate},
    line_protocol_body::LineProtocolBody,
    low_water_marks::LowWaterMarks,
    metrics::WriteMetrics,
    request_memory::{RequestMemory, RequestMemoryReservation},
    rows::EncodedTables,
    schema::MissingTables,
};

/// Maximum number of validation rounds per request.
pub(crate) const MAX_ROUNDS: usize = 5;

/// Typical memory of a request as a multiple of its body: the body, its columns, and its encoded rows.
const BODY_MEMORY_FACTOR: usize = 3;

/// The components of a [`WriteService`].
#[derive(Debug)]
pub struct WriteServiceParts {
    /// The catalogs, with the limits on databases, tables and columns.
    pub catalog: Arc<Catalog>,
    /// The writer of segments.
    pub writer: TailWriter,
    /// The rules of the storage protocol, the same as those of the catalog and the writer.
    pub rules: ProtocolRules,
    /// The metrics registry.
    pub metrics: Metrics,
    /// The settings.
    pub settings: WriteSettings,
}

impl WriteServiceParts {
    /// Returns the components over a local store, with the default settings and a metrics registry of their own.
    pub fn local(catalog: &Arc<Catalog>, rules: ProtocolRules) -> Self {
        let bucket = catalog.bucket().clone();
        Self {
            catalog: Arc::clone(catalog),
            writer: TailWriter::new(bucket, rules, TailWriterSettings::LOCAL, None),
            rules,
            metrics: Metrics::default(),
            settings: WriteSettings::default(),
        }
    }
}

/// Options of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The dialect of the line protocol.
    pub dialect: Dialect,
    /// The unit of the timestamps.
    pub precision: Precision,
    /// Whether valid lines are stored when others are refused.
    pub accept_partial: bool,
    /// Whether to answer before the rows are put, if the settings allow it.
    pub no_sync: bool,
    /// The write is ordered after this stamp.
    pub after: Option<Stamp>,
    /// The order of the rows relative to writes of other instances. A database with strict order overrides it.
    pub order: WriteOrder,
    /// The only database that may be written to, even if its name now means another one; `None`: any database of the
    /// name, which is created if it is missing.
    pub only: Option<DatabaseId>,
    /// The number of chained plugins that led to these lines; 0: a client sent them.
    pub depth: u8,
    /// The progress of the import job or site that the rows belong to. Then the write fails with [`WriteError::TooLarge`] if they do
    /// not fit in one segment.
    pub progress: Option<ImportProgress>,
    /// Whether rows that replace each other are looked for.
    pub duplicates: DuplicateCheck,
}

impl WriteOptions {
    /// Returns the options of lines with timestamps in this unit.
    pub fn with_precision(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }
}

impl Default for WriteOptions {
    /// The defaults of InfluxDB 3's `/api/v3/write_lp`: `auto`, partial, and answered after the put.
    fn default() -> Self {
        Self {
            dialect: Dialect::InfluxDb,
            precision: Precision::Auto,
            accept_partial: true,
            no_sync: false,
            after: None,
            order: WriteOrder::default(),
            only: None,
            depth: 0,
            progress: None,
            duplicates: DuplicateCheck::Off,
        }
    }
}

/// A write whose lines are all accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedWrite {
    /// The number of lines.
    pub rows: usize,
    /// Its position in the order of all writes; `None` if the rows are put after the answer (`no_sync`).
    pub stamp: Option<Stamp>,
    /// The rows that replace each other, if they were counted, or a bulk write was checked for them.
    pub duplicates: Option<DuplicateRows>,
}

/// Maximum time that a write waits for memory.
const MAX_PRESSURE_WAIT: Duration = Duration::from_secs(10);

/// Writes line protocol. Each instance has one.
#[derive(Debug)]
pub struct WriteService {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: WriteSettings,
    pub(crate) world: World,
    pub(crate) marks: LowWaterMarks,
    pub(crate) locks: CatalogLocks,
    /// Maximum age of the catalogs that a request begins with.
    pub(crate) max_age: Duration,
    pub(crate) writer: TailWriter,
    pub(crate) metrics: WriteMetrics,
    /// `None`: users can't sign in.
    pub(crate) identity: Option<Arc<IdentityService>>,
    /// Whether a client without credentials may create the first ones.
    pub(crate) creates_first_credentials: bool,
    budget: RequestMemory,
    pressure: MemoryPressure,
    duplicate_warnings: WarningLimit,
}

/// A request during validation.
pub(crate) struct PendingWrite<'a> {
    pub(crate) database: &'a str,
    pub(crate) source: &'a dyn RowSource,
    pub(crate) options: WriteOptions,
    pub(crate) arrived: ClockReading,
    pub(crate) default_time_ns: i64,
}

/// A validated request.
pub(crate) struct ValidatedWrite {
    pub(crate) database: DatabaseId,
    pub(crate) fresh_catalog: FreshCatalog,
    pub(crate) parsed: ParsedBody,
    pub(crate) duplicates: Option<DuplicateRows>,
}

/// The outcome of a validation round.
pub(crate) enum RoundOutcome<T> {
    /// The round succeeded with this result.
    Done(T),
    /// The catalogs were outdated. The next round begins with catalogs of at most this age; after the last round, the
    /// failure is the answer.
    Retry(Duration, WriteFailure),
}

impl WriteService {
    /// Maximum number of refused lines reported per request.
    pub const MAX_ERRORS: usize = 1_000;

    /// Returns a service with empty caches.
    pub fn new(parts: WriteServiceParts) -> Self {
        let bucket = parts.catalog.bucket();
        let world = bucket.world().clone();
        let settings = parts.settings;
        Self {
            marks: LowWaterMarks::new(bucket.clone(), parts.rules.recent_put_ids),
            budget: RequestMemory::new(settings.max_bytes_in_flight, world.clone()),
            metrics: WriteMetrics::new(&parts.metrics, &parts.writer),
            locks: CatalogLocks::new(parts.rules.wait_limit, world.clone()),
            max_age: freshness::max_age(&parts.rules),
            catalog: parts.catalog,
            writer: parts.writer,
            settings,
            world,
            identity: None,
            creates_first_credentials: true,
            pressure: MemoryPressure::none(),
            duplicate_warnings: WarningLimit::default(),
        }
    }

    /// Returns the service with routes that let users sign in.
    #[must_use]
    pub fn with_identity(self, identity: Option<Arc<IdentityService>>) -> Self {
        Self { identity, ..self }
    }

    /// Returns the service with writes that wait while memory is short.
    #[must_use]
    pub fn with_pressure(self, pressure: MemoryPressure) -> Self {
        Self { pressure, ..self }
    }

    /// The service that signs users in; `None`: users can't sign in.
    pub fn identity(&self) -> Option<&Arc<IdentityService>> {
        self.identity.as_ref()
    }

    /// The settings of the service.
    pub fn settings(&self) -> &WriteSettings {
        &self.settings
    }

    /// The catalogs of the bucket.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The clock, timers and randomness.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Returns the bytes reserved by requests in progress.
    pub fn reserved_bytes(&self) -> usize {
        self.budget.reserved_bytes()
    }

    /// Flushes waiting batches and disables batching. Called when the instance shuts down.
    pub fn begin_shutdown(&self) {
        self.writer.begin_shutdown();
    }

    /// Reserves memory for a request whose body is about to be read, and for its rows. Waits while memory is short.
    ///
    /// # Errors
    /// `Busy`: there is no memory.
    pub async fn reserve(
        &self,
        body_bytes: usize,
    ) -> Result<RequestMemoryReservation, WriteFailure> {
        self.reserve_exactly(body_bytes.saturating_mul(BODY_MEMORY_FACTOR)).await
    }

    /// Reserves memory for bytes that become no rows. Waits while memory is short.
    ///
    /// # Errors
    /// `Busy`: there is no memory.
    pub async fn reserve_exactly(
        &self,
        bytes: usize,
    ) -> Result<RequestMemoryReservation, WriteFailure> {
        let delay = self.pressure.write_delay();
        if !delay.is_zero() {
            self.world.clock.sleep(delay).await;
        }
        if !self.pressure.wait_until_relieved(&self.world, MAX_PRESSURE_WAIT).await {
            return Err(WriteFailure::Busy);
        }
        self.budget.reserve(bytes).await
    }

    /// Adds memory to a reservation until it has `bytes`, at most all memory for requests. Waits while memory is short.
    ///
    /// # Errors
    /// `Busy`: there is no memory. The reservation is unchanged.
    pub async fn grow_reservation(
        &self,
        reservation: &mut RequestMemoryReservation,
        bytes: usize,
    ) -> Result<(), WriteFailure> {
        let more = self.budget.reserve_up_to(bytes, reservation).await?;
        reservation.merge(more);
        Ok(())
    }

    /// Writes a body to a database. A missing database is created.
    ///
    /// # Errors
    /// See [`WriteFailure`]. Lines of a refused request may be stored even so if the failure says so (`Partial`), or if
    /// the outcome of a put is unknown ([`WriteError::NotAcknowledged`]).
    pub async fn write(
        &self,
        database: &str,
        body: Bytes,
        options: WriteOptions,
    ) -> Result<AcceptedWrite, WriteFailure> {
        validate_database_name(database).map_err(CatalogError::from)?;
        let reservation = self.reserve(body.len()).await?;
        // Take the time before the first request to the store, because rule W1 measures from the arrival.
        let arrived = self.arrival();
        self.write_within(reservation, arrived, database, body, options).await
    }

    /// Returns the current time, and the default timestamp of rows in nanoseconds since the Unix epoch.
    pub(crate) fn arrival(&self) -> (ClockReading, i64) {
        let wall = self.world.clock.wall_micros();
        (self.world.clock_reading(), wall.saturating_mul(1000))
    }

    /// Writes a body with memory already reserved.
    pub(crate) async fn write_within(
        &self,
        reservation: RequestMemoryReservation,
        (arrived, default_time_ns): (ClockReading, i64),
        database: &str,
        body: Bytes,
        options: WriteOptions,
    ) -> Result<AcceptedWrite, WriteFailure> {
        let source = LineProtocolBody(&body);
        let clocks = (arrived, default_time_ns);
        self.write_source(reservation, clocks, database, &source, options).await
    }

    /// Writes rows in any form to a database, with memory already reserved by [`reserve`](Self::reserve). A missing
    /// database is created.
    ///
    /// # Errors
    /// See [`write`](Self::write).
    pub async fn write_rows(
        &self,
        reservation: RequestMemoryReservation,
        database: &str,
        rows: &dyn RowSource,
        options: WriteOptions,
    ) -> Result<AcceptedWrite, WriteFailure> {
        validate_database_name(database).map_err(CatalogError::from)?;
        let clocks = self.arrival();
        self.write_source(reservation, clocks, database, rows, options).await
    }

    /// Like [`write_rows`](Self::write_rows), for a request that arrived at `arrived`, from which rule W1 measures.
    ///
    /// # Errors
    /// See [`write`](Self::write).
    pub async fn write_arrived_rows(
        &self,
        reservation: RequestMemoryReservation,
        arrived: ClockReading,
        database: &str,
        rows: &dyn RowSource,
        options: WriteOptions,
    ) -> Result<AcceptedWrite, WriteFailure> {
        validate_database_name(database).map_err(CatalogError::from)?;
        let (_, default_time_ns) = self.arrival();
        let clocks = (arrived, default_time_ns);
        self.write_source(reservation, clocks, database, rows, options).await
    }

    async fn write_source(
        &self,
        reservation: RequestMemoryReservation,
        (arrived, default_time_ns): (ClockReading, i64),
        database: &str,
        source: &dyn RowSource,
        options: WriteOptions,
    ) -> Result<AcceptedWrite, WriteFailure> {
        let request = PendingWrite { database, source, options, arrived, default_time_ns };
        let outcome = self.write_in_rounds(&request, reservation).await;
        self.record_metrics(&request, &outcome);
        let duplicates = match &outcome {
            Ok(accepted) => accepted.duplicates,
            Err(failure) => failure.duplicates(),
        };
        // Rows that are only counted are no reason for a warning.
        let is_checked = request.options.duplicates != DuplicateCheck::Count;
        if let Some(duplicates) = duplicates.filter(|_| is_checked) {
            let now = self.world.clock.monotonic();
            duplicate_rows::log(&self.duplicate_warnings, now, database, duplicates);
        }
        outcome
    }

    fn record_metrics(
        &self,
        request: &PendingWrite<'_>,
        outcome: &Result<AcceptedWrite, WriteFailure>,
    ) {
        let (rows, refused) = match outcome {
            Ok(accepted) => (accepted.rows, 0),
            Err(WriteFailure::Partial { rows, refused, .. }) => (*rows, *refused),
            Err(WriteFailure::Rejected(_)) => (0, 1),
            Err(_) => (0, 0),
        };
        if rows > 0 {
            self.metrics.accepted(request.database, rows, request.source.size_bytes());
        }
        if refused > 0 {
            self.metrics.rejected(request.database, refused);
        }
    }

    async fn write_in_rounds(
        &self,
        request: &PendingWrite<'_>,
        reservation: RequestMemoryReservation,
    ) -> Result<AcceptedWrite, WriteFailure> {
        let mut reservation = Some(reservation);
        let mut max_age = self.max_age;
        let mut last = WriteFailure::Contended;
        for _ in 0..MAX_ROUNDS {
            let step = trace_span!(target: TRACE_TARGET, "validate");
            let validated = match self.validate(request, max_age).instrument(step).await? {
                RoundOutcome::Done(validated) => validated,
                RoundOutcome::Retry(age, because) => {
                    (max_age, last) = (age, because);
                    continue;
                }
            };
            match self.store(request, validated, &mut reservation).await? {
                RoundOutcome::Done(accepted) => return Ok(accepted),
                RoundOutcome::Retry(age, because) => (max_age, last) = (age, because),
            }
        }
        Err(last)
    }

    /// Encodes the rows, creates the missing tables and columns, and puts the rows.
    async fn store(
        &self,
        request: &PendingWrite<'_>,
        mut validated: ValidatedWrite,
        reservation: &mut Option<RequestMemoryReservation>,
    ) -> Result<RoundOutcome<AcceptedWrite>, WriteFailure> {
        // Parsing took a while, so let other tasks run before the next step.
        tokio::task::yield_now().await;
        let tables = std::mem::take(&mut validated.parsed.tables);
        let known = &validated.fresh_catalog.catalog.value;
        let missing = MissingTables::of_rows(known, &tables);
        let rows = self.encode(request, known, tables, reservation.as_ref()).await?;
        // After this, memory is no reason to refuse the rows.
        let room = self.writer.admit(rows.rows())?;
        let mut catalog = validated.fresh_catalog.catalog.clone();
        if let Some(missing) = missing {
            let committed = self.commit_additions(validated.database, catalog, &missing);
            catalog = match committed.await? {
                RoundOutcome::Done(catalog) => catalog,
                RoundOutcome::Retry(age, because) => return Ok(RoundOutcome::Retry(age, because)),
            };
        }
        let rows = rows.in_tables(&catalog.value)?;
        let write = |fresh_catalog: &FreshCatalog, rows| WriteRequest {
            arrived: request.arrived,
            rows,
            proof: fresh_catalog.proof(&catalog),
            after: request.options.after,
            order: request.options.order.max(catalog.value.write_order()),
            depth: request.options.depth,
            progress: request.options.progress,
        };
        let stamp = if request.options.no_sync && self.settings.no_sync_allowed {
            let write = write(&validated.fresh_catalog, rows);
            self.put_in_background(validated.database, write, room, reservation.take());
            None
        } else {
            let acknowledged = match self
                .writer
                .write_admitted(
                    validated.database,
                    write(&validated.fresh_catalog, rows.clone()),
                    room.clone(),
                )
                .instrument(trace_span!(target: TRACE_TARGET, "wal"))
                .await
            {
                Err(expired @ WriteError::ProofExpired { .. }) => {
                    let fresh_catalog =
                        self.revalidate_encoded(request, validated.database, catalog.version);
                    let Some(fresh_catalog) = fresh_catalog.await? else {
                        return Ok(RoundOutcome::Retry(Duration::ZERO, expired.into()));
                    };
                    self.writer
                        .write_admitted(validated.database, write(&fresh_catalog, rows), room)
                        .instrument(trace_span!(target: TRACE_TARGET, "wal"))
                        .await?
                }
                outcome => outcome?,
            };
            Some(acknowledged.stamp)
        };
        answer(validated.parsed, stamp, validated.duplicates).map(RoundOutcome::Done)
    }

    /// Encodes rows that were validated against a catalog. Waits until there is memory for them.
    async fn encode(
        &self,
        request: &PendingWrite<'_>,
        catalog: &DatabaseCatalog,
        tables: Vec<TableRows>,
        reservation: Option<&RequestMemoryReservation>,
    ) -> Result<EncodedTables, WriteFailure> {
        let columns = tables.iter().map(|table| table.batch.get_array_memory_size());
        let held = request.source.size_bytes().saturating_add(columns.sum());
        // Sparse rows of a wide table take much more memory than their text.
        let _more = match reservation {
            Some(reservation) => Some(self.budget.reserve_up_to(held, reservation).await?),
            None => None,
        };
        Ok(EncodedTables::encode(catalog, tables)?)
    }

    /// Revalidates the catalogs for encoded rows; `None` if the rows were validated against an outdated catalog.
    async fn revalidate_encoded(
        &self,
        request: &PendingWrite<'_>,
        database: DatabaseId,
        version: u64,
    ) -> Result<Option<FreshCatalog>, WriteFailure> {
        let fresh_catalog =
            revalidate(&self.catalog, &self.marks, database, Duration::ZERO).await?;
        let is_current = fresh_catalog.root.value.database(request.database) == Some(database)
            && fresh_catalog.catalog.version == version;
        Ok(is_current.then_some(fresh_catalog))
    }

    /// Puts rows after the answer. Nothing was acknowledged, so a failure is only logged.
    fn put_in_background(
        &self,
        database: DatabaseId,
        write: WriteRequest,
        room: InFlightRoom,
        reservation: Option<RequestMemoryReservation>,
    ) {
        let writer = self.writer.clone();
        tokio::spawn(async move {
            if let Err(error) = writer.write_admitted(database, write, room).await {
                tracing::warn!(%database, %error, "rows of a no_sync write were not stored");
            }
            drop(reservation);
        });
    }
}

/// Returns the result of a write whose rows are put.
fn answer(
    parsed: ParsedBody,
    stamp: Option<Stamp>,
    duplicates: Option<DuplicateRows>,
) -> Result<AcceptedWrite, WriteFailure> {
    let rows = parsed.rows;
    if parsed.errors.is_empty() {
        Ok(AcceptedWrite { rows, stamp, duplicates })
    } else {
        Err(partial(parsed, stamp, duplicates))
    }
}

pub(crate) fn partial(
    parsed: ParsedBody,
    stamp: Option<Stamp>,
    duplicates: Option<DuplicateRows>,
) -> WriteFailure {
    WriteFailure::Partial {
        refused: parsed.lines - parsed.rows,
        rows: parsed.rows,
        errors: parsed.errors,
        stamp,
        duplicates,
    }
}
