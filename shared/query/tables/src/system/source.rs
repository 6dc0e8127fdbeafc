//! Tables whose rows are computed when they are read. Filters on names reduce the number of rows and of requests to the
//! store.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Column, Result},
    datasource::memory::MemorySourceConfig,
    logical_expr::{
        BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType, expr::InList,
        utils::split_conjunction,
    },
    physical_plan::ExecutionPlan,
};
use neap_scan::IoRuntime;

/// The source of the rows of a table.
#[async_trait]
pub(super) trait SystemTableSource: fmt::Debug + Send + Sync + 'static {
    /// Returns the rows that pass the filters. May return more rows, because DataFusion applies the filters again.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch>;

    /// Returns the table without rows, for its schema.
    fn empty(&self) -> Result<RecordBatch>;
}

/// A table over a source.
#[derive(Debug)]
pub(super) struct SystemTable {
    schema: SchemaRef,
    source: Arc<dyn SystemTableSource>,
    /// Sends the requests; `None` if the source needs none.
    io_runtime: Option<IoRuntime>,
}

impl SystemTable {
    /// The table of a source. Its requests run on `io_runtime`. Without one, the task of the query computes the rows.
    pub(super) fn new(
        source: Arc<dyn SystemTableSource>,
        io_runtime: Option<&IoRuntime>,
    ) -> Result<Self> {
        Ok(Self {
            schema: source.empty()?.schema(),
            source,
            io_runtime: io_runtime.cloned(),
        })
    }
}

#[async_trait]
impl TableProvider for SystemTable {
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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (source, filters) = (Arc::clone(&self.source), filters.to_vec());
        let rows = async move { source.rows(&filters).await };
        let rows = match &self.io_runtime {
            Some(io_runtime) => io_runtime.run(rows).await?,
            None => rows.await?,
        };
        Ok(MemorySourceConfig::try_new_exec(
            &[vec![rows]],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?)
    }
}

/// The values of a text column that may pass the filters of a query. Only `=` and `IN` with literals are used.
pub(super) struct NameFilter<'a>(Vec<Vec<&'a str>>);

impl<'a> NameFilter<'a> {
    /// Any value.
    pub(super) const ANY: Self = Self(Vec::new());

    /// Returns the values of a column that may pass these filters.
    pub(super) fn new(column: &str, filters: &'a [Expr]) -> Self {
        let filters = filters.iter().flat_map(split_conjunction);
        Self(filters.filter_map(|filter| texts(column, filter)).collect())
    }

    /// Whether rows with this value may pass the filters.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.iter().all(|texts| texts.contains(&text))
    }
}

/// Returns the values of a column that pass a filter; `None` if the filter is not `=` or `IN` of this column and
/// literals.
fn texts<'a>(column: &str, filter: &'a Expr) -> Option<Vec<&'a str>> {
    let is_column =
        |expr: &Expr| matches!(expr, Expr::Column(Column { name, .. }) if name == column);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Operator::Eq => {
            match (left.as_ref(), right.as_ref()) {
                (name, value) | (value, name) if is_column(name) => Some(vec![literal(value)?]),
                _ => None,
            }
        }
        Expr::InList(InList { expr, list, negated: false }) if is_column(expr) => {
            list.iter().map(literal).collect()
        }
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str()?,
        _ => None,
    }
}
