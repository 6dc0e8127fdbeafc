//! The requests and the permissions of the commands, on an S3 server.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::{primitives::ByteStream, types::StorageClass};
use neap_bucket::{AwsConfig, GetOptions, StoreConfig, World, conformance};
use neap_s3_server::{ObservedRequest, Observer, Options, Policy, S3Server, User};
use neap_test_inputs::{InputOrigin, skip};
use serde_json::Value;

use crate::{BucketCreation, BucketError, FindingLevel, NewBucket, S3Bucket};

/// The page with the policies.
const PAGE: &str = include_str!("../../../../docs/deployment.md");

/// The bucket of the policies.
const BUCKET: &str = "measurements";

/// Records the method, the query and the status of each request.
#[derive(Debug, Default)]
struct RequestRecorder(Mutex<Vec<String>>);

impl Observer for RequestRecorder {
    fn answered(&self, request: &ObservedRequest<'_>) {
        let (method, query, status) = (request.method, request.query, request.status);
        self.0.lock().unwrap().push(format!("{method} {query} {status}"));
    }
}

impl RequestRecorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Returns the options that name [`BUCKET`] on a server.
fn config(server: &S3Server, access_key: &str, secret_key: &str) -> StoreConfig {
    let aws = AwsConfig {
        aws_access_key_id: access_key.parse().ok(),
        aws_secret_access_key: secret_key.parse().ok(),
        aws_endpoint: Some(server.endpoint()),
        aws_allow_http: true,
        ..AwsConfig::default()
    };
    StoreConfig {
        bucket: Some(BUCKET.to_owned()),
        aws,
        ..StoreConfig::default()
    }
}

fn bucket(config: &StoreConfig) -> S3Bucket {
    S3Bucket::all(config, &World::system()).unwrap().remove(0)
}

/// Returns a server with a user `neap` that has a policy, and the bucket as its owner sees it.
async fn server(policy: Option<&Value>) -> (S3Server, S3Bucket, Arc<RequestRecorder>) {
    let recorder = Arc::new(RequestRecorder::default());
    let policy = policy.map(|policy| Policy::parse(&policy.to_string()).unwrap());
    let options = Options {
        users: vec![User {
            access_key: "neap".to_owned(),
            secret_key: "secret".to_owned(),
            policy,
        }],
        observer: Some(Arc::<RequestRecorder>::clone(&recorder)),
        ..Options::default()
    };
    let server = S3Server::start(options).await.unwrap();
    let owned = bucket(&config(&server, S3Server::ACCESS_KEY, S3Server::SECRET_KEY));
    (server, owned, recorder)
}

#[tokio::test]
async fn the_requests_of_a_creation_and_of_a_check_are_these() {
    let (_server, bucket, recorder) = server(None).await;
    let default = NewBucket::default();
    assert_eq!(bucket.create(&default).await.unwrap(), BucketCreation::Created);
    let created = ["HEAD  404", "PUT  200", "PUT publicAccessBlock 200", "PUT lifecycle 200"];
    assert_eq!(recorder.take(), created);
    assert_eq!(bucket.create(&default).await.unwrap(), BucketCreation::Exists);
    assert_eq!(recorder.take(), ["HEAD  200"]);
    let world = World::system();
    let findings = bucket.findings("neap/", &world).await.unwrap();
    assert_eq!(
        recorder.take(),
        [
            "GET lifecycle 200",
            "GET uploads&prefix=neap%2F 200",
            "GET versioning 200",
            "GET object-lock 404",
            "GET policy 404",
            "GET policyStatus 404",
            "GET publicAccessBlock 200",
            "GET encryption 200",
            "GET replication 404",
            "GET notification 200",
        ]
    );
    assert_eq!(findings.len(), 10);
    assert!(findings.iter().all(|it| it.level == FindingLevel::Ok), "{findings:?}");
}

/// Puts an archived object and begins an upload.
async fn add_leftovers(owned: &S3Bucket) {
    let put = owned.client.put_object().bucket(BUCKET).key("data/old");
    let body = ByteStream::from_static(b"x");
    put.storage_class(StorageClass::Glacier).body(body).send().await.unwrap();
    let upload = owned.client.create_multipart_upload().bucket(BUCKET).key("data/new");
    upload.send().await.unwrap();
}

#[tokio::test]
async fn leftovers_are_found_and_removed() {
    let (_server, bucket, recorder) = server(None).await;
    bucket.create(&NewBucket::default()).await.unwrap();
    add_leftovers(&bucket).await;
    recorder.take();
    let world = World::system();
    let text = bucket.findings("", &world).await.unwrap()[3].to_string();
    assert!(text.contains("the parts of 1 uploads"), "{text}");
    assert_eq!(bucket.abort_interrupted_uploads("", &world).await.unwrap(), 1);
    assert_eq!(bucket.abort_interrupted_uploads("", &world).await.unwrap(), 0);
    recorder.take();
    assert_eq!(bucket.restore_archived("", 3).await.unwrap(), 1);
    let [list, restore] = recorder.take().try_into().unwrap();
    assert!(list.starts_with("GET list-type=2"), "{list}");
    assert_eq!(restore, "POST restore 200");
    assert_eq!(bucket.restore_archived("", 3).await.unwrap(), 0);
}

