//! Derives the definition of a view from the plan of its query.
//!
//! A query has one form, so that the rows of a window depend on the rows of the source in this window only:
//!
//! ```sql
//! SELECT date_bin(INTERVAL '1 hour', time) AS time, host, avg(usage) AS usage FROM cpu [WHERE ...]
//! GROUP BY 1, host [HAVING ...]
//! ```

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue, plan_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::SessionState,
    logical_expr::{
        Aggregate, Expr, LogicalPlan, TableScan, Volatility, expr::ScalarFunction,
        simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
};
use neap_catalog::{DatabaseCatalog, Table, ViewWindows};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::{CATALOG, SCHEMA};

/// The function that groups rows by windows.
pub(super) const DATE_BIN: &str = "date_bin";

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

/// The properties of a query that a view can keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ViewDefinition {
    /// The table that it reads.
    pub(super) source: String,
    pub(super) windows: ViewWindows,
    /// The names of the columns that are tags.
    pub(super) tags: Vec<String>,
    /// The columns of its table without the time, as rows are stored. A column whose type is unknown, because it is
    /// always null, is left out.
    pub(super) columns: Vec<(String, ColumnType)>,
}

/// A column of the aggregate, or of an operator above it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ColumnRole {
    Window,
    Tag(String),
    Value,
}

/// Derives the definition of a query.
/// Fails if the query does not have the form that a view can keep. The error names the reason.
pub(super) fn define_view(
    state: &SessionState,
    catalog: &DatabaseCatalog,
    plan: &LogicalPlan,
) -> Result<ViewDefinition> {
    check_expressions(plan)?;
    let mut above = Vec::new();
    let mut node = plan;
    let aggregate = loop {
        match node {
            LogicalPlan::Aggregate(aggregate) => break aggregate,
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => above.push(node),
            LogicalPlan::SubqueryAlias(alias) => {
                node = &alias.input;
                continue;
            }
            _ => return not_of_this_form(node),
        }
        node = match node {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            _ => return not_of_this_form(node),
        };
    };
    let source = source_table(catalog, &aggregate.input)?;
    let (windows, mut roles) = group_roles(state, source, aggregate)?;
    for node in above.iter().rev() {
        if let LogicalPlan::Projection(projection) = node {
            roles = projected_roles(&projection.expr, projection.input.schema(), &roles)?;
        }
    }
    let tags = check_output(plan.schema(), &roles, aggregate)?;
    // The types of some expressions are known only after the conversions that the optimizer adds.
    let columns = table_columns(state.optimize(plan)?.schema(), &tags);
    Ok(ViewDefinition {
        // The name in the query, so that it remains an alias as long as the view needs it.
        source: source_scan(&aggregate.input)?.table_name.table().to_owned(),
        windows,
        tags,
        columns,
    })
}

fn not_of_this_form<T>(node: &LogicalPlan) -> Result<T> {
    plan_err!(
        "the query of a materialized view groups rows of one table by date_bin(...) and tags, without subqueries, \
         joins, DISTINCT, ORDER BY or LIMIT: {} is not supported",
        node.display()
    )
}

/// Refuses expressions whose value depends on more than the rows: subqueries, the present time, random numbers.
fn check_expressions(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::Placeholder(_) => {
                    plan_err!("the query of a materialized view has no subqueries or placeholders")
                }
                Expr::ScalarFunction(call)
                    if call.func.signature().volatility != Volatility::Immutable =>
                {
                    plan_err!(
                        "the query of a materialized view can't call {}(), whose value changes",
                        call.func.name()
                    )
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}

/// Returns the table below the aggregate.
pub(super) fn source_table<'a>(
    catalog: &'a DatabaseCatalog,
    plan: &LogicalPlan,
) -> Result<&'a Arc<Table>> {
    let name = source_scan(plan)?.table_name.clone().resolve(CATALOG, SCHEMA);
    let is_own = (name.catalog.as_ref(), name.schema.as_ref()) == (CATALOG, SCHEMA);
    match catalog.table(&name.table).filter(|_| is_own) {
        Some(table) => Ok(table),
        None => plan_err!("a materialized view can't read '{name}'"),
    }
}

/// Returns the scan below the aggregate.
fn source_scan(mut plan: &LogicalPlan) -> Result<&TableScan> {
    loop {
        plan = match plan {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(scan) => return Ok(scan),
            _ => return not_of_this_form(plan),
        };
    }
}

/// Returns the windows, and the roles of the columns of an aggregate.
fn group_roles(
    state: &SessionState,
    source: &Table,
    aggregate: &Aggregate,
) -> Result<(ViewWindows, Vec<ColumnRole>)> {
    let mut windows = None;
    let mut roles = Vec::new();
    for expr in &aggregate.group_expr {
        roles.push(match expr.clone().unalias() {
            Expr::ScalarFunction(call) if call.func.name() == DATE_BIN => {
                let found = bin_windows(state, &call, aggregate.input.schema())?;
                if windows.replace(found).is_some() {
                    return plan_err!("the query groups by date_bin(...) twice");
                }
                ColumnRole::Window
            }
            Expr::Column(column) if source.is_tag(&column.name) => {
                ColumnRole::Tag(column.name)
            }
            other => {
                return plan_err!(
                    "a materialized view groups by date_bin(INTERVAL, time) and by tags, and not by '{}'",
                    other.human_display()
                );
            }
        });
    }
    let Some(windows) = windows else {
        return plan_err!(
            "the query of a materialized view groups by date_bin(INTERVAL, time), as in GROUP BY date_bin(INTERVAL \
             '1 hour', time)"
        );
    };
    roles.extend(aggregate.aggr_expr.iter().map(|_| ColumnRole::Value));
    Ok((windows, roles))
}

