//! Leaves out sections below the operator if another section has newer rows of all their series.

use std::sync::Arc;

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_plan::{ExecutionPlan, filter::FilterExec},
};
use neap_scan::{NewestRows, NewestSeries};

use super::input_rows::needed_of_input;
use crate::derived_orders::with_inputs;

/// Returns the plan with fewer sections; `None` if all may have rows that are needed.
pub(super) fn without_old_sections(
    plan: &Arc<dyn ExecutionPlan>,
    needed: &NewestRows,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut newest = Vec::new();
    find_newest(plan, needed, &mut newest);
    if newest.is_empty() {
        return Ok(None);
    }
    without_older(plan, needed, &newest, config)
}

/// Finds sections all of whose rows come out of the plan. A filter in between may drop some, which come from other inputs then.
fn find_newest(plan: &Arc<dyn ExecutionPlan>, needed: &NewestRows, newest: &mut Vec<NewestSeries>) {
    if plan.is::<FilterExec>() {
        return;
    }
    newest.extend(NewestSeries::of_scan(plan.as_ref(), needed));
    let Some(of_input) = needed_of_input(plan, needed.clone()) else {
        return;
    };
    for input in plan.children() {
        find_newest(input, &of_input, newest);
    }
}

/// Returns the plan without sections that have only rows before the newest ones of their series.
fn without_older(
    plan: &Arc<dyn ExecutionPlan>,
    needed: &NewestRows,
    newest: &[NewestSeries],
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let scan = NewestSeries::without_older(newest, plan, needed, config)?;
    if scan.is_some() {
        return Ok(scan);
    }
    let Some(of_input) = needed_of_input(plan, needed.clone()) else {
        return Ok(None);
    };
    with_inputs(plan, |input| {
        without_older(input, &of_input, newest, config)
    })
}
