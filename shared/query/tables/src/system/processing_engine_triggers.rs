//! `system.processing_engine_triggers` and `system.processing_engine_trigger_arguments`: the triggers of plugins and
//! their arguments, with the columns of InfluxDB 3.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use neap_catalog::{DatabaseCatalog, Trigger};
use neap_scan::external;

use super::columns::{booleans, table, utf8};

/// The triggers of a database, by name.
fn by_name(catalog: &DatabaseCatalog) -> Vec<&Trigger> {
    let mut triggers: Vec<&Trigger> = catalog.triggers().map(Arc::as_ref).collect();
    triggers.sort_unstable_by_key(|trigger| trigger.name.as_str());
    triggers
}

/// Returns the triggers of a database. The specification is JSON in the format of InfluxDB 3 Core.
pub(super) fn rows(catalog: &DatabaseCatalog) -> Result<RecordBatch> {
    let triggers = by_name(catalog);
    let texts = |text: fn(&Trigger) -> &str| utf8(triggers.iter().map(|trigger| text(trigger)));
    let specifications = triggers
        .iter()
        .map(|trigger| serde_json::to_string(&trigger.specification).map_err(external))
        .collect::<Result<Vec<String>>>()?;
    table(vec![
        ("trigger_name", false, texts(|trigger| &trigger.name)),
        ("plugin_filename", false, texts(|trigger| &trigger.plugin)),
        ("trigger_specification", false, utf8(specifications.iter())),
        (
            "disabled",
            false,
            booleans(triggers.iter().map(|trigger| trigger.disabled)),
        ),
        (
            "error_behavior",
            false,
            texts(|trigger| trigger.error_behavior.as_str()),
        ),
    ])
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
    let rows = || arguments.iter();
    table(vec![
        ("trigger_name", false, utf8(rows().map(|(name, ..)| name))),
        ("argument_key", false, utf8(rows().map(|(_, key, _)| key))),
        (
            "argument_value",
            false,
            utf8(rows().map(|(.., value)| value)),
        ),
    ])
}
