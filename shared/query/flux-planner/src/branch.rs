//! A part of the tables of a pipeline: the rows of one plan, and how they are divided into tables.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableProvider,
    common::{Result, ScalarValue, TableReference},
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, ident, lit},
};
use neap_flux::Constant;
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;

use crate::typed_value::{TypedValue, time};

pub(crate) const START: &str = "_start";
pub(crate) const STOP: &str = "_stop";
pub(crate) const TIME: &str = "_time";
pub(crate) const VALUE: &str = "_value";
pub(crate) const FIELD: &str = "_field";
pub(crate) const MEASUREMENT: &str = "_measurement";

/// The columns that Flux adds to the tags of a series. A tag with one of these names is left out.
pub(crate) const RESERVED: [&str; 6] = [START, STOP, TIME, VALUE, FIELD, MEASUREMENT];

/// The prefix of columns of plans that are no columns of tables. Names of users do not begin with it.
const HIDDEN: char = '\u{1}';

/// Returns the name of a column of a plan that is no column of a table.
pub(crate) fn hidden_name(name: &str) -> String {
    format!("{HIDDEN}{name}")
}

/// The value that a column has in all rows of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConstantValue {
    Text(String),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
}

/// A column of tables. Its values are in the column of the plan with the same name, unless it is constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    pub(crate) constant: Option<ConstantValue>,
}

impl Column {
    pub(crate) fn new(name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), kind, constant: None }
    }

    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        Self {
            constant: Some(ConstantValue::Text(text.to_owned())),
            ..Self::new(name, ColumnType::Tag)
        }
    }

    pub(crate) fn of_time(name: &str, nanos: i64) -> Self {
        Self {
            constant: Some(ConstantValue::Time(nanos)),
            ..Self::new(name, ColumnType::Time)
        }
    }

    /// Returns the values as an expression over the plan.
    pub(crate) fn expr(&self) -> Expr {
        match &self.constant {
            None => ident(&self.name),
            Some(ConstantValue::Text(text)) => tag_literal(text),
            Some(ConstantValue::Time(nanos)) => time(*nanos),
        }
    }

    /// Returns the value in a row expression.
    pub(crate) fn value(&self) -> TypedValue {
        match &self.constant {
            None => TypedValue::Computed(self.expr(), self.kind),
            Some(ConstantValue::Text(text)) => TypedValue::Constant(Constant::Text(text.clone())),
            Some(ConstantValue::Time(nanos)) => TypedValue::Constant(Constant::Time(*nanos)),
        }
    }
}

/// Adds a hidden column if there is no column, because a plan needs one.
pub(crate) fn with_one(mut exprs: Vec<Expr>) -> Vec<Expr> {
    if exprs.is_empty() {
        exprs.push(lit(true).alias(hidden_name("row")));
    }
    exprs
}

/// Returns a text with the type of tags.
pub(crate) fn tag_literal(text: &str) -> Expr {
    let value = ScalarValue::Utf8(Some(text.to_owned()));
    let dictionary = ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(value));
    Expr::Literal(dictionary, None)
}

/// A part of the order of the rows of each table. Nulls are the largest values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderPart {
    /// The column of a table that the order is by; it may be dropped.
    pub(crate) origin: String,
    /// The column with its values: one of the tables, or a hidden one.
    pub(crate) column: Column,
    pub(crate) descending: bool,
}

impl OrderPart {
    pub(crate) fn ascending(column: &Column) -> Self {
        Self {
            origin: column.name.clone(),
            column: column.clone(),
            descending: false,
        }
    }

    fn sort(&self, reversed: bool) -> SortExpr {
        let is_ascending = self.descending == reversed;
        self.column.expr().sort(is_ascending, !is_ascending)
    }
}

/// The rows of a table of the database that a branch reads.
#[derive(Clone, Debug)]
pub(crate) struct FieldScan {
    pub(crate) table: String,
    pub(crate) rows: Arc<dyn TableProvider>,
    /// The field; `None`: rows with any field.
    pub(crate) field: Option<String>,
    /// Conditions over the columns of the table.
    pub(crate) conditions: Vec<Expr>,
    /// The first time, and the time after the last one.
    pub(crate) range: (i64, i64),
}

impl FieldScan {
    /// Returns the rows in the range, before their conditions.
    pub(crate) fn source(&self) -> Result<LogicalPlanBuilder> {
        let source = provider_as_source(Arc::clone(&self.rows));
        let name = TableReference::bare(self.table.clone());
        let (start, stop) = self.range;
        LogicalPlanBuilder::scan(name, source, None)?
            .filter(ident(TIME_COLUMN).gt_eq(time(start)))?
            .filter(ident(TIME_COLUMN).lt(time(stop)))
    }

    /// Returns the condition of the rows with a value.
    pub(crate) fn condition(&self) -> Expr {
        let has_value = self.field.iter().map(|field| ident(field).is_not_null());
        let all = has_value.chain(self.conditions.iter().cloned());
        balanced(all.collect(), Expr::and)
    }

