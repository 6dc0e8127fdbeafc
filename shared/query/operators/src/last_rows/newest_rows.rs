//! Lets scans below the operator read only the newest rows of each series of a tail, and leave out sections if another one has
//! newer rows of all their series.

use std::sync::Arc;

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_plan::{ExecutionPlan, filter::FilterExec},
};
use neap_scan::{NewestRows, NewestSeries, TailScanExec};

use super::{LastRowsParameters, TimeEnd, input_rows::needed_of_input};
use crate::derived_orders::with_inputs;

/// Returns the input with scans that read fewer rows; `None` if there are none.
pub(super) fn read_newest_rows(
    input: &Arc<dyn ExecutionPlan>,
    parameters: &LastRowsParameters,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if parameters.end != TimeEnd::Last {
        return Ok(None);
    }
    let needed = NewestRows {
        keys: parameters.keys.clone(),
        time: parameters.time,
        required: parameters.required.clone(),
        from: i64::MIN,
        until: i64::MAX,
    };
    let found = newest_of(input, &needed);
    let newest: Vec<_> = found.iter().collect();
    with_newest_rows(input, &needed, &newest, config)
}

/// Returns a plan that reads fewer rows; `None` if it would be the same. The rows of `newest` come out of other operators, too.
fn with_newest_rows(
    plan: &Arc<dyn ExecutionPlan>,
    needed: &NewestRows,
    newest: &[&NewestSeries],
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<TailScanExec>() {
        return scan.newest(needed, config);
    }
    if let Some(scan) = NewestSeries::without_older(newest, plan, needed, config)? {
        return Ok(Some(scan));
    }
    let Some(of_input) = needed_of_input(plan, needed.clone()) else {
        return Ok(None);
    };
    with_inputs(plan, |input| {
        let found = if plan.is::<FilterExec>() {
            newest_of(input, &of_input)
        } else {
            Vec::new()
        };
        let below: Vec<_> = newest.iter().copied().chain(&found).collect();
        with_newest_rows(input, &of_input, &below, config)
    })
}

/// Returns the series of sections all of whose rows come out of a plan. A filter in between may drop some, which come from other
/// inputs then.
fn newest_of(plan: &Arc<dyn ExecutionPlan>, needed: &NewestRows) -> Vec<NewestSeries> {
    let mut newest: Vec<_> = NewestSeries::of_scan(plan.as_ref(), needed).into_iter().collect();
    if !plan.is::<FilterExec>()
        && let Some(of_input) = needed_of_input(plan, needed.clone())
    {
        newest.extend(plan.children().into_iter().flat_map(|input| newest_of(input, &of_input)));
    }
    newest
}
