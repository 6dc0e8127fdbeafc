//! An optimized plan whose lifted texts can be replaced.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    catalog::TableProvider,
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    logical_expr::{
        Expr, LogicalPlan, LogicalTableSource, Operator, TableScan, Volatility,
        utils::split_conjunction,
    },
};
use neap_sql_functions::{is_gap_fill, limit_for_execution};

/// The optimized plan of a statement with placeholders.
#[derive(Clone, Debug)]
pub(super) struct PlanTemplate {
    plan: LogicalPlan,
    table: String,
    columns: SchemaRef,
    /// The placeholders as literals of the plan, with the number of the value.
    placeholders: Vec<(ScalarValue, usize)>,
}

impl PlanTemplate {
    /// Creates the template of a plan with placeholders, before and after it was optimized. Returns `None` if the
    /// optimized plan may depend on the values of the placeholders.
    pub(super) fn new(
        logical: &LogicalPlan,
        optimized: LogicalPlan,
        values: &[ScalarValue],
    ) -> Result<Option<Self>> {
        if !is_independent(logical, values)? {
            return Ok(None);
        }
        let Some(types) = explicit_types(logical, values)? else {
            return Ok(None);
        };
        let mut found = Placeholders {
            values,
            literals: Vec::new(),
            in_conditions: HashSet::new(),
            are_replaceable: true,
        };
        let mut table = None;
        optimized.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                table = Some((scan.table_name.table().to_owned(), scan.source.schema()));
            }
            found.collect(node)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        let is_complete = found.are_complete() && found.have_types(&types);
        let Some((table, columns)) = table.filter(|_| is_complete) else {
            return Ok(None);
        };
        Ok(Some(Self {
            plan: without_source(optimized)?,
            table,
            columns,
            placeholders: found.literals,
        }))
    }

    /// Returns the template with functions whose results are limited, as a session limits them when it executes a plan.
    /// Fails if DataFusion can't rebuild a node of the plan.
    pub(super) fn with_limits(self) -> Result<Self> {
        Ok(Self { plan: limit_for_execution(&self.plan)?, ..self })
    }

    /// The name of the table that the plan reads.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The columns of the table.
    pub(super) fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Returns the plan with these values, over this table.
    /// Fails if a value does not have the type of its column.
    pub(super) fn plan(
        &self,
        values: &[ScalarValue],
        table: Arc<dyn TableProvider>,
    ) -> Result<LogicalPlan> {
        let literals: Vec<(&ScalarValue, ScalarValue)> = self
            .placeholders
            .iter()
            .map(|(placeholder, number)| {
                let value = values.get(*number).unwrap_or(&ScalarValue::Null);
                Ok((placeholder, value.cast_to(&placeholder.data_type())?))
            })
            .collect::<Result<_>>()?;
        let source = provider_as_source(table);
        let replace = |expr: Expr| {
            let Expr::Literal(value, metadata) = &expr else {
                return Ok(Transformed::no(expr));
            };
            let found = literals.iter().find(|(placeholder, _)| *placeholder == value);
            Ok(match found {
                Some((_, literal)) => {
                    Transformed::yes(Expr::Literal(literal.clone(), metadata.clone()))
                }
                None => Transformed::no(expr),
            })
        };
        let plan = self.plan.clone().transform_down(|node| match node {
            LogicalPlan::TableScan(mut scan) => {
                scan.source = Arc::clone(&source);
                LogicalPlan::TableScan(scan).map_expressions(|expr| expr.transform_up(replace))
            }
            node if may_have_placeholders(&node) => {
                node.map_expressions(|expr| expr.transform_up(replace))
            }
            node => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

/// Returns a plan whose scans have no source, so that it keeps nothing of a snapshot.
fn without_source(plan: LogicalPlan) -> Result<LogicalPlan> {
    let stripped = plan.transform_down(|node| {
        Ok(match node {
            LogicalPlan::TableScan(scan) => {
                let source = Arc::new(LogicalTableSource::new(scan.source.schema()));
                Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan }))
            }
            node => Transformed::no(node),
        })
    })?;
    Ok(stripped.data)
}

