//! Lets scans below the operator read only the newest rows of each series of a tail, and no sections that have none.

use std::sync::Arc;

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_plan::ExecutionPlan,
};
use neap_scan::{NewestRows, TailScanExec};

use super::{
    LastRowsParameters, TimeEnd, input_rows::needed_of_input, old_sections::without_old_sections,
};
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
    with_newest_rows(input, needed, config)
}

fn with_newest_rows(
    plan: &Arc<dyn ExecutionPlan>,
    needed: NewestRows,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<TailScanExec>() {
        return scan.newest(&needed, config);
    }
    let smaller = without_old_sections(plan, &needed, config)?;
    let current = smaller.as_ref().unwrap_or(plan);
    let Some(of_input) = needed_of_input(current, needed) else {
        return Ok(smaller);
    };
    let changed = with_inputs(current, |input| {
        with_newest_rows(input, of_input.clone(), config)
    })?;
    Ok(changed.or(smaller))
}
