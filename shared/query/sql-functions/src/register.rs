//! Adds the functions, the analyzer rules and the query planner to a DataFusion session.

use std::fmt;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::arrays::{ArrayFunction, ArrayFunctionKind};
use crate::asof_join::filters::AsOfFilterRule;
use crate::asof_join::node::AsOfJoinPlanner;
use crate::asof_join::relation::AsOfRelationPlanner;
use crate::conditional_rule::ConditionalRule;
use crate::dictionary_arguments::{DictionaryConcatPlanner, approx_distinct};
use crate::distinct_orders::ordered_distincts;
use crate::downsampling::{DownsamplingFunction, DownsamplingKind};
use crate::first_last::first_and_last;
use crate::gapfill::functions::GapFillPlaceholder;
use crate::gapfill::planner::GapFillPlanner;
use crate::gapfill::rewrite::GapFillRule;
use crate::group_filters::keeps_groups;
use crate::json::{JsonCastRule, JsonOperatorPlanner, json_functions};
use crate::keyless_tables::KeylessTablePlanner;
use crate::lazy_conditions::has_no_guard;
use crate::literals_last::LiteralsLast;
use crate::mistaken_keys::{MistakenKeysRule, hidden_key};
use crate::negation::NegationPlanner;
use crate::null_joins::{compares_no_nulls, distinguishes_nulls};
use crate::pushed_filters::stays_small;
use crate::rates::{DerivativeTimePlanner, RateFunction, RateKind};
use crate::regex_match::RegexMatch;
use crate::repeated_orders::RepeatedOrderPlanner;
use crate::row_shift::row_shifts;
use crate::selector::{Selector, SelectorFunction};
use crate::size_limits::{self, CallLimits, FunctionSizeLimitRule, for_execution, limit_functions};
use crate::sketches::{COMBINE_FUNCTIONS, SketchAggregate, SketchEstimate, SketchKind};
use crate::time_bucket::TimeBucket;
use crate::time_zone::TimeZoneFunction;
use crate::to_timestamp::ToTimestamp;
use crate::wallclock::DateBinWallclock;

static SCALAR_FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let mut functions: Vec<ScalarUDF> = vec![
        DateBinWallclock::new().into(),
        RegexMatch::new(false).into(),
        RegexMatch::new(true).into(),
        TimeBucket::new().into(),
        TimeZoneFunction::new().into(),
        ToTimestamp::new(&ConfigOptions::default()).into(),
    ];
    functions.extend(GapFillPlaceholder::all().map(ScalarUDF::from));
    functions.extend(ArrayFunctionKind::ALL.map(|kind| ArrayFunction::new(kind).into()));
    functions.extend(SketchKind::ALL.map(|kind| SketchEstimate::new(kind).into()));
    functions
        .into_iter()
        .map(Arc::new)
        .chain(json_functions())
        .chain([hidden_key()])
        .collect()
});

static AGGREGATE_FUNCTIONS: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let selectors =
        Selector::ALL.map(|selector| AggregateUDF::from(SelectorFunction::new(selector)));
    let accumulate =
        SketchKind::ALL.map(|kind| AggregateUDF::from(SketchAggregate::accumulate(kind)));
    let downsampling =
        DownsamplingKind::ALL.map(|kind| AggregateUDF::from(DownsamplingFunction::new(kind)));
    let functions = selectors.into_iter().chain(accumulate).chain(downsampling);
    functions
        .map(Arc::new)
        .chain(COMBINE_FUNCTIONS.iter().cloned())
        .chain(ordered_distincts())
        .chain([approx_distinct()])
        .chain(first_and_last())
        .collect()
});

static WINDOW_FUNCTIONS: LazyLock<Vec<Arc<WindowUDF>>> = LazyLock::new(|| {
    [
        (RateKind::Difference, false),
        (RateKind::Difference, true),
        (RateKind::Derivative, false),
        (RateKind::Derivative, true),
    ]
    .map(|(rate, non_negative)| Arc::new(WindowUDF::from(RateFunction::new(rate, non_negative))))
    .into_iter()
    .chain(row_shifts())
    .collect()
});

/// Adds the functions, analyzer rules, expression planners and query planner ([`SqlFunctionsPlanner`]) to a builder, and replaces
/// an optimizer rule.
///
/// The builder must already contain DataFusion's functions (`SessionStateBuilder::with_default_features`), because some
/// of them are replaced: `to_timestamp`, `lag`, `lead`, `array_agg`, `string_agg`, `approx_distinct`, and those that need a
/// size limit. The query planner of the builder is replaced, too. To use more extension planners, set a planner created with
/// [`SqlFunctionsPlanner::new`] afterwards.
pub fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    register_with_limits(builder, CallLimits::default())
}

