//! A model behind the interface of OpenAI's chat completions, which many servers of models have.

use std::time::Duration;

use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use neap_bucket::Secret;
use neap_http_client::{ResponseBodyError, read_response};
use neap_rules::{OutgoingUrlError, outgoing_client, parse_outgoing_url};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;

use super::prompt::ChatPrompt;

/// Timeout of a request. Small machines need half a minute for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum bytes of the body of an answer.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// The assistant can't be used with these settings. The text contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum AssistantError {
    /// Requests can't be sent to the URL.
    #[error("--assistant-url: {0}")]
    Url(#[from] OutgoingUrlError),
    /// The key can't be sent.
    #[error("the key of the assistant is empty, or has characters that a header can't have")]
    Key,
    /// The client for requests can't be created.
    #[error("the client of the assistant can't be created: {0}")]
    Client(#[from] reqwest::Error),
}

/// A model does not answer. The text contains neither its URL nor its answer, which may quote the key.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChatModelError {
    #[error("the model does not answer in time")]
    Timeout,
    #[error("the model can't be reached: {0}")]
    Request(reqwest::Error),
    #[error("the model answers {0}")]
    Status(StatusCode),
    #[error("the answer of the model is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the answer of the model is not one of chat completions, or is empty")]
    Unexpected,
}

impl From<reqwest::Error> for ChatModelError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Request(error.without_url())
        }
    }
}

impl From<ResponseBodyError> for ChatModelError {
    fn from(error: ResponseBodyError) -> Self {
        match error {
            ResponseBodyError::TooLong(_) => Self::TooLong,
            ResponseBodyError::Interrupted(error) => error.into(),
        }
    }
}

/// The settings of a model.
#[derive(Debug)]
pub struct ChatModelSettings {
    /// The URL of its chat completions.
    pub url: Secret,
    /// Its name.
    pub name: String,
    /// The key that is sent with each request.
    pub key: Option<Secret>,
}

/// A model that answers questions.
#[derive(derive_more::Debug)]
#[debug("ChatModel {{ name: {name:?}, .. }}")]
pub(super) struct ChatModel {
    client: Client,
    url: Url,
    name: String,
    authorization: Option<HeaderValue>,
}

/// An answer of chat completions. Other fields are ignored.
#[derive(Debug, Deserialize)]
struct ChatCompletion {
    choices: Vec<ChatChoice>,
}

#[derive(Debug, Deserialize)]
struct ChatChoice {
    message: ChatMessage,
}

#[derive(Debug, Deserialize)]
struct ChatMessage {
    content: Option<String>,
}

impl ChatModel {
    /// Creates the client of a model. Sends nothing.
    ///
    /// # Errors
    /// The URL or the key can't be used, or the certificates of the system can't be read.
    pub(super) fn new(settings: ChatModelSettings) -> Result<Self, AssistantError> {
        let authorization = settings.key.map(|secret| {
            let key = secret.reveal().trim();
            if key.is_empty() {
                return Err(AssistantError::Key);
            }
            let bearer = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut authorization = bearer.map_err(|_| AssistantError::Key)?;
            authorization.set_sensitive(true);
            Ok(authorization)
        });
        Ok(Self {
            url: parse_outgoing_url(settings.url.reveal())?,
            authorization: authorization.transpose()?,
            client: outgoing_client(TIMEOUT)?,
            name: settings.name,
        })
    }

    /// Returns the text with which the model answers.
    ///
    /// # Errors
    /// The model does not answer, or its answer can't be used.
    pub(super) async fn ask(&self, prompt: &ChatPrompt) -> Result<String, ChatModelError> {
        // Temperatures and maximum lengths have names that differ between models, and some models refuse them.
        let body = json!({
            "model": self.name,
            "messages": [
                {"role": "system", "content": prompt.instructions},
                {"role": "user", "content": prompt.question},
            ],
            "stream": false,
        });
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(ChatModelError::Status(response.status()));
        }
        let answer = read_response(&mut response, MAX_ANSWER_BYTES).await?;
        content(&answer).ok_or(ChatModelError::Unexpected)
    }
}

/// Returns the text of an answer, if it has one.
fn content(body: &[u8]) -> Option<String> {
    let completion: ChatCompletion = serde_json::from_slice(body).ok()?;
    let first = completion.choices.into_iter().next()?;
    first.message.content.filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(url: &str, key: Option<&str>) -> Result<ChatModel, AssistantError> {
        let secret = |text: &str| text.parse::<Secret>().unwrap();
        ChatModel::new(ChatModelSettings {
            url: secret(url),
            name: "small".to_owned(),
            key: key.map(secret),
        })
    }

    #[test]
    fn urls_and_keys_that_cannot_be_used_are_refused_without_secrets() {
        for (url, key, reason) in [
            (
                "ftp://user:secret@example.com",
                None,
                "--assistant-url: the URL is not an http or https URL",
            ),
            (
                "http://169.254.169.254/secret",
                None,
                "--assistant-url: the address is link-local or of a metadata service",
            ),
            (
                "http://127.0.0.1:1/v1",
                Some("secret\n\u{1}"),
                "the key of the assistant is empty, or has characters that a header can't have",
            ),
            (
                "http://127.0.0.1:1/v1",
                Some(" "),
                "the key of the assistant is empty, or has characters that a header can't have",
            ),
        ] {
            assert_eq!(new(url, key).unwrap_err().to_string(), reason);
        }
        let model = new("https://example.com/v1?key=secret", Some("secret\n")).unwrap();
        let shown = format!("{model:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn only_a_text_is_an_answer() {
        let of_text = content(br#"{"choices":[{"message":{"content":"Yes."}}],"usage":{}}"#);
        assert_eq!(of_text.as_deref(), Some("Yes."));
        for body in [
            r#"{"choices":[]}"#,
            r#"{"choices":[{"message":{"content":null}}]}"#,
            r#"{"choices":[{"message":{"content":" "}}]}"#,
            "<html>",
        ] {
            assert_eq!(content(body.as_bytes()), None, "{body}");
        }
    }
}
