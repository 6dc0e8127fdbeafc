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
//! Values of placeholders (`$1`) that are texts or times count as texts of the statement.
//!
//! PromQL selects the samples of each metric by such a statement, so that the times of an expression are texts, too.
//!
//! Statements of InfluxQL are parsed first. Their shape is the statement with parameters, and a kept plan comes with the layout of
//! its series.
//!
//! Only plans that read one table of the database qualify, without caches of it that could answer, and without materialized
//! views. A kept plan is used while the table has the same columns.

mod lifted_statement;
mod placeholder_times;
mod plan_template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    execution::SessionState,
    logical_expr::LogicalPlan,
    sql::sqlparser::tokenizer::Token,
};
use moka::{policy::EvictionPolicy, sync::Cache};
use neap_formats::series::{AnswerInterface, SeriesLayout};
use neap_influxql::{Literal, Statement};
use neap_influxql_planner::{InfluxqlPlan, LiftedSelect, LiftedValue, ShowRows, plan_statement};
use neap_schema::DatabaseId;
use neap_sql_functions::is_gap_fill;
use neap_tables::{QueryContext, is_one_scan, optimize};

use self::{
    lifted_statement::{LiftedStatement, MAX_STATEMENT_BYTES},
    placeholder_times::{placeholder, placeholder_nanos},
    plan_template::PlanTemplate,
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

/// About the bytes of a plan for each column of its table.
const COLUMN_BYTES: usize = 1 << 10;

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
    /// The text of a statement in InfluxQL with parameters, and the interface whose rules it follows.
    Influxql(String, AnswerInterface),
}

/// What is known of a shape.
#[derive(Clone, Debug)]
enum Shape {
    /// This number of statements was planned, and the plan of none was suitable.
    Seen(u8),
    /// The statements of this shape are planned one by one.
    Unsuitable,
    /// The statements of this shape have this plan, apart from their values.
    Kept(Arc<KeptPlan>),
}

/// The plan of the statements of a shape.
#[derive(Debug)]
struct KeptPlan {
    template: PlanTemplate,
    /// The layout of its rows. Those of SQL have no series.
    series: SeriesLayout,
}

/// The plan of a statement in InfluxQL.
#[derive(Debug)]
pub(crate) struct PlannedInfluxql {
    pub(crate) planned: PlannedStatement,
    pub(crate) series: SeriesLayout,
}

impl From<InfluxqlPlan> for PlannedInfluxql {
    fn from(plan: InfluxqlPlan) -> Self {
        match plan {
            InfluxqlPlan::Query { state, plan, series } => {
                Self { planned: PlannedStatement::Query(*state, plan), series }
            }
            InfluxqlPlan::Rows(ShowRows { rows, series }) => {
                Self { planned: PlannedStatement::Rows(rows), series }
            }
        }
    }
}

