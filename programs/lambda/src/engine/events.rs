//! The events of the engine function that are not requests.
//!
//! | from | event |
//! |---|---|
//! | a scheduler, every minute | `{"event": "schedule"}`, optionally with `time`; or the event of an EventBridge rule with a schedule |
//! | a scheduler | `{"event": "sweep"}` |
//! | a bucket | its notification of a new segment: directly, through EventBridge, or either of them through a queue |

use std::time::UNIX_EPOCH;

use neap_bucket::{Key, SegmentName, StoreTime};
use neap_schema::DatabaseId;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{http::HttpSource, runtime::EventFailure};

/// A segment named in a notification.
pub type SegmentRef = (DatabaseId, SegmentName);

/// Location of new segments. Notifications of other objects are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailLocation {
    /// The bucket; `None` if notifications contain no name or another name for it.
    pub bucket: Option<String>,
    /// Prefix of the keys.
    pub prefix: String,
}

/// A message from a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationMessage {
    /// The queue's id of the message.
    pub id: String,
    /// The segments named in the message, or the reason why it could not be parsed.
    pub segments: Result<Vec<SegmentRef>, String>,
}

/// An event of the engine function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// An HTTP request, which [`HttpEvent`](crate::http::HttpEvent) parses.
    Request,
    /// Run the due schedules, and process segments that no notification has reported.
    Schedule {
        /// The time at which the event was due, if the event contains it.
        time: Option<StoreTime>,
    },
    /// Process segments that no notification has reported.
    Sweep,
    /// New segments.
    NewSegments(Vec<SegmentRef>),
    /// Messages from a queue. The queue sends failed ones again.
    Messages(Vec<NotificationMessage>),
}

#[derive(Deserialize)]
struct EngineEnvelope<'a> {
    /// Records are parsed one by one, so that an invalid record does not affect the others.
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    event: Option<String>,
    time: Option<String>,
    source: Option<String>,
    detail: Option<EventDetail>,
    #[serde(rename = "Event")]
    test: Option<String>,
}

/// The body of a message from a queue.
#[derive(Deserialize)]
struct SqsRecordBody {
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecordId {
    message_id: Option<String>,
}

/// A record of an S3 event notification.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3EventRecord {
    event_name: Option<String>,
    s3: Option<EventDetail>,
}

/// The bucket and the object of a notification, or the `detail` of a scheduler's event.
#[derive(Deserialize)]
struct EventDetail {
    event: Option<String>,
    bucket: Option<S3EventBucket>,
    object: Option<S3EventObject>,
}

#[derive(Deserialize)]
struct S3EventBucket {
    name: String,
}

#[derive(Deserialize)]
struct S3EventObject {
    key: String,
}

impl EngineEvent {
    /// Parses an event.
    ///
    /// # Errors
    /// The event is not one of this function's.
    pub fn parse(text: &str, home: &TailLocation) -> Result<Self, EventFailure> {
        if HttpSource::of_event(text).is_some() {
            return Ok(Self::Request);
        }
        let envelope = serde_json::from_str(text).map_err(|error| unknown(&error))?;
        from_envelope(envelope, home, true).ok_or_else(|| unknown(&"the event contains no task"))
    }
}

fn from_envelope(
    envelope: EngineEnvelope<'_>,
    home: &TailLocation,
    may_be_messages: bool,
) -> Option<EngineEvent> {
    if let Some(records) = envelope.records {
        let is_queue = records.iter().any(|record| message_id(record).is_some());
        if !is_queue {
            let segments = records.into_iter().filter_map(|record| put(record, home));
            return Some(EngineEvent::NewSegments(segments.collect()));
        }
        let messages = records.into_iter().filter_map(|record| message(record, home));
        return may_be_messages.then(|| EngineEvent::Messages(messages.collect()));
    }
    let source = envelope.source.as_deref();
    let detail = envelope.detail;
    let event = envelope
        .event
        .as_deref()
        .or(detail.as_ref().and_then(|detail| detail.event.as_deref()));
    match (event, source) {
        (Some("schedule"), _) | (None, Some("aws.events" | "aws.scheduler")) => {
            let time = envelope.time.as_deref().and_then(time);
            Some(EngineEvent::Schedule { time })
        }
        (Some("sweep"), _) => Some(EngineEvent::Sweep),
        (None, Some("aws.s3")) => {
            let (bucket, key) = detail?.bucket_and_key()?;
            let segment = segment(bucket.as_deref(), &key, home);
            Some(EngineEvent::NewSegments(segment.into_iter().collect()))
        }
        // S3 sends this event once, when notifications are enabled.
        (None, None) if envelope.test.as_deref() == Some("s3:TestEvent") => {
            Some(EngineEvent::NewSegments(Vec::new()))
        }
        _ => None,
    }
}