    fn plan(&self, columns: &[Column]) -> Result<LogicalPlan> {
        let mut exprs = Vec::new();
        for column in columns.iter().filter(|column| column.constant.is_none()) {
            let source = match (column.name.as_str(), &self.field) {
                (TIME, _) => TIME_COLUMN,
                (VALUE, Some(field)) => field.as_str(),
                (tag, _) => tag,
            };
            exprs.push(ident(source).alias(&column.name));
        }
        let rows = self.source()?.filter(self.condition())?;
        rows.project(exprs)?.build()
    }
}

/// The rows of a branch.
#[derive(Clone, Debug)]
pub(crate) enum BranchInput {
    /// Those of a table of the database.
    Field(FieldScan),
    Plan(LogicalPlan),
}

/// A part of the tables of a pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) input: BranchInput,
    pub(crate) columns: Vec<Column>,
    /// The columns of the group key. Each exists.
    pub(crate) key: Vec<String>,
    pub(crate) order: Vec<OrderPart>,
    /// The range of time that the pipeline reads.
    pub(crate) range: Option<(i64, i64)>,
}

/// A column, and its values as an expression over the plan of a branch if it is not constant.
#[derive(Clone, Debug)]
pub(crate) struct NewColumn {
    pub(crate) column: Column,
    pub(crate) expr: Option<Expr>,
}

impl NewColumn {
    pub(crate) fn unchanged(column: &Column) -> Self {
        Self {
            column: column.clone(),
            expr: column.constant.is_none().then(|| column.expr()),
        }
    }
}

impl Branch {
    /// Returns the plan of the rows. Its columns are those of the tables that are not constant, and hidden ones.
    pub(crate) fn plan(&self) -> Result<LogicalPlan> {
        match &self.input {
            BranchInput::Field(scan) => scan.plan(&self.columns),
            BranchInput::Plan(plan) => Ok(plan.clone()),
        }
    }

    /// Returns a column of the tables.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Returns the value of a column in a row expression. A column that does not exist is null.
    pub(crate) fn value(&self, name: &str) -> TypedValue {
        self.column(name).map_or(TypedValue::Null, Column::value)
    }

    pub(crate) fn is_in_key(&self, column: &str) -> bool {
        self.key.iter().any(|key| key == column)
    }

    /// The columns of the group key.
    pub(crate) fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|name| self.column(name))
    }

    /// The columns of the plan that divide its rows into tables.
    pub(crate) fn key_exprs(&self) -> Vec<Expr> {
        let computed = self.key_columns().filter(|column| column.constant.is_none());
        computed.map(Column::expr).collect()
    }

    /// The columns of the plan that are columns of the tables; at least one column.
    pub(crate) fn visible_exprs(&self) -> Vec<Expr> {
        let computed = self.columns.iter().filter(|column| column.constant.is_none());
        with_one(computed.map(|column| column.expr().alias(&column.name)).collect())
    }

    /// The order of the rows of each table.
    pub(crate) fn sort_exprs(&self, reversed: bool) -> Vec<SortExpr> {
        let parts = self.order.iter().filter(|part| part.column.constant.is_none());
        parts.map(|part| part.sort(reversed)).collect()
    }

    /// Returns the branch with other columns. Columns of the group key that no longer exist leave it. The rows of a table are in
    /// the order of their former tables, and keep their order in those.
    pub(crate) fn project(self, columns: Vec<NewColumn>) -> Result<Self> {
        let plan = self.plan()?;
        let mut exprs: Vec<Expr> = columns
            .iter()
            .filter_map(|new| Some(new.expr.clone()?.alias(&new.column.name)))
            .collect();
        let is_kept = |column: &Column| {
            columns.iter().any(|new| {
                new.column == *column && new.expr.iter().all(|expr| *expr == column.expr())
            })
        };
        let former = self.key_columns().filter(|column| !is_kept(column));
        let mut order: Vec<OrderPart> = former.map(OrderPart::ascending).collect();
        order.extend(self.order.iter().cloned());
        for (index, part) in order.iter_mut().enumerate() {
            if is_kept(&part.column) {
                continue;
            }
            let name = hidden_name(&index.to_string());
            if part.column.constant.is_none() {
                exprs.push(part.column.expr().alias(&name));
            }
            part.column.name = name;
        }
        let columns: Vec<Column> = columns.into_iter().map(|new| new.column).collect();
        let mut key = self.key;
        key.retain(|name| columns.iter().any(|column| column.name == *name));
        Ok(Self {
            input: BranchInput::Plan(
                LogicalPlanBuilder::from(plan).project(with_one(exprs))?.build()?,
            ),
            columns,
            key,
            order,
            range: self.range,
        })
    }

    /// Returns the branch with the rows of another plan, which has all columns of the tables.
    pub(crate) fn with_rows(self, plan: LogicalPlan) -> Self {
        Self { input: BranchInput::Plan(plan), ..self }
    }
}
