//! The events of the engine function that are not requests.
//!
//! | from | event |
//! |---|---|
//! | a scheduler, every minute | `{"event": "schedule"}`, with a `time` if it says one; a rule of EventBridge with a schedule sends its own event |
//! | a scheduler | `{"event": "sweep"}` |
//! | a bucket | its notification of a new segment: directly, through EventBridge, or either of them through a queue |

use std::time::UNIX_EPOCH;

use neap_bucket::{Key, SegmentName, StoreTime};
use neap_schema::DatabaseId;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{http::Source, start::Failure};

/// A segment that a notification names.
pub type Named = (DatabaseId, SegmentName);

/// Where new segments are put: notifications of other objects are none of the function's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The bucket; `None` where notifications have no name for it or another one.
    pub bucket: Option<String>,
    /// What the keys in it begin with.
    pub prefix: String,
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By what the queue knows it.
    pub id: String,
    /// The segments that it names, or why it is not understood.
    pub segments: Result<Vec<Named>, String>,
}

/// An event of the engine function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// A request, which is taken apart elsewhere.
    Request,
    /// It is time for schedules, and for what notifications have missed.
    Schedule {
        /// When the event was due, if it says so.
        time: Option<StoreTime>,
    },
    /// It is time for what notifications have missed.
    Sweep,
    /// New segments.
    Put(Vec<Named>),
    /// A queue has messages. Those that fail come again.
    Messages(Vec<Message>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    /// Each is looked at by itself, so that an odd one spoils no other.
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    event: Option<String>,
    time: Option<String>,
    source: Option<String>,
    detail: Option<Detail>,
    #[serde(rename = "Event")]
    test: Option<String>,
}

/// A message of a queue, as it comes.
#[derive(Deserialize)]
struct Queued {
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identified {
    message_id: Option<String>,
}

/// What a bucket tells.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: Option<String>,
    s3: Option<Detail>,
}

/// What was put where.
#[derive(Deserialize)]
struct Detail {
    event: Option<String>,
    bucket: Option<BucketName>,
    object: Option<Object>,
}

