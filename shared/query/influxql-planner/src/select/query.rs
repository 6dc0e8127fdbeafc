//! A resolved `SELECT`.

use std::collections::BTreeSet;

use datafusion::{
    common::{Result, not_impl_err},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, ident},
};
use neap_formats::series::AnswerInterface;
use neap_influxql::{Column, Condition, Expr as Ast, Fill, TimeOrder};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    columns::{ResolvedColumn, SourceColumns, tag_column},
    condition::nanos,
    expand::OutputColumn,
    functions::SessionFunctions,
    shape::{FieldCalls, QueryShape},
    time::{StatementTimeRange, TimeContext},
    typed_expr::TypedExpr,
    value::{check_types, evaluate},
    window::WindowSpec,
};

/// The properties of a `SELECT` that planning its parts needs.
#[derive(Debug)]
pub(super) struct SelectQuery<'a> {
    /// The interface, whose rules of types the statement follows.
    pub(super) interface: AnswerInterface,
    pub(super) functions: SessionFunctions<'a>,
    pub(super) clock: TimeContext,
    /// Whether the tags of the sources are values like fields: those of subqueries, in InfluxDB 1.
    pub(super) tags_are_values: bool,
    /// Whether each source is a single table, directly below a filter with the bounds of the range.
    pub(super) reads_tables: bool,
    /// Whether rows with the same time and tags have the order of their sources, in the column [`SOURCE`].
    pub(super) orders_sources: bool,
    /// The columns of all sources together.
    pub(super) columns: SourceColumns,
    pub(super) outputs: Vec<OutputColumn>,
    /// The tags of `GROUP BY`, sorted.
    pub(super) tags: Vec<String>,
    pub(super) window: Option<WindowSpec>,
    pub(super) fill: Fill,
    /// The times of the rows that are read.
    pub(super) range: StatementTimeRange,
    /// The order of the rows.
    pub(super) order: TimeOrder,
    /// The times in the answer, if other rows are read only to compute it.
    pub(super) shown: Option<StatementTimeRange>,
    /// The condition without the time range.
    pub(super) condition: Option<Condition>,
    pub(super) survey: FieldCalls,
    pub(super) shape: QueryShape,
}

/// The rows of an answer for one measurement: `time`, a column for each tag of `GROUP BY`, one for each output
/// ([`output_column`]), and those of `keys`.
#[derive(Debug)]
pub(super) struct AnswerPart {
    pub(super) plan: LogicalPlan,
    /// The columns that order rows of the same time.
    pub(super) keys: Vec<String>,
}

/// The column with the number of the source of a row, of those with the same measurement. Sources in several databases can
/// have rows with the same time and tags.
pub(super) const SOURCE: &str = "source";

/// Returns the name of the output with this index in a plan.
pub(super) fn output_column(index: usize) -> String {
    format!("out:{index}")
}

/// Whether a column is one of the outputs.
pub(super) fn is_output(column: &str) -> bool {
    column.starts_with("out:")
}

