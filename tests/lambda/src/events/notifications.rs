//! Notifications of new objects in the bucket, with injected faults.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Queue;
use crate::{
    configuration::{NotificationFaults, NotificationSettings, NotificationShape, seconds},
    runtime::{ACCOUNT, LocalFunction, REGION},
    world,
};

/// Maximum number of held notifications.
const MAX_PENDING: usize = 100_000;

/// A new object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewObject {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its ETag.
    pub etag: String,
}

/// The recipient of notifications.
#[derive(Clone, Debug)]
enum NotificationTarget {
    Function(Arc<LocalFunction>),
    Queue(Arc<Queue>),
}

/// Sends notifications of new objects to a function or a queue.
#[derive(Debug)]
pub struct Notifications {
    prefix: String,
    shape: NotificationShape,
    target: NotificationTarget,
    faults: Mutex<NotificationFaults>,
    held: Mutex<Vec<NewObject>>,
    sequence: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notifications {
    /// Creates the notifications with these settings.
    ///
    /// # Errors
    /// The function or queue does not exist.
    pub fn new(
        settings: &NotificationSettings,
        functions: &BTreeMap<String, Arc<LocalFunction>>,
        queues: &BTreeMap<String, Arc<Queue>>,
    ) -> Result<Arc<Self>, String> {
        let name = &settings.target;
        let configured_target = match settings.shape {
            NotificationShape::Queue => queues.get(name).cloned().map(NotificationTarget::Queue),
            NotificationShape::Direct | NotificationShape::EventBridge => {
                functions.get(name).cloned().map(NotificationTarget::Function)
            }
        };
        let target =
            configured_target.ok_or_else(|| format!("notifications: there is no {name}"))?;
        Ok(Arc::new(Self {
            prefix: settings.prefix.clone(),
            shape: settings.shape,
            target,
            faults: Mutex::new(settings.faults.clone()),
            held: Mutex::default(),
            sequence: AtomicU64::new(1),
        }))
    }

    /// Sends a notification for every new object, forever.
    pub async fn run(self: Arc<Self>, mut puts: mpsc::Receiver<NewObject>) {
        while let Some(put) = puts.recv().await {
            if put.key.starts_with(&self.prefix) {
                self.dispatch(put);
            }
        }
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: NotificationFaults) {
        *lock(&self.faults) = faults;
    }

    /// Returns the held notifications.
    pub fn held(&self) -> Vec<NewObject> {
        lock(&self.held).clone()
    }

    /// Discards the held notifications.
    pub fn forget(&self) {
        lock(&self.held).clear();
    }

    /// Delivers held notifications by number, in this order: one message each to a queue, one EventBridge event each to
    /// a function, or one S3 event with all of them. They stay held, so that they can be delivered again.
    ///
    /// # Errors
    /// A number does not exist, or the function did not answer.
    pub async fn deliver(&self, numbers: &[usize]) -> Result<(), String> {
        let held = self.held();
        let puts: Vec<NewObject> = numbers
            .iter()
            .map(|number| {
                held.get(*number)
                    .cloned()
                    .ok_or_else(|| format!("no notification {number} is held"))
            })
            .collect::<Result<_, _>>()?;
        self.send(&puts).await
    }

    fn dispatch(self: &Arc<Self>, put: NewObject) {
        let faults = lock(&self.faults).clone();
        if faults.hold {
            let mut held = lock(&self.held);
            if held.len() < MAX_PENDING {
                held.push(put);
            }
            return;
        }
        if world::random_bool(faults.loss) {
            return;
        }
        let times = 1 + usize::from(world::random_bool(faults.duplicates));
        for _ in 0..times {
            let (notifications, put) = (Arc::clone(self), put.clone());
            let delay = world::random_duration(seconds(faults.delay_seconds));
            tokio::spawn(async move {
                world::sleep(delay).await;
                // A notification that fails three times is lost, as on Lambda without a failure destination.
                notifications.send(&[put]).await.ok();
            });
        }
    }

    async fn send(&self, puts: &[NewObject]) -> Result<(), String> {
        match &self.target {
            NotificationTarget::Queue(queue) => {
                for put in puts {
                    let body = self.records(std::slice::from_ref(put)).to_string();
                    let sent = queue.send(body, Duration::ZERO);
                    sent.map_err(|reason| reason.to_string())?;
                }
                Ok(())
            }
            NotificationTarget::Function(function) => {
                let events = match self.shape {
                    NotificationShape::EventBridge => {
                        puts.iter().map(|put| self.envelope(put)).collect()
                    }
                    _ => vec![self.records(puts)],
                };
                for event in events {
                    let answered = function.invoke_event(event.to_string().into()).await;
                    answered.map_err(|failure| failure.to_string())?;
                }
                Ok(())
            }
        }
    }

    fn sequencer(&self) -> String {
        format!("{:016X}", self.sequence.fetch_add(1, Ordering::Relaxed))
    }

    /// Builds an S3 event notification.
    fn records(&self, puts: &[NewObject]) -> Value {
        let time = world::date().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let records = puts.iter().map(|put| {
            json!({
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": REGION,
                "eventTime": time,
                "eventName": "ObjectCreated:Put",
                "userIdentity": { "principalId": ACCOUNT },
                "requestParameters": { "sourceIPAddress": "127.0.0.1" },
                "responseElements": {
                    "x-amz-request-id": world::fresh_id(),
                    "x-amz-id-2": world::fresh_id(),
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "tail",
                    "bucket": {
                        "name": put.bucket,
                        "ownerIdentity": { "principalId": ACCOUNT },
                        "arn": format!("arn:aws:s3:::{}", put.bucket),
                    },
                    "object": {
                        "key": encoded(&put.key),
                        "size": put.size,
                        "eTag": put.etag,
                        "sequencer": self.sequencer(),
                    },
                },
            })
        });
        json!({ "Records": records.collect::<Vec<_>>() })
    }

    /// Builds an EventBridge event, whose key is not encoded.
    fn envelope(&self, put: &NewObject) -> Value {
        json!({
            "version": "0",
            "id": world::fresh_id(),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": ACCOUNT,
            "time": world::date().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "region": REGION,
            "resources": [format!("arn:aws:s3:::{}", put.bucket)],
            "detail": {
                "version": "0",
                "bucket": { "name": put.bucket },
                "object": {
                    "key": put.key,
                    "size": put.size,
                    "etag": put.etag,
                    "sequencer": self.sequencer(),
                },
                "request-id": world::fresh_id(),
                "requester": ACCOUNT,
                "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        })
    }
}

/// Encodes a key as in S3 event notifications: form encoding, except for slashes.
fn encoded(key: &str) -> String {
    const SET: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'*');
    percent_encoding::utf8_percent_encode(key, SET).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_s3_notifications_are_form_encoded() {
        assert_eq!(encoded("tail/1/00-ab.wal"), "tail/1/00-ab.wal");
        assert_eq!(encoded("a b+c=ü"), "a+b%2Bc%3D%C3%BC");
    }
}
