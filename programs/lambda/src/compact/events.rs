//! The events of the compact function.
//!
//! | from | event |
//! |---|---|
//! | a scheduler | `{"event": "scheduled"}`, `{"event": "collect"}`, `{"event": "backup"}`, `{"event": "flush", "databases": [1, 2]}`, or a merge order with `"event": "merge"`; as the whole event, or in the `detail` of an EventBridge event |
//! | an EventBridge rule with a schedule | its own event, with an empty `detail`: `scheduled` |
//! | a queue | the same orders as the bodies of one or more messages |

use neap_compact::{ClaimedMerge, CompactorEvent, FlushRequest};
use serde::Deserialize;

use crate::runtime::EventFailure;

/// A task for the compact function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CompactTask {
    /// Flush all databases that are due, and plan merges.
    Scheduled,
    /// Flush these databases and plan their merges; all databases if the list is empty.
    Flush(FlushRequest),
    /// Run one merge.
    Merge(ClaimedMerge),
    /// Check every database: merge, expire, drop, and delete unused objects.
    #[serde(alias = "gc")]
    Collect,
    /// Make a backup, and delete those that are older than the retention.
    Backup,
}

impl CompactTask {
    /// Returns the task of the compactor; `None` for a backup.
    pub(super) fn compaction(self) -> Option<CompactorEvent> {
        Some(match self {
            Self::Scheduled => CompactorEvent::Scheduled,
            Self::Flush(order) if order.databases.is_empty() => CompactorEvent::Scheduled,
            Self::Flush(order) => CompactorEvent::Flush(order),
            Self::Merge(order) => CompactorEvent::Merge(order),
            Self::Collect => CompactorEvent::Collect,
            Self::Backup => return None,
        })
    }
}

/// A message from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMessage {
    /// The queue's id of the message.
    pub id: String,
    /// The task in the message, or the reason why it could not be parsed.
    pub order: Result<CompactTask, String>,
}

/// An event of the compact function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactEvent {
    /// A single task.
    Task(CompactTask),
    /// Messages from a queue. The queue sends failed ones again.
    Messages(Vec<TaskMessage>),
}

/// The fields of an event that identify its source.
#[derive(Deserialize)]
struct CompactEnvelope {
    #[serde(rename = "Records")]
    records: Option<Vec<serde_json::Value>>,
    event: Option<String>,
    source: Option<String>,
    detail: Option<serde_json::Value>,
}

impl CompactEvent {
    /// Parses an event.
    ///
    /// # Errors
    /// The event is not one of this function's.
    pub fn parse(text: &str) -> Result<Self, EventFailure> {
        let envelope: CompactEnvelope =
            serde_json::from_str(text).map_err(|error| unknown(&error))?;
        if let Some(records) = envelope.records {
            let messages: Option<Vec<_>> = records.iter().map(message).collect();
            // A record without an id can't be reported as failed, so all of them must be sent again.
            let messages = messages.ok_or_else(|| unknown(&"a record has no messageId"))?;
            return Ok(Self::Messages(messages));
        }
        if envelope.event.is_some() {
            let order = serde_json::from_str(text).map_err(|error| unknown(&error))?;
            return Ok(Self::Task(order));
        }
        match (envelope.source, envelope.detail) {
            (Some(_), Some(detail)) if detail.get("event").is_some() => {
                let order = serde_json::from_value(detail).map_err(|error| unknown(&error))?;
                Ok(Self::Task(order))
            }
            (Some(source), _) if matches!(source.as_str(), "aws.events" | "aws.scheduler") => {
                Ok(Self::Task(CompactTask::Scheduled))
            }
            _ => Err(unknown(&"the event contains no task")),
        }
    }
}

/// Parses the message in a record; `None` if it has no id.
fn message(record: &serde_json::Value) -> Option<TaskMessage> {
    let text = |field: &str| record.get(field).and_then(serde_json::Value::as_str);
    let order = match text("body") {
        Some(body) => serde_json::from_str(body).map_err(|error| error.to_string()),
        None => Err("the record has no body".to_owned()),
    };
    Some(TaskMessage { id: text("messageId")?.to_owned(), order })
}

fn unknown(reason: &dyn std::fmt::Display) -> EventFailure {
    EventFailure {
        kind: "Event",
        message: format!("not an event of the compact function: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::DatabaseId;

    use super::*;

    fn parsed(text: &str) -> CompactEvent {
        CompactEvent::parse(text).unwrap()
    }

    #[test]
    fn scheduled_tasks_are_in_the_event_or_its_detail() {
        let scheduled = CompactEvent::Task(CompactTask::Scheduled);
        let collect = CompactEvent::Task(CompactTask::Collect);
        assert_eq!(parsed(r#"{"event":"scheduled"}"#), scheduled);
        assert_eq!(parsed(r#"{"event":"collect"}"#), collect);
        assert_eq!(parsed(r#"{"event":"gc"}"#), collect);
        let backup = CompactEvent::Task(CompactTask::Backup);
        assert_eq!(parsed(r#"{"event":"backup"}"#), backup);
        let rule = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
        assert_eq!(parsed(rule), scheduled);
        let detail = r#"{"source":"my.app","detail-type":"x","detail":{"event":"collect"}}"#;
        assert_eq!(parsed(detail), collect);
    }

    #[test]
    fn a_flush_without_databases_is_a_scheduled_run() {
        let event = |text| match parsed(text) {
            CompactEvent::Task(order) => order.compaction().unwrap(),
            CompactEvent::Messages(messages) => panic!("{messages:?}"),
        };
        assert_eq!(event(r#"{"event":"flush"}"#), CompactorEvent::Scheduled);
        let order = FlushRequest { databases: [3, 7].map(DatabaseId::new).to_vec() };
        let flush = CompactorEvent::Flush(order);
        assert_eq!(event(r#"{"event":"flush","databases":[3,7]}"#), flush);
        assert_eq!(event(&serde_json::to_string(&flush).unwrap()), flush);
    }

    #[test]
    fn an_invalid_message_does_not_affect_the_others() {
        let records = r#"{"Records":[
            {"messageId":"1","body":"{\"event\":\"collect\"}"},
            {"messageId":"2"},
            {"messageId":"3","body":{"event":"collect"}},
            {"messageId":"4","body":"dance"}]}"#;
        let CompactEvent::Messages(messages) = parsed(records) else {
            panic!("{records}");
        };
        let understood: Vec<_> = messages
            .iter()
            .map(|message| (message.id.as_str(), message.order.is_ok()))
            .collect();
        let expected = [("1", true), ("2", false), ("3", false), ("4", false)];
        assert_eq!(understood, expected);
    }

    #[test]
    fn an_unknown_event_is_an_error() {
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
