//! A store that answers as a test says, and the tests.

mod findings;
mod requests;
mod server;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use neap_bucket::AwsConfig;
use object_store::{
    StaticCredentialProvider,
    aws::AwsCredential,
    client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService},
};

use crate::{S3Bucket, sdk_client};

/// The namespace that the SDK writes into the bodies of requests.
const NAMESPACE: &str = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// The statuses and bodies of answers, by the method and the name of the setting; `200` without a body for all others.
type Answers = BTreeMap<&'static str, (u16, String)>;

/// A store that answers as a test says, and records the requests with their bodies.
#[derive(Clone, Debug, Default)]
struct StubStore {
    answers: Answers,
    requests: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl HttpService for StubStore {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let setting = query.split(['&', '=']).next().unwrap_or_default();
        let name = format!("{} {setting}", head.method);
        let bytes = body.as_bytes().cloned().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace(NAMESPACE, "");
        let line = format!("{} {} {text}", head.method, head.uri);
        self.requests.lock().unwrap().push(line.trim_end().to_owned());
        let known = self.answers.get(name.trim_end()).cloned();
        let (status, text) = known.unwrap_or((200, String::new()));
        Ok(http::Response::builder().status(status).body(text.into()).unwrap())
    }
}

impl StubStore {
    fn new(answers: Answers) -> Self {
        Self { answers, requests: Arc::default() }
    }

    /// Returns a bucket of this store, as AWS addresses it.
    fn bucket(&self, name: &str, region: &str) -> S3Bucket {
        let aws = AwsConfig {
            aws_default_region: Some(region.to_owned()),
            ..AwsConfig::default()
        };
        let credentials = StaticCredentialProvider::new(AwsCredential {
            key_id: "k".to_owned(),
            secret_key: "hidden".to_owned(),
            token: Some("hidden".to_owned()),
        });
        let connection = HttpClient::new(self.clone());
        S3Bucket {
            client: sdk_client::client(&aws, connection, Some(Arc::new(credentials))),
            name: name.to_owned(),
            region: region.to_owned(),
            is_plain: false,
        }
    }

    /// Returns the requests since the last call.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

/// Returns an error of S3.
fn error(status: u16, code: &str) -> (u16, String) {
    let xml = format!("<Error><Code>{code}</Code><Message>none</Message></Error>");
    (status, xml)
}