#[derive(Deserialize)]
struct BucketName {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl EngineEvent {
    /// The event in a text.
    ///
    /// # Errors
    /// It is none of the function's.
    pub fn parse(text: &str, home: &Home) -> Result<Self, Failure> {
        if Source::of_event(text).is_some() {
            return Ok(Self::Request);
        }
        let envelope = serde_json::from_str(text).map_err(|error| unknown(&error))?;
        of(envelope, home, true).ok_or_else(|| unknown(&"it names nothing to do"))
    }
}

fn of(envelope: Envelope<'_>, home: &Home, may_be_messages: bool) -> Option<EngineEvent> {
    if let Some(records) = envelope.records {
        let is_queue = records.iter().any(|record| message_id(record).is_some());
        return match is_queue {
            true if may_be_messages => {
                let messages = records
                    .into_iter()
                    .filter_map(|record| message(record, home));
                Some(EngineEvent::Messages(messages.collect()))
            }
            true => None,
            false => {
                let segments = records.into_iter().filter_map(|record| put(record, home));
                Some(EngineEvent::Put(segments.collect()))
            }
        };
    }
    let source = envelope.source.as_deref();
    let detail = envelope.detail;
    let event = envelope.event.as_deref();
    let event = event.or(detail.as_ref().and_then(|detail| detail.event.as_deref()));
    match (event, source) {
        (Some("schedule"), _) | (None, Some("aws.events" | "aws.scheduler")) => {
            let time = envelope.time.as_deref().and_then(time);
            Some(EngineEvent::Schedule { time })
        }
        (Some("sweep"), _) => Some(EngineEvent::Sweep),
        (None, Some("aws.s3")) => {
            let (bucket, key) = detail?.names()?;
            let segment = segment(bucket.as_deref(), &key, home);
            Some(EngineEvent::Put(segment.into_iter().collect()))
        }
        // What a bucket says once, when notifications are switched on.
        (None, None) if envelope.test.as_deref() == Some("s3:TestEvent") => {
            Some(EngineEvent::Put(Vec::new()))
        }
        _ => None,
    }
}

impl Detail {
    /// The bucket, if it is said, and the key.
    fn names(self) -> Option<(Option<String>, String)> {
        let bucket = self.bucket.map(|bucket| bucket.name);
        Some((bucket, self.object?.key))
    }
}

fn message_id(record: &RawValue) -> Option<String> {
    let identified: Identified = serde_json::from_str(record.get()).ok()?;
    identified.message_id
}

/// A message; `None` for one without an id, which nobody could ask for again.
fn message(record: &RawValue, home: &Home) -> Option<Message> {
    let Some(id) = message_id(record) else {
        tracing::warn!("a message has no id, and is left out");
        return None;
    };
    let segments = serde_json::from_str(record.get())
        .map_err(|error| error.to_string())
        .and_then(|Queued { body }| segments(&body.unwrap_or_default(), home));
    Some(Message { id, segments })
}

fn segments(body: &str, home: &Home) -> Result<Vec<Named>, String> {
    let envelope = serde_json::from_str(body).map_err(|error| error.to_string())?;
    match of(envelope, home, false) {
        Some(EngineEvent::Put(segments)) => Ok(segments),
        _ => Err("the message is no notification of a bucket".to_owned()),
    }
}

/// The segment that a record of S3 tells of, if it does: keys are written as in a form there.
fn put(record: &RawValue, home: &Home) -> Option<Named> {
    let record = serde_json::from_str::<Record>(record.get());
    let record = record.inspect_err(|error| {
        tracing::warn!(%error, "a record of a notification is not understood, and left out");
    });
    let Record { event_name, s3 } = record.ok()?;
    if !event_name?.starts_with("ObjectCreated:") {
        return None;
    }
    let (bucket, key) = s3?.names()?;
    let key = key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().ok()?;
    segment(bucket.as_deref(), &key, home)
}

/// The segment of a key; `None` if it is none, or in another bucket.
fn segment(bucket: Option<&str>, key: &str, home: &Home) -> Option<Named> {
    if let (Some(bucket), Some(own)) = (bucket, home.bucket.as_deref())
        && bucket != own
    {
        tracing::warn!(bucket, "a notification of another bucket is left out");
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

fn unknown(reason: &dyn std::fmt::Display) -> Failure {
    Failure {
        kind: "Event",
        message: format!("the event is none of the engine function: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "tail/7/00000000000000000042-00000000000000ff.wal";

    fn home() -> Home {
        Home {
            bucket: Some("b".to_owned()),
            prefix: "my clusters/one/".to_owned(),
        }
    }

    fn of(event: &Value) -> EngineEvent {
        EngineEvent::parse(&event.to_string(), &home()).unwrap()
    }

    fn named() -> Named {
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
        let put = EngineEvent::Put(vec![named()]);
        assert_eq!(of(&direct), put);
        assert_eq!(of(&bridge), put);
        let queue = json!({"Records": [
            {"messageId": "1", "body": direct.to_string()},
            {"messageId": "2", "body": bridge.to_string()},
            {"messageId": "3", "body": json!({"Event": "s3:TestEvent"}).to_string()},
            {"messageId": "4", "body": "what?"},
        ]});
        let EngineEvent::Messages(messages) = of(&queue) else {
            panic!("{queue}");
        };
        let segments = messages.iter().map(|message| message.segments.clone().ok());
        let one = Some(vec![named()]);
        assert_eq!(
            segments.collect::<Vec<_>>(),
            [one.clone(), one, Some(vec![]), None]
        );
    }

    #[test]
    fn other_objects_are_none_of_the_functions_business() {
        let nothing = EngineEvent::Put(Vec::new());
        let gone = records(&format!("my+clusters/one/{KEY}"), "ObjectRemoved:Delete");
        assert_eq!(of(&gone), nothing);
        for key in [KEY, "my+clusters/one/catalog", "my+clusters/one/tail/x"] {
            assert_eq!(of(&records(key, "ObjectCreated:Put")), nothing);
        }
    }

    #[test]
    fn notifications_of_another_bucket_are_left_out() {
        let mut event = records(&format!("my+clusters/one/{KEY}"), "ObjectCreated:Put");
        event["Records"][0]["s3"]["bucket"]["name"] = "c".into();
        assert_eq!(of(&event), EngineEvent::Put(Vec::new()));
        // A store that is no bucket has no name to compare.
        let home = Home {
            bucket: None,
            ..home()
        };
        let event = EngineEvent::parse(&event.to_string(), &home).unwrap();
        assert_eq!(event, EngineEvent::Put(vec![named()]));
    }

    #[test]
    fn an_odd_record_fails_alone() {
        let mut direct = records(&format!("my+clusters/one/{KEY}"), "ObjectCreated:Put");
        let good = direct["Records"][0].clone();
        direct["Records"] =
            json!([7, null, {"eventName": 1}, {"s3": {"object": {"key": []}}}, good]);
        assert_eq!(of(&direct), EngineEvent::Put(vec![named()]));
        let queue = json!({"Records": [
            {"messageId": "1", "body": 7},
            {"messageId": 2, "body": "{}"},
            null,
            {"messageId": "3"},
            {"messageId": "4", "body": direct.to_string()},
        ]});
        let EngineEvent::Messages(messages) = of(&queue) else {
            panic!("{queue}");
        };
        let understood = messages
            .iter()
            .map(|message| (message.id.as_str(), message.segments.is_ok()));
        assert_eq!(
            understood.collect::<Vec<_>>(),
            [("1", false), ("3", false), ("4", true)]
        );
    }

    #[test]
    fn schedules_say_when_they_were_due() {
        let time = Some(StoreTime::from_micros(1_700_000_040_000_000));
        let said = json!({"event": "schedule", "time": "2023-11-14T22:14:00Z"});
        assert_eq!(of(&said), EngineEvent::Schedule { time });
        let rule = json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "detail": {},
            "time": "2023-11-14T22:14:00Z",
        });
        assert_eq!(of(&rule), EngineEvent::Schedule { time });
        assert_eq!(
            of(&json!({"event": "schedule"})),
            EngineEvent::Schedule { time: None }
        );
        assert_eq!(of(&json!({"event": "sweep"})), EngineEvent::Sweep);
        assert_eq!(
            of(&json!({"requestContext": {"http": {}}})),
            EngineEvent::Request
        );
        assert!(EngineEvent::parse("{}", &home()).is_err());
        assert!(EngineEvent::parse(r#"{"event":"dance"}"#, &home()).is_err());
    }
}
