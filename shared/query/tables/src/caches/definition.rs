//! The rows of a cache as a plan over its table. It defines the answer, and it is executed if the layers of the cache
//! cannot answer.
//!
//! ```sql
//! -- last_cache(t): the newest rows of each key; ties are ordered by the tags
//! SELECT keys, values, time FROM (
//!     SELECT *, row_number() OVER (PARTITION BY keys ORDER BY time DESC, tags NULLS FIRST) AS n
//!     FROM t WHERE keys IS NOT NULL AND time >= from
//! ) WHERE n <= count ORDER BY keys, time DESC, tags NULLS FIRST
//!
//! -- distinct_cache(t): the combinations with the latest times
//! SELECT columns FROM (
//!     SELECT columns, max(time) AS seen FROM t WHERE time >= from GROUP BY columns
//!     ORDER BY seen DESC, columns NULLS FIRST LIMIT max_cardinality
//! ) ORDER BY columns NULLS FIRST
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::{
    common::{Column, Result, ScalarValue},
    datasource::provider_as_source,
    functions_aggregate::min_max::max,
    functions_window::row_number::row_number,
    logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, lit},
};
use neap_catalog::{DistinctCacheDefinition, LastCacheDefinition, Table};
use neap_scan::SnapshotTable;
use neap_schema::TIME_COLUMN;

/// Returns the schema of a last value cache: key columns with tags as plain text, value columns, time.
pub(super) fn last_schema(table: &Table, cache: &LastCacheDefinition) -> SchemaRef {
    let columns = table.arrow_schema();
    let find = |name: &String| columns.field_with_name(name).ok().cloned();
    let key_names = cache.key_names(table);
    let keys = key_names.iter().filter_map(find).map(|field| {
        let shown = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        };
        field.with_data_type(shown)
    });
    let value_names = cache.value_names(table);
    let time = TIME_COLUMN.to_owned();
    let values = value_names.iter().chain([&time]).filter_map(find);
    Arc::new(Schema::new(keys.chain(values).map(FieldRef::new).collect::<Vec<FieldRef>>()))
}

/// Returns the schema of a distinct value cache. All columns are text.
pub(super) fn distinct_schema(table: &Table, cache: &DistinctCacheDefinition) -> SchemaRef {
    let columns = table.arrow_schema();
    let names = cache.column_names(table);
    let fields = names
        .iter()
        .filter_map(|name| columns.field_with_name(name).ok().cloned())
        .map(|field| FieldRef::new(field.with_data_type(DataType::Utf8View)));
    Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()))
}

/// The rows of a cache, as a plan over its table.
#[derive(Debug)]
pub(super) struct CacheDefinitionPlan {
    /// The plan. The columns that the cache shows come first.
    rows: LogicalPlanBuilder,
    order: Vec<SortExpr>,
}

impl CacheDefinitionPlan {
    /// The rows of a last value cache that are not older than `from`, in nanoseconds since the Unix epoch.
    pub(super) fn of_last(
        rows: Arc<SnapshotTable>,
        cache: &LastCacheDefinition,
        from: i64,
    ) -> Result<Self> {
        let table = Arc::clone(rows.table());
        let (keys, tags) = (cache.key_names(&table), table.tag_names());
        let shown = last_schema(&table, cache);
        let mut keyed = keys.iter().map(|key| column(key).is_not_null());
        let eligible = keyed.try_fold(rows_since(rows, from)?, LogicalPlanBuilder::filter)?;

        let mut newest_first = vec![column(TIME_COLUMN).sort(false, false)];
        newest_first.extend(tags.iter().map(|tag| column(tag).sort(true, true)));
        let place = row_number()
            .partition_by(keys.iter().map(|key| column(key)).collect())
            .order_by(newest_first.clone())
            .build()?;
        let placed = eligible.window([place])?;
        let within = last_column(&placed).lt_eq(lit(cache.count));
        let newest = placed.filter(within)?;

        let cells = shown.fields().iter().map(cast_to_shown_type);
        let is_hidden = |tag: &&String| shown.column_with_name(tag).is_none();
        let for_order = tags.iter().filter(is_hidden).map(|tag| column(tag));
        let by_key = keys.iter().map(|key| column(key).sort(true, true));
        Ok(Self {
            rows: newest.project(cells.chain(for_order).collect::<Vec<_>>())?,
            order: by_key.chain(newest_first).collect(),
        })
    }

    /// The combinations of a distinct value cache with rows since `from`, in nanoseconds since the Unix epoch.
    pub(super) fn of_distinct(
        rows: Arc<SnapshotTable>,
        cache: &DistinctCacheDefinition,
        from: i64,
    ) -> Result<Self> {
        let table = Arc::clone(rows.table());
        let shown = distinct_schema(&table, cache);
        let names = cache.column_names(&table);
        let by_value = || names.iter().map(|name| column(name).sort(true, true));
        let groups = names.iter().map(|name| column(name));
        let seen = max(column(TIME_COLUMN));
        let groups = rows_since(rows, from)?.aggregate(groups, [seen])?;
        let latest_first = last_column(&groups).sort(false, false);
        let order: Vec<SortExpr> = std::iter::once(latest_first).chain(by_value()).collect();
        let most = usize::try_from(cache.max_cardinality).ok();
        let groups =
            groups.sort(order)?.limit(0, most.filter(|most| i64::try_from(*most).is_ok()))?;
        let cells = shown.fields().iter().map(cast_to_shown_type);
        Ok(Self {
            rows: groups.project(cells.collect::<Vec<_>>())?,
            order: by_value().collect(),
        })
    }

    /// Plans the rows that pass all filters, at most `limit`, in the order of the answer.
    pub(super) fn plan(self, filters: &[Expr], limit: Option<usize>) -> Result<LogicalPlan> {
        let Self { mut rows, order } = self;
        for filter in filters {
            rows = rows.filter(filter.clone())?;
        }
        rows = rows.sort(order)?;
        if limit.is_some() {
            rows = rows.limit(0, limit)?;
        }
        rows.build()
    }
}

fn rows_since(rows: Arc<SnapshotTable>, from: i64) -> Result<LogicalPlanBuilder> {
    let name = rows.table().name().to_owned();
    let first = lit(ScalarValue::TimestampNanosecond(Some(from), None));
    LogicalPlanBuilder::scan(
        datafusion::common::TableReference::bare(name),
        provider_as_source(rows),
        None,
    )?
    .filter(column(TIME_COLUMN).gt_eq(first))
}

/// Returns the column that the last plan node has added.
fn last_column(plan: &LogicalPlanBuilder) -> Expr {
    let columns = plan.schema().columns();
    columns.into_iter().next_back().map_or_else(|| lit(true), Expr::Column)
}

/// Returns a column with exactly this name.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn cast_to_shown_type(field: &FieldRef) -> Expr {
    cast(column(field.name()), field.data_type().clone()).alias(field.name())
}