/// Restricts rules of DataFusion: common expressions are not extracted from filters that guard what can fail, and filters are not
/// moved to where they become very large or change groups. Filters that are moved have their literals on the right. Joins are not
/// combined if nulls are equal in one of them, and its keys stay as they are.
pub fn restrict_rules(rules: &mut [Arc<dyn OptimizerRule + Send + Sync>]) {
    ConditionalRule::restrict(rules, "common_sub_expression_eliminate", has_no_guard);
    for rule in ["push_down_filter", "eliminate_outer_join"] {
        ConditionalRule::restrict(rules, rule, stays_small);
    }
    ConditionalRule::restrict(rules, "push_down_filter", keeps_groups);
    ConditionalRule::restrict(rules, "eliminate_cross_join", compares_no_nulls);
    ConditionalRule::restrict(rules, "extract_equijoin_predicate", distinguishes_nulls);
    for rule in rules.iter_mut().filter(|rule| rule.name() == "push_down_filter") {
        *rule = Arc::new(LiteralsLast(Arc::clone(rule)));
    }
}

/// Does the same as [`register()`] with other limits on result sizes.
pub(crate) fn register_with_limits(
    mut builder: SessionStateBuilder,
    limits: CallLimits,
) -> SessionStateBuilder {
    let functions = builder.scalar_functions().get_or_insert_default();
    *functions = limit_functions(functions, limits);
    functions.extend(SCALAR_FUNCTIONS.iter().map(Arc::clone));
    builder
        .aggregate_functions()
        .get_or_insert_default()
        .extend(AGGREGATE_FUNCTIONS.iter().map(Arc::clone));
    builder
        .window_functions()
        .get_or_insert_default()
        .extend(WINDOW_FUNCTIONS.iter().map(Arc::clone));
    let planners = builder.expr_planners().get_or_insert_default();
    planners.push(Arc::new(DerivativeTimePlanner));
    planners.push(Arc::new(JsonOperatorPlanner));
    planners.push(Arc::new(DictionaryConcatPlanner));
    planners.push(Arc::new(NegationPlanner));
    planners.push(Arc::new(RepeatedOrderPlanner));
    let relations = builder.relation_planners().get_or_insert_default();
    relations.push(Arc::new(AsOfRelationPlanner));
    relations.push(Arc::new(KeylessTablePlanner));
    let analyzer = builder.analyzer().get_or_insert_default();
    analyzer.rules.insert(0, Arc::new(JsonCastRule));
    analyzer.rules.insert(0, Arc::new(MistakenKeysRule));
    let rules = &mut builder.optimizer().get_or_insert_default().rules;
    restrict_rules(rules);
    // Before the rules that match optimized plans.
    let pushed = rules.iter().position(|rule| rule.name() == "push_down_filter");
    rules.insert(pushed.map_or(0, |rule| rule + 1), Arc::new(AsOfFilterRule));
    builder
        .with_analyzer_rule(Arc::new(GapFillRule))
        .with_analyzer_rule(Arc::new(FunctionSizeLimitRule(limits)))
        .with_query_planner(Arc::new(SqlFunctionsPlanner {
            limits: Some(limits),
            ..SqlFunctionsPlanner::default()
        }))
}

/// Returns the planners of the plan nodes that this crate adds.
pub fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(GapFillPlanner), Arc::new(AsOfJoinPlanner)]
}

/// Returns the functions that a physical plan may call besides those of its session. They stand for operators such as
/// `||`. A session that decodes plans of another process needs them.
pub fn execution_functions() -> Vec<Arc<ScalarUDF>> {
    size_limits::execution_functions(CallLimits::default())
}

/// Returns a plan whose functions have results of limited size, and whose conditions guard what can fail, as
/// [`SqlFunctionsPlanner`] executes it.
///
/// # Errors
/// DataFusion can't rebuild a node of the plan.
pub fn limit_for_execution(plan: &LogicalPlan) -> Result<LogicalPlan> {
    for_execution(plan, CallLimits::default())
}

/// DataFusion's query planner with [`extension_planners`] and size-limited functions.
pub struct SqlFunctionsPlanner {
    physical: DefaultPhysicalPlanner,
    /// `None`: the functions of plans are limited already.
    limits: Option<CallLimits>,
}

impl SqlFunctionsPlanner {
    /// Returns a planner that also plans the nodes of `others`.
    pub fn new(others: impl IntoIterator<Item = Arc<dyn ExtensionPlanner + Send + Sync>>) -> Self {
        let planners = extension_planners().into_iter().chain(others).collect();
        Self {
            physical: DefaultPhysicalPlanner::with_extension_planners(planners),
            limits: Some(CallLimits::default()),
        }
    }

    /// Returns a planner of plans whose functions are limited already, by [`limit_for_execution`].
    pub fn for_limited_plans() -> Self {
        Self { limits: None, ..Self::default() }
    }
}

impl Default for SqlFunctionsPlanner {
    fn default() -> Self {
        Self::new([])
    }
}

impl fmt::Debug for SqlFunctionsPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for SqlFunctionsPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let limited = self.limits.map(|limits| for_execution(plan, limits)).transpose()?;
        let plan = limited.as_ref().unwrap_or(plan);
        self.physical.create_physical_plan(plan, session).await
    }
}

#[cfg(test)]
mod tests;
