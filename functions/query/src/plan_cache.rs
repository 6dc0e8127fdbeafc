//! Optimized plans of statements that clients repeat with other values.
//!
//! ```text
//!   SELECT ... WHERE host = 'a' AND time >= '...'          statement
//!     -> SELECT ... WHERE host = ?   AND time >= ?         shape
//!     -> optimized plan with placeholders, without data    kept from the second statement of a shape
//!     -> the plan with 'a' and '...', over the snapshot
//! ```
//!
//! To parse, analyze and optimize a query of a dashboard takes about as long as to execute it. Its next execution differs in
//! the times and names that its conditions compare with columns. The plan is optimized with placeholders for them, whose
//! values the optimizer can't have used: each must remain in a condition of the optimized plan, and for the values of the
//! statement, the filled plan must be equal to the plan that was optimized with these values. Otherwise all statements of
//! the shape are planned as usual.
//!
//! A statement of InfluxQL has no such text. Its shape is its plan, with placeholders, before it is optimized.
//!
//! Only plans that read one table of the database qualify, without caches of it that could answer, and without materialized
//! views. A kept plan is used while the table has the same columns.

mod lifted_plan;
mod lifted_statement;
mod plan_template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    common::{Result, ScalarValue},
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::sqlparser::tokenizer::Token,
};
use moka::{policy::EvictionPolicy, sync::Cache};
use neap_schema::DatabaseId;
use neap_tables::{QueryContext, is_one_scan, optimize};

use self::{
    lifted_plan::LiftedPlan,
    lifted_statement::LiftedStatement,
    plan_template::{PlanTemplate, without_source},
};
use crate::{
    Parameters, QueryRequest,
    statement::{self, PlannedStatement},
    views::reads_source,
};

/// Maximum bytes of all kept plans, about: those of some hundred statements.
const MAX_BYTES: u64 = 8 << 20;

/// Maximum number of statements of a shape for which a template is made. One may have values that the optimizer combines,
/// such as two equal ones in a list.
const MAX_ATTEMPTS: u8 = 3;

/// About the bytes of a token.
const TOKEN_BYTES: usize = size_of::<Token>() + 16;

/// About the bytes of a plan.
const PLAN_BYTES: usize = 32 << 10;

/// Keeps optimized plans.
#[derive(Debug)]
pub(crate) struct PlanCache {
    shapes: Cache<ShapeKey, Shape>,
}

/// Statements that have the same plan, apart from the lifted texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ShapeKey {
    database: DatabaseId,
    statement: ShapeStatement,
}

/// What is the same in all statements of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ShapeStatement {
    /// The tokens of a statement in SQL.
    Tokens(Vec<Token>),
    /// A plan with placeholders, before it is optimized.
    Plan(Box<LogicalPlan>),
}

/// What is known of a shape.
#[derive(Clone, Debug)]
enum Shape {
    /// This number of statements was planned, and the plan of none was suitable.
    Seen(u8),
    /// The statements of this shape are planned one by one.
    Unsuitable,
    Template(Arc<PlanTemplate>),
}