/// Returns the windows of `date_bin(length, time[, origin])`.
pub(super) fn bin_windows(
    state: &SessionState,
    call: &ScalarFunction,
    schema: &Arc<DFSchema>,
) -> Result<ViewWindows> {
    let (length, time, origin) = match call.args.as_slice() {
        [length, time] => (length, time, None),
        [length, time, origin] => (length, time, Some(origin)),
        _ => return plan_err!("date_bin() has two or three arguments"),
    };
    if !matches!(time, Expr::Column(column) if column.name == TIME_COLUMN) {
        return plan_err!("a materialized view calls date_bin() for the column '{TIME_COLUMN}'");
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    let constant = |expr: &Expr| {
        let expr = simplifier.coerce(expr.clone(), schema)?;
        match simplifier.simplify(expr)? {
            Expr::Literal(value, _) => Ok(value),
            other => plan_err!("'{}' is not a constant", other.human_display()),
        }
    };
    let length_ns = match constant(length)? {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            let days = i64::from(interval.days).checked_mul(DAY_NS);
            days.and_then(|days| days.checked_add(interval.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let days = i64::from(interval.days).checked_mul(DAY_NS);
            let time = i64::from(interval.milliseconds).checked_mul(1_000_000);
            days.zip(time).and_then(|(days, time)| days.checked_add(time))
        }
        _ => None,
    };
    let Some(length_ns) = length_ns.filter(|length| *length > 0) else {
        return plan_err!(
            "the windows of a materialized view have a length above zero, without months or years"
        );
    };
    let origin_ns = match origin {
        None => 0,
        Some(origin) => {
            let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
            match constant(origin)?.cast_to(&nanoseconds)? {
                ScalarValue::TimestampNanosecond(Some(origin), _) => origin,
                _ => return plan_err!("the origin of date_bin() is a time"),
            }
        }
    };
    Ok(ViewWindows { length_ns, origin_ns })
}

/// Returns the roles of the columns of a projection.
fn projected_roles(
    exprs: &[Expr],
    input: &Arc<DFSchema>,
    roles: &[ColumnRole],
) -> Result<Vec<ColumnRole>> {
    let role = |expr: &Expr| match expr.clone().unalias() {
        Expr::Column(column) => {
            let index = input.index_of_column(&column)?;
            Ok(roles.get(index).cloned().unwrap_or(ColumnRole::Value))
        }
        _ => Ok(ColumnRole::Value),
    };
    exprs.iter().map(role).collect()
}

/// Checks the columns of the query. Returns the names of tags.
fn check_output(
    schema: &DFSchema,
    roles: &[ColumnRole],
    aggregate: &Aggregate,
) -> Result<Vec<String>> {
    let mut tags: BTreeMap<&str, String> = BTreeMap::new();
    let mut has_window = false;
    let mut has_value = false;
    for (field, role) in schema.fields().iter().zip(roles) {
        let name = field.name();
        match role {
            ColumnRole::Window if name == TIME_COLUMN => has_window = true,
            ColumnRole::Window => {}
            _ if name == TIME_COLUMN => {
                return plan_err!(
                    "the column '{TIME_COLUMN}' of a materialized view is that of date_bin()"
                );
            }
            ColumnRole::Tag(tag) => {
                tags.insert(tag, name.clone());
            }
            ColumnRole::Value => {
                has_value = true;
                check_type(name, field.data_type())?;
            }
        }
    }
    if !has_window {
        return plan_err!("select date_bin(...) AS {TIME_COLUMN}");
    }
    if !has_value {
        return plan_err!("select an aggregate");
    }
    for expr in &aggregate.group_expr {
        if let Expr::Column(column) = expr.clone().unalias()
            && !tags.contains_key(column.name.as_str())
        {
            return plan_err!("select the tag '{}', by which the query groups", column.name);
        }
    }
    Ok(tags.into_values().collect())
}

/// Returns the columns of the table of a view.
fn table_columns(schema: &DFSchema, tags: &[String]) -> Vec<(String, ColumnType)> {
    let columns = schema.fields().iter().filter(|field| field.name() != TIME_COLUMN);
    let typed = columns.filter_map(|field| {
        let column_type = if tags.contains(field.name()) {
            ColumnType::Tag
        } else {
            stored_type(field.data_type())?
        };
        Some((field.name().clone(), column_type))
    });
    typed.collect()
}

/// Returns the type of field that [`neap_rollup::normalize`] gives to values.
fn stored_type(data_type: &DataType) -> Option<ColumnType> {
    match data_type {
        DataType::Boolean => Some(ColumnType::Boolean),
        DataType::Timestamp(..) => Some(ColumnType::Integer),
        DataType::Decimal128(..) | DataType::Decimal256(..) => Some(ColumnType::Float),
        DataType::Dictionary(_, values) if values.is_string() => Some(ColumnType::String),
        text if text.is_string() => Some(ColumnType::String),
        number if number.is_signed_integer() => Some(ColumnType::Integer),
        number if number.is_unsigned_integer() => Some(ColumnType::UInteger),
        number if number.is_floating() => Some(ColumnType::Float),
        _ => None,
    }
}

fn check_type(name: &str, data_type: &DataType) -> Result<()> {
    if data_type.is_null() || stored_type(data_type).is_some() {
        Ok(())
    } else {
        plan_err!("the column '{name}' has the type {data_type}, which can't be stored")
    }
}
