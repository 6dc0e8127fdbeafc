//! A cache as DataFusion scans it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, internal_err},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use neap_cache::{KeyFilter, Layer, Shape};
use neap_catalog::Table;
use neap_manifest::TimeRange;
use neap_schema::TIME_COLUMN;

use super::{
    Cache,
    bases::{BaseWanted, MayScan, in_background},
    contents::Contents,
    definition::Definition,
    exec::{DefinedExec, KeptExec, Label},
    filters::{is_of_one, key_filter},
};
use crate::{
    scan::{OverlayWanted, SnapshotTable, external},
    session::Scope,
};

/// What a query wants of a cache.
pub(super) struct Excerpt<'a> {
    /// The columns, as they are wanted.
    pub(super) schema: SchemaRef,
    /// Which keys.
    pub(super) key_filters: &'a [KeyFilter],
    /// The time of the first rows.
    pub(super) from: i64,
    /// The most rows of a key, if fewer than the cache keeps.
    pub(super) count: Option<usize>,
    /// The most rows.
    pub(super) limit: Option<usize>,
    /// Whether it stands for rows of the table: then nothing may have been cut off because the cache is full, and
    /// contents that would have to be built by a scan are of no use.
    pub(super) in_place_of_table: bool,
}

/// A cache over the rows of its table in a snapshot.
#[derive(Debug)]
pub(crate) struct CacheTable {
    scope: Arc<Scope>,
    rows: Arc<SnapshotTable>,
    cache: Cache,
    keys: Vec<String>,
    schema: SchemaRef,
}

impl CacheTable {
    /// A cache of `table`.
    pub(crate) fn new(scope: &Arc<Scope>, table: &Arc<Table>, cache: Cache) -> Self {
        Self {
            keys: cache.key_names(table),
            schema: cache.schema(table),
            rows: Arc::new(scope.table(table)),
            scope: Arc::clone(scope),
            cache,
        }
    }

    /// The time of the oldest rows that are shown: the cache's limit, and that of the table.
    pub(super) fn from(&self) -> i64 {
        let oldest = self.rows.now().nanos_before(self.cache.age());
        oldest.max(self.rows.first_seen())
    }

    /// The columns of its key.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// What it holds, if it is over tags.
    fn shape(&self) -> Option<Shape> {
        Shape::of(self.rows.table(), self.cache.id())
    }

    /// Makes ready what queries will ask for.
    pub(super) async fn prepare(&self) -> Result<()> {
        let Some(shape) = &self.shape() else {
            return Ok(());
        };
        if self.rows.is_in_tail() {
            let (rows, cache, shape) = (Arc::clone(&self.rows), self.cache.id(), shape.clone());
            let update = move || {
                let tails = &rows.shared().tails;
                tails.update(rows.snapshot(), rows.table(), cache, &shape)
            };
            in_background(update).await?.map_err(external)?;
        }
        self.base(shape, self.from(), None).await.map(|_| ())
    }

    /// The rows out of what is kept; `None` if it can't answer.
    pub(super) async fn excerpt(&self, request: &Excerpt<'_>) -> Result<Option<Arc<Contents>>> {
        let shape = self.shape().filter(|_| self.scope.uses_caches);
        let Some(shape) = shape else {
            return Ok(None);
        };
        let Some((base, newer)) = self.layers(&shape, request).await? else {
            return Ok(None);
        };
        let columns = request.schema.fields().iter();
        let projection = columns.map(|column| place(&shape, column.name()));
        let contents = Arc::new(Contents {
            projection: projection.collect::<Result<_>>()?,
            shape,
            base,
            newer,
            filters: request.key_filters.to_vec(),
            from: request.from,
            count: request.count,
            limit: request.limit,
            schema: Arc::clone(&request.schema),
        });
        let is_exact = !request.in_place_of_table || contents.is_complete().await?;
        Ok(is_exact.then_some(contents))
    }

