//! Tables whose rows are asked for when they are read, and which filters on names leave with fewer requests.

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

use crate::executor::Home;

/// Where the rows of a table come from.
#[async_trait]
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// The rows that filters leave, or more.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch>;

    /// A table without rows, for its columns.
    fn empty(&self) -> Result<RecordBatch>;
}

/// A table over a source.
#[derive(Debug)]
pub(super) struct SystemTable {
    schema: SchemaRef,
    source: Arc<dyn Source>,
    home: Home,
}

impl SystemTable {
    /// The table of a source, which is asked at `home`.
    pub(super) fn new(source: impl Source, home: &Home) -> Result<Self> {
        Ok(Self {
            schema: source.empty()?.schema(),
            source: Arc::new(source),
            home: home.clone(),
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
        let rows = self.home.run(rows).await?;
        Ok(MemorySourceConfig::try_new_exec(
            &[vec![rows]],
            Arc::clone(&self.schema),
            projection.cloned(),
        )?)
    }
}

/// Whether filters leave rows in which a column has this text, as far as they say so by name alone.
pub(super) struct Wanted<'a>(Vec<Vec<&'a str>>);

impl<'a> Wanted<'a> {
    /// Any text.
    pub(super) const ANY: Self = Self(Vec::new());

    /// What filters say of a column.
    pub(super) fn of(column: &str, filters: &'a [Expr]) -> Self {
        let filters = filters.iter().flat_map(split_conjunction);
        Self(filters.filter_map(|filter| texts(column, filter)).collect())
    }

    /// Whether rows with this text are left.
    pub(super) fn has(&self, text: &str) -> bool {
        self.0.iter().all(|texts| texts.contains(&text))
    }
}

/// The texts that a filter leaves in a column, if it says nothing else.
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
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if is_column(expr) => list.iter().map(literal).collect(),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str()?,
        _ => None,
    }
}
