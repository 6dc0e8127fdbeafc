//! The logical plan node of gap filling.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore};

use super::functions::{BinAlignment, FillStrategy, GapFillFunction};
use super::time_bounds::{BoundSide, TimeBound};

/// A column added by the node: an input column with its gaps filled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FilledColumn {
    pub(super) fill: FillStrategy,
    /// The index of the input column that is filled.
    pub(super) source: usize,
    pub(super) name: String,
}

/// Adds a row for every time bin in which a group has no row.
///
/// The input is the output of an aggregate: first the group columns, which include the time, then the aggregates. The
/// output has the same columns followed by the filled columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GapFill {
    pub(super) input: Arc<LogicalPlan>,
    pub(super) schema: DFSchemaRef,
    /// The number of group columns of the input.
    pub(super) group_columns: usize,
    /// The index of the time column among the group columns.
    pub(super) time_column: usize,
    pub(super) clock: BinAlignment,
    /// The time zone of the wall clock.
    pub(super) zone: Option<Arc<str>>,
    pub(super) stride: Expr,
    pub(super) origin: Option<Expr>,
    pub(super) bounds: Vec<TimeBound>,
    /// The values of the columns after the group columns, for bins without data.
    pub(super) defaults: Vec<ScalarValue>,
    pub(super) filled: Vec<FilledColumn>,
}

/// Whether a node of a plan adds the rows of bins without data. Its expressions are the interval, the origin, and the bounds of
/// the times, in the form of the conditions that they are from.
pub fn is_gap_fill(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Extension(extension) if extension.node.as_any().is::<GapFill>())
}

impl GapFill {
    /// Computes the output schema from the input and the filled columns.
    pub(super) fn with_schema(mut self) -> Result<Self> {
        let input = self.input.schema();
        let mut fields: Vec<_> = input
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
            .collect();
        for ((_, field), default) in fields.iter_mut().skip(self.group_columns).zip(&self.defaults)
        {
            if default.is_null() {
                *field = Arc::new(field.as_ref().clone().with_nullable(true));
            }
        }
        for column in &self.filled {
            let source = input.field(column.source).as_ref().clone();
            fields.push((None, Arc::new(source.with_name(&column.name).with_nullable(true))));
        }
        self.schema = Arc::new(DFSchema::new_with_metadata(fields, input.metadata().clone())?);
        Ok(self)
    }

    /// Adds a filled column per element of `fills`: its name, its fill strategy, and its source expression over the
    /// aggregates.
    pub(super) fn with_fills(mut self, fills: &[(String, FillStrategy, Expr)]) -> Result<Self> {
        let fills: Vec<_> = fills
            .iter()
            .filter(|(name, ..)| !self.filled.iter().any(|column| column.name == *name))
            .collect();
        let mut computed = Vec::new();
        for (name, fill, source) in fills {
            let source = match source {
                Expr::Column(column) => match self.input.schema().maybe_index_of_column(column) {
                    Some(index) if index >= self.group_columns => index,
                    _ => {
                        let function = GapFillFunction::Fill(*fill).name();
                        return plan_err!(
                            "{function} must be called on an aggregate in a gap-filling query"
                        );
                    }
                },
                expr => {
                    computed.push(expr.clone().alias(format!("{name} before filling")));
                    self.input.schema().fields().len() + computed.len() - 1
                }
            };
            self.filled.push(FilledColumn { fill: *fill, source, name: name.clone() });
        }
        if !computed.is_empty() {
            let columns = self.input.schema().columns().into_iter().map(Expr::Column);
            let plan = LogicalPlanBuilder::from(self.input.as_ref().clone())
                .project(columns.chain(computed))?
                .build()?;
            for field in
                plan.schema().fields().iter().skip(self.group_columns + self.defaults.len())
            {
                self.defaults.push(ScalarValue::try_from(field.data_type())?);
            }
            self.input = Arc::new(plan);
        }
        self.with_schema()
    }

    /// Returns the names of the input columns and then of the filled columns.
    fn column_names(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let constants = [&self.stride].into_iter().chain(&self.origin);
        constants.chain(self.bounds.iter().map(|bound| &bound.value)).cloned().collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        // Predicates on the other group columns select whole groups, so they may be pushed down.
        let group = |index: usize| index < self.group_columns && index != self.time_column;
        self.column_names()
            .enumerate()
            .filter(|(index, _)| !group(*index))
            .map(|(_, name)| name.to_owned())
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.column_names().collect();
        let name = |index: usize| names.get(index).copied().unwrap_or_default();
        write!(
            f,
            "GapFill: time=[{}], interval=[{}]",
            name(self.time_column),
            self.stride.human_display()
        )?;
        for bound in &self.bounds {
            let operator = match (bound.side, bound.inclusive) {
                (BoundSide::Lower, true) => ">=",
                (BoundSide::Lower, false) => ">",
                (BoundSide::Upper, true) => "<=",
                (BoundSide::Upper, false) => "<",
            };
            write!(f, ", {operator} {}", bound.value.human_display())?;
        }
        let groups = (0..self.group_columns).filter(|index| *index != self.time_column).map(name);
        write!(f, ", groups=[{}]", groups.collect::<Vec<_>>().join(", "))?;
        let filled = self.filled.iter().map(|column| column.name.as_str());
        write!(f, ", fill=[{}]", filled.collect::<Vec<_>>().join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let (Some(stride), Ok([input])) = (exprs.next(), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return internal_err!("gap filling has an interval and one input");
        };
        let origin = self.origin.is_some().then(|| exprs.next()).flatten();
        let bounds = self
            .bounds
            .iter()
            .zip(exprs)
            .map(|(bound, value)| TimeBound { value, ..bound.clone() })
            .collect();
        Ok(Self {
            input: Arc::new(input),
            stride,
            origin,
            bounds,
            ..self.clone()
        })
    }
}