/// Returns the policy of the page with this action.
fn documented_policy(action: &str) -> Value {
    let blocks = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let [block] = blocks
        .filter(|block| block.contains(action))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    serde_json::from_str(block).unwrap()
}

/// Returns the actions of a policy, each with the policy without it.
fn without_each_action(policy: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (statement, content) in policy["Statement"].as_array().unwrap().iter().enumerate() {
        for (at, action) in content["Action"].as_array().unwrap().iter().enumerate() {
            let mut less = policy.clone();
            less["Statement"][statement]["Action"].as_array_mut().unwrap().remove(at);
            all.push((action.as_str().unwrap().to_owned(), less));
        }
    }
    assert!(!all.is_empty());
    all
}

/// Does what `neap check-store` does with its options, and returns what is refused.
async fn refusals_of_a_check(policy: &Value) -> Vec<String> {
    let (server, owned, _) = server(Some(policy)).await;
    owned.create(&NewBucket::default()).await.unwrap();
    add_leftovers(&owned).await;
    let (config, world) = (config(&server, "neap", "secret"), World::system());
    let checked = bucket(&config);
    let mut refused = Vec::new();
    refused.extend(
        checked
            .abort_interrupted_uploads("", &world)
            .await
            .err()
            .map(|it| it.to_string()),
    );
    refused.extend(checked.restore_archived("", 1).await.err().map(|it| it.to_string()));
    let findings = checked.findings("", &world).await.unwrap().into_iter();
    let lines = findings.map(|finding| finding.to_string());
    refused.extend(lines.filter(|finding| !finding.starts_with("ok ")));
    let store = config.open(&world, None).unwrap().main;
    let report = conformance::probe(&store, &world, 1).await;
    if !report.passed() {
        refused.push(report.to_string());
    }
    let read = store.get("catalog", GetOptions::default()).await;
    refused.extend(read.err().map(|error| error.to_string()));
    refused
}

#[tokio::test]
async fn the_documented_policy_of_a_check_is_the_least_one() {
    let policy = documented_policy("s3:GetBucketVersioning");
    assert_eq!(refusals_of_a_check(&policy).await, Vec::<String>::new());
    for (action, less) in without_each_action(&policy) {
        let refused = refusals_of_a_check(&less).await.join("\n");
        assert_ne!(refused, "", "{action}");
        // The stores of objects do not name actions.
        let is_about_objects =
            ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"].contains(&action.as_str());
        assert!(is_about_objects || refused.contains(&action), "{action}: {refused}");
    }
}

/// Does what `neap create bucket` does with its options, over a connection that counts as one with TLS.
async fn creation(policy: &Value) -> Result<BucketCreation, BucketError> {
    let (server, _, _) = server(Some(policy)).await;
    let created = S3Bucket {
        is_plain: false,
        ..bucket(&config(&server, "neap", "secret"))
    };
    let options = NewBucket {
        kms_key: Some("alias/neap".to_owned()),
        version_days: Some(7),
    };
    created.create(&options).await
}

#[tokio::test]
async fn the_documented_policy_of_a_creation_is_the_least_one() {
    let policy = documented_policy("s3:CreateBucket");
    assert_eq!(creation(&policy).await.unwrap(), BucketCreation::Created);
    for (action, less) in without_each_action(&policy) {
        let sentence = format!(
            "bucket '{BUCKET}': the credentials do not allow {action}: add this action to their policy"
        );
        assert_eq!(creation(&less).await.unwrap_err().to_string(), sentence);
    }
}

/// Returns the options of a bucket with this name on the S3 server of the tests.
fn foreign_config(bucket: &str) -> Option<StoreConfig> {
    let variable = |name: &str| std::env::var(name).ok();
    let aws = AwsConfig {
        aws_access_key_id: variable("NEAP_TEST_S3_ACCESS_KEY_ID")?.parse().ok(),
        aws_secret_access_key: variable("NEAP_TEST_S3_SECRET_ACCESS_KEY")?.parse().ok(),
        aws_endpoint: Some(variable("NEAP_TEST_S3_ENDPOINT")?),
        aws_allow_http: true,
        ..AwsConfig::default()
    };
    Some(StoreConfig {
        bucket: Some(bucket.to_owned()),
        aws,
        ..StoreConfig::default()
    })
}

#[tokio::test]
async fn a_created_bucket_has_no_findings_on_a_foreign_server() {
    let world = World::system();
    let name = format!("neap-settings-{:016x}", world.entropy.next_u64());
    let Some(config) = foreign_config(&name) else {
        skip(InputOrigin::Installed, "NEAP_TEST_S3_ENDPOINT names no S3 server");
        return;
    };
    let bucket = bucket(&config);
    let default = NewBucket::default();
    assert_eq!(bucket.create(&default).await.unwrap(), BucketCreation::Created);
    assert_eq!(bucket.create(&default).await.unwrap(), BucketCreation::Exists);
    let findings = bucket.findings("", &world).await.unwrap();
    assert!(findings.iter().all(|it| it.level == FindingLevel::Ok), "{findings:?}");
    let delete = bucket.client.delete_bucket().bucket(&name);
    delete.send().await.unwrap();
}
