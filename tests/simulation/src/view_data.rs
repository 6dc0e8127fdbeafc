//! The rows of views in the simulation: read and written as the query engine does, without its planner.

use std::time::Duration;

use async_trait::async_trait;
use neap_bucket::{ClockReading, MAX_CATALOG_AGE, Stamp};
use neap_catalog::{CatalogError, MaterializedView, ViewReference};
use neap_manifest::TimeRange;
use neap_rollup::{StoredViewRows, ViewData, ViewDataError, ViewRows};
use neap_row_delete::{Condition, DeleteRowsErrorKind, RowDelete, RowDeleter};
use neap_rows::line_protocol::{Options, ParseError, ParsedBody, RowSource, SchemaView, parse};
use neap_schema::{DatabaseId, TableId};
use neap_write::{Precision, WriteFailure, WriteOptions};

use crate::{
    actors::ActorContext,
    disabled_rule::DisabledRule,
    instance::Instance,
    oracle::{Invariant, SimulationOracle},
    rows::{TAG, WITNESSES},
    view_rows::{aggregate, to_rows, to_view_rows, within},
    write::{deleting_host, line, witness},
};

/// Maximum age of the catalog in which a table is looked up after a write to it.
const TABLE_LIST_AGE: Duration = Duration::from_secs(600);

/// The rows of the views of a database, for one refresh.
pub(crate) struct SimulatedViewData<'a> {
    stage: &'a ActorContext,
    instance: &'a Instance,
    database: DatabaseId,
    /// The undetectable jumps of the machine's clocks before the refresh.
    jumps: u64,
}

/// A write of rows in progress. When it ends, it tells the oracle if the clocks of the machine could not measure how long
/// the claim of the refresh has lasted: then the stamp of the write may be after the end of the claim.
struct WatchedWrite<'a>(&'a SimulatedViewData<'a>);

impl Drop for WatchedWrite<'_> {
    fn drop(&mut self) {
        let SimulatedViewData { instance, database, jumps, .. } = self.0;
        if instance.machine.undetectable_time_jumps() != *jumps {
            let truth = &instance.world.truth;
            truth.oracle(|oracle| oracle.excuse_views(*database));
        }
    }
}

/// A body of line protocol.
#[derive(derive_more::Debug)]
#[debug("{_0}")]
struct LineProtocolRows(String);

impl RowSource for LineProtocolRows {
    fn size_bytes(&self) -> usize {
        self.0.len()
    }

    fn validate(
        &self,
        schema: &dyn SchemaView,
        options: &Options,
    ) -> Result<ParsedBody, ParseError> {
        parse(self.0.as_bytes(), schema, options)
    }
}

fn catalog_error(error: &CatalogError) -> ViewDataError {
    ViewDataError::Failed(error.to_string())
}

impl<'a> SimulatedViewData<'a> {
    pub(crate) fn new(
        stage: &'a ActorContext,
        instance: &'a Instance,
        database: DatabaseId,
    ) -> Self {
        Self {
            stage,
            instance,
            database,
            jumps: instance.machine.undetectable_time_jumps(),
        }
    }

    /// Returns the database of the table of a view, and its name, if it exists. If it is not that of the view, the view
    /// must still have the table.
    async fn target(&self, view: &MaterializedView) -> Result<(DatabaseId, String), ViewDataError> {
        let catalog = &self.instance.catalog;
        let root = catalog.root(MAX_CATALOG_AGE).await.map_err(|error| catalog_error(&error))?;
        let target = match &view.target.database {
            None => Some(self.database),
            Some(target) => root.value.target_database(target),
        };
        let mut live = root.value.live_databases();
        let found = live.find(|(id, _)| Some(*id) == target);
        let (database, entry) = found.ok_or_else(|| failed("the database does not exist"))?;
        if view.target.database.is_some() {
            let reference = ViewReference { database: self.database, view: view.name.clone() };
            let table = &view.target.table;
            let reserved =
                catalog.reserve_view_target(database, table, &reference, MAX_CATALOG_AGE);
            reserved.await.map_err(|error| catalog_error(&error))?;
        }
        Ok((database, entry.name.clone()))
    }

    /// Returns the database of the table of a view. Costs no request if it is that of the view.
    async fn database_of_target(
        &self,
        view: &MaterializedView,
    ) -> Result<DatabaseId, ViewDataError> {
        match view.target.database {
            None => Ok(self.database),
            Some(_) => Ok(self.target(view).await?.0),
        }
    }

    /// Returns the arrival time of a write. Without the rule of the end of a claim, it is the time of the write, however
    /// long ago the refresher checked its claim.
    fn arrival(&self, checked: ClockReading) -> ClockReading {
        match self.instance.weakness {
            Some(DisabledRule::ClaimEnd) => self.instance.bucket.world().clock_reading(),
            _ => checked,
        }
    }

    fn acknowledge(&self, request: u64) {
        let truth = &self.instance.world.truth;
        truth.oracle(|oracle| oracle.acknowledge(request));
    }

    /// Reports a violation if rows of a view must not be refused with this error.
    fn check_failure(&self, failure: &WriteFailure) {
        if matches!(
            failure,
            WriteFailure::Empty
                | WriteFailure::Parse(_)
                | WriteFailure::Rejected(_)
                | WriteFailure::Partial { .. }
                | WriteFailure::TooManyAdditions { .. }
                | WriteFailure::MissingTags(_)
                | WriteFailure::Encode(_)
        ) {
            let text = format!("rows of a view: {failure}");
            let fail = |oracle: &mut SimulationOracle| {
                oracle.fail(Invariant::NoUnexpectedError, text);
            };
            self.instance.world.truth.oracle(fail);
        }
    }

