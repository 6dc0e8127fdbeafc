//! The table provider of a table of a snapshot.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use neap_bucket::StoreTime;
use neap_catalog::Table;
use neap_manifest::{SectionWithFooter, Snapshot};

use crate::{
    data::SectionFile,
    error::external,
    plan::{ScanPlanner, ScanSource, SourceRows},
    predicate::ScanPredicates,
    scan_context::ScanContext,
    scan_exec::DistributedScans,
    shown_columns::ShownColumns,
    tail::{StaleTail, TailSnapshot, TailView},
    visibility::{self, RowVisibility},
};

/// A table as of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotTable {
    shared: Arc<ScanContext>,
    snapshot: Arc<Snapshot>,
    table: Arc<Table>,
    schema: SchemaRef,
    /// The definition with the stored names of the columns.
    stored: Arc<Table>,
    now: StoreTime,
    stale_tail: StaleTail,
    has_tail: bool,
}

/// The output that a query wants of a scan.
pub(crate) struct ScanRequest<'a> {
    /// The indexes of the columns; `None`: all.
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) predicates: &'a ScanPredicates,
    pub(crate) limit: Option<usize>,
    pub(crate) partitions: usize,
}

impl SnapshotTable {
    /// The table in the snapshot. Retention counts back from `now`, a time of the store.
    pub fn new(
        shared: Arc<ScanContext>,
        snapshot: Arc<Snapshot>,
        table: Arc<Table>,
        now: StoreTime,
        stale_tail: StaleTail,
    ) -> Self {
        Self {
            shared,
            snapshot,
            schema: table.arrow_schema(),
            stored: table.stored(),
            table,
            now,
            stale_tail,
            has_tail: true,
        }
    }

    /// Returns the table without the rows of the tail. Deletes in the tail still hide rows of sections.
    pub fn of_sections(&self) -> Self {
        Self { has_tail: false, ..self.clone() }
    }

    /// Returns the table with further columns: aliases, each with the values of its column.
    #[must_use]
    pub fn with_aliases(self, aliases: &[&str]) -> Self {
        if aliases.is_empty() {
            return self;
        }
        let mut fields = self.schema.fields().to_vec();
        fields.extend(aliases.iter().filter_map(|alias| {
            let column = self.table.column(alias)?;
            Some(column.column_type.arrow_field(alias))
        }));
        Self { schema: Arc::new(Schema::new(fields)), ..self }
    }

    /// Returns the table with the stored names of its columns.
    #[must_use]
    pub fn with_stored_names(&self) -> Self {
        Self {
            schema: self.stored.arrow_schema(),
            table: Arc::clone(&self.stored),
            ..self.clone()
        }
    }

    /// The definition with the stored names of the columns.
    pub fn stored_table(&self) -> &Arc<Table> {
        &self.stored
    }

    /// The definition of the table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The tail of the snapshot.
    pub fn tail_snapshot(&self) -> TailSnapshot {
        TailSnapshot::from(self.snapshot.as_ref())
    }

    /// The time of the store that retention counts back from.
    pub fn now(&self) -> StoreTime {
        self.now
    }

    /// What to do when the cached tail image is newer than the snapshot.
    pub fn stale_tail(&self) -> StaleTail {
        self.stale_tail
    }

    /// The state that all tables share.
    pub fn shared(&self) -> &Arc<ScanContext> {
        &self.shared
    }

    /// The first visible time, in nanoseconds since the Unix epoch. Older rows are past the retention.
    pub fn first_seen(&self) -> i64 {
        visibility::first_seen(&self.snapshot, &self.table, self.now)
    }

    /// Whether the tail has rows of this table. False if the table was made by [`of_sections`](Self::of_sections).
    pub fn is_in_tail(&self) -> bool {
        let segments = &self.snapshot.tail;
        self.has_tail
            && segments.iter().any(|segment| {
                let mut streams = segment.directory().iter();
                streams.any(|stream| stream.table == self.table.id())
            })
    }

    /// Checks that no damaged object contained rows of these times.
    ///
    /// # Errors
    /// A damaged object contained such rows.
    pub fn check_intact(&self, times: neap_manifest::TimeRange) -> Result<()> {
        let manifest = &self.snapshot.manifest.value;
        let table = (self.table.id(), self.table.name());
        let checked = manifest.check_intact(self.snapshot.database, table, times);
        checked.map_err(external)
    }

    /// Loads the sections that may have rows of these times.
    ///
    /// # Errors
    /// The manifest can't be read, or a damaged object contained such rows.
    pub async fn sections(
        &self,
        times: neap_manifest::TimeRange,
    ) -> Result<Vec<SectionWithFooter>> {
        self.check_intact(times)?;
        let sections = self.shared.sections(&self.snapshot, self.table.id(), times);
        sections.await.map_err(external)
    }

