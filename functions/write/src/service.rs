//! A write from body to answer, without HTTP.
//!
//! A request is judged in rounds. A round that finds that it was judged by an outdated catalog leaves
//! nothing behind but what the next round needs as well, and the next one starts from what is current.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{Moment, Rules, Stamp, Versioned, World};
use neap_catalog::{
    ANY_AGE, Catalog, CatalogError, DatabaseCatalog, LimitReached, validate_database_name,
};
use neap_http::Metrics;
use neap_line_protocol::{Options, ParseError, Parsed, Precision, SchemaLimits, TableLimit, parse};
use neap_schema::DatabaseId;
use neap_wal::{TailWriter, WriteError, WriteRequest};

use crate::{
    WriteFailure, WriteSettings,
    budget::{Budget, Reservation},
    marks::Marks,
    metrics::WriteMetrics,
    proof::{self, Proven, prove},
    rows::encode,
    schema::{CatalogView, additions, fits},
    turns::Turns,
};

/// How often a request is judged anew before it is given up.
const MAX_ROUNDS: usize = 5;

/// What a request takes up besides its body: its columns, and what is encoded of them.
const WORK_PER_BODY: usize = 2;

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
    /// The unit of the timestamps.
    pub precision: Precision,
    /// Whether good lines are stored when others are refused.
    pub accept_partial: bool,
    /// Whether to answer before the rows are put, where the settings allow it.
    pub no_sync: bool,
    /// The stamp to be ordered after.
    pub after: Option<Stamp>,
}

