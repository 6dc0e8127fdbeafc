//! A write from body to answer, without HTTP.
//!
//! A request is judged in rounds. A round that finds that it was judged by an outdated catalog leaves
//! nothing behind but what the next round needs as well, and the next one starts from what is current.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{Moment, Rules, Stamp, World, WriteOrder};
use neap_catalog::{Catalog, CatalogError, validate_database_name};
use neap_http::Metrics;
use neap_line_protocol::{Dialect, Parsed, Precision};
use neap_memory::MemoryPressure;
use neap_schema::DatabaseId;
use neap_wal::{TailWriter, WriteError, WriteRequest};

use crate::{
    WriteFailure, WriteSettings,
    budget::{Budget, Reservation},
    judge::Judged,
    marks::Marks,
    metrics::WriteMetrics,
    proof::{self, Proven, prove},
    rows::encode,
    turns::Turns,
};

/// How often a request is judged anew before it is given up.
pub(crate) const MAX_ROUNDS: usize = 5;

/// What a request usually takes up: its body, its columns, and what is encoded of them.
const HELD_PER_BODY: usize = 3;

/// What a [`WriteService`] is made of.
#[derive(Debug)]
pub struct WriteParts {
    /// The catalogs, with the ceilings on what may be created.
    pub catalog: Arc<Catalog>,
    /// What puts the rows.
    pub writer: TailWriter,
    /// The rules of the storage protocol, which are those of catalog and writer.
    pub rules: Rules,
    /// Where lines are counted.
    pub metrics: Metrics,
    /// The settings.
    pub settings: WriteSettings,
}

/// How a body is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whose line protocol it is.
    pub dialect: Dialect,
    /// The unit of the timestamps.
    pub precision: Precision,
    /// Whether good lines are stored when others are refused.
    pub accept_partial: bool,
    /// Whether to answer before the rows are put, where the settings allow it.
    pub no_sync: bool,
    /// The stamp to be ordered after.
    pub after: Option<Stamp>,
    /// How the rows are to be ordered among those of other instances. Where the database has the strict order, they are
    /// in any case.
    pub order: WriteOrder,
    /// The only database that may be written to, whatever its name means by now; `None`: any of the name, and
    /// a missing one is created.
    pub only: Option<DatabaseId>,
    /// How many plugins in a row have led to these lines; 0: a client sent them.
    pub depth: u8,
}

impl Default for WriteOptions {
    /// As InfluxDB 3 does on `/api/v3/write_lp`: `auto`, partial, and put before the answer.
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
        }
    }
}

/// A write of which every line is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The number of lines.
    pub rows: usize,
    /// Their place in the order of all writes; `None` when they are put after the answer (`no_sync`).
    pub stamp: Option<Stamp>,
}

/// The longest that a write waits because memory runs short.
const LONGEST_PRESSURE: Duration = Duration::from_secs(10);

/// Writes line protocol; one for each instance.
#[derive(Debug)]
pub struct WriteService {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: WriteSettings,
    pub(crate) world: World,
    pub(crate) marks: Marks,
    pub(crate) turns: Turns,
    /// The greatest age of a catalog that a request begins with.
    pub(crate) max_age: Duration,
    pub(crate) writer: TailWriter,
    pub(crate) metrics: WriteMetrics,
    budget: Budget,
    pressure: MemoryPressure,
}

/// A request as it is judged.
pub(crate) struct Request<'a> {
    pub(crate) database: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) options: WriteOptions,
    pub(crate) arrived: Moment,
    pub(crate) default_time_ns: i64,
}

/// How a round ended that did not end with an answer.
pub(crate) enum Round<T> {
    /// With this.
    Done(T),
    /// What the request was judged by is outdated. The next round begins with what is at most so old; if
    /// there is none, this is the answer.
    Again(Duration, WriteFailure),
}

impl WriteService {
    /// The most refused lines that are reported of a request.
    pub const MAX_ERRORS: usize = 1_000;

