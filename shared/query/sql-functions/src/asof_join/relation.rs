//! Plans an `ASOF JOIN`: which expressions are equal, which are compared, and which rows and columns remain.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema, JoinType, Result, internal_err, not_impl_err, plan_err},
    logical_expr::{
        BinaryExpr, Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, Operator,
        binary_expr,
        expr_rewriter::normalize_col_with_schemas_and_ambiguity_check,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
        type_coercion::binary::comparison_coercion,
        when,
    },
    sql::sqlparser::ast::{
        BinaryOperator, Expr as SqlExpr, Join, JoinConstraint, JoinOperator, ObjectName,
        ObjectNamePart, TableFactor, TableWithJoins,
    },
};

use super::{
    node::AsOfJoin,
    syntax::{UnmatchedRows, is_asof, nested},
};

/// The column of the times of a table, which QuestDB's form does not name.
const TIME: &str = "time";

/// Plans tables in parentheses, the last of which is joined with `ASOF JOIN`.
#[derive(Debug)]
pub(crate) struct AsOfRelationPlanner;

impl RelationPlanner for AsOfRelationPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (tables, alias) = match relation {
            TableFactor::NestedJoin { table_with_joins, alias }
                if table_with_joins.joins.iter().any(is_asof) =>
            {
                (*table_with_joins, alias)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let TableWithJoins { relation: first, mut joins } = tables;
        let end = joins.iter().rposition(is_asof).map_or(0, |last| last + 1);
        let rest = joins.split_off(end);
        if !rest.is_empty() {
            // The planner of other joins plans the last ones.
            return Ok(RelationPlanning::Original(Box::new(TableFactor::NestedJoin {
                table_with_joins: Box::new(TableWithJoins {
                    relation: nested(first, joins),
                    joins: rest,
                }),
                alias,
            })));
        }
        let Some(Join {
            relation: last,
            join_operator: JoinOperator::AsOf { match_condition, constraint },
            ..
        }) = joins.pop()
        else {
            return internal_err!("the last join is an ASOF JOIN");
        };
        let left = context.plan(if joins.is_empty() {
            first
        } else {
            nested(first, joins)
        })?;
        let right = context.plan(last)?;
        let conditions =
            JoinConditions::from_sql(&left, &right, match_condition, constraint, context)?;
        let plan = conditions.join(left, right)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

#[derive(Debug, Default)]
struct JoinConditions {
    /// Expressions of the left and the right table that are equal.
    on: Vec<(Expr, Expr)>,
    /// The comparison of an expression of the left table with one of the right one.
    comparison: Option<(Expr, Operator, Expr)>,
    /// The maximum difference between the two expressions.
    tolerance: Option<Expr>,
    /// The columns that the result has once.
    shared: Vec<String>,
    keeps_unmatched: bool,
}

impl JoinConditions {
    fn from_sql(
        left: &LogicalPlan,
        right: &LogicalPlan,
        match_condition: SqlExpr,
        constraint: JoinConstraint,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Self> {
        let schemas = JoinSchemas {
            left: left.schema(),
            right: right.schema(),
            both: left.schema().join(right.schema())?,
        };
        let mut conditions = Self::default();
        let unmatched = UnmatchedRows::from_marker(&match_condition);
        if unmatched.is_none() {
            conditions.add(match_condition, &schemas, context)?;
            if conditions.comparison.is_none() {
                return plan_err!("MATCH_CONDITION compares the times of both tables");
            }
        }
        match constraint {
            JoinConstraint::On(condition) => conditions.add(condition, &schemas, context)?,
            JoinConstraint::Using(names_of_columns) => {
                let columns = names_of_columns.iter().map(|column| column_name(column, context));
                let mut names = columns.collect::<Result<Vec<_>>>()?;
                // DuckDB compares the last column.
                let time = if unmatched.is_some() {
                    names.pop()
                } else {
                    None
                };
                for name in names {
                    conditions.add_shared(name, &schemas)?;
                }
                if let Some(time) = time {
                    let (left, right) = schemas.shared(&time)?;
                    conditions.comparison = Some((left, Operator::GtEq, right));
                    conditions.shared.push(time);
                }
            }
            JoinConstraint::None => {}
            JoinConstraint::Natural => return not_impl_err!("a natural ASOF JOIN"),
        }
        let is_questdb = unmatched.is_some() && conditions.comparison.is_none();
        if is_questdb {
            let (left, right) = schemas.times()?;
            conditions.comparison = Some((left, Operator::GtEq, right));
        }
        conditions.keeps_unmatched = match unmatched {
            None | Some(UnmatchedRows::Kept) => true,
            Some(UnmatchedRows::LeftOut) => false,
            Some(UnmatchedRows::ByForm) => is_questdb,
        };
        Ok(conditions)
    }

    /// Adds the parts of a conjunction.
    fn add(
        &mut self,
        condition: SqlExpr,
        schemas: &JoinSchemas<'_>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<()> {
        match condition {
            SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.add(*left, schemas, context)?;
                self.add(*right, schemas, context)
            }
            SqlExpr::Nested(inner) => self.add(*inner, schemas, context),
            // QuestDB names the columns that are equal.
            SqlExpr::Tuple(columns) => {
                columns.into_iter().try_for_each(|column| self.add(column, schemas, context))
            }
            SqlExpr::Identifier(column) => {
                self.add_shared(context.normalize_ident(column), schemas)
            }
            tolerance @ SqlExpr::Interval(_) => {
                self.tolerance = Some(context.sql_to_expr(tolerance, &schemas.both)?);
                Ok(())
            }
            comparison => {
                let expr = context.sql_to_expr(comparison, &schemas.both)?;
                self.add_comparison(expr, schemas)
            }
        }
    }

    fn add_comparison(&mut self, condition: Expr, schemas: &JoinSchemas<'_>) -> Result<()> {
        let both: &[&[&DFSchema]] = &[&[schemas.left, schemas.right]];
        let normalized = normalize_col_with_schemas_and_ambiguity_check(condition, both, &[])?;
        let Some((left, operator, right)) = schemas.comparison(normalized)? else {
            return plan_err!(
                "the conditions of an ASOF JOIN are l.key = r.key and one of l.time >= r.time, >, <= and <, where each side \
                 has columns of one table"
            );
        };
        if operator == Operator::Eq {
            self.on.push((left, right));
        } else if self.comparison.is_none() {
            self.comparison = Some((left, operator, right));
        } else {
            return plan_err!("an ASOF JOIN has one comparison of times");
        }
        Ok(())
    }

    /// Adds a column that is equal in both tables.
    fn add_shared(&mut self, name: String, schemas: &JoinSchemas<'_>) -> Result<()> {
        self.on.push(schemas.shared(&name)?);
        self.shared.push(name);
        Ok(())
    }

    /// Joins two tables.
    fn join(self, left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
        let Some((left_time, operator, right_time)) = self.comparison else {
            return internal_err!("an ASOF JOIN has a comparison of times");
        };
        let left_columns = left.schema().fields().len();
        let is_near = self.tolerance.map(|tolerance| {
            let (limit, bound) = match operator {
                Operator::Gt | Operator::GtEq => (Operator::Minus, Operator::GtEq),
                _ => (Operator::Plus, Operator::LtEq),
            };
            let furthest = binary_expr(left_time.clone(), limit, tolerance);
            binary_expr(right_time.clone(), bound, furthest)
        });
        let join = AsOfJoin::try_new(
            Arc::new(left),
            Arc::new(right),
            self.on,
            (left_time, right_time),
            operator,
            if self.keeps_unmatched {
                JoinType::Left
            } else {
                JoinType::Inner
            },
        )?;
        let node = LogicalPlan::Extension(Extension { node: Arc::new(join) });
        if is_near.is_none() && self.shared.is_empty() {
            return Ok(node);
        }
        let mut columns = Vec::new();
        for (index, (qualifier, field)) in node.schema().iter().enumerate() {
            let column = Expr::Column(Column::from((qualifier, field)));
            if index < left_columns {
                columns.push(column);
            } else if !self.shared.contains(field.name()) {
                columns.push(match &is_near {
                    Some(is_near) if self.keeps_unmatched => when(is_near.clone(), column)
                        .end()?
                        .alias_qualified(qualifier.cloned(), field.name()),
                    _ => column,
                });
            }
        }
        let joined = LogicalPlanBuilder::from(node);
        let near = match is_near {
            Some(is_near) if !self.keeps_unmatched => joined.filter(is_near)?,
            _ => joined,
        };
        near.project(columns)?.build()
    }
}

fn column_name(column: &ObjectName, context: &dyn RelationPlannerContext) -> Result<String> {
    match column.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Ok(context.normalize_ident(name.clone())),
        _ => plan_err!("USING names columns that both tables have, not {column}"),
    }
}

/// The columns of both tables.
struct JoinSchemas<'a> {
    left: &'a DFSchema,
    right: &'a DFSchema,
    both: DFSchema,
}

