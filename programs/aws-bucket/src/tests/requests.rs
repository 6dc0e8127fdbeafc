//! The exact requests to AWS, and the sentences about refused ones.

use serde_json::{Value, json};

use super::{Answers, StubStore, error};
use crate::{BucketCreation, NewBucket};

/// A store whose buckets do not exist yet.
fn empty_store() -> StubStore {
    StubStore::new(Answers::from([("HEAD", (404, String::new()))]))
}

#[tokio::test]
async fn a_bucket_is_created_with_safe_settings() {
    let store = empty_store();
    let bucket = store.bucket("neap", "eu-central-1");
    let options = NewBucket {
        kms_key: Some("alias/neap".to_owned()),
        version_days: Some(7),
    };
    assert_eq!(bucket.create(&options).await.unwrap(), BucketCreation::Created);
    let mut requests = store.requests();
    let policy = requests.remove(3);
    assert_eq!(
        requests,
        [
            "HEAD https://neap.s3.eu-central-1.amazonaws.com/",
            "PUT https://neap.s3.eu-central-1.amazonaws.com/ <CreateBucketConfiguration>\
             <LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>",
            "PUT https://neap.s3.eu-central-1.amazonaws.com/?publicAccessBlock <PublicAccessBlockConfiguration>\
             <BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
             <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
             </PublicAccessBlockConfiguration>",
            "PUT https://neap.s3.eu-central-1.amazonaws.com/?encryption <ServerSideEncryptionConfiguration><Rule>\
             <ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
             <KMSMasterKeyID>alias/neap</KMSMasterKeyID></ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
            "PUT https://neap.s3.eu-central-1.amazonaws.com/?lifecycle <LifecycleConfiguration><Rule><Expiration>\
             <ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration><ID>neap</ID>\
             <Filter><Prefix></Prefix></Filter><Status>Enabled</Status><NoncurrentVersionExpiration>\
             <NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration><AbortIncompleteMultipartUpload>\
             <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
             </LifecycleConfiguration>",
            "PUT https://neap.s3.eu-central-1.amazonaws.com/?versioning <VersioningConfiguration>\
             <Status>Enabled</Status></VersioningConfiguration>",
        ]
    );
    let (address, policy) = policy.split_once(" {").unwrap();
    assert_eq!(address, "PUT https://neap.s3.eu-central-1.amazonaws.com/?policy");
    let policy: Value = serde_json::from_str(&format!("{{{policy}")).unwrap();
    let statement = json!({
        "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": ["arn:aws:s3:::neap", "arn:aws:s3:::neap/*"],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    });
    assert_eq!(policy, json!({ "Version": "2012-10-17", "Statement": [statement] }));
}

#[tokio::test]
async fn a_directory_bucket_is_created_in_the_zone_of_its_name() {
    let store = empty_store();
    let bucket = store.bucket("tail--use1-az4--x-s3", "us-east-1");
    let options = NewBucket { kms_key: None, version_days: Some(7) };
    let created = bucket.create(&options).await.unwrap();
    assert_eq!(created, BucketCreation::Created);
    let url = "https://s3express-control.us-east-1.amazonaws.com/tail--use1-az4--x-s3/";
    assert_eq!(
        store.requests(),
        [
            format!(
                "PUT {url} <CreateBucketConfiguration><Location><Type>AvailabilityZone</Type>\
                 <Name>use1-az4</Name></Location><Bucket><DataRedundancy>SingleAvailabilityZone</DataRedundancy>\
                 <Type>Directory</Type></Bucket></CreateBucketConfiguration>"
            ),
            format!(
                "PUT {url}?lifecycle <LifecycleConfiguration><Rule><ID>neap</ID>\
                 <Filter><Prefix></Prefix></Filter><Status>Enabled</Status><AbortIncompleteMultipartUpload>\
                 <DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
                 </LifecycleConfiguration>"
            ),
        ]
    );
}

#[tokio::test]
async fn an_existing_bucket_is_not_changed() {
    let store = StubStore::default();
    let bucket = store.bucket("neap", "us-east-1");
    let outcome = bucket.create(&NewBucket::default()).await.unwrap();
    assert_eq!(outcome, BucketCreation::Exists);
    assert_eq!(store.requests(), ["HEAD https://neap.s3.us-east-1.amazonaws.com/"]);

    let owned = error(409, "BucketAlreadyOwnedByYou");
    let store = StubStore::new(Answers::from([("PUT", owned)]));
    let bucket = store.bucket("neap--use1-az4--x-s3", "us-east-1");
    let outcome = bucket.create(&NewBucket::default()).await.unwrap();
    assert_eq!(outcome, BucketCreation::Exists);
    assert_eq!(store.requests().len(), 1);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_goes_on() {
    let owned = error(409, "BucketAlreadyOwnedByYou");
    let store = StubStore::new(Answers::from([("HEAD", (404, String::new())), ("PUT", owned)]));
    let bucket = store.bucket("neap", "us-east-1");
    let outcome = bucket.create(&NewBucket::default()).await.unwrap();
    assert_eq!(outcome, BucketCreation::Created);
    assert_eq!(store.requests().len(), 5);
}

#[tokio::test]
async fn errors_name_the_missing_action() {
    let denied = error(403, "AccessDenied");
    let pairs = "
        neap ==> bucket 'neap': the credentials do not allow s3:CreateBucket: add this action to their policy
        neap--use1-az4--x-s3 ==> bucket 'neap--use1-az4--x-s3': the credentials do not allow s3express:CreateBucket: add this action to their policy
    ";
    for (name, text) in neap_test_inputs::text_pairs(pairs) {
        let answers = [("HEAD", (404, String::new())), ("PUT", denied.clone())];
        let store = StubStore::new(Answers::from(answers));
        let failed = store.bucket(name, "us-east-1").create(&NewBucket::default()).await;
        assert_eq!(failed.unwrap_err().to_string(), text);
    }
    let wrong = error(400, "InvalidBucketName");
    let store = StubStore::new(Answers::from([("HEAD", (404, String::new())), ("PUT", wrong)]));
    let failed = store.bucket("neap", "us-east-1").create(&NewBucket::default()).await;
    assert_eq!(
        failed.unwrap_err().to_string(),
        "bucket 'neap': the store answers s3:CreateBucket with 400 InvalidBucketName"
    );
}

#[tokio::test]
async fn a_directory_bucket_is_asked_for_the_settings_that_it_has() {
    let store = StubStore::default();
    let bucket = store.bucket("neap--use1-az4--x-s3", "us-east-1");
    let world = neap_bucket::World::system();
    bucket.findings("", &world).await.unwrap();
    let url = "https://s3express-control.us-east-1.amazonaws.com/neap--use1-az4--x-s3/";
    let expected = ["lifecycle", "encryption"].map(|setting| format!("GET {url}?{setting}"));
    assert_eq!(store.requests(), expected);
}

#[tokio::test]
async fn a_bucket_does_not_show_its_credentials() {
    let store = StubStore::default();
    let text = format!("{:?}", store.bucket("neap", "us-east-1"));
    assert!(!text.contains("hidden"), "{text}");
}
