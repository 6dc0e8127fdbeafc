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
//! Only plans that read one table of the database qualify, without caches of it that could answer, and without materialized
//! views. A kept plan is used while the table has the same columns.

mod lifted_statement;
mod plan_template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{common::Result, execution::SessionState, logical_expr::LogicalPlan};
use moka::{policy::EvictionPolicy, sync::Cache};
use neap_catalog::DatabaseCatalog;
use neap_schema::DatabaseId;
use neap_tables::{QueryContext, is_one_scan, optimize};

use self::{lifted_statement::LiftedStatement, plan_template::PlanTemplate};
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

/// About the bytes of a plan for each byte of its statement.
const BYTES_PER_BYTE: usize = 128;

/// Keeps optimized plans.
#[derive(Debug)]
pub(crate) struct PlanCache {
    shapes: Cache<ShapeKey, Shape>,
}

/// Statements that have the same plan, apart from the lifted texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ShapeKey {
    database: DatabaseId,
    statement: String,
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
            let each = match shape {
                Shape::Template(_) => BYTES_PER_BYTE,
                Shape::Seen(_) | Shape::Unsuitable => 1,
            };
            let bytes = size_of::<ShapeKey>() + key.statement.len().saturating_mul(each);
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
    /// Plans a query. The plan is optimized if the cache has a plan of its shape.
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
            statement: lifted.shape(),
        };
        let mut shape = self.shapes.get(&key);
        if let Some(Shape::Template(template)) = &shape {
            match fill(context, template, &lifted) {
                Ok(plan) => {
                    return Ok(PlannedStatement::Optimized(context.full_session(), plan));
                }
                Err(NotFilled::Outdated) => shape = None,
                Err(NotFilled::ThisStatement) => {}
            }
        }
        let planned = statement::plan(context, &request.text, Parameters::default()).await?;
        match shape {
            None => self.shapes.insert(key, Shape::Seen(1)),
            Some(Shape::Seen(number)) => {
                let template = template(context, &lifted, &planned).await;
                let shape = match template {
                    Some(template) => Shape::Template(Arc::new(template)),
                    None if number < MAX_ATTEMPTS => Shape::Seen(number + 1),
                    None => Shape::Unsuitable,
                };
                self.shapes.insert(key, shape);
            }
            Some(Shape::Unsuitable | Shape::Template(_)) => {}
        }
        Ok(planned)
    }
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
    lifted: &LiftedStatement,
) -> std::result::Result<LogicalPlan, NotFilled> {
    let catalog = &context.snapshot.catalog.value;
    let table = catalog.table(template.table()).ok_or(NotFilled::Outdated)?;
    let provider = context.table_provider(table);
    if provider.schema() != *template.columns() {
        return Err(NotFilled::Outdated);
    }
    let plan = template.plan(&lifted.texts(), provider);
    let plan = plan.map_err(|_| NotFilled::ThisStatement)?;
    let is_read = |plan: &LogicalPlan| is_one_scan(plan) && !has_views(catalog, plan);
    match is_read(&plan) {
        true => Ok(plan),
        false => Err(NotFilled::ThisStatement),
    }
}

/// Whether materialized views may answer a plan.
fn has_views(catalog: &DatabaseCatalog, plan: &LogicalPlan) -> bool {
    reads_source(catalog, plan).unwrap_or(true)
}

/// Returns the template of a planned statement; `None` if its shape does not qualify.
async fn template(
    context: &QueryContext,
    lifted: &LiftedStatement,
    planned: &PlannedStatement,
) -> Option<PlanTemplate> {
    let PlannedStatement::Query(state, plan) = planned else {
        return None;
    };
    let catalog = &context.snapshot.catalog.value;
    if !is_one_scan(plan) || has_views(catalog, plan) {
        return None;
    }
    let (statement, placeholders) = lifted.with_placeholders();
    let with_placeholders = statement::plan(context, &statement, Parameters::default()).await;
    let PlannedStatement::Query(_, logical) = with_placeholders.ok()? else {
        return None;
    };
    let optimized = optimized_scan(state, &logical)?;
    let template = PlanTemplate::new(&logical, optimized, &placeholders).ok()??;
    let usual = optimized_scan(state, plan)?;
    let filled = fill(context, &template, lifted).ok()?;
    (filled == usual).then_some(template)
}

/// Returns the optimized form of a plan of one scan; `None` if it has other nodes afterwards.
fn optimized_scan(state: &SessionState, plan: &LogicalPlan) -> Option<LogicalPlan> {
    let optimized = optimize(&mut state.clone(), plan).ok()?;
    is_one_scan(&optimized).then_some(optimized)
}
