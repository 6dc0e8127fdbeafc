//! Messages of traces.

use super::{
    KeyValue,
    json::{hex, integer, or_default},
};

messages! {
    /// A span. Times are in nanoseconds since the Unix epoch; 0: unknown.
    Span {
        trace_id: Vec<u8> = (bytes = "vec", tag = "1"), "hex";
        span_id: Vec<u8> = (bytes = "vec", tag = "2"), "hex";
        trace_state: String = (string, tag = "3"), "or_default";
        parent_span_id: Vec<u8> = (bytes = "vec", tag = "4"), "hex";
        name: String = (string, tag = "5"), "or_default";
        kind: i32 = (int32, tag = "6"), "integer";
        start_time_unix_nano: u64 = (fixed64, tag = "7"), "integer";
        end_time_unix_nano: u64 = (fixed64, tag = "8"), "integer";
        attributes: Vec<KeyValue> = (message, repeated, tag = "9"), "or_default";
        dropped_attributes_count: u32 = (uint32, tag = "10"), "integer";
        events: Vec<Event> = (message, repeated, tag = "11"), "or_default";
        dropped_events_count: u32 = (uint32, tag = "12"), "integer";
        links: Vec<Link> = (message, repeated, tag = "13"), "or_default";
        dropped_links_count: u32 = (uint32, tag = "14"), "integer";
        status: Option<SpanStatus> = (message, optional, tag = "15");
    }

    /// The outcome of the operation of a span.
    SpanStatus {
        message: String = (string, tag = "2"), "or_default";
        code: i32 = (int32, tag = "3"), "integer";
    }

    /// An event during a span.
    Event {
        time_unix_nano: u64 = (fixed64, tag = "1"), "integer";
        name: String = (string, tag = "2"), "or_default";
        attributes: Vec<KeyValue> = (message, repeated, tag = "3"), "or_default";
        dropped_attributes_count: u32 = (uint32, tag = "4"), "integer";
    }

    /// A reference from a span to another one.
    Link {
        trace_id: Vec<u8> = (bytes = "vec", tag = "1"), "hex";
        span_id: Vec<u8> = (bytes = "vec", tag = "2"), "hex";
        trace_state: String = (string, tag = "3"), "or_default";
        attributes: Vec<KeyValue> = (message, repeated, tag = "4"), "or_default";
        dropped_attributes_count: u32 = (uint32, tag = "5"), "integer";
    }
}
