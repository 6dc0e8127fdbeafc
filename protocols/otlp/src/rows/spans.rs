//! Spans as rows of the table `spans`, their events as rows of `logs`, and their links as rows of `span-links`.

use std::cell::OnceCell;

use neap_rows::columnar::ColumnConflict;

use super::{
    ItemError, RowCollector, RowRole, ids,
    item_error::{check_attributes, required_time_ns, time_ns},
    item_source::ItemSource,
    logs::{LOGS, keep_field},
};
use crate::{
    mapping::MappingOptions,
    messages::{AttributeMap, Event, Link, Span},
};

const SPANS: &str = "spans";
const SPAN_LINKS: &str = "span-links";

#[derive(Clone, Debug)]
struct SpanIds {
    trace_id: String,
    span_id: String,
}

/// A link whose span is known.
#[derive(Debug)]
struct ValidLink<'a> {
    link: &'a Link,
    ids: SpanIds,
}

impl SpanIds {
    fn new(trace_id: &[u8], span_id: &[u8]) -> Result<Self, ItemError> {
        let missing = ItemError::Missing;
        Ok(Self {
            trace_id: ids::trace_id(trace_id)?.ok_or(missing("trace_id"))?,
            span_id: ids::span_id(span_id)?.ok_or(missing("span_id"))?,
        })
    }

    fn tags(&self) -> [(&str, &str); 2] {
        [("trace_id", &self.trace_id), ("span_id", &self.span_id)]
    }
}

/// Adds a span with its events and links.
pub(super) fn add_span(
    span: &Span,
    source: ItemSource<'_>,
    mapping: &MappingOptions,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    check_attributes("the span", &span.attributes)?;
    let ids = SpanIds::new(&span.trace_id, &span.span_id)?;
    let start_ns = required_time_ns("start_time_unix_nano", span.start_time_unix_nano)?;
    let events: Vec<_> = span.events.iter().filter(|event| has_content(event)).collect();
    let links: Vec<_> = span
        .links
        .iter()
        .filter_map(|link| {
            let ids = SpanIds::new(&link.trace_id, &link.span_id).ok()?;
            Some(ValidLink { link, ids })
        })
        .collect();
    let dropped_events = dropped(span.dropped_events_count, span.events.len() - events.len());
    let dropped_links = dropped(span.dropped_links_count, span.links.len() - links.len());
    add_span_row(
        span,
        &ids,
        start_ns,
        source.attributes(&span.attributes),
        [dropped_events, dropped_links],
        mapping,
        rows,
    )?;
    for event in events {
        add_event(event, &ids, start_ns, rows);
    }
    for link in links {
        add_link(&link, &ids, start_ns, rows);
    }
    Ok(())
}

fn dropped(before: u32, now: usize) -> u64 {
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    u64::from(before).saturating_add(now)
}

/// Returns whether an event can be a row.
fn has_content(event: &Event) -> bool {
    let is_empty =
        event.name.is_empty() && event.attributes.is_empty() && event.dropped_attributes_count == 0;
    !is_empty && i64::try_from(event.time_unix_nano).is_ok()
}

