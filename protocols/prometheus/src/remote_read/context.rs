//! The database of a request, and queries by its sender.

use std::{sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use axum::http::request::Parts;
use futures::TryStreamExt;
use neap_catalog::{RuleChange, origin};
use neap_http::ApiError;
use neap_query::{
    DatabaseReader, QueryEngine, QueryRequest, Rows, RuleList,
    promql::{Metric, MetricRowReader, PromqlAnswer, PromqlQuery},
};

use crate::{
    EXEMPLARS_TABLE, METADATA_TABLE,
    remote_read::{
        failure::ReadResult,
        query_params::QueryParams,
        read_permits::{ReadPermit, ReadPermits},
        result_stream::ResultJson,
    },
};

/// The sender of a request, and the database that it reads.
#[derive(Clone, Debug)]
pub(crate) struct ReadContext {
    reader: DatabaseReader,
}

/// The tables of a database that concern Prometheus.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricTables {
    /// The metrics in the order of their names, and then those of aliases.
    pub(crate) metrics: Vec<Arc<Metric>>,
    /// Whether the table with the descriptions of metrics exists.
    pub(crate) has_metadata: bool,
    /// Whether the table with the exemplars exists.
    pub(crate) has_exemplars: bool,
}

/// Returns the earlier one of two deadlines, of which the first one may not exist.
fn earlier(first: Option<Duration>, second: Duration) -> Duration {
    first.map_or(second, |first| first.min(second))
}

impl ReadContext {
    /// Reads the headers of a request. All of its statements together have the time of one query. `database` is that of its
    /// parameters, and `default` the one of requests that name none.
    ///
    /// # Errors
    /// `Invalid`: no database or several ones are named, or a header is malformed.
    pub(crate) fn new(
        engine: &Arc<QueryEngine>,
        head: &Parts,
        database: Option<&str>,
        default: Option<&str>,
    ) -> Result<Self, ApiError> {
        let reader = DatabaseReader::from_head(engine, head, database, default)?;
        Ok(Self { reader })
    }

    /// Checks the permission, before the body of the request is read.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub(crate) async fn authorize(&self) -> ReadResult {
        self.reader.authorize().await?;
        Ok(())
    }

    /// Waits for memory for an answer, at most as long as a query may take.
    ///
    /// # Errors
    /// `Busy`: other reads use all memory.
    pub(crate) async fn permit(&self, permits: &ReadPermits) -> ReadResult<ReadPermit> {
        let DatabaseReader { engine, options, .. } = &self.reader;
        let world = engine.world();
        let timeout = engine.settings().timeout;
        let left = options.ends.map(|ends| ends.saturating_sub(world.clock.monotonic()));
        let wait = left.map_or(timeout, |left| left.min(timeout));
        permits.acquire(world, wait).await
    }

    /// Lists the metrics of the database.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub(crate) async fn metrics(&self) -> ReadResult<MetricTables> {
        let tables = self.reader.tables().await?;
        let named = tables.iter().filter_map(|table| {
            let columns = table.columns.as_deref()?;
            Some((table.name.as_str(), columns))
        });
        let aliased = tables.iter().flat_map(|table| {
            let columns = table.columns.as_deref();
            let aliases = table.aliases.iter();
            aliases.filter_map(move |alias| Some((alias.as_str(), columns?)))
        });
        let mut metrics = Metric::of_tables(named, &[]);
        metrics.extend(Metric::of_aliases(aliased, &[]));
        Ok(MetricTables {
            metrics,
            has_metadata: tables.iter().any(|table| table.name == METADATA_TABLE),
            has_exemplars: tables.iter().any(|table| table.name == EXEMPLARS_TABLE),
        })
    }

    /// Evaluates an expression.
    pub(crate) async fn evaluate(&self, params: &QueryParams) -> ReadResult<PromqlAnswer> {
        let DatabaseReader { engine, caller, database, options, .. } = &self.reader;
        let world = engine.world().clone();
        let started_at = world.clock.monotonic();
        let wanted = params.timeout.map(|timeout| started_at.saturating_add(timeout));
        let ends = wanted.map(|wanted| earlier(options.ends, wanted));
        let query = PromqlQuery {
            caller: caller.clone(),
            database: database.clone(),
            request: QueryRequest {
                text: params.expression.clone(),
                ends: ends.or(options.ends),
                ..options.clone()
            },
            evaluation: params.evaluation,
            format: Arc::new(ResultJson {
                limit: params.limit,
                stats: params.stats,
                world,
                started_at,
            }),
        };
        Ok(engine.query_promql(query).await?)
    }

    /// Reads rows of the metrics of the database as one query with this text.
    pub(crate) async fn read_metrics(
        &self,
        text: String,
        rows: Arc<dyn MetricRowReader>,
    ) -> ReadResult {
        let DatabaseReader { engine, caller, database, options, .. } = &self.reader;
        let request = QueryRequest { text, ..options.clone() };
        engine.read_metrics(caller, database, request, rows).await?;
        Ok(())
    }

    /// Returns the rules of the database and their progress.
    pub(crate) async fn rules(&self) -> ReadResult<RuleList> {
        let DatabaseReader { engine, caller, database, .. } = &self.reader;
        Ok(engine.list_rules(caller, database).await?)
    }

    /// Changes the rules of a namespace.
    pub(crate) async fn change_rules(&self, namespace: &str, change: RuleChange) -> ReadResult {
        let reader = &self.reader;
        let changed =
            reader.engine.change_rules(&reader.caller, &reader.database, namespace, change);
        Ok(origin::scope(reader.origin.clone(), changed).await?)
    }

    /// Executes a statement, and passes each batch of its rows to a function.
    pub(crate) async fn for_each_batch(
        &self,
        text: String,
        visit: impl FnMut(&RecordBatch) -> ReadResult + Send,
    ) -> ReadResult {
        visit_batches(self.reader.query(text).await?, visit).await
    }

    /// Executes a statement that sorts samples by series and times, and passes each batch to a function.
    pub(crate) async fn for_each_sample_batch(
        &self,
        text: String,
        visit: impl FnMut(&RecordBatch) -> ReadResult + Send,
    ) -> ReadResult {
        visit_batches(self.reader.query_in_series_order(text).await?, visit).await
    }
}

async fn visit_batches(
    mut rows: Rows,
    mut visit: impl FnMut(&RecordBatch) -> ReadResult + Send,
) -> ReadResult {
    while let Some(batch) = rows.batches.try_next().await? {
        visit(&batch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_deadline_counts() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(earlier(None, two), two);
        assert_eq!(earlier(Some(one), two), one);
        assert_eq!(earlier(Some(two), one), one);
    }
}