impl SelectQuery<'_> {
    /// The distinct fields that the outputs read.
    pub(super) fn fields(&self) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        for output in &self.outputs {
            self.add_columns(&output.expr, &mut fields, false);
        }
        fields
    }

    /// The columns of which a row must have at least one to count: fields, and the tags that are values.
    pub(super) fn needed_columns(&self) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        let mut add = |expr: &Ast| {
            self.add_columns(expr, &mut columns, false);
            if self.tags_are_values {
                self.add_columns(expr, &mut columns, true);
            }
        };
        match &self.shape {
            QueryShape::Picked(call) => call.args.first().into_iter().for_each(&mut add),
            _ => {
                let outputs = self.outputs.iter();
                outputs.map(|output| &output.expr).for_each(&mut add);
            }
        }
        columns
    }

    /// The tags that the outputs or `GROUP BY` read.
    pub(super) fn read_tags(&self) -> BTreeSet<String> {
        let mut tags: BTreeSet<String> = self.tags.iter().cloned().collect();
        for output in &self.outputs {
            self.add_columns(&output.expr, &mut tags, true);
        }
        tags
    }

    /// Refuses names of the outputs and of `GROUP BY` that are a tag of one source and a field of another, as InfluxDB 3
    /// does. In InfluxDB 1, such a name is the field.
    /// Fails with `NotImplemented` if there is such a name.
    pub(super) fn check_names(&self) -> Result<()> {
        if self.interface == AnswerInterface::V1 {
            return Ok(());
        }
        let mut names = self.fields();
        names.extend(self.read_tags());
        match names.iter().find(|name| self.columns.is_mixed(name)) {
            Some(name) => {
                not_impl_err!("cannot mix tag and field columns with the same name: {name}")
            }
            None => Ok(()),
        }
    }

    fn add_columns(&self, expr: &Ast, names: &mut BTreeSet<String>, tags: bool) {
        match expr {
            Ast::Column(column) => {
                let is_wanted = match self.columns.resolve(column) {
                    ResolvedColumn::Tag => tags,
                    ResolvedColumn::Field(..) => !tags,
                    ResolvedColumn::Time | ResolvedColumn::Unknown => false,
                };
                if is_wanted {
                    names.insert(column.name.clone());
                }
            }
            Ast::Binary { left, right, .. } => {
                self.add_columns(left, names, tags);
                self.add_columns(right, names, tags);
            }
            Ast::Call(call) => {
                for arg in &call.args {
                    self.add_columns(arg, names, tags);
                }
            }
            _ => {}
        }
    }

    /// The columns of the tags of `GROUP BY`.
    pub(super) fn tag_columns(&self) -> impl Iterator<Item = Expr> + '_ {
        self.tags.iter().map(|tag| ident(tag_column(tag)))
    }

    /// The tags of the sources that are not in `GROUP BY`. With these and the time, the rows of a table are unique.
    fn free_tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.columns.tags();
        tags.filter(|tag| !self.tags.iter().any(|grouped| grouped == tag))
    }

    /// The column of the sources, if they order rows.
    fn source_key(&self) -> Option<String> {
        self.orders_sources.then(|| SOURCE.to_owned())
    }

    /// The columns of the sources' tags that are not in `GROUP BY`, and that of the sources themselves.
    pub(super) fn other_keys(&self) -> Vec<String> {
        let tags = self.free_tags().map(tag_column);
        tags.chain(self.source_key()).collect()
    }

    /// Returns the columns of [`Self::other_keys`]. Tags that are outputs have the name of the output, so that rows do
    /// not carry them twice.
    pub(super) fn row_keys(&self) -> Vec<String> {
        let key = |tag: &str| {
            let same = |output: &OutputColumn| {
                output.expr == Ast::column(tag) && !self.columns.is_mixed(tag)
            };
            let output = self.outputs.iter().position(same);
            output.map_or_else(|| tag_column(tag), output_column)
        };
        let keys = self.free_tags().map(key);
        keys.chain(self.source_key()).collect()
    }

    /// The order of rows in a series.
    pub(super) fn series_order(&self) -> Vec<SortExpr> {
        let time = ident(TIME_COLUMN).sort(true, false);
        let others = self.other_keys().into_iter().map(|column| ident(column).sort(true, false));
        std::iter::once(time).chain(others).collect()
    }

    /// Returns the value of a column in a relation.
    pub(super) fn read(&self, column: &Column) -> TypedExpr {
        self.columns.read(column)
    }

    /// Returns the argument of a call. Tags are NULL, because InfluxQL has no functions of tags, unless they are values.
    pub(super) fn argument(&self, column: &Column) -> TypedExpr {
        match self.columns.resolve(column) {
            ResolvedColumn::Field(..) => self.read(column),
            ResolvedColumn::Tag if self.tags_are_values => {
                let kind = ColumnType::String;
                let text = cast(ident(tag_column(&column.name)), kind.data_type());
                TypedExpr::new(text, kind)
            }
            _ => TypedExpr::null(),
        }
    }

    /// Returns the start of the window that contains a time.
    pub(super) fn window_start(&self, window: &WindowSpec, time: Expr) -> Result<Expr> {
        window.start(self.functions, time)
    }

    /// The time of answers that cover the whole range.
    pub(super) fn whole_range(&self) -> Expr {
        nanos(self.range.lower.unwrap_or(0))
    }

    /// Projects the outputs from `plan`, which has the time and the tags. The last step of all shapes.
    pub(super) fn project(
        &self,
        plan: LogicalPlan,
        time: Expr,
        keys: Vec<String>,
        leaf: &dyn Fn(&Ast) -> Option<TypedExpr>,
    ) -> Result<AnswerPart> {
        let mut columns = vec![time.alias(TIME_COLUMN)];
        columns.extend(self.tag_columns());
        columns.extend(keys.iter().filter(|key| !is_output(key)).map(ident));
        for (index, output) in self.outputs.iter().enumerate() {
            if self.interface == AnswerInterface::V1 {
                check_types(&output.expr, leaf)?;
            }
            let value = evaluate(&output.expr, self.interface, leaf)?;
            columns.push(value.expr.alias(output_column(index)));
        }
        let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        Ok(AnswerPart { plan, keys })
    }

    /// Plans a query without functions.
    pub(super) fn raw(&self, rows: LogicalPlan) -> Result<AnswerPart> {
        self.project(rows, ident(TIME_COLUMN), self.other_keys(), &|expr| match expr {
            Ast::Column(column) => Some(self.read(column)),
            _ => None,
        })
    }
}
