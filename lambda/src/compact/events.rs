//! The events of the compact function.
//!
//! | from | event |
//! |---|---|
//! | a scheduler | `{"event": "scheduled"}`, `{"event": "collect"}`, `{"event": "flush", "databases": [1, 2]}`, or a merge order with `"event": "merge"`, as the whole event or in the `detail` of one of EventBridge |
//! | a rule of EventBridge with a schedule | its own event, whose `detail` is empty: `scheduled` |
//! | a queue | the same as texts, several at once |

use neap_compact::{Event, FlushOrder, MergeOrder};
use serde::Deserialize;

use crate::start::Failure;

/// What the function is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Order {
    /// Flush what is due, and plan merges.
    Scheduled,
    /// The same of some databases; of all if none is named.
    Flush(FlushOrder),
    /// Merge.
    Merge(MergeOrder),
    /// Look at every database: merge, expire, drop, delete what nothing needs.
    #[serde(alias = "gc")]
    Collect,
}

impl From<Order> for Event {
    fn from(order: Order) -> Self {
        match order {
            Order::Scheduled => Self::Scheduled,
            Order::Flush(order) if order.databases.is_empty() => Self::Scheduled,
            Order::Flush(order) => Self::Flush(order),
            Order::Merge(order) => Self::Merge(order),
            Order::Collect => Self::Collect,
        }
    }
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By what the queue knows it.
    pub id: String,
    /// What it asks for, or why that is not understood.
    pub order: Result<Order, String>,
}

/// An event of the compact function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactEvent {
    /// Something is to be done.
    Do(Order),
    /// A queue has messages. Those that fail come again.
    Messages(Vec<Message>),
}

/// An event as it may come, as far as it tells from where.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<serde_json::Value>>,
    event: Option<String>,
    source: Option<String>,
    detail: Option<serde_json::Value>,
}

impl CompactEvent {
    /// The event in a text.
    ///
    /// # Errors
    /// It is none of the function's.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let envelope: Envelope = serde_json::from_str(text).map_err(|error| unknown(&error))?;
        if let Some(records) = envelope.records {
            let messages: Option<Vec<_>> = records.iter().map(message).collect();
            // What has no name can't be told to the queue: all of it has to come again.
            let messages = messages.ok_or_else(|| unknown(&"a record has no messageId"))?;
            return Ok(Self::Messages(messages));
        }
        if envelope.event.is_some() {
            let order = serde_json::from_str(text).map_err(|error| unknown(&error))?;
            return Ok(Self::Do(order));
        }
        match (envelope.source, envelope.detail) {
            (Some(_), Some(detail)) if detail.get("event").is_some() => {
                let order = serde_json::from_value(detail).map_err(|error| unknown(&error))?;
                Ok(Self::Do(order))
            }
            (Some(source), _) if matches!(source.as_str(), "aws.events" | "aws.scheduler") => {
                Ok(Self::Do(Order::Scheduled))
            }
            _ => Err(unknown(&"it names nothing to do")),
        }
    }
}

/// The message in a record, if the queue knows it by a name.
fn message(record: &serde_json::Value) -> Option<Message> {
    let text = |field: &str| record.get(field).and_then(serde_json::Value::as_str);
    let order = match text("body") {
        Some(body) => serde_json::from_str(body).map_err(|error| error.to_string()),
        None => Err("it has no body".to_owned()),
    };
    Some(Message {
        id: text("messageId")?.to_owned(),
        order,
    })
}

fn unknown(reason: &dyn std::fmt::Display) -> Failure {
    Failure {
        kind: "Event",
        message: format!("the event is none of the compact function: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::DatabaseId;

    use super::*;

    fn of(text: &str) -> CompactEvent {
        CompactEvent::parse(text).unwrap()
    }

    #[test]
    fn schedules_say_what_to_do_by_their_input_or_detail() {
        let scheduled = CompactEvent::Do(Order::Scheduled);
        let collect = CompactEvent::Do(Order::Collect);
        assert_eq!(of(r#"{"event":"scheduled"}"#), scheduled);
        assert_eq!(of(r#"{"event":"collect"}"#), collect);
        assert_eq!(of(r#"{"event":"gc"}"#), collect);
        let rule = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
        assert_eq!(of(rule), scheduled);
        let detail = r#"{"source":"my.app","detail-type":"x","detail":{"event":"collect"}}"#;
        assert_eq!(of(detail), collect);
    }

    #[test]
    fn a_flush_of_no_database_in_particular_is_a_scheduled_run() {
        let event = |text| match of(text) {
            CompactEvent::Do(order) => Event::from(order),
            CompactEvent::Messages(messages) => panic!("{messages:?}"),
        };
        assert_eq!(event(r#"{"event":"flush"}"#), Event::Scheduled);
        let order = FlushOrder {
            databases: [3, 7].map(DatabaseId::new).to_vec(),
        };
        let flush = Event::Flush(order);
        assert_eq!(event(r#"{"event":"flush","databases":[3,7]}"#), flush);
        assert_eq!(event(&serde_json::to_string(&flush).unwrap()), flush);
    }

    #[test]
    fn a_message_that_is_not_understood_does_not_stand_in_the_way_of_others() {
        let records = r#"{"Records":[
            {"messageId":"1","body":"{\"event\":\"collect\"}"},
            {"messageId":"2"},
            {"messageId":"3","body":{"event":"collect"}},
            {"messageId":"4","body":"dance"}]}"#;
        let CompactEvent::Messages(messages) = of(records) else {
            panic!("{records}");
        };
        let understood = messages
            .iter()
            .map(|message| (message.id.as_str(), message.order.is_ok()));
        let understood: Vec<_> = understood.collect();
        let expected = [("1", true), ("2", false), ("3", false), ("4", false)];
        assert_eq!(understood, expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "{}",
            "[]",
            r#"{"event":"merge"}"#,
            r#"{"event":"dance"}"#,
            r#"{"source":"aws.s3","detail":{}}"#,
            r#"{"Records":[{"body":"{\"event\":\"collect\"}"}]}"#,
            r#"{"Records":[7]}"#,
        ] {
            assert!(CompactEvent::parse(text).is_err(), "{text}");
        }
    }
}