    /// A service that knows nothing yet.
    pub fn new(parts: WriteParts) -> Self {
        let bucket = parts.catalog.bucket();
        let world = bucket.world().clone();
        let settings = parts.settings;
        Self {
            marks: Marks::new(bucket.clone(), parts.rules.recent_put_ids),
            budget: Budget::new(settings.max_bytes_in_flight, world.clone()),
            metrics: WriteMetrics::new(&parts.metrics, &parts.writer),
            turns: Turns::new(parts.rules.wait_limit, world.clone()),
            max_age: proof::max_age(&parts.rules),
            catalog: parts.catalog,
            writer: parts.writer,
            settings,
            world,
            pressure: MemoryPressure::none(),
        }
    }

    /// The same service, whose writes wait while memory runs short.
    #[must_use]
    pub fn with_pressure(self, pressure: MemoryPressure) -> Self {
        Self { pressure, ..self }
    }

    /// The bytes that requests under way have reserved.
    pub fn reserved_bytes(&self) -> usize {
        self.budget.reserved_bytes()
    }

    /// Has no write wait for others any more, those that wait already among them: for an instance that is about to end.
    pub fn begin_shutdown(&self) {
        self.writer.begin_shutdown();
    }

    /// Room for a request whose body is about to be read.
    pub(crate) async fn reserve(&self, body_bytes: usize) -> Result<Reservation, WriteFailure> {
        let delay = self.pressure.write_delay();
        if !delay.is_zero() {
            self.world.clock.sleep(delay).await;
        }
        if !self.pressure.relieved(&self.world, LONGEST_PRESSURE).await {
            return Err(WriteFailure::Busy);
        }
        self.budget
            .reserve(body_bytes.saturating_mul(HELD_PER_BODY))
            .await
    }

    /// Writes a body to a database, which is created if it is missing.
    ///
    /// # Errors
    /// See [`WriteFailure`]. Lines of a refused request may be stored all the same when the failure says
    /// so (`Partial`), or when nothing is known of a put ([`WriteError::NotAcknowledged`]).
    pub async fn write(
        &self,
        database: &str,
        body: Bytes,
        options: WriteOptions,
    ) -> Result<Accepted, WriteFailure> {
        validate_database_name(database).map_err(CatalogError::from)?;
        let reservation = self.reserve(body.len()).await?;
        // Before anything of it is asked for: rule W1 counts from here.
        let arrived = self.arrival();
        self.write_within(reservation, arrived, database, body, options)
            .await
    }

    /// The present moment, and the time of rows that have none, in nanoseconds since the Unix epoch.
    pub(crate) fn arrival(&self) -> (Moment, i64) {
        let wall = self.world.clock.wall_micros();
        (self.world.moment(), wall.saturating_mul(1000))
    }

    /// Writes a body that there is room for.
    pub(crate) async fn write_within(
        &self,
        reservation: Reservation,
        (arrived, default_time_ns): (Moment, i64),
        database: &str,
        body: Bytes,
        options: WriteOptions,
    ) -> Result<Accepted, WriteFailure> {
        let request = Request {
            database,
            body: &body,
            options,
            arrived,
            default_time_ns,
        };
        let outcome = self.in_rounds(&request, reservation).await;
        self.note(&request, &outcome);
        outcome
    }

    fn note(&self, request: &Request<'_>, outcome: &Result<Accepted, WriteFailure>) {
        let (rows, refused) = match outcome {
            Ok(accepted) => (accepted.rows, 0),
            Err(WriteFailure::Partial { rows, refused, .. }) => (*rows, *refused),
            Err(WriteFailure::Rejected(_)) => (0, 1),
            Err(_) => (0, 0),
        };
        if rows > 0 {
            self.metrics
                .accepted(request.database, rows, request.body.len());
        }
        if refused > 0 {
            self.metrics.rejected(request.database, refused);
        }
    }

