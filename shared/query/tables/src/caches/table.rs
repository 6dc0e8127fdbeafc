//! The table provider of a cache.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, internal_err},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use neap_cache::{CacheLayer, CacheShape, KeyFilter};
use neap_catalog::Table;
use neap_manifest::TimeRange;
use neap_scan::{OverlayRequest, SnapshotTable, external};
use neap_schema::TIME_COLUMN;

use super::{
    TableCacheDefinition,
    contents::CacheContents,
    definition::CacheDefinitionPlan,
    exec::{CacheFromTableExec, CacheNodeLabel, CacheReadExec},
    filters::{is_infallible_on_one_column, key_filter},
};
use crate::{
    background::in_background,
    cache_layers::{BaseLayerRequest, ScanPolicy},
    scope::QueryScope,
};

/// A request for rows of a cache.
pub(super) struct CacheRequest<'a> {
    /// The schema of the answer.
    pub(super) schema: SchemaRef,
    pub(super) key_filters: &'a [KeyFilter],
    /// The minimum time of rows, in nanoseconds since the Unix epoch.
    pub(super) from: i64,
    /// Maximum rows of a key, if less than the limit of the cache.
    pub(super) count: Option<usize>,
    /// Maximum rows of the answer.
    pub(super) limit: Option<usize>,
    /// Whether the rows replace a read of the table. If so, the size limit of the cache must not have cut off rows, and
    /// the base layer is not built by a scan, because that has no benefit over a read of the table.
    pub(super) in_place_of_table: bool,
}

/// A cache over the rows of its table in a snapshot.
#[derive(Debug)]
pub struct CacheTable {
    scope: Arc<QueryScope>,
    rows: Arc<SnapshotTable>,
    /// The same rows with the stored names of columns, which layers have.
    stored: Arc<SnapshotTable>,
    cache: TableCacheDefinition,
    keys: Vec<String>,
    schema: SchemaRef,
}

impl CacheTable {
    /// A cache of `table`.
    pub(crate) fn new(
        scope: &Arc<QueryScope>,
        table: &Arc<Table>,
        cache: TableCacheDefinition,
    ) -> Self {
        let rows = scope.table(table);
        Self {
            keys: cache.key_names(table),
            schema: cache.schema(table),
            stored: Arc::new(rows.with_stored_names()),
            rows: Arc::new(rows),
            scope: Arc::clone(scope),
            cache,
        }
    }

    /// The minimum time of visible rows in nanoseconds since the Unix epoch, by the age limit of the cache and the
    /// retention of the table.
    pub(super) fn from(&self) -> i64 {
        let oldest = self.rows.now().nanos_before(self.cache.age());
        oldest.max(self.rows.first_seen())
    }

    /// The names of the key columns.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The columns and keys of the layers; `None` if the key has columns that are not tags.
    fn shape(&self) -> Option<CacheShape> {
        CacheShape::for_cache(self.stored.table(), self.cache.id())
    }

    /// Updates the layers of the cache ahead of queries.
    pub(super) async fn prepare(&self) -> Result<()> {
        let Some(shape) = &self.shape() else {
            return Ok(());
        };
        if self.rows.is_in_tail() {
            let (rows, cache, shape) = (Arc::clone(&self.stored), self.cache.id(), shape.clone());
            let update = move || {
                let tails = &rows.shared().tails;
                tails.update(&rows.tail_snapshot(), rows.table(), cache, &shape)
            };
            in_background(update).await?.map_err(external)?;
        }
        self.base_layer(shape, self.from(), None).await.map(|_| ())
    }

    /// Reads the layers of the cache; `None` if they can't answer.
    pub(super) async fn read_layers(
        &self,
        request: &CacheRequest<'_>,
    ) -> Result<Option<Arc<CacheContents>>> {
        let shape = self.shape().filter(|_| self.scope.uses_caches);
        let Some(shape) = shape else {
            return Ok(None);
        };
        let table = self.rows.table();
        let stored = |filter: &KeyFilter| KeyFilter {
            column: table.stored_name(&filter.column).to_owned(),
            test: filter.test.clone(),
        };
        let key_filters: Vec<KeyFilter> = request.key_filters.iter().map(stored).collect();
        let of_layers = CacheRequest {
            schema: Arc::clone(&request.schema),
            key_filters: &key_filters,
            ..*request
        };
        let Some((base, newer)) = self.layers(&shape, &of_layers).await? else {
            return Ok(None);
        };
        let columns = request.schema.fields().iter();
        let projection = columns.map(|column| place(&shape, table.stored_name(column.name())));
        let contents = Arc::new(CacheContents {
            projection: projection.collect::<Result<_>>()?,
            shape,
            base,
            newer,
            filters: key_filters,
            from: request.from,
            count: request.count,
            limit: request.limit,
            schema: Arc::clone(&request.schema),
        });
        let is_exact = !request.in_place_of_table || contents.is_complete().await?;
        Ok(is_exact.then_some(contents))
    }

