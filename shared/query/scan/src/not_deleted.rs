//! The condition that a row is not deleted.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use datafusion::{
    common::{DataFusionError, Result},
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::col},
};
use neap_row_delete::DeleteIndex;

/// The deletes of an index from a position on.
#[derive(Clone, Debug)]
pub(crate) struct LaterDeletes {
    index: Arc<DeleteIndex>,
    from: usize,
}

impl LaterDeletes {
    /// Returns the deletes at `from` and after it.
    pub(crate) fn new(index: Arc<DeleteIndex>, from: usize) -> Self {
        Self { index, from }
    }
}

/// A condition that is true of rows that no delete matches. It is evaluated by lookups, so that thousands of deletes
/// take hardly more time than one.
#[derive(Debug)]
pub(crate) struct NotDeletedExpr {
    deletes: LaterDeletes,
    /// The columns that the deletes depend on.
    schema: SchemaRef,
    /// Their values in a batch, in the order of `schema`.
    columns: Vec<Arc<dyn PhysicalExpr>>,
}

impl NotDeletedExpr {
    /// Returns the condition on rows with this schema, which has the columns.
    pub(crate) fn new(
        deletes: LaterDeletes,
        columns: &BTreeSet<String>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let fields: Vec<Field> = columns
            .iter()
            .map(|name| schema.field_with_name(name).cloned())
            .collect::<Result<_, _>>()?;
        let columns = columns.iter().map(|name| col(name, schema));
        Ok(Self {
            deletes,
            columns: columns.collect::<Result<_>>()?,
            schema: Arc::new(Schema::new(fields)),
        })
    }
}

impl PartialEq for NotDeletedExpr {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.deletes, &other.deletes);
        Arc::ptr_eq(&one.index, &two.index) && one.from == two.from && self.columns == other.columns
    }
}

impl Eq for NotDeletedExpr {}

impl Hash for NotDeletedExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.deletes.index).hash(state);
        self.deletes.from.hash(state);
        self.columns.hash(state);
    }
}

impl fmt::Display for NotDeletedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.columns.iter().map(ToString::to_string).collect();
        write!(f, "NOT deleted({})", columns.join(", "))
    }
}

impl PhysicalExpr for NotDeletedExpr {
    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("not_deleted", DataType::Boolean, false)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let columns = self
            .columns
            .iter()
            .map(|column| column.evaluate(batch)?.into_array(rows))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let keys = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let LaterDeletes { index, from } = &self.deletes;
        let deleted = index
            .mask(&keys, *from)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(!&deleted, None))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.columns.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        columns: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self {
            deletes: self.deletes.clone(),
            schema: Arc::clone(&self.schema),
            columns,
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
