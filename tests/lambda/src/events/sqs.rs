//! The SQS calls with which functions send messages: `SendMessage` and `SendMessageBatch` of the JSON protocol.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Queue, queue::md5_of};
use crate::runtime::ACCOUNT;

/// Maximum number of messages in a batch.
const MAX_BATCH_MESSAGES: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    message_body: String,
    #[serde(default)]
    delay_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch {
    queue_url: String,
    entries: Vec<SendMessageEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageEntry {
    id: String,
    message_body: String,
    #[serde(default)]
    delay_seconds: u32,
}

/// Returns the path of a queue's URL.
pub(crate) fn path_of(queue: &str) -> String {
    format!("/{ACCOUNT}/{queue}")
}

/// Answers a call.
pub(crate) fn answer(
    queues: &BTreeMap<String, Arc<Queue>>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    if !text(header::AUTHORIZATION.as_str()).starts_with("AWS4-HMAC-SHA256 Credential=") {
        let unsigned = SqsError {
            status: StatusCode::FORBIDDEN,
            ..refused("MissingAuthenticationToken", "the request is not signed")
        };
        return unsigned.into_response();
    }
    let outcome = match text("x-amz-target") {
        "AmazonSQS.SendMessage" => parsed(body).and_then(|call| send(queues, call)),
        "AmazonSQS.SendMessageBatch" => parsed(body).and_then(|call| send_batch(queues, call)),
        other => {
            let message = format!("the operation {other} is not valid here");
            Err(refused("InvalidAction", message))
        }
    };
    outcome.map_or_else(IntoResponse::into_response, |said| Json(said).into_response())
}

/// The error of a rejected call, in the form of the protocol.
#[derive(Debug)]
struct SqsError {
    status: StatusCode,
    error_type: &'static str,
    message: String,
}

impl IntoResponse for SqsError {
    fn into_response(self) -> Response {
        let error_type = format!("com.amazonaws.sqs#{}", self.error_type);
        let body = json!({ "__type": error_type, "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

fn refused(error_type: &'static str, message: impl Into<String>) -> SqsError {
    SqsError {
        status: StatusCode::BAD_REQUEST,
        error_type,
        message: message.into(),
    }
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, SqsError> {
    serde_json::from_slice(body)
        .map_err(|error| refused("InvalidParameterValue", error.to_string()))
}

fn queue_at<'a>(
    queues: &'a BTreeMap<String, Arc<Queue>>,
    url: &str,
) -> Result<&'a Arc<Queue>, SqsError> {
    let name = url.rsplit('/').next().unwrap_or_default();
    queues.get(name).ok_or_else(|| {
        let message = "The specified queue does not exist.";
        refused("QueueDoesNotExist", message)
    })
}

fn send(queues: &BTreeMap<String, Arc<Queue>>, call: SendMessage) -> Result<Value, SqsError> {
    let queue = queue_at(queues, &call.queue_url)?;
    let md5 = md5_of(&call.message_body);
    let delay = Duration::from_secs(call.delay_seconds.into());
    let id = queue
        .send(call.message_body, delay)
        .map_err(|reason| refused("InvalidMessageContents", reason.to_string()))?;
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5 }))
}

fn send_batch(
    queues: &BTreeMap<String, Arc<Queue>>,
    call: SendMessageBatch,
) -> Result<Value, SqsError> {
    let queue = queue_at(queues, &call.queue_url)?;
    if call.entries.is_empty() || call.entries.len() > MAX_BATCH_MESSAGES {
        let message = "a batch has between 1 and 10 messages";
        return Err(refused("TooManyEntriesInBatchRequest", message));
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in call.entries {
        let md5 = md5_of(&entry.message_body);
        let delay = Duration::from_secs(entry.delay_seconds.into());
        match queue.send(entry.message_body, delay) {
            Ok(id) => successful.push(json!({
                "Id": entry.id, "MessageId": id, "MD5OfMessageBody": md5,
            })),
            Err(reason) => failed.push(json!({
                "Id": entry.id,
                "SenderFault": true,
                "Code": "InvalidMessageContents",
                "Message": reason.to_string(),
            })),
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::configuration::QueueSettings;

    async fn call(target: &str, body: Value) -> (u16, Value, Vec<String>) {
        let queue = Queue::new("merge".to_owned(), QueueSettings::default(), None);
        let queues = BTreeMap::from([("merge".to_owned(), Arc::clone(&queue))]);
        let mut headers = HeaderMap::new();
        let signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/sqs/aws4_request";
        headers.insert("authorization", signed.parse().unwrap());
        headers.insert("x-amz-target", target.parse().unwrap());
        let response = answer(&queues, &headers, &body.to_string().into());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        (status, body, queue.report().bodies)
    }

    const URL: &str = "http://127.0.0.1:1/000000000000/merge";

    #[tokio::test]
    async fn a_message_is_sent() {
        let body = json!({ "QueueUrl": URL, "MessageBody": "hello" });
        let (status, body, bodies) = call("AmazonSQS.SendMessage", body).await;
        assert_eq!((status, bodies), (200, vec!["hello".to_owned()]));
        assert_eq!(body["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    }

    #[tokio::test]
    async fn a_batch_is_sent_except_for_messages_that_are_too_large() {
        let large = "x".repeat((1 << 20) + 1);
        let entries =
            json!([{ "Id": "1", "MessageBody": "a" }, { "Id": "2", "MessageBody": large }]);
        let body = json!({ "QueueUrl": URL, "Entries": entries });
        let (status, body, bodies) = call("AmazonSQS.SendMessageBatch", body).await;
        assert_eq!((status, bodies), (200, vec!["a".to_owned()]));
        assert_eq!(body["Successful"][0]["Id"], "1");
        assert_eq!(body["Failed"][0]["Id"], "2");
    }

    #[tokio::test]
    async fn invalid_sqs_calls_are_rejected() {
        let nowhere = json!({ "QueueUrl": format!("{URL}s"), "MessageBody": "a" });
        for (target, body) in [
            ("AmazonSQS.SendMessage", nowhere),
            ("AmazonSQS.SendMessage", json!({ "QueueUrl": URL })),
            ("AmazonSQS.PurgeQueue", json!({ "QueueUrl": URL })),
        ] {
            let (status, body, bodies) = call(target, body).await;
            assert_eq!((status, bodies.len()), (400, 0), "{body}");
        }
    }
}