impl EventDetail {
    /// Returns the bucket, if it is named, and the key.
    fn bucket_and_key(self) -> Option<(Option<String>, String)> {
        let bucket = self.bucket.map(|bucket| bucket.name);
        Some((bucket, self.object?.key))
    }
}

fn message_id(record: &RawValue) -> Option<String> {
    let identified: SqsRecordId = serde_json::from_str(record.get()).ok()?;
    identified.message_id
}

/// Parses a message; `None` if it has no id, because the queue could not be told that it failed.
fn message(record: &RawValue, home: &TailLocation) -> Option<NotificationMessage> {
    let Some(id) = message_id(record) else {
        tracing::warn!("a message without an id is ignored");
        return None;
    };
    let segments = serde_json::from_str(record.get())
        .map_err(|error| error.to_string())
        .and_then(|SqsRecordBody { body }| segments(&body.unwrap_or_default(), home));
    Some(NotificationMessage { id, segments })
}

fn segments(body: &str, home: &TailLocation) -> Result<Vec<SegmentRef>, String> {
    let envelope = serde_json::from_str(body).map_err(|error| error.to_string())?;
    match from_envelope(envelope, home, false) {
        Some(EngineEvent::NewSegments(segments)) => Ok(segments),
        _ => Err("the message is not a bucket notification".to_owned()),
    }
}

/// Returns the segment that an S3 record names, if any. S3 form-encodes keys in these records.
fn put(record: &RawValue, home: &TailLocation) -> Option<SegmentRef> {
    let record = serde_json::from_str::<S3EventRecord>(record.get()).inspect_err(|error| {
        tracing::warn!(%error, "an invalid notification record is ignored");
    });
    let S3EventRecord { event_name, s3 } = record.ok()?;
    if !event_name?.starts_with("ObjectCreated:") {
        return None;
    }
    let (bucket, key) = s3?.bucket_and_key()?;
    let key = key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().ok()?;
    segment(bucket.as_deref(), &key, home)
}

/// Parses the segment in a key; `None` if the key is not that of a segment, or is in another bucket.
fn segment(bucket: Option<&str>, key: &str, home: &TailLocation) -> Option<SegmentRef> {
    if let (Some(bucket), Some(own)) = (bucket, home.bucket.as_deref())
        && bucket != own
    {
        tracing::warn!(bucket, "a notification of another bucket is ignored");
        return None;
    }
    match key.strip_prefix(&home.prefix)?.parse() {
        Ok(Key::Segment(database, name)) => Some((database, name)),
        _ => None,
    }
}

fn time(text: &str) -> Option<StoreTime> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let micros = time.duration_since(UNIX_EPOCH).ok()?.as_micros();
    Some(StoreTime::from_micros(i64::try_from(micros).ok()?))
}

