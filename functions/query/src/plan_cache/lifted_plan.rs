//! Plans that differ only in literals that they compare with columns.

use datafusion::{
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, expr::InList},
};

use super::placeholder;

/// A plan whose texts and times that are compared with columns were replaced by placeholders.
#[derive(Debug)]
pub(super) struct LiftedPlan {
    pub(super) plan: LogicalPlan,
    /// The literals that were replaced.
    pub(super) values: Vec<ScalarValue>,
    pub(super) placeholders: Vec<ScalarValue>,
}

impl LiftedPlan {
    /// Replaces the literals of a plan.
    pub(super) fn of(plan: &LogicalPlan) -> Result<Self> {
        let (mut values, mut placeholders) = (Vec::new(), Vec::new());
        let mut lift = |expr: Expr| {
            let Expr::Literal(value, metadata) = expr else {
                return Ok(expr);
            };
            let text = placeholder(values.len());
            let replaced = ScalarValue::from(text.as_str()).cast_to(&value.data_type())?;
            values.push(value);
            placeholders.push(replaced.clone());
            Ok(Expr::Literal(replaced, metadata))
        };
        let plan = plan.clone().transform_down(|node| {
            let LogicalPlan::Filter(mut filter) = node else {
                return Ok(Transformed::no(node));
            };
            let lifted = filter
                .predicate
                .transform_down(|expr| lift_compared(expr, &mut lift))?;
            filter.predicate = lifted.data;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        })?;
        Ok(Self {
            plan: plan.data,
            values,
            placeholders,
        })
    }
}

/// Replaces the literals of a comparison.
fn lift_compared(
    expr: Expr,
    lift: &mut impl FnMut(Expr) -> Result<Expr>,
) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
            let (left, right) = match (is_liftable(&left), is_liftable(&right)) {
                (true, false) => (lift(*left)?.into(), right),
                (false, true) => (left, lift(*right)?.into()),
                _ => (left, right),
            };
            Transformed::new(
                Expr::BinaryExpr(BinaryExpr { left, op, right }),
                true,
                TreeNodeRecursion::Jump,
            )
        }
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) if list.iter().all(is_liftable) => {
            let list = list.into_iter().map(lift).collect::<Result<_>>()?;
            let expr = Expr::InList(InList {
                expr,
                list,
                negated,
            });
            Transformed::new(expr, true, TreeNodeRecursion::Jump)
        }
        expr => Transformed::no(expr),
    })
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    )
}

fn is_liftable(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(
            ScalarValue::Utf8(Some(_)) | ScalarValue::TimestampNanosecond(Some(_), _),
            _
        )
    )
}