impl Default for WriteOptions {
    /// As InfluxDB 3 does on `/api/v3/write_lp`: `auto`, partial, and put before the answer.
    fn default() -> Self {
        Self {
            precision: Precision::Auto,
            accept_partial: true,
            no_sync: false,
            after: None,
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

/// Writes line protocol; one for each instance.
#[derive(Debug)]
pub struct WriteService {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) settings: WriteSettings,
    pub(crate) world: World,
    writer: TailWriter,
    marks: Marks,
    budget: Budget,
    metrics: WriteMetrics,
    turns: Turns,
    max_age: Duration,
}

/// A request as it is judged.
struct Request<'a> {
    database: &'a str,
    body: &'a [u8],
    options: WriteOptions,
    arrived: Moment,
    default_time_ns: i64,
}

/// How a round ended that did not end with an answer.
enum Round<T> {
    /// With this.
    Done(T),
    /// What the request was judged by is outdated. The next round begins with what is at most so old; if
    /// there is none, this is the answer.
    Again(Duration, WriteFailure),
}

/// A request whose tables and columns exist.
struct Judged {
    database: DatabaseId,
    proven: Proven,
    catalog: Versioned<DatabaseCatalog>,
    parsed: Parsed,
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
        }
    }

    /// Room for a body that is about to be read.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<Reservation, WriteFailure> {
        self.budget.reserve(bytes).await
    }

    /// The greatest age of a catalog that a change begins with.
    pub(crate) fn max_age(&self) -> Duration {
        self.max_age
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
        let reservation = self
            .reserve(body.len().saturating_mul(WORK_PER_BODY))
            .await?;
        let request = Request {
            database,
            body: &body,
            options,
            arrived: self.world.moment(),
            default_time_ns: self.world.clock.wall_micros().saturating_mul(1000),
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

    /// Parses the body and sees to it that its tables and columns exist.
    async fn judge(
        &self,
        request: &Request<'_>,
        max_age: Duration,
    ) -> Result<Round<Judged>, WriteFailure> {
        let root = self.catalog.root(ANY_AGE).await?;
        let Some(database) = root.value.database(request.database) else {
            return self.judge_new(request).await;
        };
        let proven = prove(&self.catalog, &self.marks, database, max_age);
        let (proven, parsed) = match self.catalog.known_database(database) {
            Some(known) => {
                // The requests of the proof are sent first, and answered while the body is parsed.
                let parse = async { self.parse(request, &known.value, None) };
                let (proven, parsed) = futures::join!(proven, parse);
                let (parsed, proven) = (parsed?, proven?);
                let is_current = true;
                (proven, is_current.then_some(parsed))
            }
            None => (proven.await?, None),
        };
        if false {
            return Ok(Round::Again(Duration::ZERO, WriteFailure::Contended));
        }
        let parsed = match parsed {
            Some(parsed) => parsed,
            None => self.parse(request, &proven.catalog.value, None)?,
        };
        let parsed = self
            .within_table_limit(request, database, &proven, parsed)
            .await?;
        let parsed = check(request, parsed)?;
        self.complete(database, proven, parsed).await
    }

    /// Judges a body for a database that seems to be missing; creates it if anything is to be stored.
    async fn judge_new(&self, request: &Request<'_>) -> Result<Round<Judged>, WriteFailure> {
        let parsed = self.parse(request, &DatabaseCatalog::default(), None)?;
        let name = request.database;
        if let Err(refused) = check(request, parsed) {
            // An empty catalog is no reason to refuse lines unless the database is really missing.
            if self
                .catalog
                .database_by_name(name, self.max_age)
                .await?
                .is_some()
            {
                return Ok(Round::Again(self.max_age, refused));
            }
            let root = self.catalog.root(ANY_AGE).await?;
            let deleted = root.value.deleted_database(name).is_some();
            let name = name.to_owned();
            return Err(if deleted {
                CatalogError::SoftDeleted { name }.into()
            } else {
                refused
            });
        }
        let created = self.catalog.get_or_create_database(name, self.max_age);
        created.await?;
        Ok(Round::Again(self.max_age, WriteFailure::Contended))
    }

    fn parse(
        &self,
        request: &Request<'_>,
        catalog: &DatabaseCatalog,
        tables: Option<TableLimit>,
    ) -> Result<Parsed, ParseError> {
        let limits = self.catalog.limits();
        let options = Options {
            precision: request.options.precision,
            default_time_ns: request.default_time_ns,
            stop_at_first_error: !request.options.accept_partial,
            limits: SchemaLimits {
                max_columns_per_table: limits.columns_per_table,
                max_tags_per_table: limits.tags_per_table,
            },
            tables,
            max_cells: Some(self.settings.max_cells),
            max_errors: Some(Self::MAX_ERRORS),
        };
        parse(request.body, &CatalogView(catalog), &options)
    }

    /// The same rows, or if they create more tables than are allowed, those of the tables that are.
    async fn within_table_limit(
        &self,
        request: &Request<'_>,
        database: DatabaseId,
        proven: &Proven,
        parsed: Parsed,
    ) -> Result<Parsed, WriteFailure> {
        let new_tables = parsed.tables.iter().filter(|table| table.is_new).count();
        let Some(limit) = self.catalog.limits().tables.filter(|_| new_tables > 0) else {
            return Ok(parsed);
        };
        let mut count = proven.catalog.value.tables().count();
        for (other, _) in proven.root.value.live_databases() {
            if other != database {
                let other = self.catalog.database(other, ANY_AGE).await?;
                count += other.value.tables().count();
            }
        }
        if count + new_tables <= limit {
            return Ok(parsed);
        }
        let tables = Some(TableLimit { count, limit });
        Ok(self.parse(request, &proven.catalog.value, tables)?)
    }

    /// Commits the tables and columns that are missing.
    async fn complete(
        &self,
        database: DatabaseId,
        proven: Proven,
        parsed: Parsed,
    ) -> Result<Round<Judged>, WriteFailure> {
        let additions = additions(&parsed.tables);
        let mut catalog = proven.catalog.clone();
        if !additions.is_empty() {
            let _turn = self.turns.take(database).await?;
            // Whoever had the turn before may have added the same.
            if let Some(newer) = self.catalog.known_database(database) {
                catalog = newer;
            }
            catalog = match self.catalog.add(database, catalog, &additions).await {
                Ok(catalog) => catalog,
                // Another instance was faster. The next round tells which lines are refused for it.
                Err(
                    error @ (CatalogError::TypeConflict { .. }
                    | CatalogError::Limit(
                        LimitReached::Tables { .. }
                        | LimitReached::Columns { .. }
                        | LimitReached::Tags { .. },
                    )),
                ) => return Ok(Round::Again(Duration::ZERO, error.into())),
                Err(error) => return Err(error.into()),
            };
            // A table that was dropped meanwhile is new again, and has only what was added now.
            if false && !fits(&catalog.value, &parsed.tables) {
                return Ok(Round::Again(Duration::ZERO, WriteFailure::Contended));
            }
        }
        Ok(Round::Done(Judged {
            database,
            proven,
            catalog,
            parsed,
        }))
    }

    /// Encodes the rows and puts them.
    async fn store(
        &self,
        request: &Request<'_>,
        judged: Judged,
        reservation: &mut Option<Reservation>,
    ) -> Result<Round<Accepted>, WriteFailure> {
        // Parsing took a while; others may go on before the next piece of work.
        tokio::task::yield_now().await;
        let rows = encode(&judged.catalog.value, &judged.parsed.tables)?;
        let write = |proven: &Proven, rows| WriteRequest {
            arrived: request.arrived,
            rows,
            proof: proven.proof(&judged.catalog),
            after: request.options.after,
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

fn partial(parsed: Parsed, stamp: Option<Stamp>) -> WriteFailure {
    WriteFailure::Partial {
        refused: parsed.lines - parsed.rows,
        rows: parsed.rows,
        errors: parsed.errors,
        stamp,
    }
}

/// The body as far as anything of it is to be stored.
fn check(request: &Request<'_>, mut parsed: Parsed) -> Result<Parsed, WriteFailure> {
    if parsed.lines == 0 {
        return Err(WriteFailure::Empty);
    }
    if parsed.errors.is_empty() {
        return Ok(parsed);
    }
    if !request.options.accept_partial {
        return Err(WriteFailure::Rejected(parsed.errors.swap_remove(0)));
    }
    if parsed.rows == 0 {
        return Err(partial(parsed, None));
    }
    Ok(parsed)
}