    async fn in_rounds(
        &self,
        request: &Request<'_>,
        reservation: Reservation,
    ) -> Result<Accepted, WriteFailure> {
        let mut reservation = Some(reservation);
        let mut max_age = self.max_age;
        let mut last = WriteFailure::Contended;
        for _ in 0..MAX_ROUNDS {
            let judged = match self.judge(request, max_age).await? {
                Round::Done(judged) => judged,
                Round::Again(age, because) => {
                    (max_age, last) = (age, because);
                    continue;
                }
            };
            match self.store(request, judged, &mut reservation).await? {
                Round::Done(accepted) => return Ok(accepted),
                Round::Again(age, because) => (max_age, last) = (age, because),
            }
        }
        Err(last)
    }

    /// Encodes the rows and puts them.
    async fn store(
        &self,
        request: &Request<'_>,
        mut judged: Judged,
        reservation: &mut Option<Reservation>,
    ) -> Result<Round<Accepted>, WriteFailure> {
        // Parsing took a while; others may go on before the next piece of work.
        tokio::task::yield_now().await;
        let tables = std::mem::take(&mut judged.parsed.tables);
        let columns = tables
            .iter()
            .map(|table| table.batch.get_array_memory_size());
        let held = request.body.len().saturating_add(columns.sum());
        // Sparse rows of a wide table take up far more than their text.
        let more = match reservation.as_ref() {
            Some(reservation) => Some(self.budget.reserve_up_to(held, reservation).await?),
            None => None,
        };
        let rows = encode(&judged.catalog.value, &tables)?;
        drop((tables, more));
        let write = |proven: &Proven, rows| WriteRequest {
            arrived: request.arrived,
            rows,
            proof: proven.proof(&judged.catalog),
            after: request.options.after,
            order: request
                .options
                .order
                .max(judged.catalog.value.write_order()),
            depth: request.options.depth,
        };
        let stamp = if request.options.no_sync && self.settings.no_sync_allowed {
            let write = write(&judged.proven, rows);
            self.put_later(judged.database, write, reservation.take());
            None
        } else {
            let acknowledged = match self
                .writer
                .write(judged.database, write(&judged.proven, rows.clone()))
                .await
            {
                Err(expired @ WriteError::ProofExpired { .. }) => {
                    let Some(proven) = self.prove_again(request, &judged).await? else {
                        return Ok(Round::Again(Duration::ZERO, expired.into()));
                    };
                    self.writer
                        .write(judged.database, write(&proven, rows))
                        .await?
                }
                outcome => outcome?,
            };
            Some(acknowledged.stamp)
        };
        answer(judged.parsed, stamp).map(Round::Done)
    }

    /// A new proof for rows that are encoded; `None` if what they were judged by is outdated.
    async fn prove_again(
        &self,
        request: &Request<'_>,
        judged: &Judged,
    ) -> Result<Option<Proven>, WriteFailure> {
        let database = judged.database;
        let proven = prove(&self.catalog, &self.marks, database, Duration::ZERO).await?;
        let is_current = proven.root.value.database(request.database) == Some(database)
            && proven.catalog.version == judged.catalog.version;
        Ok(is_current.then_some(proven))
    }

    /// Puts rows after the answer. Nothing is promised of them, so a failure is only logged.
    fn put_later(
        &self,
        database: DatabaseId,
        write: WriteRequest,
        reservation: Option<Reservation>,
    ) {
        let writer = self.writer.clone();
        tokio::spawn(async move {
            if let Err(error) = writer.write(database, write).await {
                tracing::warn!(%database, %error, "rows of a write with no_sync are not stored");
            }
            drop(reservation);
        });
    }
}

/// What is told of rows that are put.
fn answer(parsed: Parsed, stamp: Option<Stamp>) -> Result<Accepted, WriteFailure> {
    let rows = parsed.rows;
    if parsed.errors.is_empty() {
        Ok(Accepted { rows, stamp })
    } else {
        Err(partial(parsed, stamp))
    }
}

pub(crate) fn partial(parsed: Parsed, stamp: Option<Stamp>) -> WriteFailure {
    WriteFailure::Partial {
        refused: parsed.lines - parsed.rows,
        rows: parsed.rows,
        errors: parsed.errors,
        stamp,
    }
}