impl JoinSchemas<'_> {
    /// Returns the column of a name in both tables.
    fn shared(&self, name: &str) -> Result<(Expr, Expr)> {
        let column = |schema: &DFSchema| -> Result<Expr> {
            let field = schema.qualified_field_with_unqualified_name(name)?;
            Ok(Expr::Column(Column::from(field)))
        };
        self.coerced(column(self.left)?, column(self.right)?)
    }

    /// Returns the times of both tables. Those of joined tables are the times of the first one.
    fn times(&self) -> Result<(Expr, Expr)> {
        let column = |schema: &DFSchema| -> Result<Expr> {
            let mut fields = schema.iter();
            match fields.find(|(_, field)| field.name() == TIME) {
                Some(field) => Ok(Expr::Column(Column::from(field))),
                None => plan_err!("a table of the ASOF JOIN has no column {TIME}"),
            }
        };
        self.coerced(column(self.left)?, column(self.right)?)
    }

    /// Returns the expression of the left table, the operator, and the expression of the right table; `None` if the condition is no
    /// such comparison.
    fn comparison(&self, condition: Expr) -> Result<Option<(Expr, Operator, Expr)>> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
            return Ok(None);
        };
        let is_comparison = matches!(
            op,
            Operator::Eq | Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq
        );
        if !is_comparison || left.is_volatile() || right.is_volatile() {
            return Ok(None);
        }
        let ((of_left, of_right), operator) =
            if is_of(&left, self.left) && is_of(&right, self.right) {
                ((*left, *right), op)
            } else if is_of(&right, self.left) && is_of(&left, self.right) {
                ((*right, *left), op.swap().unwrap_or(op))
            } else {
                return Ok(None);
            };
        let (first, second) = self.coerced(of_left, of_right)?;
        Ok(Some((first, operator, second)))
    }

    /// Returns expressions of one type.
    fn coerced(&self, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let of_left = left.get_type(self.left)?;
        let of_right = right.get_type(self.right)?;
        let Some(common) = comparison_coercion(&of_left, &of_right) else {
            return plan_err!("an ASOF JOIN can't compare {of_left} with {of_right}");
        };
        Ok((left.cast_to(&common, self.left)?, right.cast_to(&common, self.right)?))
    }
}

/// Whether an expression has columns, all of one table.
fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
}
