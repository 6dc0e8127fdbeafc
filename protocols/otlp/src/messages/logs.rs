//! Messages of logs.

use super::{
    AnyValue, KeyValue,
    json::{hex, integer, or_default},
};

messages! {
    /// A log record. Times are in nanoseconds since the Unix epoch; 0: unknown.
    LogRecord {
        time_unix_nano: u64 = (fixed64, tag = "1"), "integer";
        observed_time_unix_nano: u64 = (fixed64, tag = "11"), "integer";
        /// 0: unknown.
        severity_number: i32 = (int32, tag = "2"), "integer";
        severity_text: String = (string, tag = "3"), "or_default";
        body: Option<AnyValue> = (message, optional, tag = "5");
        attributes: Vec<KeyValue> = (message, repeated, tag = "6"), "or_default";
        dropped_attributes_count: u32 = (uint32, tag = "7"), "integer";
        trace_id: Vec<u8> = (bytes = "vec", tag = "9"), "hex";
        span_id: Vec<u8> = (bytes = "vec", tag = "10"), "hex";
        event_name: String = (string, tag = "12"), "or_default";
    }
}
