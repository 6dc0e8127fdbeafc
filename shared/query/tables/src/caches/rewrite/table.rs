//! A table provider whose scans may read only the required rows, from a cache.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{array::Array, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, ScalarValue},
    logical_expr::{
        BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
        utils::split_conjunction,
    },
    physical_plan::ExecutionPlan,
};
use neap_cache::{KeyFilter, KeyPredicate};
use neap_manifest::TimeRange;
use neap_scan::{SnapshotTable, is_stale_snapshot};
use neap_schema::TIME_COLUMN;

use super::RequiredRows;
use crate::{
    caches::{
        CacheTable, TableCacheDefinition,
        exec::{CacheNodeLabel, CacheReadExec},
        filters::{is_infallible_on_one_column, key_filter},
        table::CacheRequest,
    },
    scope::QueryScope,
};

/// A table for a plan that requires only some of its rows.
#[derive(Debug)]
pub(crate) struct RewrittenTable {
    scope: Arc<QueryScope>,
    pub(crate) rows: SnapshotTable,
    need: RequiredRows,
    tags: Vec<String>,
}

/// The parameters of a scan: projection, filters on tags, and a minimum time.
struct ScanRequest<'a> {
    projection: &'a [usize],
    filters: &'a [Expr],
    key_filters: Vec<KeyFilter>,
    from: i64,
}

impl ScanRequest<'_> {
    /// Whether all filters are on these columns.
    fn is_on(&self, columns: &[String]) -> bool {
        let mut filters = self.key_filters.iter();
        filters.all(|filter| columns.contains(&filter.column))
    }

    /// Whether a filter selects at most one value of a column.
    fn pins(&self, column: &String) -> bool {
        self.key_filters.iter().any(|filter| {
            filter.column == *column
                && matches!(&filter.test, KeyPredicate::In(values) if values.len() <= 1)
        })
    }

    /// Whether the filters exclude rows that have no value of a column.
    fn excludes_missing(&self, column: &String) -> bool {
        self.key_filters.iter().any(|filter| {
            filter.column == *column
                && matches!(filter.test, KeyPredicate::In(_) | KeyPredicate::NotIn(_))
        })
    }
}

impl RewrittenTable {
    /// A table of which a plan requires the rows `need`.
    pub(super) fn new(scope: &Arc<QueryScope>, rows: SnapshotTable, need: RequiredRows) -> Self {
        Self {
            scope: Arc::clone(scope),
            tags: rows.table().tag_names(),
            rows,
            need,
        }
    }

