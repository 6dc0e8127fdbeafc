//! How the values of a view become those of an aggregate.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    common::Result,
    functions_aggregate::expr_fn::{count, max, min, sum},
    logical_expr::{AggregateUDF, Expr, ExprSchemable, cast, expr::AggregateFunction, ident},
};
use neap_schema::TIME_COLUMN;
use neap_sql_functions::combine_function;

use super::{
    stored_view::StoredView,
    table_aggregate::TableAggregate,
    view_match::{GroupMatch, ViewMatch},
};
use crate::RollupUse;

/// Functions of SQL whose result for the same rows is always the same, except for the order in which floats are added. They
/// ignore rows without a value of their argument.
const REPEATABLE_FUNCTIONS: [&str; 10] = [
    "avg",
    "count",
    "max",
    "median",
    "min",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// Returns whether a function has always the same result for the same rows, and ignores rows without a value of its
/// argument. The states of sketches do not depend on the order of rows.
fn is_repeatable(function: &str) -> bool {
    REPEATABLE_FUNCTIONS.contains(&function) || combine_function(function).is_some()
}

/// A value of a group that can be computed from the source and from a view.
#[derive(Clone, Debug)]
pub(super) struct PartialValue {
    /// An aggregate function over the source.
    pub(super) of_source: Expr,
    /// The value of a row of the view, with unqualified columns.
    pub(super) of_view: Expr,
    /// The function that merges the values of several rows.
    pub(super) merge: MergeFunction,
}

/// A function that merges partial values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MergeFunction {
    Sum,
    Min,
    Max,
    /// A function that combines sketches.
    Combine(Arc<AggregateUDF>),
}

impl MergeFunction {
    /// Applies the function to values.
    pub(super) fn call(&self, values: Expr) -> Expr {
        match self {
            Self::Sum => sum(values),
            Self::Min => min(values),
            Self::Max => max(values),
            Self::Combine(function) => function.call(vec![values]),
        }
    }
}

/// A value of an aggregate.
#[derive(Clone, Debug)]
pub(super) struct ViewValue {
    pub(super) parts: Vec<PartialValue>,
    combination: Combination,
}

/// How a value is computed from partial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combination {
    /// It is the only one.
    Single,
    /// The first one is divided by the second one.
    Quotient,
}

impl ViewValue {
    fn single(part: PartialValue) -> Self {
        Self { parts: vec![part], combination: Combination::Single }
    }

    /// Computes the value from the merged partial values.
    pub(super) fn combine(&self, parts: &[Expr]) -> Option<Expr> {
        match (self.combination, parts) {
            (Combination::Single, [value]) => Some(value.clone()),
            (Combination::Quotient, [sum, count]) => Some(quotient(sum.clone(), count.clone())),
            _ => None,
        }
    }
}

fn quotient(sum: Expr, count: Expr) -> Expr {
    cast(sum, DataType::Float64) / cast(count, DataType::Float64)
}

/// Returns the values of an aggregate; `None` if the view lacks one, or if a value might differ in its last bits.
pub(super) fn view_values(
    aggregate: &TableAggregate<'_>,
    stored: &StoredView,
    rows: &ViewMatch,
    usage: RollupUse,
) -> Option<Vec<ViewValue>> {
    let functions = aggregate.functions().ok()?;
    let qualified = aggregate.aggregate.aggr_expr.iter();
    let values = functions.iter().zip(qualified).map(|(plain, qualified)| {
        let finder = ValueFinder {
            aggregate,
            stored,
            required_fields: rows.required_fields.as_ref(),
            usage,
            plain,
            qualified: qualified.clone().unalias(),
        };
        if !finder.counts_required_rows() {
            return None;
        }
        match rows.groups {
            GroupMatch::Same => finder.same(),
            GroupMatch::Merged => finder.merged(),
        }
    });
    values.collect()
}

/// Finds the value of a function of an aggregate.
struct ValueFinder<'a> {
    aggregate: &'a TableAggregate<'a>,
    stored: &'a StoredView,
    /// If only rows with a value of one of these fields count, the fields.
    required_fields: Option<&'a BTreeSet<String>>,
    usage: RollupUse,
    /// The function over unqualified columns of the table.
    plain: &'a Expr,
    qualified: Expr,
}

