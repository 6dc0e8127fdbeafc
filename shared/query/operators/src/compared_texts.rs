//! An analyzer rule that converts texts to the types of the values that they are compared with, where DataFusion does not.
//!
//! * A pattern for a tag: DataFusion keeps the dictionary of the tag, and converts the pattern to the common type of both.
//!   For a view, such as `'a%'::VARCHAR`, this is not the type of the dictionary's values, and the execution fails.
//! * A text that is compared with a boolean, such as `up = 't'`: drivers of PostgreSQL write the values of placeholders so.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema, Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        BinaryExpr, Cast, Expr, ExprSchemable, Like, LogicalPlan, Operator,
        expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

/// Converts compared texts. It runs before DataFusion adds conversions of its own.
#[derive(Debug)]
pub struct ComparedTextRule;

impl AnalyzerRule for ComparedTextRule {
    fn name(&self) -> &'static str {
        "convert_compared_texts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            if !compares_texts(&node)? {
                return Ok(Transformed::no(node));
            }
            let names = NamePreserver::new(&node);
            let schema = merge_schema(&node.inputs());
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let converted = expr.transform_up(|expr| convert(expr, &schema))?;
                Ok(converted.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

/// Whether expressions of a node have a pattern, or compare texts of the statement.
fn compares_texts(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|root| {
        found |= root.exists(|expr| {
            Ok(match expr {
                Expr::Like(_) => true,
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    is_equality(*op) && (is_text(left) || is_text(right))
                }
                Expr::InList(list) => list.list.iter().any(is_text),
                _ => false,
            })
        })?;
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

fn convert(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Like(mut like) if is_view_for_tag(&like, schema) => {
            like.pattern = Box::new(Expr::Cast(Cast::new(like.pattern, DataType::Utf8)));
            Transformed::yes(Expr::Like(like))
        }
        Expr::BinaryExpr(mut comparison) if is_equality(comparison.op) => {
            let BinaryExpr { left, right, .. } = &mut comparison;
            let is_changed = (is_boolean(left, schema) && read_boolean(right)?)
                || (is_boolean(right, schema) && read_boolean(left)?);
            Transformed::new_transformed(Expr::BinaryExpr(comparison), is_changed)
        }
        Expr::InList(mut list) if is_boolean(&list.expr, schema) => {
            let mut is_changed = false;
            for value in &mut list.list {
                is_changed |= read_boolean(value)?;
            }
            Transformed::new_transformed(Expr::InList(list), is_changed)
        }
        other => Transformed::no(other),
    })
}

fn is_equality(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    )
}

/// Whether a tag is compared with a pattern that has another type than the values of its dictionary.
fn is_view_for_tag(like: &Like, schema: &DFSchema) -> bool {
    let is_tag = matches!(
        like.expr.get_type(schema),
        Ok(DataType::Dictionary(_, values)) if *values == DataType::Utf8
    );
    is_tag && matches!(like.pattern.get_type(schema), Ok(DataType::Utf8View | DataType::LargeUtf8))
}

fn is_boolean(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Boolean))
}

/// Whether an expression is a text of the statement.
fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.try_as_str().flatten().is_some())
}

/// Makes a boolean of a text of the statement, and returns whether it was one.
fn read_boolean(expr: &mut Expr) -> Result<bool> {
    if !is_text(expr) {
        return Ok(false);
    }
    if let Expr::Literal(value, _) = expr {
        *value = value.cast_to(&DataType::Boolean)?;
    }
    Ok(true)
}