    /// Returns the id of the table of a view, which this process has just written to.
    async fn target_table(&self, view: &MaterializedView, database: DatabaseId) -> Option<TableId> {
        let catalog = self.instance.catalog.database(database, TABLE_LIST_AGE).await.ok()?;
        let table = catalog.value.table(&view.target.table)?;
        Some(table.id())
    }
}

fn failed(text: impl Into<String>) -> ViewDataError {
    ViewDataError::Failed(text.into())
}

/// Returns the condition of a request that deletes ranges of times.
fn ranges(times: &[TimeRange], request: u64) -> Condition {
    let ranges = times.iter().map(|range| Condition::between(range.first, range.last));
    let condition = ranges.fold(Condition::NOTHING, Condition::or);
    let identity = Condition::Tag { name: TAG.to_owned(), value: Some(deleting_host(request)) };
    let bounds = condition.time_bounds();
    let (first, last) = bounds.unwrap_or((i64::MIN, i64::MAX));
    let identity = Condition::between(first, last).and(identity);
    condition.or(identity)
}

#[async_trait]
impl ViewData for SimulatedViewData<'_> {
    async fn compute(
        &self,
        view: &MaterializedView,
        windows: TimeRange,
        as_of: Stamp,
    ) -> Result<ViewRows, ViewDataError> {
        let (database, source) = (self.database, &view.source);
        let read = self.instance.read_table(database, source, Some(as_of));
        let Some(read) = read.await.map_err(failed)? else {
            return Err(failed(format!("there is no table {source}")));
        };
        if read.shown.is_some_and(|shown| shown < as_of) {
            return Err(ViewDataError::Replaced);
        }
        to_view_rows(&aggregate(view, &within(&read.rows, windows)))
    }

    async fn read(
        &self,
        view: &MaterializedView,
        times: TimeRange,
    ) -> Result<ViewRows, ViewDataError> {
        let database = self.database_of_target(view).await?;
        let read = self.instance.read_table(database, &view.target.table, None);
        let rows = read.await.map_err(failed)?.map(|read| read.rows);
        to_view_rows(&within(&rows.unwrap_or_default(), times))
    }

    async fn target_database(&self, view: &MaterializedView) -> Result<DatabaseId, ViewDataError> {
        self.database_of_target(view).await
    }

    async fn bounds(&self, view: &MaterializedView) -> Result<Option<TimeRange>, ViewDataError> {
        let database = self.database_of_target(view).await?;
        let read = self.instance.read_table(database, &view.target.table, None);
        let rows = read.await.map_err(failed)?.map(|read| read.rows).unwrap_or_default();
        let times = || rows.keys().map(|(_, time)| *time);
        let bounds = times().min().zip(times().max());
        Ok(bounds.map(|(first, last)| TimeRange { first, last }))
    }

    async fn delete(
        &self,
        view: &MaterializedView,
        times: &[TimeRange],
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, ViewDataError> {
        let _watched = WatchedWrite(self);
        let (database, _) = self.target(view).await?;
        let catalog = self
            .instance
            .catalog
            .database(database, Duration::ZERO)
            .await
            .map_err(|error| catalog_error(&error))?;
        let Some(table) = catalog.value.table(&view.target.table) else {
            return Ok(None);
        };
        let request = self.stage.draw_request();
        let delete = RowDelete { table: table.id(), condition: ranges(times, request) };
        let arrived = self.arrival(arrived);
        let deleter: &dyn RowDeleter = &*self.instance.writer;
        let deleted = deleter.delete_rows(database, vec![delete], arrived, after).await;
        self.instance.trace(format_args!(
            "delete {request} of {} at {times:?} after {after:?}: {deleted:?}",
            view.name
        ));
        match deleted {
            Ok(stamp) => {
                self.acknowledge(request);
                Ok(Some(stamp))
            }
            Err(error) => Err(match error.kind {
                DeleteRowsErrorKind::Invalid | DeleteRowsErrorKind::NotFound => {
                    failed(error.to_string())
                }
                _ => ViewDataError::Unknown(error.to_string()),
            }),
        }
    }

    async fn store(
        &self,
        view: &MaterializedView,
        rows: &ViewRows,
        arrived: ClockReading,
        after: Option<Stamp>,
    ) -> Result<StoredViewRows, ViewDataError> {
        let _watched = WatchedWrite(self);
        let (database, name) = match self.target(view).await {
            // Without the rule, a refresher repeats a request that took too long.
            Err(_) if self.instance.weakness == Some(DisabledRule::ClaimEnd) => {
                self.target(view).await?
            }
            target => target?,
        };
        let request = self.stage.draw_request();
        let rows = to_rows(rows);
        let lines = rows.iter().map(|row| line(&view.target.table, row));
        let witness = line(WITNESSES, &witness(request, 0));
        let body = LineProtocolRows(lines.chain([witness]).collect());
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            after,
            only: Some(database),
            ..WriteOptions::default()
        };
        let arrived = self.arrival(arrived);
        let writer = &self.instance.writer;
        let stored = match writer.reserve(body.size_bytes()).await {
            Ok(memory) => {
                let written = writer.write_arrived_rows(memory, arrived, &name, &body, options);
                written.await
            }
            Err(failure) => Err(failure),
        };
        self.instance.trace(format_args!(
            "rows {request} of {} after {after:?}: {rows:?}: {stored:?}",
            view.name
        ));
        match stored {
            Ok(accepted) => {
                self.acknowledge(request);
                Ok(StoredViewRows {
                    stamp: accepted.stamp,
                    table: self.target_table(view, database).await,
                })
            }
            Err(failure) => {
                self.check_failure(&failure);
                Err(match failure.retry_after() {
                    None => failed(failure.to_string()),
                    Some(_) => ViewDataError::Unknown(failure.to_string()),
                })
            }
        }
    }
}
