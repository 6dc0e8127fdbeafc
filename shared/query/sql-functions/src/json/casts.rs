//! An analyzer rule for conversions of JSON to numbers and booleans.
//!
//! `->` returns JSON text, whose conversion fails for each value of another type. `CAST(text -> key AS DOUBLE)` reads the value as
//! `json_get_float` does, so it is null for these.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};
use datafusion::optimizer::AnalyzerRule;

use super::function::{GET_BOOL, GET_FLOAT, GET_INT};
use super::operators::get_call;

/// Replaces conversions of `->` by the functions that read values of these types. It runs before DataFusion adds conversions of
/// its own.
#[derive(Debug)]
pub(crate) struct JsonCastRule;

impl AnalyzerRule for JsonCastRule {
    fn name(&self) -> &'static str {
        "convert_json"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                if !expr.exists(|expr| Ok(accessor(expr).is_some()))? {
                    return Ok(Transformed::no(expr));
                }
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| {
                    Ok(match accessor(&expr) {
                        Some(accessor) => Transformed::yes(accessor),
                        None => Transformed::no(expr),
                    })
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

/// Returns the call in the place of a conversion; `None` for other expressions.
fn accessor(expr: &Expr) -> Option<Expr> {
    let (converted, field) = match expr {
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => (expr, field),
        _ => return None,
    };
    let call = get_call(converted)?;
    let (function, result) = match field.data_type() {
        DataType::Boolean => (&GET_BOOL, DataType::Boolean),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            (&GET_INT, DataType::Int64)
        }
        DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => (&GET_FLOAT, DataType::Float64),
        _ => return None,
    };
    let call = ScalarFunction::new_udf(Arc::clone(function), call.args.clone());
    let call = Box::new(Expr::ScalarFunction(call));
    if *field.data_type() == result {
        return Some(*call);
    }
    let field = Arc::clone(field);
    Some(match expr {
        Expr::TryCast(_) => Expr::TryCast(TryCast { expr: call, field }),
        _ => Expr::Cast(Cast { expr: call, field }),
    })
}
