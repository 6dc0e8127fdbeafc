//! The columns that a table shows, some of which are stored under another name.
//!
//! ```text
//!   query      usage > 1                 usage, time
//!                | filters                 ^ ProjectionExec, if a column of the scan is stored under another name
//!   scan       load > 1                  load, time
//! ```

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::Expr,
    physical_expr::{PhysicalExpr, expressions::Column as PhysicalColumn},
    physical_plan::{ExecutionPlan, projection::ProjectionExec},
};
use neap_catalog::Table;

/// The columns that a table shows.
#[derive(Debug)]
pub(crate) struct ShownColumns {
    table: Arc<Table>,
    schema: SchemaRef,
    /// The index of each column in the schema with stored names.
    stored: Vec<usize>,
}

/// The columns of a scan.
#[derive(Debug)]
pub(crate) struct ScannedColumns {
    /// The indexes of the columns in the schema with stored names, in ascending order.
    pub(crate) read: Vec<usize>,
    /// The output: positions in `read`, with the names that the table shows.
    output: Vec<(usize, String)>,
}

impl ShownColumns {
    /// Returns the columns of `schema`, whose names are names or aliases of columns of a table; `None` if these are exactly the
    /// columns of `stored_schema`, which has those of the table under their stored names.
    pub(crate) fn new(
        table: &Arc<Table>,
        schema: &SchemaRef,
        stored_schema: &SchemaRef,
    ) -> Result<Option<Self>> {
        if table.has_stored_names() && schema.fields().len() == stored_schema.fields().len() {
            return Ok(None);
        }
        let stored = schema.fields().iter().map(|field| {
            let name = table.stored_name(field.name());
            stored_schema.index_of(name)
        });
        Ok(Some(Self {
            stored: stored.collect::<Result<_, _>>()?,
            table: Arc::clone(table),
            schema: Arc::clone(schema),
        }))
    }

    /// Returns filters with the stored names of columns.
    pub(crate) fn stored_filters(&self, filters: &[Expr]) -> Result<Vec<Expr>> {
        let renamed = |expr: Expr| {
            Ok(match expr {
                Expr::Column(column) => {
                    let name = self.table.stored_name(&column.name).to_owned();
                    Transformed::yes(Expr::Column(Column { name, ..column }))
                }
                other => Transformed::no(other),
            })
        };
        let filters = filters.iter().cloned();
        filters.map(|filter| Ok(filter.transform(renamed)?.data)).collect()
    }

    /// Returns the columns of a scan, given by their indexes; `None`: all.
    pub(crate) fn scanned(&self, projection: Option<&Vec<usize>>) -> ScannedColumns {
        let shown: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.stored.len()).collect(),
        };
        let stored = |at: &usize| self.stored.get(*at).copied();
        let mut read: Vec<usize> = shown.iter().filter_map(stored).collect();
        read.sort_unstable();
        read.dedup();
        let output = shown.iter().filter_map(|at| {
            let position = read.binary_search(&stored(at)?).ok()?;
            Some((position, self.schema.field(*at).name().clone()))
        });
        ScannedColumns { output: output.collect(), read }
    }
}

impl ScannedColumns {
    /// Returns a plan that shows the columns that `plan` reads.
    pub(crate) fn shown(self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = plan.schema();
        let is_same = |(at, (position, name)): (usize, &(usize, String))| {
            at == *position && schema.field(at).name() == name
        };
        if self.output.len() == self.read.len() && self.output.iter().enumerate().all(is_same) {
            return Ok(plan);
        }
        let columns = self.output.into_iter().map(|(position, name)| {
            let stored = schema.field(position).name();
            let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(stored, position));
            (column, name)
        });
        Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
    }
}