fn add_span_row(
    span: &Span,
    ids: &SpanIds,
    start_ns: i64,
    mut attributes: AttributeMap<'_>,
    [dropped_events, dropped_links]: [u64; 2],
    mapping: &MappingOptions,
    rows: &mut RowCollector,
) -> Result<(), ItemError> {
    let parent_id = ids::parent_span_id(&span.parent_span_id)?;
    let end_ns = time_ns("end_time_unix_nano", span.end_time_unix_nano)?;
    let dimensions: Vec<_> = mapping
        .span_dimensions
        .iter()
        .filter_map(|name| {
            let value = attributes.take(name)?;
            Some((name, value.text()))
        })
        .collect();
    // Not before the tags are added, because they may conflict.
    let attributes_json = OnceCell::new();
    rows.add_row(SPANS, start_ns, RowRole::Item, |row| {
        for (name, id) in ids.tags() {
            row.tag(name, id)?;
        }
        for (name, text) in &dimensions {
            match row.tag(name, text) {
                // The ids are known better than an attribute of their name.
                Err(ColumnConflict::Repeated(_)) => {}
                added => added?,
            }
        }
        let mut dropped = u64::from(span.dropped_attributes_count);
        let mut keep = |added| keep_field(added, &mut dropped);
        if !span.trace_state.is_empty() {
            keep(row.string("trace_state", &span.trace_state))?;
        }
        if let Some(parent_id) = &parent_id {
            keep(row.string("parent_span_id", parent_id))?;
        }
        if !span.name.is_empty() {
            keep(row.string("span.name", &span.name))?;
        }
        if let Some(kind) = kind_text(span.kind) {
            keep(row.string("span.kind", kind))?;
        }
        if end_ns != 0 {
            keep(row.integer("end_time_unix_nano", end_ns))?;
            keep(row.integer("duration_nano", end_ns.saturating_sub(start_ns)))?;
        }
        if let Some(status) = &span.status {
            if let Some(code) = status_text(status.code) {
                keep(row.string("otel.status_code", code))?;
            }
            if !status.message.is_empty() {
                keep(row.string("otel.status_description", &status.message))?;
            }
        }
        if let Some(json) = attributes_json.get_or_init(|| attributes.json()) {
            keep(row.string("attributes", json))?;
        }
        if dropped_events > 0 {
            keep(row.unsigned("dropped_events_count", dropped_events))?;
        }
        if dropped_links > 0 {
            keep(row.unsigned("dropped_links_count", dropped_links))?;
        }
        if dropped > 0 {
            row.unsigned("dropped_attributes_count", dropped)?;
        }
        Ok(())
    })
}

/// The name of a kind; `None`: it is unknown.
fn kind_text(kind: i32) -> Option<&'static str> {
    match kind {
        1 => Some("Internal"),
        2 => Some("Server"),
        3 => Some("Client"),
        4 => Some("Producer"),
        5 => Some("Consumer"),
        _ => None,
    }
}

/// The name of an outcome; `None`: it is unknown.
fn status_text(code: i32) -> Option<&'static str> {
    match code {
        1 => Some("Ok"),
        2 => Some("Error"),
        _ => None,
    }
}

fn add_event(event: &Event, ids: &SpanIds, start_ns: i64, rows: &mut RowCollector) {
    let time_ns = match i64::try_from(event.time_unix_nano) {
        Ok(time) if time != 0 => time,
        _ => start_ns,
    };
    let tags = ids.tags();
    let time_ns = rows.distinct_log_time(&tags, time_ns);
    rows.add_detail(LOGS, time_ns, |row| {
        check_attributes("the event", &event.attributes)?;
        for (name, id) in tags {
            row.tag(name, id)?;
        }
        if !event.name.is_empty() {
            row.string("event.name", &event.name)?;
        }
        if let Some(json) = AttributeMap::from_list(&event.attributes).json() {
            row.string("attributes", &json)?;
        }
        if event.dropped_attributes_count > 0 {
            let dropped = event.dropped_attributes_count;
            row.unsigned("dropped_attributes_count", dropped.into())?;
        }
        Ok(())
    });
}

fn add_link(link: &ValidLink<'_>, ids: &SpanIds, start_ns: i64, rows: &mut RowCollector) {
    let ValidLink { link, ids: linked } = link;
    rows.add_detail(SPAN_LINKS, start_ns, |row| {
        check_attributes("the link", &link.attributes)?;
        for (name, id) in ids.tags() {
            row.tag(name, id)?;
        }
        row.tag("linked_trace_id", &linked.trace_id)?;
        row.tag("linked_span_id", &linked.span_id)?;
        row.string("trace_state", &link.trace_state)?;
        if let Some(json) = AttributeMap::from_list(&link.attributes).json() {
            row.string("attributes", &json)?;
        }
        if link.dropped_attributes_count > 0 {
            let dropped = link.dropped_attributes_count;
            row.unsigned("dropped_attributes_count", dropped.into())?;
        }
        Ok(())
    });
}