    /// Converts filters; `None` if a filter is neither on the values of a tag nor a lower bound of time.
    fn asked<'a>(
        &self,
        session: &dyn Session,
        projection: &'a [usize],
        filters: &'a [Expr],
    ) -> Result<Option<ScanRequest<'a>>> {
        let schema = self.rows.schema();
        let (mut key_filters, mut from) = (Vec::new(), self.rows.first_seen());
        for filter in filters.iter().flat_map(split_conjunction) {
            if let Some(time) = lower_bound(filter) {
                from = from.max(time);
            } else if is_infallible_on_one_column(filter, &self.tags) {
                key_filters.push(key_filter(session, filter, &schema)?);
            } else {
                return Ok(None);
            }
        }
        Ok(Some(ScanRequest { projection, filters, key_filters, from }))
    }

    /// Returns a plan over a cache; `None` if no cache is exact for the query, or if reading the caches fails.
    async fn plan_over_cache(
        &self,
        session: &dyn Session,
        projection: &[usize],
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.read_any_cache(session, projection, filters).await {
            // The table can answer if a cache fails. Only the error that the snapshot is too old is returned, because
            // the query succeeds with a newer snapshot.
            Err(error) if !is_stale_snapshot(&error) => Ok(None),
            narrowed => narrowed,
        }
    }

    async fn read_any_cache(
        &self,
        session: &dyn Session,
        projection: &[usize],
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(asked) = &self.asked(session, projection, filters)? else {
            return Ok(None);
        };
        for cache in self.candidates(asked) {
            let label =
                CacheNodeLabel::new(&cache, asked.filters, None).in_place_of(self.rows.table());
            let id = cache.id();
            if let Some(exec) = self.read_cache(cache, label, asked).await? {
                self.scope.tables.cache_layers.note(&self.rows, id);
                return Ok(Some(Arc::new(exec)));
            }
        }
        Ok(None)
    }

    /// Reads the required rows from a cache; `None` if the cache is not exact for them.
    async fn read_cache(
        &self,
        cache: TableCacheDefinition,
        label: CacheNodeLabel,
        asked: &ScanRequest<'_>,
    ) -> Result<Option<CacheReadExec>> {
        let cache = CacheTable::new(&self.scope, self.rows.table(), cache);
        let reaches_back = asked.from >= cache.from() || self.has_no_rows_before(cache.from());
        if !reaches_back && !matches!(self.need, RequiredRows::NewestRows(_)) {
            return Ok(None);
        }
        let open = self.missing_allowed_keys(&cache, asked);
        // The tail is read first, because the cached image may get newer than the snapshot while sections are loaded.
        if !open.is_empty() && self.rows.tail_lacks(&open).await? {
            return Ok(None);
        }
        let excerpt = CacheRequest {
            schema: Arc::new(self.rows.schema().project(asked.projection)?),
            key_filters: &asked.key_filters,
            from: asked.from.max(cache.from()),
            limit: None,
            in_place_of_table: true,
            count: match &self.need {
                RequiredRows::TagValues(_) => None,
                RequiredRows::NewestPerKey { .. } => Some(1),
                RequiredRows::NewestRows(count) => Some(*count),
            },
        };
        let Some(contents) = cache.read_layers(&excerpt).await? else {
            return Ok(None);
        };
        if !open.is_empty() && self.sections_lack(&open, asked.from).await? {
            return Ok(None);
        }
        let may_miss = match &self.need {
            RequiredRows::TagValues(_) => false,
            RequiredRows::NewestPerKey { filled, .. } => !filled.is_empty(),
            RequiredRows::NewestRows(_) => !reaches_back,
        };
        if !may_miss {
            return Ok(Some(CacheReadExec::new(label, contents)));
        }
        let rows = contents.rows().await?;
        let has_null = |name: &String| {
            let column = rows.column_by_name(name);
            column.is_none_or(|column| column.null_count() > 0)
        };
        let is_exact = match &self.need {
            RequiredRows::TagValues(_) => true,
            RequiredRows::NewestPerKey { filled, .. } => !filled.iter().any(has_null),
            // Rows that are too old for the cache are older than all rows in it.
            RequiredRows::NewestRows(count) => rows.num_rows() >= *count,
        };
        Ok(is_exact.then(|| CacheReadExec::of_rows(label, rows)))
    }

    /// Returns the caches that may contain the required rows and columns.
    fn candidates(&self, asked: &ScanRequest<'_>) -> Vec<TableCacheDefinition> {
        let (table, schema) = (self.rows.table(), self.rows.schema());
        let read: Vec<&String> =
            asked.projection.iter().map(|at| schema.field(*at).name()).collect();
        let time = TIME_COLUMN.to_owned();
        let last_caches = || {
            let caches = table.last_caches().iter();
            caches.filter(|cache| !cache.is_keyed_by_fields(table)).filter(|cache| {
                let (keys, mut known) = (cache.key_names(table), cache.value_names(table));
                known.extend(self.tags.iter().cloned().chain([time.clone()]));
                read.iter().all(|column| known.contains(column))
                    && asked.is_on(&keys)
                    && self.is_unambiguous(&keys, &read)
            })
        };
        match &self.need {
            RequiredRows::TagValues(wanted) => {
                let caches = table.distinct_caches().iter();
                let fitting = caches.filter(|cache| {
                    let columns = cache.column_names(table);
                    !cache.is_keyed_by_fields(table)
                        && wanted.iter().all(|column| columns.contains(column))
                        && read.iter().all(|column| columns.contains(column) || **column == time)
                        && asked.is_on(&columns)
                });
                let mut fitting: Vec<_> = fitting.collect();
                fitting.sort_by_key(|cache| cache.columns.len());
                let fitting = fitting.into_iter();
                fitting.map(|cache| TableCacheDefinition::Distinct(Arc::clone(cache))).collect()
            }
            RequiredRows::NewestPerKey { keys, by_one, .. } => {
                let all_tags: BTreeSet<&String> = self.tags.iter().collect();
                if *by_one && !all_tags.iter().all(|tag| keys.contains(*tag)) {
                    return Vec::new();
                }
                let of_keys = last_caches().filter(|cache| {
                    let names: BTreeSet<String> = cache.key_names(table).into_iter().collect();
                    names == *keys
                });
                of_keys.map(|cache| TableCacheDefinition::Last(Arc::clone(cache))).collect()
            }
            RequiredRows::NewestRows(count) => {
                let pinned = last_caches().filter(|cache| {
                    let is_enough = usize::try_from(cache.count).is_ok_and(|has| has >= *count);
                    is_enough && cache.key_names(table).iter().all(|key| asked.pins(key))
                });
                pinned.map(|cache| TableCacheDefinition::Last(Arc::clone(cache))).collect()
            }
        }
    }

    /// Whether the choice among several rows of a key with the same time does not matter: if the key has all tags,
    /// there is only one such row; if the query reads only key columns and the time, such rows are equal.
    fn is_unambiguous(&self, keys: &[String], read: &[&String]) -> bool {
        self.tags.iter().all(|tag| keys.contains(tag))
            || read.iter().all(|column| keys.contains(column) || *column == TIME_COLUMN)
    }

    /// Whether the table has no rows before a time.
    fn has_no_rows_before(&self, from: i64) -> bool {
        let (table, snapshot) = (self.rows.table().id(), self.rows.snapshot());
        let manifest = &snapshot.manifest.value;
        let mut sections = manifest.sections.iter().filter(|section| section.table == table);
        let mut pages = manifest.pages.iter().filter(|page| page.may_hold(table));
        let mut segments = snapshot
            .tail
            .iter()
            .flat_map(|segment| segment.tables())
            .filter(|rows| rows.table == table);
        let mut lost = manifest
            .reported_damage()
            .flat_map(|record| &record.lost)
            .filter(|rows| rows.may_be_of(table));
        lost.all(|rows| rows.min_time >= from)
            && sections.all(|section| section.min_time >= from)
            && pages.all(|page| page.min_time >= from)
            && segments.all(|rows| rows.min_time >= from)
    }

    /// Returns the key columns of a cache that requested rows may lack. A cache does not contain such rows.
    fn missing_allowed_keys<'a>(
        &self,
        cache: &'a CacheTable,
        asked: &ScanRequest<'_>,
    ) -> Vec<&'a String> {
        if matches!(self.need, RequiredRows::TagValues(_)) {
            return Vec::new();
        }
        let keys = cache.keys().iter();
        keys.filter(|key| !asked.excludes_missing(key)).collect()
    }

    /// Whether a section may have rows since `from` that lack one of these tags.
    async fn sections_lack(&self, tags: &[&String], from: i64) -> Result<bool> {
        let times = TimeRange { first: from, last: i64::MAX };
        let sections = self.rows.sections(times).await?;
        Ok(sections.iter().any(|found| {
            let has_all = |tag: &&String| {
                let range = found.section.tags.get(self.rows.table().stored_name(tag));
                range.is_some_and(|range| !range.has_null)
            };
            !tags.iter().all(has_all)
        }))
    }
}

/// Returns the first time that a filter selects, if the filter is a lower bound of time.
fn lower_bound(filter: &Expr) -> Option<i64> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
        return None;
    };
    let is_time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == TIME_COLUMN);
    let time = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(time, _), _) => *time,
        _ => None,
    };
    let (op, bound) = match (is_time(left), time(right), time(left), is_time(right)) {
        (true, Some(bound), ..) => (*op, bound),
        (.., Some(bound), true) => (op.swap()?, bound),
        _ => return None,
    };
    match op {
        Operator::GtEq => Some(bound),
        Operator::Gt => bound.checked_add(1),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for RewrittenTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.rows.schema().fields().len()).collect(),
        };
        if limit.is_none()
            && let Some(plan) = self.plan_over_cache(session, &columns, filters).await?
        {
            return Ok(plan);
        }
        self.rows.scan(session, projection, filters, limit).await
    }
}
