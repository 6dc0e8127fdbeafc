//! A queue with a visibility timeout, which sends its messages to a function.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    configuration::{QueueSettings, seconds},
    runtime::{ACCOUNT, FunctionReply, LocalFunction, REGION},
    world,
};

/// Pause between two polls of an empty queue.
const PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of concurrent events from one queue, like the initial concurrency of an event source mapping.
const MAX_CONCURRENT_EVENTS: usize = 5;
/// Maximum size of a message: 1 MiB.
pub(super) const MESSAGE_LIMIT: usize = 1 << 20;
/// Maximum number of messages in a queue.
const MAX_MESSAGES: usize = 120_000;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    name: String,
    settings: QueueSettings,
    dead_letters: Option<Arc<Self>>,
    messages: Mutex<Vec<QueueMessage>>,
}

#[derive(Clone, Debug)]
struct QueueMessage {
    id: String,
    body: String,
    sent: i64,
    first_received: Option<i64>,
    receives: u32,
    visible: Instant,
}

/// The content of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueReport {
    /// Number of messages that can be received.
    pub visible: usize,
    /// Number of messages that are received or delayed.
    pub invisible: usize,
    /// The bodies of all messages.
    pub bodies: Vec<String>,
}

/// The response of a function that failed to handle a part of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchResponse {
    #[serde(default)]
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

/// Reason why a message was rejected.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The message is too large.
    #[error("a message has at most {MESSAGE_LIMIT} bytes")]
    TooLarge,
    /// The queue is full.
    #[error("the queue is full")]
    Full,
}

impl Queue {
    /// Creates an empty queue. Its dead-letter queue must exist already.
    pub fn new(
        name: String,
        settings: QueueSettings,
        dead_letters: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Arc::new(Self { name, settings, dead_letters, messages: Mutex::default() })
    }

    fn messages(&self) -> MutexGuard<'_, Vec<QueueMessage>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message and returns its id.
    ///
    /// # Errors
    /// The message is too large, or the queue is full.
    pub fn send(&self, body: String, delay: Duration) -> Result<String, QueueError> {
        if body.len() > MESSAGE_LIMIT {
            return Err(QueueError::TooLarge);
        }
        let mut messages = self.messages();
        if messages.len() >= MAX_MESSAGES {
            return Err(QueueError::Full);
        }
        let id = world::fresh_id();
        messages.push(QueueMessage {
            id: id.clone(),
            body,
            sent: world::date().timestamp_millis(),
            first_received: None,
            receives: 0,
            visible: world::now() + delay,
        });
        Ok(id)
    }

    /// Returns the content.
    pub fn report(&self) -> QueueReport {
        let now = world::now();
        let messages = self.messages();
        let visible = messages.iter().filter(|message| message.visible <= now).count();
        QueueReport {
            visible,
            invisible: messages.len() - visible,
            bodies: messages.iter().map(|message| message.body.clone()).collect(),
        }
    }

    /// Receives a batch, which becomes invisible for the visibility timeout. Messages that were received too often go
    /// to the dead-letter queue instead.
    fn receive(&self) -> Vec<QueueMessage> {
        let now = world::now();
        let date = world::date().timestamp_millis();
        let mut batch = Vec::new();
        let mut dead = Vec::new();
        self.messages().retain_mut(|message| {
            if message.visible > now || batch.len() >= self.settings.batch_size.max(1) {
                return true;
            }
            if message.receives >= self.settings.max_receives && self.dead_letters.is_some() {
                dead.push(message.body.clone());
                return false;
            }
            message.receives += 1;
            message.first_received.get_or_insert(date);
            message.visible = now + seconds(self.settings.visibility_seconds);
            batch.push(message.clone());
            true
        });
        if let Some(dead_letters) = &self.dead_letters {
            for body in dead {
                // If the dead-letter queue is full, the message is lost.
                dead_letters.send(body, Duration::ZERO).ok();
            }
        }
        batch
    }

    /// Deletes the messages that were handled. The others become visible again after the timeout.
    fn delete_handled(&self, batch: &[QueueMessage], failed: &[String]) {
        let is_done = |id: &String| {
            let was_in = batch.iter().any(|message| message.id == *id);
            was_in && !failed.contains(id)
        };
        self.messages().retain(|message| !is_done(&message.id));
    }

    /// Sends messages to a function forever.
    pub async fn feed(self: Arc<Self>, function: Arc<LocalFunction>) {
        let slots = Arc::new(Semaphore::new(MAX_CONCURRENT_EVENTS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let batch = self.receive();
            if batch.is_empty() {
                drop(slot);
                world::sleep(PAUSE).await;
                continue;
            }
            let (queue, function) = (Arc::clone(&self), Arc::clone(&function));
            tokio::spawn(async move {
                let event = queue.event(&batch).to_string();
                let outcome = function.invoke(event.into(), false, None).await;
                if let Ok(FunctionReply::Whole(said)) = outcome {
                    queue.delete_handled(&batch, &failed(&said, &batch));
                }
                drop(slot);
            });
        }
    }

    /// Builds the event for a batch.
    fn event(&self, batch: &[QueueMessage]) -> Value {
        let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", self.name);
        let records = batch.iter().map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": format!("{}-{}", message.id, message.receives),
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": message.receives.to_string(),
                    "SentTimestamp": message.sent.to_string(),
                    "SenderId": ACCOUNT,
                    "ApproximateFirstReceiveTimestamp":
                        message.first_received.unwrap_or_default().to_string(),
                },
                "messageAttributes": {},
                "md5OfBody": md5_of(&message.body),
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": REGION,
            })
        });
        json!({ "Records": records.collect::<Vec<_>>() })
    }
}