    /// Whether a row of the tail may have no value of one of these tags.
    ///
    /// # Errors
    /// The tail can't be read.
    pub async fn tail_lacks(&self, tags: &[&String]) -> Result<bool> {
        let tail = self.tail_view(&[]).await?;
        let stored = tags.iter().map(|tag| self.table.stored_name(tag));
        let names: Vec<&str> = stored.collect();
        Ok(tail.is_some_and(|tail| tail.lacks(&names)))
    }

    /// Returns the sections in the order of their stamps, then the sources of the tail with these columns.
    async fn sources(
        &self,
        columns: &[usize],
        predicates: &ScanPredicates,
        hiding: &RowVisibility,
    ) -> Result<Vec<ScanSource>> {
        let Some(time) = predicates.selected_keys.time.intersection(hiding.seen) else {
            return Ok(Vec::new());
        };
        let times = neap_manifest::TimeRange { first: time.min, last: time.max };
        // The tail comes first, because the cached image may get newer than the snapshot while sections are loaded.
        let tail = self.tail_view(columns).await?;
        let sections = self.sections(times).await?;
        let sections = predicates.prune(&self.stored.arrow_schema(), sections)?;
        let (database, table) = (self.snapshot.database, Arc::<str>::from(self.table.name()));
        let file = |loaded| SectionFile::new(database, Arc::clone(&table), loaded);
        let mut sources: Vec<ScanSource> = sections
            .iter()
            .map(|loaded| {
                let file = file(loaded);
                ScanSource {
                    time: file.time(),
                    is_clipped: false,
                    rows: SourceRows::Section(file),
                    hidden: hiding.of_section(&loaded.section),
                }
            })
            .collect();
        sources.extend(tail.iter().flat_map(|tail| ScanSource::of_tail(tail, predicates, hiding)));
        let within = |source: ScanSource| {
            let time = source.time.intersection(time)?;
            Some(ScanSource { time, ..source })
        };
        Ok(sources.into_iter().filter_map(within).collect())
    }

    /// Returns the runs and the image of the tail with these columns and the times; `None` if the tail has no rows of this
    /// table.
    async fn tail_view(&self, columns: &[usize]) -> Result<Option<TailView>> {
        if !self.is_in_tail() {
            return Ok(None);
        }
        let (shared, table) = (Arc::clone(&self.shared), Arc::clone(&self.stored));
        let snapshot = self.tail_snapshot();
        // Another thread would take longer to start.
        if let Some(tail) = shared.tails.image_at_hand(&snapshot, &table, columns) {
            return Ok(Some(tail));
        }
        let (stale_tail, columns) = (self.stale_tail, columns.to_vec());
        let tail = tokio::task::spawn_blocking(move || {
            let tails = &shared.tails;
            tails.image(&snapshot, &table, &columns, stale_tail)
        });
        tail.await.map_err(external)?.map_err(external).map(Some)
    }

    /// Plans a scan of columns by their indexes in the schema with stored names, with filters on stored names.
    async fn scan_stored(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (tags, schema) = (self.stored.tag_names(), self.stored.arrow_schema());
        let predicates = ScanPredicates::new(session, filters, &schema, &tags)?;
        let hiding = RowVisibility::new(&self.snapshot, &self.stored, self.now);
        let partitions = session.config().target_partitions();
        if let Some(scans) = session.config().get_extension::<DistributedScans>() {
            let request = ScanRequest {
                projection,
                filters,
                predicates: &predicates,
                limit,
                partitions,
            };
            return self.scan_by_name(&scans, request, &hiding).await;
        }
        let all = || (0..schema.fields().len()).collect();
        let columns = projection.cloned().unwrap_or_else(all);
        let sources = self.sources(&columns, &predicates, &hiding).await?;
        let scan = ScanPlanner {
            session,
            hiding: &hiding,
            data: &self.shared.data,
            schema: &schema,
            tags: &tags,
            on_duplicate: self.stored.on_duplicate(),
            predicates: &predicates,
            partitions,
            limit,
        };
        scan.plan(&columns, &sources)
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
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
        // The scan prunes sections and pages by the filters; DataFusion applies the exact filter above the scan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stored_schema = self.stored.arrow_schema();
        let Some(shown) = ShownColumns::new(&self.table, &self.schema, &stored_schema)? else {
            return self.scan_stored(session, projection, filters, limit).await;
        };
        let columns = shown.scanned(projection);
        let stored_filters = shown.stored_filters(filters)?;
        let plan = self.scan_stored(session, Some(&columns.read), &stored_filters, limit).await?;
        columns.shown(plan)
    }
}