impl Default for PlanCache {
    fn default() -> Self {
        let weigh = |key: &ShapeKey, shape: &Shape| {
            let statement = match &key.statement {
                ShapeStatement::Tokens(tokens) => TOKEN_BYTES * tokens.len(),
                ShapeStatement::Influxql(text, _) => text.len(),
            };
            let template = match shape {
                Shape::Kept(kept) => {
                    PLAN_BYTES + COLUMN_BYTES * kept.template.columns().fields().len()
                }
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
        let is_template = |shape: &Shape| matches!(shape, Shape::Kept(_));
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
        let usual = || statement::plan(context, &request.text, request.parameters.clone());
        let Some(lifted) = LiftedStatement::from_sql(&request.text, &request.parameters) else {
            return usual().await;
        };
        let key = ShapeKey {
            database: context.snapshot.database,
            statement: ShapeStatement::Tokens(lifted.shape()),
        };
        let texts = lifted.texts();
        let shape = match self.find(context, &key, &texts) {
            Known::Plan(plan, _) => {
                return Ok(PlannedStatement::Optimized(context.optimized_session(), *plan));
            }
            Known::Shape(shape) => shape,
        };
        let planned = usual().await?;
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
        self.record(key, shape, template, SeriesLayout::Single(None));
        Ok(planned)
    }

    /// Plans a statement in InfluxQL. Its plan is optimized if the cache has one of its shape.
    pub(crate) async fn plan_influxql(
        &self,
        context: &QueryContext,
        statement: &Statement,
        interface: AnswerInterface,
    ) -> Result<PlannedInfluxql> {
        let Some((lifted, text)) = lifted_select(context, statement) else {
            let plan = plan_statement(context, statement, interface).await;
            return plan.map(PlannedInfluxql::from);
        };
        let key = ShapeKey {
            database: context.snapshot.database,
            statement: ShapeStatement::Influxql(text, interface),
        };
        let values: Vec<ScalarValue> = lifted.values.iter().map(scalar).collect();
        let shape = match self.find(context, &key, &values) {
            Known::Plan(plan, series) => {
                return Ok(PlannedInfluxql {
                    planned: PlannedStatement::Optimized(context.optimized_session(), *plan),
                    series,
                });
            }
            Known::Shape(shape) => shape,
        };
        let planned = plan_statement(context, statement, interface).await;
        let planned = PlannedInfluxql::from(planned?);
        let PlannedStatement::Query(state, plan) = &planned.planned else {
            return Ok(planned);
        };
        // The shape says nothing of a table or a field that does not exist yet.
        if !qualifies(context, plan) {
            return Ok(planned);
        }
        let template = match &shape {
            Some(Shape::Seen(_)) => {
                let (statement, placeholders) = with_placeholders(lifted);
                match plan_statement(context, &statement, interface).await {
                    Ok(InfluxqlPlan::Query { plan: logical, .. }) => {
                        let plans = (&logical, plan);
                        template(context, state, plans, (&placeholders, &values))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        self.record(key, shape, template, planned.series.clone());
        Ok(planned)
    }

    /// Returns the plan of a statement with these values, or what is known of its shape.
    fn find(&self, context: &QueryContext, key: &ShapeKey, values: &[ScalarValue]) -> Known {
        match self.shapes.get(key) {
            Some(Shape::Kept(kept)) => match fill(context, &kept.template, values) {
                Ok(plan) => Known::Plan(Box::new(plan), kept.series.clone()),
                Err(NotFilled::Outdated) => Known::Shape(None),
                Err(NotFilled::ThisStatement) => Known::Shape(Some(Shape::Kept(kept))),
            },
            shape => Known::Shape(shape),
        }
    }

    /// Records that a statement was planned, and the template that was made of its plan.
    fn record(
        &self,
        key: ShapeKey,
        shape: Option<Shape>,
        template: Option<PlanTemplate>,
        series: SeriesLayout,
    ) {
        let next = match (shape, template) {
            (None, _) => Shape::Seen(1),
            (Some(Shape::Seen(_)), Some(template)) => {
                Shape::Kept(Arc::new(KeptPlan { template, series }))
            }
            (Some(Shape::Seen(number)), None) if number < MAX_ATTEMPTS => Shape::Seen(number + 1),
            (Some(Shape::Seen(_)), None) => Shape::Unsuitable,
            (Some(Shape::Unsuitable | Shape::Kept(_)), _) => return,
        };
        self.shapes.insert(key, next);
    }
}

/// Takes the values out of a statement in InfluxQL, and returns the text of its shape; `None` if its plan is not kept. A kept plan
/// has the tables of one database.
fn lifted_select(context: &QueryContext, statement: &Statement) -> Option<(LiftedSelect, String)> {
    let Statement::Select(select) = statement else {
        return None;
    };
    if context.has_several_databases() {
        return None;
    }
    let lifted = LiftedSelect::from_select(select, context.times.now.saturating_mul(1_000))?;
    let text = lifted.shape.to_string();
    (text.len() <= MAX_STATEMENT_BYTES).then_some((lifted, text))
}

fn scalar(value: &LiftedValue) -> ScalarValue {
    match value {
        LiftedValue::Time(nanos) => ScalarValue::TimestampNanosecond(Some(*nanos), None),
        LiftedValue::Text(text) => ScalarValue::from(text.as_str()),
    }
}

fn with_placeholders(lifted: LiftedSelect) -> (Statement, Vec<ScalarValue>) {
    let placeholders: Vec<LiftedValue> = lifted
        .values
        .iter()
        .enumerate()
        .map(|(number, value)| match value {
            LiftedValue::Time(_) => LiftedValue::Time(placeholder_nanos(number)),
            LiftedValue::Text(_) => LiftedValue::Text(placeholder(number)),
        })
        .collect();
    let literal = |name: &str| {
        let value = placeholders.get(name.parse::<usize>().ok()?)?;
        Some(match value {
            LiftedValue::Time(nanos) => Literal::Integer(*nanos),
            LiftedValue::Text(text) => Literal::String(text.clone()),
        })
    };
    let mut statement = Statement::Select(Box::new(lifted.shape));
    // Each parameter has a value. Otherwise the statement could not be planned, and no plan would be kept.
    statement.bind(&literal).ok();
    (statement, placeholders.iter().map(scalar).collect())
}

/// What the cache has of a statement.
enum Known {
    Plan(Box<LogicalPlan>, SeriesLayout),
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
    let plan = template.plan(values, provider).map_err(|_| NotFilled::ThisStatement)?;
    if qualifies(context, &plan) {
        Ok(plan)
    } else {
        Err(NotFilled::ThisStatement)
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
    if filled == usual {
        template.with_limits().ok()
    } else {
        None
    }
}

/// Returns the optimized form of a plan of one scan; `None` if it has other nodes afterwards.
fn optimized_scan(state: &SessionState, plan: &LogicalPlan) -> Option<LogicalPlan> {
    let mut state = state.clone();
    // Names of common expressions have numbers. Two optimized forms of a plan have the same ones.
    state.execution_props_mut().alias_generator = Arc::default();
    let optimized = optimize(&mut state, plan).ok()?;
    let optimized = without_names_of_bounds(optimized).ok()?;
    is_one_scan(&optimized).then_some(optimized)
}

/// Removes the aliases from the expressions of gap filling, where names mean nothing. The optimizer adds them to keep the name of a
/// text that it converts to a time, which is the text.
fn without_names_of_bounds(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_down(|node| {
        if is_gap_fill(&node) {
            node.map_expressions(|expr| Ok(Transformed::yes(expr.unalias())))
        } else {
            Ok(Transformed::no(node))
        }
    })?;
    Ok(plan.data)
}