fn unknown(reason: &dyn std::fmt::Display) -> EventFailure {
    EventFailure {
        kind: "Event",
        message: format!("not an event of the engine function: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "tail/7/00000000000000000042-00000000000000ff.wal";

    fn home() -> TailLocation {
        TailLocation {
            bucket: Some("b".to_owned()),
            prefix: "my clusters/one/".to_owned(),
        }
    }

    fn parsed(event: &Value) -> EngineEvent {
        EngineEvent::parse(&event.to_string(), &home()).unwrap()
    }

    fn named() -> SegmentRef {
        match KEY.parse().unwrap() {
            Key::Segment(database, name) => (database, name),
            other => panic!("{other}"),
        }
    }

    fn records(key: &str, name: &str) -> Value {
        json!({"Records": [{
            "eventSource": "aws:s3", "eventName": name,
            "s3": {"bucket": {"name": "b"}, "object": {"key": key}},
        }]})
    }

    #[test]
    fn segments_are_found_in_all_shapes_of_notifications() {
        let whole = format!("my clusters/one/{KEY}");
        let encoded = format!("my+clusters/one/{}", KEY.replace("tail", "%74ail"));
        let direct = records(&encoded, "ObjectCreated:Put");
        let bridge = json!({
            "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "b"}, "object": {"key": whole}},
        });
        let put = EngineEvent::NewSegments(vec![named()]);
        assert_eq!(parsed(&direct), put);
        assert_eq!(parsed(&bridge), put);
        let queue = json!({"Records": [
            {"messageId": "1", "body": direct.to_string()},
            {"messageId": "2", "body": bridge.to_string()},
            {"messageId": "3", "body": json!({"Event": "s3:TestEvent"}).to_string()},
            {"messageId": "4", "body": "what?"},
        ]});
        let EngineEvent::Messages(messages) = parsed(&queue) else {
            panic!("{queue}");
        };
        let segments = messages.iter().map(|message| message.segments.clone().ok());
        let one = Some(vec![named()]);
        assert_eq!(segments.collect::<Vec<_>>(), [one.clone(), one, Some(vec![]), None]);
    }

    #[test]
    fn notifications_of_other_objects_are_ignored() {
        let nothing = EngineEvent::NewSegments(Vec::new());
        let gone = records(&format!("my+clusters/one/{KEY}"), "ObjectRemoved:Delete");
        assert_eq!(parsed(&gone), nothing);
        for key in [KEY, "my+clusters/one/catalog", "my+clusters/one/tail/x"] {
            assert_eq!(parsed(&records(key, "ObjectCreated:Put")), nothing);
        }
    }

    #[test]
    fn notifications_of_another_bucket_are_ignored() {
        let mut event = records(&format!("my+clusters/one/{KEY}"), "ObjectCreated:Put");
        event["Records"][0]["s3"]["bucket"]["name"] = "c".into();
        assert_eq!(parsed(&event), EngineEvent::NewSegments(Vec::new()));
        // A store that is not a bucket has no name to compare.
        let home = TailLocation { bucket: None, ..home() };
        let event = EngineEvent::parse(&event.to_string(), &home).unwrap();
        assert_eq!(event, EngineEvent::NewSegments(vec![named()]));
    }

    #[test]
    fn an_invalid_record_does_not_affect_the_others() {
        let mut direct = records(&format!("my+clusters/one/{KEY}"), "ObjectCreated:Put");
        let good = direct["Records"][0].clone();
        direct["Records"] =
            json!([7, null, {"eventName": 1}, {"s3": {"object": {"key": []}}}, good]);
        assert_eq!(parsed(&direct), EngineEvent::NewSegments(vec![named()]));
        let queue = json!({"Records": [
            {"messageId": "1", "body": 7},
            {"messageId": 2, "body": "{}"},
            null,
            {"messageId": "3"},
            {"messageId": "4", "body": direct.to_string()},
        ]});
        let EngineEvent::Messages(messages) = parsed(&queue) else {
            panic!("{queue}");
        };
        let understood =
            messages.iter().map(|message| (message.id.as_str(), message.segments.is_ok()));
        assert_eq!(understood.collect::<Vec<_>>(), [("1", false), ("3", false), ("4", true)]);
    }

    #[test]
    fn scheduled_events_contain_their_due_time() {
        let time = Some(StoreTime::from_micros(1_700_000_040_000_000));
        let said = json!({"event": "schedule", "time": "2023-11-14T22:14:00Z"});
        assert_eq!(parsed(&said), EngineEvent::Schedule { time });
        let rule = json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
            "time": "2023-11-14T22:14:00Z",
        });
        assert_eq!(parsed(&rule), EngineEvent::Schedule { time });
        assert_eq!(parsed(&json!({"event": "schedule"})), EngineEvent::Schedule { time: None });
        assert_eq!(parsed(&json!({"event": "sweep"})), EngineEvent::Sweep);
        assert_eq!(parsed(&json!({"requestContext": {"http": {}}})), EngineEvent::Request);
        assert!(EngineEvent::parse("{}", &home()).is_err());
        assert!(EngineEvent::parse(r#"{"event":"dance"}"#, &home()).is_err());
    }
}