impl ValueFinder<'_> {
    /// Returns the value for groups that are rows of the view.
    fn same(&self) -> Option<ViewValue> {
        let column = self.column(&self.qualified);
        if let Some(column) = column.filter(|_| self.is_repeatable()) {
            return Some(self.single(column, MergeFunction::Max));
        }
        let (sum, count) = self.mean_parts()?;
        // The function adds floats. A sum of integers may be more precise.
        let is_of_floats = sum.1 == DataType::Float64;
        let mean = quotient(ident(sum.0), ident(count));
        (is_of_floats || self.usage == RollupUse::On).then(|| {
            ViewValue::single(PartialValue {
                of_source: self.qualified.clone(),
                of_view: mean,
                merge: MergeFunction::Max,
            })
        })
    }

    /// Returns the value for groups that consist of several rows of the view.
    fn merged(&self) -> Option<ViewValue> {
        let call = self.plain_call()?;
        let merge = match call.func.name() {
            "count" | "sum" => MergeFunction::Sum,
            "min" => MergeFunction::Min,
            "max" => MergeFunction::Max,
            "avg" if self.usage == RollupUse::On => return self.merged_mean(),
            name => MergeFunction::Combine(combine_function(name)?),
        };
        let is_exact = merge != MergeFunction::Sum || self.type_of(&self.qualified)?.is_integer();
        if !is_exact && self.usage != RollupUse::On {
            return None;
        }
        let column = self.column(&self.qualified)?;
        Some(self.single(column, merge))
    }

    fn merged_mean(&self) -> Option<ViewValue> {
        let (sum_column, count_column) = self.mean_parts()?;
        let argument = self.mean_argument()?;
        let part = |of_source, column| PartialValue {
            of_source,
            of_view: ident(column),
            merge: MergeFunction::Sum,
        };
        let parts =
            vec![part(sum(argument.clone()), sum_column.0), part(count(argument), count_column)];
        Some(ViewValue { parts, combination: Combination::Quotient })
    }

    fn single(&self, column: String, merge: MergeFunction) -> ViewValue {
        ViewValue::single(PartialValue {
            of_source: self.qualified.clone(),
            of_view: ident(column),
            merge,
        })
    }

    /// Returns the columns with the sum and the count of the argument of `avg`, and the type of the sum.
    fn mean_parts(&self) -> Option<((String, DataType), String)> {
        let call = self.plain_call()?;
        if call.func.name() != "avg" {
            return None;
        }
        let argument = self.mean_argument()?;
        let of_sum = sum(argument.clone());
        let sum_type = self.type_of(&of_sum)?;
        let sum_column = self.column(&of_sum)?;
        let count_column = self.column(&count(argument))?;
        Some(((sum_column, sum_type), count_column))
    }

    /// Returns the argument of `avg` without the conversion to floats, with qualified columns.
    fn mean_argument(&self) -> Option<Expr> {
        let Expr::AggregateFunction(call) = &self.qualified else {
            return None;
        };
        let [argument] = call.params.args.as_slice() else {
            return None;
        };
        Some(match argument {
            Expr::Cast(cast) if self.is_number(&cast.expr) => cast.expr.as_ref().clone(),
            other => other.clone(),
        })
    }

    fn is_number(&self, expr: &Expr) -> bool {
        self.type_of(expr).is_some_and(|known| known.is_numeric())
    }

    /// Whether the function has the same value for all rows as for those with a required field.
    fn counts_required_rows(&self) -> bool {
        let Some(fields) = self.required_fields else {
            return true;
        };
        if is_row_count(self.plain) {
            return self.required_field().is_some();
        }
        let call = self.plain_call();
        call.is_some_and(|call| {
            let is_required = |name: &String| fields.contains(name);
            is_repeatable(call.func.name()) && argument_column(call).is_some_and(is_required)
        })
    }

    /// Returns the only required field.
    fn required_field(&self) -> Option<&String> {
        let mut fields = self.required_fields?.iter();
        fields.next().filter(|_| fields.next().is_none())
    }

    /// Returns the column of the view with the values of a function.
    fn column(&self, function: &Expr) -> Option<String> {
        let data_type = self.type_of(function)?;
        let mut of_table = self.aggregate.of_table(function.clone()).ok()?;
        if let Some(field) = self.required_field().filter(|_| is_row_count(&of_table)) {
            of_table = count(ident(field));
        }
        self.stored.value(&of_table, &data_type).cloned()
    }

    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        let schema = self.aggregate.aggregate.input.schema();
        let data_type: Result<DataType> = expr.get_type(schema.as_ref());
        data_type.ok()
    }

    /// Returns the function, if its result does not depend on an order, and all rows of the group count.
    fn plain_call(&self) -> Option<&AggregateFunction> {
        match self.plain {
            Expr::AggregateFunction(call) => {
                let params = &call.params;
                let is_plain =
                    !params.distinct && params.filter.is_none() && params.order_by.is_empty();
                is_plain.then_some(call)
            }
            _ => None,
        }
    }

    /// Whether the function returns the value of the view for the same rows.
    fn is_repeatable(&self) -> bool {
        let Expr::AggregateFunction(call) = self.plain else {
            return false;
        };
        match call.func.name() {
            _ if self.usage == RollupUse::On => true,
            "first_value" | "last_value" => self.is_ordered_by_time(call),
            name => is_repeatable(name),
        }
    }

    /// Whether a function reads the rows in the order of their times, which differ within each group.
    fn is_ordered_by_time(&self, call: &AggregateFunction) -> bool {
        let mut tags = self.aggregate.source.tags();
        let has_all_tags =
            tags.all(|tag| self.aggregate.tags().any(|grouped| *grouped == tag.name));
        let is_by_time = match call.params.order_by.as_slice() {
            [sort] => sort.expr == ident(TIME_COLUMN),
            _ => false,
        };
        has_all_tags && is_by_time
    }
}

/// Returns the column whose values are the argument of a function, possibly converted to another type.
fn argument_column(call: &AggregateFunction) -> Option<&String> {
    let argument = match call.params.args.as_slice() {
        [Expr::Cast(cast)] => cast.expr.as_ref(),
        [argument] => argument,
        _ => return None,
    };
    match argument {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

/// Whether a function counts rows: `count(*)`.
fn is_row_count(function: &Expr) -> bool {
    match function {
        Expr::AggregateFunction(call) => {
            let is_constant =
                |args: &[Expr]| matches!(args, [Expr::Literal(value, _)] if !value.is_null());
            call.func.name() == "count" && is_constant(&call.params.args)
        }
        _ => false,
    }
}