impl Default for PlanCache {
    fn default() -> Self {
        let weigh = |key: &ShapeKey, shape: &Shape| {
            let statement = match &key.statement {
                ShapeStatement::Tokens(tokens) => TOKEN_BYTES * tokens.len(),
                ShapeStatement::Plan(_) => PLAN_BYTES,
            };
            let template = match shape {
                Shape::Template(_) => PLAN_BYTES,
                Shape::Seen(_) | Shape::Unsuitable => 0,
            };
            let bytes = size_of::<ShapeKey>() + statement + template;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let shapes = Cache::builder()
            .max_capacity(MAX_BYTES)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(weigh)
            .build();
        Self { shapes }
    }
}

#[cfg(test)]
impl PlanCache {
    /// The number of shapes that have a template.
    pub(crate) fn templates(&self) -> usize {
        let is_template = |shape: &Shape| matches!(shape, Shape::Template(_));
        let shapes = self.shapes.iter();
        shapes.filter(|(_, shape)| is_template(shape)).count()
    }
}

impl PlanCache {
    /// Plans a query in SQL. The plan is optimized if the cache has a plan of its shape.
    pub(crate) async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let lifted = match request.parameters == Parameters::default() {
            true => LiftedStatement::of(&request.text),
            false => None,
        };
        let Some(lifted) = lifted else {
            return statement::plan(context, &request.text, request.parameters.clone()).await;
        };
        let key = ShapeKey {
            database: context.snapshot.database,
            statement: ShapeStatement::Tokens(lifted.shape()),
        };
        let texts = lifted.texts();
        let shape = match self.find(context, &key, &texts) {
            Known::Plan(plan) => {
                return Ok(PlannedStatement::Optimized(
                    context.optimized_session(),
                    plan,
                ));
            }
            Known::Shape(shape) => shape,
        };
        let planned = statement::plan(context, &request.text, Parameters::default()).await?;
        let template = match (&shape, &planned) {
            (Some(Shape::Seen(_)), PlannedStatement::Query(state, plan)) => {
                let (statement, placeholders) = lifted.with_placeholders();
                let logical = statement::plan(context, &statement, Parameters::default()).await;
                match logical {
                    Ok(PlannedStatement::Query(_, logical)) => {
                        let plans = (&logical, plan);
                        template(context, state, plans, (&placeholders, &texts))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        self.record(key, shape, template);
        Ok(planned)
    }

    /// Returns the query of a plan. It is optimized if the cache has a plan of its shape.
    pub(crate) fn optimized(
        &self,
        context: &QueryContext,
        state: SessionState,
        plan: LogicalPlan,
    ) -> PlannedStatement {
        if !qualifies(context, &plan) {
            return PlannedStatement::Query(state, plan);
        }
        let Ok(lifted) = LiftedPlan::of(&plan) else {
            return PlannedStatement::Query(state, plan);
        };
        let key = ShapeKey {
            database: context.snapshot.database,
            statement: ShapeStatement::Plan(Box::new(lifted.plan)),
        };
        let shape = match self.find(context, &key, &lifted.values) {
            Known::Plan(plan) => {
                return PlannedStatement::Optimized(context.optimized_session(), plan);
            }
            Known::Shape(shape) => shape,
        };
        let ShapeStatement::Plan(logical) = &key.statement else {
            return PlannedStatement::Query(state, plan);
        };
        let template = match shape {
            Some(Shape::Seen(_)) => {
                let values = (&*lifted.placeholders, &*lifted.values);
                template(context, &state, (logical, &plan), values)
            }
            _ => None,
        };
        if let Ok(logical) = without_source(LogicalPlan::clone(logical)) {
            let statement = ShapeStatement::Plan(Box::new(logical));
            self.record(ShapeKey { statement, ..key }, shape, template);
        }
        PlannedStatement::Query(state, plan)
    }

    /// Returns the plan of a statement with these values, or what is known of its shape.
    fn find(&self, context: &QueryContext, key: &ShapeKey, values: &[ScalarValue]) -> Known {
        match self.shapes.get(key) {
            Some(Shape::Template(template)) => match fill(context, &template, values) {
                Ok(plan) => Known::Plan(plan),
                Err(NotFilled::Outdated) => Known::Shape(None),
                Err(NotFilled::ThisStatement) => Known::Shape(Some(Shape::Template(template))),
            },
            shape => Known::Shape(shape),
        }
    }

    /// Records that a statement was planned, and the template that was made of its plan.
    fn record(&self, key: ShapeKey, shape: Option<Shape>, template: Option<PlanTemplate>) {
        let next = match (shape, template) {
            (None, _) => Shape::Seen(1),
            (Some(Shape::Seen(_)), Some(template)) => Shape::Template(Arc::new(template)),
            (Some(Shape::Seen(number)), None) if number < MAX_ATTEMPTS => Shape::Seen(number + 1),
            (Some(Shape::Seen(_)), None) => Shape::Unsuitable,
            (Some(Shape::Unsuitable | Shape::Template(_)), _) => return,
        };
        self.shapes.insert(key, next);
    }
}

/// What the cache has of a statement.
enum Known {
    Plan(LogicalPlan),
    Shape(Option<Shape>),
}

/// Why a template has no plan for a statement.
#[derive(Debug)]
enum NotFilled {
    /// The table is not the one that the plan was made for.
    Outdated,
    /// The statement has a text that can't be converted to the type of its column, which planning reports, or its request may
    /// read caches. This says nothing about other statements.
    ThisStatement,
}

/// Returns the plan of a statement.
fn fill(
    context: &QueryContext,
    template: &PlanTemplate,
    values: &[ScalarValue],
) -> std::result::Result<LogicalPlan, NotFilled> {
    let catalog = &context.snapshot.catalog.value;
    let table = catalog.table(template.table()).ok_or(NotFilled::Outdated)?;
    let provider = context.table_provider(table);
    if provider.schema() != *template.columns() {
        return Err(NotFilled::Outdated);
    }
    let plan = template.plan(values, provider);
    let plan = plan.map_err(|_| NotFilled::ThisStatement)?;
    match qualifies(context, &plan) {
        true => Ok(plan),
        false => Err(NotFilled::ThisStatement),
    }
}

/// Whether a plan is a query of one table that nothing else can answer.
fn qualifies(context: &QueryContext, plan: &LogicalPlan) -> bool {
    let catalog = &context.snapshot.catalog.value;
    !matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_))
        && is_one_scan(plan)
        && reads_source(catalog, plan).is_ok_and(|is_source| !is_source)
}

/// Returns the template of a statement, of its plans with placeholders and with its values; `None` if its shape does not
/// qualify.
fn template(
    context: &QueryContext,
    state: &SessionState,
    (logical, plan): (&LogicalPlan, &LogicalPlan),
    (placeholders, values): (&[ScalarValue], &[ScalarValue]),
) -> Option<PlanTemplate> {
    if !qualifies(context, plan) {
        return None;
    }
    let optimized = optimized_scan(state, logical)?;
    let template = PlanTemplate::new(logical, optimized, placeholders).ok()??;
    let usual = optimized_scan(state, plan)?;
    let filled = fill(context, &template, values).ok()?;
    (filled == usual).then_some(template)
}

/// Returns the optimized form of a plan of one scan; `None` if it has other nodes afterwards.
fn optimized_scan(state: &SessionState, plan: &LogicalPlan) -> Option<LogicalPlan> {
    let optimized = optimize(&mut state.clone(), plan).ok()?;
    is_one_scan(&optimized).then_some(optimized)
}

/// Returns the text of a placeholder: a time that no statement names by accident, and another one for each number, so that its
/// place in a plan is certain. A time is a text that can be compared with tags, too.
fn placeholder(number: usize) -> String {
    format!("2261-07-19T23:17:41.{number:09}Z")
}
