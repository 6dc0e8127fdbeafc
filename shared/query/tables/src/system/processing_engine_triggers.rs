//! `system.processing_engine_triggers` and `system.processing_engine_trigger_arguments`: the triggers of plugins and
//! their arguments, with the columns of InfluxDB 3.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use datafusion::common::Result;
use neap_catalog::{DatabaseCatalog, Trigger};
use neap_scan::external;

use super::table_builder::SystemTableBuilder;

fn by_name(catalog: &DatabaseCatalog) -> Vec<&Trigger> {
    let mut triggers: Vec<&Trigger> = catalog.triggers().map(Arc::as_ref).collect();
    triggers.sort_unstable_by_key(|trigger| trigger.name.as_str());
    triggers
}

/// Returns the triggers of a database. The specification is JSON in the format of InfluxDB 3 Core.
pub(super) fn rows(catalog: &DatabaseCatalog) -> Result<RecordBatch> {
    let triggers = by_name(catalog);
    let specifications = triggers
        .iter()
        .map(|trigger| serde_json::to_string(&trigger.specification).map_err(external))
        .collect::<Result<Vec<String>>>()?;
    SystemTableBuilder::new(&triggers)
        .utf8("trigger_name", |trigger| &trigger.name)
        .utf8("plugin_filename", |trigger| &trigger.plugin)
        .column("trigger_specification", false, Arc::new(StringArray::from(specifications)))
        .booleans("disabled", |trigger| trigger.disabled)
        .utf8("error_behavior", |trigger| trigger.error_behavior.as_str())
        .finish()
}

/// Returns the arguments that the triggers of a database pass to their plugins.
pub(super) fn arguments(catalog: &DatabaseCatalog) -> Result<RecordBatch> {
    let triggers = by_name(catalog);
    let mut arguments: Vec<(&str, &str, &str)> = Vec::new();
    for trigger in &triggers {
        let of_trigger = trigger.arguments.iter().flatten();
        let rows =
            of_trigger.map(|(key, value)| (trigger.name.as_str(), key.as_str(), value.as_str()));
        arguments.extend(rows);
    }
    SystemTableBuilder::new(&arguments)
        .utf8("trigger_name", |(name, ..)| name)
        .utf8("argument_key", |(_, key, _)| key)
        .utf8("argument_value", |(.., value)| value)
        .finish()
}