    /// What is kept of the sections, and of the tail if it has rows. The tail comes first: what is kept of it
    /// goes on, and leaves a query behind that waits for the bucket.
    async fn layers(
        &self,
        shape: &Shape,
        request: &Excerpt<'_>,
    ) -> Result<Option<(Layer, Option<Layer>)>> {
        let newer = match self.rows.is_in_tail() {
            true => match self.tail(shape, request).await? {
                Some(newer) => Some(newer),
                None => return Ok(None),
            },
            false => None,
        };
        let base = self.base(shape, request.from, Some(request)).await?;
        Ok(base.map(|base| (base, newer)))
    }

    async fn base(
        &self,
        shape: &Shape,
        from: i64,
        request: Option<&Excerpt<'_>>,
    ) -> Result<Option<Layer>> {
        let times = TimeRange {
            first: from,
            last: i64::MAX,
        };
        self.rows.check_intact(times)?;
        let session = || self.scope.full_session();
        let wanted = BaseWanted {
            rows: &self.rows,
            cache: self.cache.id(),
            shape,
            from,
            is_counted: request.is_some(),
            may_scan: match request {
                None => MayScan::UnlessRowsAreDeleted,
                Some(request) if request.in_place_of_table => MayScan::Never,
                Some(_) => MayScan::Always,
            },
            session: &session,
        };
        self.scope.shared().bases.get(&wanted).await
    }

    /// What the tail has; `None` if there is no room for it.
    async fn tail(&self, shape: &Shape, request: &Excerpt<'_>) -> Result<Option<Layer>> {
        let rows = &self.rows;
        let wanted = OverlayWanted {
            cache: self.cache.id(),
            shape,
            filters: request.key_filters,
            from: request.from,
        };
        let tails = &rows.shared().tails;
        if let Some(layer) = tails.layer_at_hand(rows.snapshot(), rows.table(), &wanted) {
            return layer.map(Some).map_err(external);
        }
        let (rows, cache, shape) = (Arc::clone(rows), self.cache.id(), shape.clone());
        let (filters, from) = (request.key_filters.to_vec(), request.from);
        let look = move || {
            let wanted = OverlayWanted {
                cache,
                shape: &shape,
                filters: &filters,
                from,
            };
            let tails = &rows.shared().tails;
            tails.layer(rows.snapshot(), rows.table(), rows.behind(), &wanted)
        };
        in_background(look).await?.map_err(external)
    }

    /// The definition, planned over the table.
    async fn defined(
        &self,
        label: Label,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (rows, from) = (Arc::clone(&self.rows), self.from());
        let definition = match &self.cache {
            Cache::Last(cache) => Definition::of_last(rows, cache, from)?,
            Cache::Distinct(cache) => Definition::of_distinct(rows, cache, from)?,
        };
        let plan = definition.plan(filters, limit)?;
        let plan = self
            .scope
            .full_session()
            .create_physical_plan(&plan)
            .await?;
        Ok(Arc::new(DefinedExec::try_new(
            label,
            plan,
            &self.schema,
            projection,
        )?))
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
        let taken = filters
            .iter()
            .map(|filter| match is_of_one(filter, &self.keys) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
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
            .map(|filter| key_filter(session, filter, &self.schema));
        let key_filters = key_filters.collect::<Result<Vec<_>>>()?;
        let request = Excerpt {
            schema: Arc::new(self.schema.project(&projection)?),
            key_filters: &key_filters,
            from: self.from(),
            count: None,
            limit,
            in_place_of_table: false,
        };
        let label = Label::new(&self.cache, filters, limit);
        self.scope.shared().bases.note(&self.rows, self.cache.id());
        match self.excerpt(&request).await? {
            Some(contents) => Ok(Arc::new(KeptExec::new(label, contents))),
            None => self.defined(label, &projection, filters, limit).await,
        }
    }
}

/// Where a layer has a column that the cache shows, or the time.
fn place(shape: &Shape, column: &str) -> Result<usize> {
    let columns = shape.schema();
    match columns.column_with_name(column) {
        Some((place, _)) => Ok(place),
        // Of a distinct cache, the time when the values were last seen comes after them.
        None if column == TIME_COLUMN => Ok(columns.fields().len().saturating_sub(1)),
        None => internal_err!("a cache without the column {column}"),
    }
}
