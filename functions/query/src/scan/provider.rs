//! A table of a snapshot, as DataFusion scans it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};
use neap_bucket::StoreTime;
use neap_catalog::Table;
use neap_manifest::Snapshot;

use super::{
    Shared,
    data::SectionFile,
    hidden::{Hidden, Hiding},
    plan::{Source, SourceRows, TableScan},
    predicate::Predicates,
    regions::TimeRange,
};

/// A table as of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    table: Arc<Table>,
    schema: SchemaRef,
    now: StoreTime,
}

impl SnapshotTable {
    /// The table in the snapshot, at the time `now` of the store.
    pub(crate) fn new(
        shared: Arc<Shared>,
        snapshot: Arc<Snapshot>,
        table: Arc<Table>,
        now: StoreTime,
    ) -> Self {
        let schema = table.arrow_schema();
        Self {
            shared,
            snapshot,
            table,
            schema,
            now,
        }
    }

    /// The sections in the order of their stamps, then the tail.
    async fn sources(&self, predicates: &Predicates, hiding: &Hiding) -> Result<Vec<Source>> {
        let Some(time) = predicates.time.intersection(hiding.seen) else {
            return Ok(Vec::new());
        };
        let sections = self
            .shared
            .manifests
            .load_sections(
                self.snapshot.database,
                &self.snapshot.manifest.value,
                self.table.id(),
                neap_manifest::TimeRange {
                    first: time.min,
                    last: time.max,
                },
            )
            .await
            .map_err(external)?;
        let sections = predicates.prune(&self.schema, sections)?;
        let mut sources: Vec<Source> = sections
            .iter()
            .map(|loaded| Source {
                time: TimeRange {
                    min: loaded.section.min_time,
                    max: loaded.section.max_time,
                },
                rows: SourceRows::Section(SectionFile::new(self.snapshot.database, loaded)),
                hidden: hiding.of_section(&loaded.section),
            })
            .collect();
        sources.extend(self.tail().await?);
        let within = |source: Source| {
            let time = source.time.intersection(time)?;
            Some(Source { time, ..source })
        };
        Ok(sources.into_iter().filter_map(within).collect())
    }

    async fn tail(&self) -> Result<Option<Source>> {
        let (shared, snapshot, table) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.snapshot),
            Arc::clone(&self.table),
        );
        if !snapshot
            .tail
            .iter()
            .any(|segment| segment.tables().any(|rows| rows.table == table.id()))
        {
            return Ok(None);
        }
        let image = tokio::task::spawn_blocking(move || shared.tails.image(&snapshot, &table));
        let image = image.await.map_err(external)?.map_err(external)?;
        Ok(image.time_range().map(|(min, max)| Source {
            time: TimeRange { min, max },
            rows: SourceRows::Tail(image),
            hidden: Hidden::default(),
        }))
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
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
        // Filters prune and thin out; the exact filter stays above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tags = self.table.tag_names();
        let predicates = Predicates::new(session, filters, &self.schema, &tags)?;
        let hiding = Hiding::of(&self.snapshot, &self.table, self.now);
        let sources = self.sources(&predicates, &hiding).await?;
        let scan = TableScan {
            session,
            hiding: &hiding,
            data: &self.shared.data,
            schema: &self.schema,
            tags: &tags,
            predicates: &predicates,
            partitions: session.config().target_partitions(),
            limit,
        };
        scan.plan(projection, &sources).await
    }
}
