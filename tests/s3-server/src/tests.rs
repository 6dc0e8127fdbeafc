//! Checks the permissions of users with a signing client.

use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use crate::{ObservedRequest, Observer, Options, Policy, S3Server, User};

/// Allows reading, writing, and listing the tail, but not deleting from it.
const POLICY: &str = r#"{
    "Statement": [
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::neap/tail/*" },
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::neap/catalog" },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::neap",
          "Condition": { "StringLike": { "s3:prefix": "tail/*" } } }
    ]
}"#;

#[derive(Debug, Default)]
struct RequestRecorder(Mutex<Vec<String>>);

impl Observer for RequestRecorder {
    fn answered(&self, request: &ObservedRequest<'_>) {
        let user = request.user.unwrap_or("nobody");
        let operation = request.operation.name();
        let line = format!("{user} {operation} {} {}", request.key, request.status);
        self.0.lock().unwrap().push(line);
    }
}

fn client(server: &S3Server, access_key: &str, secret_key: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_bucket_name(server.bucket())
        .with_region("us-east-1")
        .with_access_key_id(access_key)
        .with_secret_access_key(secret_key)
        .build()
        .unwrap()
}

async fn start_server(policy: &str) -> (S3Server, Arc<RequestRecorder>) {
    let seen = Arc::new(RequestRecorder::default());
    let user = User {
        access_key: "writer".to_owned(),
        secret_key: "secret".to_owned(),
        policy: Some(Policy::parse(policy).unwrap()),
    };
    let options = Options {
        users: vec![user],
        observer: Some(Arc::<RequestRecorder>::clone(&seen)),
        ..Options::default()
    };
    (S3Server::start(options).await.unwrap(), seen)
}

fn assert_denied<T: std::fmt::Debug>(outcome: object_store::Result<T>) {
    let error = outcome.unwrap_err();
    // The client maps it to its own error kind, except for listings.
    let is_denied = matches!(error, object_store::Error::PermissionDenied { .. });
    let text = error.to_string();
    assert!(is_denied || text.contains("AccessDenied"), "{text}");
}

#[tokio::test]
async fn users_are_limited_by_their_policies_and_the_owner_is_not() {
    let (server, seen) = start_server(POLICY).await;
    let owner = client(&server, S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    let writer = client(&server, "writer", "secret");
    let [tail, data] = ["tail/1/a", "data/1/b"].map(Path::from);
    let payload = || PutPayload::from_static(b"x");
    owner.put(&data, payload()).await.unwrap();
    writer.put(&tail, payload()).await.unwrap();
    assert_denied(writer.put(&data, payload()).await);
    writer.get(&tail).await.unwrap();
    assert_denied(writer.get(&data).await);
    assert_denied(writer.delete(&tail).await);
    assert_denied(writer.copy(&tail, &data).await);
    assert_denied(writer.copy(&data, &tail).await);
    let listed: Vec<_> = writer.list(Some(&"tail/1".into())).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_denied(writer.list(Some(&"data/1".into())).try_collect::<Vec<_>>().await);
    assert_denied(writer.list(None).try_collect::<Vec<_>>().await);
    assert_denied(client(&server, "writer", "other").get(&tail).await);
    owner.delete(&tail).await.unwrap();

    let seen = seen.0.lock().unwrap().clone();
    assert_eq!(seen[0], "AKIDTEST put data/1/b 200");
    assert_eq!(seen[1], "writer put tail/1/a 200");
    assert_eq!(seen[2], "writer put data/1/b 403");
}

#[tokio::test]
async fn a_missing_key_is_forbidden_without_permission_to_list() {
    let missing = Path::from("catalog");
    let (server, _) = start_server(POLICY).await;
    assert_denied(client(&server, "writer", "secret").get(&missing).await);
    let lenient = POLICY.replace("StringLike", "StringLikeIfExists");
    let (server, _) = start_server(&lenient).await;
    let found = client(&server, "writer", "secret").get(&missing).await;
    assert!(matches!(found, Err(object_store::Error::NotFound { .. })));
}
