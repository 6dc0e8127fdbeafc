//! Log records as rows of the table `logs`.

use neap_rows::columnar::ColumnConflict;

use super::{
    ItemError, RowCollector, RowRole, ids,
    item_error::{check_attributes, time_ns},
    item_source::ItemSource,
};
use crate::{
    mapping::MappingOptions,
    messages::{AnyValue, LogRecord},
};

/// The table of log records and of events of spans.
pub(super) const LOGS: &str = "logs";

/// Adds a log record.
pub(super) fn add_record(
    record: &LogRecord,
    source: ItemSource<'_>,
    mapping: &MappingOptions,
    arrival_ns: i64,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    check_attributes("the log record", &record.attributes)?;
    let observed_ns = time_ns("observed_time_unix_nano", record.observed_time_unix_nano)?;
    let time_ns = match (record.time_unix_nano, observed_ns) {
        (0, 0) => arrival_ns,
        (0, observed) => observed,
        (time, _) => time_ns("time_unix_nano", time)?,
    };
    let trace_id = ids::trace_id(&record.trace_id)?.unwrap_or_default();
    let span_id = ids::span_id(&record.span_id)?.unwrap_or_default();
    let mut attributes = source.attributes(&record.attributes);
    let mut tags = vec![("trace_id", trace_id.into()), ("span_id", span_id.into())];
    for name in &mapping.log_record_dimensions {
        if let Some(value) = attributes.take(name) {
            tags.push((name.as_str(), value.text()));
        }
    }
    let borrowed: Vec<(&str, &str)> = tags.iter().map(|(name, text)| (*name, &**text)).collect();
    let time_ns = rows.distinct_log_time(&borrowed, time_ns);
    rows.add_row(LOGS, time_ns, RowRole::Item, |row| {
        for (name, text) in &borrowed {
            match row.tag(name, text) {
                // The ids are known better than an attribute of their name.
                Err(ColumnConflict::Repeated(_)) => {}
                added => added?,
            }
        }
        let mut dropped = u64::from(record.dropped_attributes_count);
        let mut keep = |added| keep_field(added, &mut dropped);
        if observed_ns != 0 {
            keep(row.integer("observed_time_unix_nano", observed_ns))?;
        }
        if record.severity_number != 0 {
            keep(row.integer("severity_number", record.severity_number.into()))?;
        }
        if !record.severity_text.is_empty() {
            keep(row.string("severity_text", &record.severity_text))?;
        }
        if !record.event_name.is_empty() {
            keep(row.string("event.name", &record.event_name))?;
        }
        let body = record.body.as_ref().map(AnyValue::text);
        keep(row.string("body", &body.unwrap_or_default()))?;
        if let Some(json) = attributes.json() {
            keep(row.string("attributes", &json))?;
        }
        if dropped > 0 {
            row.unsigned("dropped_attributes_count", dropped)?;
        }
        Ok(())
    })
}

/// Counts a field as dropped if the row has a tag with its name.
pub(super) fn keep_field(
    added: Result<(), ColumnConflict>,
    dropped: &mut u64,
) -> Result<(), ItemError> {
    match added {
        Err(ColumnConflict::Repeated(_)) => {
            *dropped = dropped.saturating_add(1);
            Ok(())
        }
        added => Ok(added?),
    }
}