    /// Returns the base layer, and the overlay if the tail has rows. The tail is read first, because its cached image
    /// may get newer than the snapshot while the query waits for the bucket.
    async fn layers(
        &self,
        shape: &CacheShape,
        request: &CacheRequest<'_>,
    ) -> Result<Option<(CacheLayer, Option<CacheLayer>)>> {
        let newer = if self.rows.is_in_tail() {
            match self.tail(shape, request).await? {
                Some(newer) => Some(newer),
                None => return Ok(None),
            }
        } else {
            None
        };
        let base = self.base_layer(shape, request.from, Some(request)).await?;
        Ok(base.map(|base| (base, newer)))
    }

    async fn base_layer(
        &self,
        shape: &CacheShape,
        from: i64,
        request: Option<&CacheRequest<'_>>,
    ) -> Result<Option<CacheLayer>> {
        let times = TimeRange { first: from, last: i64::MAX };
        self.rows.check_intact(times)?;
        let session = || self.scope.planning_session();
        let wanted = BaseLayerRequest {
            rows: &self.stored,
            cache: self.cache.id(),
            shape,
            from,
            is_counted: request.is_some(),
            may_scan: match request {
                None => ScanPolicy::UnlessRowsAreDeleted,
                Some(request) if request.in_place_of_table => ScanPolicy::Never,
                Some(_) => ScanPolicy::Always,
            },
            session: &session,
        };
        self.scope.tables.cache_layers.get(&wanted).await
    }

    /// Returns the overlay; `None` if its index does not fit into memory.
    async fn tail(
        &self,
        shape: &CacheShape,
        request: &CacheRequest<'_>,
    ) -> Result<Option<CacheLayer>> {
        let rows = &self.stored;
        let wanted = OverlayRequest {
            cache: self.cache.id(),
            shape,
            filters: request.key_filters,
            from: request.from,
        };
        let tails = &rows.shared().tails;
        if let Some(layer) = tails.layer_at_hand(&rows.tail_snapshot(), rows.table(), &wanted) {
            return layer.map(Some).map_err(external);
        }
        let (rows, cache, shape) = (Arc::clone(rows), self.cache.id(), shape.clone());
        let (filters, from) = (request.key_filters.to_vec(), request.from);
        let look = move || {
            let wanted = OverlayRequest { cache, shape: &shape, filters: &filters, from };
            let tails = &rows.shared().tails;
            tails.layer(&rows.tail_snapshot(), rows.table(), rows.stale_tail(), &wanted)
        };
        in_background(look).await?.map_err(external)
    }

    /// Plans the definition of the cache over the table.
    async fn plan_definition(
        &self,
        label: CacheNodeLabel,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (rows, from) = (Arc::clone(&self.rows), self.from());
        let definition = match &self.cache {
            TableCacheDefinition::Last(cache) => CacheDefinitionPlan::of_last(rows, cache, from)?,
            TableCacheDefinition::Distinct(cache) => {
                CacheDefinitionPlan::of_distinct(rows, cache, from)?
            }
        };
        let logical_plan = definition.plan(filters, limit)?;
        let plan = self.scope.planning_session().create_physical_plan(&logical_plan).await?;
        Ok(Arc::new(CacheFromTableExec::try_new(label, plan, &self.schema, projection)?))
    }
}

#[async_trait]
impl TableProvider for CacheTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let taken = filters.iter().map(|filter| {
            if is_infallible_on_one_column(filter, &self.keys) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        });
        Ok(taken.collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let key_filters = filters
            .iter()
            .map(|filter| key_filter(session, filter, &self.schema))
            .collect::<Result<Vec<_>>>()?;
        let request = CacheRequest {
            schema: Arc::new(self.schema.project(&projection)?),
            key_filters: &key_filters,
            from: self.from(),
            count: None,
            limit,
            in_place_of_table: false,
        };
        let label = CacheNodeLabel::new(&self.cache, filters, limit);
        self.scope.tables.cache_layers.note(&self.rows, self.cache.id());
        match self.read_layers(&request).await? {
            Some(contents) => Ok(Arc::new(CacheReadExec::new(label, contents))),
            None => self.plan_definition(label, &projection, filters, limit).await,
        }
    }
}

/// Returns the index of a column of the cache, or of the time, in a layer.
fn place(shape: &CacheShape, column: &str) -> Result<usize> {
    let columns = shape.schema();
    match columns.column_with_name(column) {
        Some((place, _)) => Ok(place),
        // A distinct value cache has the time of the newest row with the values as its last column.
        None if column == TIME_COLUMN => Ok(columns.fields().len().saturating_sub(1)),
        None => internal_err!("the cache has no column {column}"),
    }
}