/// Returns the messages that a response reports as failed. A response that names an unknown message, or no id, is a
/// failure of the whole batch, as on Lambda.
fn failed(said: &[u8], batch: &[QueueMessage]) -> Vec<String> {
    let said: Option<BatchResponse> = match said {
        b"" | b"null" => Some(BatchResponse::default()),
        _ => serde_json::from_slice::<Value>(said).ok().and_then(|said| match said {
            Value::Object(_) => serde_json::from_value(said).ok(),
            _ => Some(BatchResponse::default()),
        }),
    };
    let ids: Vec<String> = batch.iter().map(|message| message.id.clone()).collect();
    let Some(said) = said else {
        return ids;
    };
    let failed: Vec<String> =
        said.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
    if failed.iter().all(|id| ids.contains(id)) {
        failed
    } else {
        ids
    }
}

/// Returns the MD5 of a message's body as hexadecimal digits.
pub(super) fn md5_of(body: &str) -> String {
    hex::encode(Md5::digest(body.as_bytes()))
}

/// Creates the queues of a configuration, dead-letter queues first because other queues refer to them.
///
/// # Errors
/// A queue names a dead-letter queue that does not exist.
pub fn queues(
    settings: &BTreeMap<String, QueueSettings>,
) -> Result<BTreeMap<String, Arc<Queue>>, String> {
    let mut queues: BTreeMap<String, Arc<Queue>> = BTreeMap::new();
    let (last, first): (Vec<_>, Vec<_>) =
        settings.iter().partition(|(_, settings)| settings.dead_letters.is_some());
    for (name, settings) in first.into_iter().chain(last) {
        let dead_letters = match &settings.dead_letters {
            None => None,
            Some(other) => {
                let found = queues.get(other).cloned();
                Some(found.ok_or_else(|| format!("queue {name}: there is no queue {other}"))?)
            }
        };
        let queue = Queue::new(name.clone(), settings.clone(), dead_letters);
        queues.insert(name.clone(), queue);
    }
    Ok(queues)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(visibility_seconds: f64, dead_letters: Option<Arc<Queue>>) -> Arc<Queue> {
        let settings = QueueSettings {
            visibility_seconds,
            batch_size: 2,
            max_receives: 2,
            ..QueueSettings::default()
        };
        Queue::new("q".to_owned(), settings, dead_letters)
    }

    fn bodies(batch: &[QueueMessage]) -> Vec<&str> {
        batch.iter().map(|message| message.body.as_str()).collect()
    }

    #[test]
    fn a_message_is_received_once_while_it_is_invisible() {
        let queue = queue(60.0, None);
        for body in ["a", "b", "c"] {
            queue.send(body.to_owned(), Duration::ZERO).unwrap();
        }
        let batch = queue.receive();
        assert_eq!(bodies(&batch), ["a", "b"]);
        assert_eq!(bodies(&queue.receive()), ["c"]);
        assert!(queue.receive().is_empty());
        queue.delete_handled(&batch, &[batch[1].id.clone()]);
        assert_eq!(queue.report().bodies, ["b", "c"]);
    }

    #[test]
    fn a_message_received_too_often_goes_to_the_dead_letters() {
        let dead = queue(0.0, None);
        let queue = queue(0.0, Some(Arc::clone(&dead)));
        queue.send("a".to_owned(), Duration::ZERO).unwrap();
        for receives in 1..=2 {
            let batch = queue.receive();
            assert_eq!(batch[0].receives, receives);
        }
        assert!(queue.receive().is_empty());
        assert_eq!(queue.report(), QueueReport::default());
        assert_eq!(dead.report().bodies, ["a"]);
    }

    #[test]
    fn a_batch_fails_in_part_only_if_the_response_names_known_messages() {
        let queue = queue(0.0, None);
        queue.send("a".to_owned(), Duration::ZERO).unwrap();
        queue.send("b".to_owned(), Duration::ZERO).unwrap();
        let batch = queue.receive();
        let [a, b] = [batch[0].id.clone(), batch[1].id.clone()];
        for (said, expected) in [
            ("", vec![]),
            ("null", vec![]),
            ("\"fine\"", vec![]),
            ("{}", vec![]),
            (r#"{"batchItemFailures":[]}"#, vec![]),
            (
                &*json!({ "batchItemFailures": [{ "itemIdentifier": b }] }).to_string(),
                vec![b.clone()],
            ),
            (r#"{"batchItemFailures":[{"itemIdentifier":"?"}]}"#, vec![a.clone(), b.clone()]),
            (r#"{"batchItemFailures":[{"other":"?"}]}"#, vec![a, b]),
        ] {
            assert_eq!(failed(said.as_bytes(), &batch), expected, "{said}");
        }
    }
}
