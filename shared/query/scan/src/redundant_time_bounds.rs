//! Removes bounds of times that all rows of a scan meet, for an optimizer rule.
//!
//! ```text
//!   FilterExec (time >= 1, time < 9, v > 0)   ->   FilterExec (time < 9, v > 0)
//!     UnionExec
//!       DataSourceExec   times 2 to 5
//!       TailScanExec     times 6 to 12
//! ```
//!
//! Dashboards bound the times of their queries on both sides, as InfluxQL mostly does, and a comparison of each row with a bound takes
//! up to a tenth of an aggregate.

use std::sync::Arc;

use datafusion::{
    common::Result,
    physical_expr::{conjunction_opt, split_conjunction},
    physical_plan::{
        ExecutionPlan,
        filter::{FilterExec, FilterExecBuilder},
        union::UnionExec,
    },
};

use crate::{
    data::SectionFile, file_scans::files, predicate::times_that_meet, regions::TimeInterval,
    tail::TailScanExec,
};

/// Returns a filter without bounds of times that all rows of its input meet; `None` if there are none, and for other operators.
///
/// # Errors
/// DataFusion can't create the filter.
pub fn without_redundant_time_bounds(
    node: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = node.downcast_ref::<FilterExec>() else {
        return Ok(None);
    };
    let is_plain = filter.projection().is_none() && filter.fetch().is_none();
    let conditions: Vec<_> = split_conjunction(filter.predicate())
        .into_iter()
        .map(|condition| (condition, times_that_meet(condition)))
        .collect();
    if !is_plain || conditions.iter().all(|(_, times)| times.is_none()) {
        return Ok(None);
    }
    let inputs = inputs_of(filter.input()).iter().map(times_of);
    let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let is_met = |times: &Option<TimeInterval>| {
        let mut inputs = inputs.iter();
        times.is_some_and(|times| inputs.all(|input| times.contains(*input)))
    };
    let rest: Vec<_> = conditions
        .iter()
        .filter(|(_, times)| !is_met(times))
        .map(|(condition, _)| Arc::clone(condition))
        .collect();
    if rest.len() == conditions.len() {
        return Ok(None);
    }
    Ok(Some(match conjunction_opt(rest) {
        None => Arc::clone(filter.input()),
        Some(predicate) => {
            let filter = FilterExecBuilder::from(filter).with_predicate(predicate);
            Arc::new(filter.build()?)
        }
    }))
}

/// Returns the inputs of a union, or the only scan.
fn inputs_of(scan: &Arc<dyn ExecutionPlan>) -> &[Arc<dyn ExecutionPlan>] {
    match scan.downcast_ref::<UnionExec>() {
        Some(union) => union.inputs(),
        None => std::slice::from_ref(scan),
    }
}

/// Returns the times of an input of a scan; `None` if it is neither sections nor a tail, or has no rows.
fn times_of(input: &Arc<dyn ExecutionPlan>) -> Option<TimeInterval> {
    if let Some(tail) = input.downcast_ref::<TailScanExec>() {
        return tail.times();
    }
    let times = files(input.as_ref())?.into_iter().map(SectionFile::time);
    times.reduce(TimeInterval::enclosing)
}
