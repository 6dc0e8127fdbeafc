//! Plans of pipelines.

use std::sync::Arc;

use datafusion::{
    common::{Result, plan_err},
    execution::SessionState,
    logical_expr::{Expr, LogicalPlanBuilder, ident, lit},
};
use neap_flux::{Operation, Pipeline, Source, Step};
use neap_schema::ColumnType;
use neap_tables::QueryContext;

use crate::{
    aggregates::StepPlanner,
    branch::{Branch, BranchInput, Column, OrderPart},
    output::{TablesPlan, plans},
    schema_lists::{tag_keys, tag_values},
    source::BucketSeries,
    typed_value::null_of,
};

/// Maximum operations of a plan. Those of each field and type count, because each has operators of its own, which no memory
/// pool counts.
const MAX_PLANNED: usize = 20_000;

/// The buckets that `buckets()` lists.
#[derive(Clone, Debug, Default)]
pub struct BucketList {
    /// The id of the organization.
    pub organization: String,
    /// The buckets.
    pub rows: Vec<BucketRow>,
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct BucketRow {
    /// The name.
    pub name: String,
    /// The id.
    pub id: String,
    /// The retention in nanoseconds; 0: forever.
    pub retention_nanos: i64,
}

/// Plans the tables of a pipeline, and returns the session that executes the plans. `buckets` are those that the caller may see.
///
/// # Errors
/// `DataFusionError::Plan` if types or columns do not allow an operation, with the position of the operation.
pub fn plan_tables(
    context: &QueryContext,
    pipeline: &Pipeline,
    buckets: &BucketList,
) -> Result<(SessionState, Vec<TablesPlan>)> {
    let state = context.full_session();
    let span = pipeline.steps.last().map(|step| step.span).unwrap_or_default();
    let (mut branches, steps) = match &pipeline.source {
        Source::Buckets => (vec![listed(buckets)?], pipeline.steps.as_slice()),
        Source::Bucket(name) => series(context, name, &pipeline.steps)?,
    };
    let mut planned = 0_usize;
    for step in steps {
        planned = planned.saturating_add(branches.len());
        if planned > MAX_PLANNED {
            return plan_err!(
                "the query has more than {MAX_PLANNED} operations on fields: select measurements and fields by filter()"
            );
        }
        let planner = StepPlanner { state: &state, span: step.span };
        branches = planner.apply(branches, &step.operation)?;
    }
    let plans = plans(span, branches)?;
    Ok((state, plans))
}

/// Returns the branches of the series of a bucket, and the operations that follow.
fn series<'a>(
    context: &QueryContext,
    bucket: &str,
    steps: &'a [Arc<Step>],
) -> Result<(Vec<Branch>, &'a [Arc<Step>])> {
    let mut range: Option<(i64, i64)> = None;
    let mut conditions = Vec::new();
    let mut rest = steps;
    while let Some((step, others)) = rest.split_first() {
        match &step.operation {
            Operation::Range { start, stop } => {
                range = Some(match range {
                    None => (*start, *stop),
                    Some((first, last)) => (first.max(*start), last.min(*stop)),
                });
            }
            Operation::Filter(condition) => conditions.push(condition),
            _ => break,
        }
        rest = others;
    }
    let Some(range) = range else {
        return plan_err!(
            "error: cannot submit unbounded read to \"{bucket}\"; try bounding 'from' with a call to 'range'"
        );
    };
    let series = BucketSeries { context, range, conditions };
    Ok(match rest.split_first() {
        Some((step, others)) => match &step.operation {
            Operation::TagValues(tag) => {
                (tag_values(&series, step.span, tag)?.into_iter().collect(), others)
            }
            Operation::TagKeys => (tag_keys(&series, step.span)?.into_iter().collect(), others),
            _ => (series.fields()?, rest),
        },
        None => (series.fields()?, rest),
    })
}

/// Returns the table of buckets.
fn listed(buckets: &BucketList) -> Result<Branch> {
    let columns = [
        Column::new("name", ColumnType::String),
        Column::new("id", ColumnType::String),
        Column::of_text("organizationID", &buckets.organization),
        Column::new("retentionPolicy", ColumnType::String),
        Column::new("retentionPeriod", ColumnType::Integer),
    ];
    let names = ["name", "id", "retentionPolicy", "retentionPeriod"];
    let rows = buckets.rows.iter().map(|bucket| {
        let texts = [lit(bucket.name.clone()), lit(bucket.id.clone()), lit("")];
        texts.into_iter().chain([lit(bucket.retention_nanos)]).collect::<Vec<Expr>>()
    });
    let values: Vec<Vec<Expr>> = rows.collect();
    let plan = if values.is_empty() {
        let mut empty = Vec::with_capacity(names.len());
        for column in columns.iter().filter(|column| column.constant.is_none()) {
            empty.push(null_of(column.kind)?.alias(&column.name));
        }
        LogicalPlanBuilder::empty(false).project(empty)?.build()?
    } else {
        let listed = LogicalPlanBuilder::values(values)?;
        let named = names
            .iter()
            .zip(1..)
            .map(|(name, number): (&&str, usize)| ident(format!("column{number}")).alias(*name));
        listed.project(named)?.build()?
    };
    let order = columns.first().map(OrderPart::ascending).into_iter().collect();
    Ok(Branch {
        input: BranchInput::Plan(plan),
        columns: columns.to_vec(),
        key: vec!["organizationID".to_owned()],
        order,
        range: None,
    })
}
