//! Messages that all signals share.

use super::{KeyValue, json::or_default};

messages! {
    /// The source of the data, such as a process.
    Resource {
        attributes: Vec<KeyValue> = (message, repeated, tag = "1"), "or_default";
    }

    /// The library that made the data.
    Scope {
        name: String = (string, tag = "1"), "or_default";
        version: String = (string, tag = "2"), "or_default";
        attributes: Vec<KeyValue> = (message, repeated, tag = "3"), "or_default";
    }
}