/// Whether placeholders of a node can be replaced: those of a condition, of the bounds of gap filling, which are copies of
/// conditions, and those that are a whole column.
fn may_have_placeholders(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Filter(_) | LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(projection) => projection.expr.iter().any(is_literal),
        node => is_gap_fill(node),
    }
}

/// Whether the value of an expression is that of a literal.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_literal(&alias.expr),
        expr => matches!(expr, Expr::Literal(..)),
    }
}

/// The placeholders of an optimized plan.
struct Placeholders<'a> {
    values: &'a [ScalarValue],
    literals: Vec<(ScalarValue, usize)>,
    /// The numbers of the placeholders in conditions of filters and scans.
    in_conditions: HashSet<usize>,
    /// Whether each placeholder is where it can be replaced.
    are_replaceable: bool,
}

impl Placeholders<'_> {
    /// Adds the placeholders of a node.
    fn collect(&mut self, node: &LogicalPlan) -> Result<()> {
        let is_condition = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::TableScan(_));
        let may_have_placeholders = may_have_placeholders(node);
        node.apply_expressions(|expr| {
            let is_replaceable = may_have_placeholders
                && (!matches!(node, LogicalPlan::Projection(_)) || is_literal(expr));
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr
                    && let Some(number) = placeholder_number(value, self.values)
                {
                    self.are_replaceable &= is_replaceable;
                    if is_condition {
                        self.in_conditions.insert(number);
                    }
                    let found = (value.clone(), number);
                    if !self.literals.contains(&found) {
                        self.literals.push(found);
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(())
    }

    /// Whether all placeholders remain in conditions, and can be replaced everywhere. A copy elsewhere, as in gap filling, does not
    /// show that the optimizer left the condition alone.
    fn are_complete(&self) -> bool {
        self.are_replaceable && self.in_conditions.len() == self.values.len()
    }

    /// Whether each placeholder has the type that the statement gives it. A value is converted to the type that its placeholder has
    /// in the plan at once, which is not the same as a conversion through another type: `'...'::timestamp(0)` drops the fraction of
    /// the second.
    fn have_types(&self, types: &[(usize, DataType)]) -> bool {
        types.iter().all(|(number, data_type)| {
            let mut literals = self.literals.iter().filter(|(_, found)| found == number);
            literals.all(|(literal, _)| literal.data_type() == *data_type)
        })
    }
}

/// Returns the types to which a statement converts its placeholders; `None` if it does more with one of them than to convert and
/// compare it. The result of an expression of one value of a placeholder does not hold for other values.
fn explicit_types(
    plan: &LogicalPlan,
    placeholders: &[ScalarValue],
) -> Result<Option<Vec<(usize, DataType)>>> {
    let mut types = Vec::new();
    let mut are_only_compared = true;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            // A column of a projection.
            let mut inner = expr;
            while let Expr::Alias(alias) = inner {
                inner = &alias.expr;
            }
            if let Some((_, casts)) = converted_placeholder(inner, placeholders) {
                types.extend(casts);
                return Ok(TreeNodeRecursion::Continue);
            }
            expr.apply(|expr| {
                let is_condition = is_comparison(expr);
                if converted_placeholder(expr, placeholders).is_some() {
                    return Ok(TreeNodeRecursion::Jump);
                }
                expr.apply_children(|operand| {
                    if let Some((_, casts)) = converted_placeholder(operand, placeholders) {
                        are_only_compared &= is_condition;
                        types.extend(casts);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(are_only_compared.then_some(types))
}

/// Whether an expression compares its operands, and does nothing else with them.
fn is_comparison(expr: &Expr) -> bool {
    match expr {
        Expr::InList(_) | Expr::Between(_) => true,
        Expr::BinaryExpr(binary) => matches!(
            binary.op,
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
        ),
        _ => false,
    }
}

/// Returns the number of a placeholder below any conversions, and their types.
fn converted_placeholder(
    expr: &Expr,
    placeholders: &[ScalarValue],
) -> Option<(usize, Vec<(usize, DataType)>)> {
    let mut types = Vec::new();
    let mut inner = expr;
    loop {
        inner = match inner {
            Expr::Cast(cast) => {
                types.push(cast.field.data_type().clone());
                &cast.expr
            }
            Expr::TryCast(cast) => {
                types.push(cast.field.data_type().clone());
                &cast.expr
            }
            Expr::Literal(value, _) => {
                let number = placeholder_number(value, placeholders)?;
                let types = types.into_iter().map(|data_type| (number, data_type));
                return Some((number, types.collect()));
            }
            _ => return None,
        };
    }
}

/// Returns the number of the placeholder that a literal is. A text may have any type, a time only that of times.
fn placeholder_number(literal: &ScalarValue, placeholders: &[ScalarValue]) -> Option<usize> {
    let is_time = |value: &ScalarValue| matches!(value.data_type(), DataType::Timestamp(..));
    let is_same = |placeholder: &ScalarValue| {
        if is_time(placeholder) && !is_time(literal) {
            return false;
        }
        let converted = placeholder.cast_to(&literal.data_type());
        converted.is_ok_and(|converted| converted == *literal)
    };
    placeholders.iter().position(is_same)
}

/// Whether the optimized plan of a statement is the same for all values of its placeholders, apart from the values. The
/// optimizer combines conditions on the same column, by the values of their literals: it removes `v > 5` beside `v > 6`. So
/// a condition with a placeholder must have no other literal, and each other condition on its columns must have placeholders,
/// too: if one of them is removed, its placeholder is missing in the optimized plan.
fn is_independent(plan: &LogicalPlan, placeholders: &[ScalarValue]) -> Result<bool> {
    let mut conditions: Vec<Condition> = Vec::new();
    let mut is_independent = true;
    plan.apply(|node| {
        let mut exprs = Vec::new();
        match node {
            LogicalPlan::Filter(filter) => exprs = split_conjunction(&filter.predicate),
            node => node
                .apply_expressions(|expr| {
                    let is_column = matches!(node, LogicalPlan::Projection(_)) && is_literal(expr);
                    is_independent &=
                        is_column || Condition::try_new(expr, placeholders)?.placeholders == 0;
                    Ok(TreeNodeRecursion::Continue)
                })
                .map(|_| ())?,
        }
        node.apply_expressions(|expr| {
            is_independent &= !expr.exists(|expr| Ok(is_changing(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        for expr in exprs {
            conditions.push(Condition::try_new(expr, placeholders)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let lifted = conditions.iter().filter(|one| one.placeholders > 0);
    let columns: HashSet<&str> = lifted.flat_map(|one| &one.columns).map(String::as_str).collect();
    let is_lifted = |one: &Condition| one.placeholders > 0 && one.literals == 0;
    let mut concerned = conditions.iter().filter(|one| {
        one.columns.iter().any(|column| columns.contains(column.as_str())) || one.placeholders > 0
    });
    Ok(is_independent && concerned.all(is_lifted))
}

/// A condition of a conjunction.
struct Condition {
    /// The names of its columns, without those of tables: the same column may have the name of its table or not.
    columns: HashSet<String>,
    /// The number of literals that are placeholders.
    placeholders: usize,
    /// The number of other literals.
    literals: usize,
}

impl Condition {
    fn try_new(expr: &Expr, placeholders: &[ScalarValue]) -> Result<Self> {
        let mut condition = Self { columns: HashSet::new(), placeholders: 0, literals: 0 };
        expr.apply(|expr| {
            match expr {
                Expr::Column(column) => {
                    condition.columns.insert(column.name.clone());
                }
                Expr::Literal(value, _) => match placeholder_number(value, placeholders) {
                    Some(_) => condition.placeholders += 1,
                    None => condition.literals += 1,
                },
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(condition)
    }
}

/// Whether the value of an expression can differ between two executions of a statement, as that of `now()` does.
fn is_changing(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => {
            function.func.signature().volatility != Volatility::Immutable
        }
        Expr::ScalarSubquery(_)
        | Expr::InSubquery(_)
        | Expr::Exists(_)
        | Expr::SetComparison(_) => true,
        _ => false,
    }
}
