//! What settings mean, with the answers that the documentation of Amazon S3 shows.

use neap_bucket::World;

use super::{Answers, StubStore, error};
use crate::{FindingLevel, SettingFinding};

const ABORT: &str = "<Rule><ID>sample-rule</ID><Prefix></Prefix><Status>Enabled</Status>\
    <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
    </AbortIncompleteMultipartUpload></Rule>";

/// The first example of `GetBucketLifecycleConfiguration`.
const DOCUMENTED_RULE: &str = "<Rule><ID>Archive and then delete rule</ID><Prefix>projectdocs/</Prefix>\
    <Status>Enabled</Status><Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>\
    <Transition><Days>365</Days><StorageClass>GLACIER</StorageClass></Transition>\
    <Expiration><Days>3650</Days></Expiration></Rule>";

/// Returns an answer with a setting, whose root element has the namespace of S3.
fn known(root: &str, content: &str) -> (u16, String) {
    let namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{namespace}\">{content}</{root}>"
    );
    (200, xml)
}

fn lifecycle(rules: &str) -> (&'static str, (u16, String)) {
    ("GET lifecycle", known("LifecycleConfiguration", rules))
}

/// The answers about a bucket without findings.
fn usual() -> Answers {
    let block = "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
                 <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>";
    let encryption = "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
                      </ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>";
    Answers::from([
        ("GET versioning", known("VersioningConfiguration", "")),
        ("GET object-lock", error(404, "ObjectLockConfigurationNotFoundError")),
        lifecycle(ABORT),
        ("GET uploads", known("ListMultipartUploadsResult", "")),
        ("GET publicAccessBlock", known("PublicAccessBlockConfiguration", block)),
        ("GET policy", error(404, "NoSuchBucketPolicy")),
        ("GET policyStatus", error(404, "NoSuchBucketPolicy")),
        ("GET encryption", known("ServerSideEncryptionConfiguration", encryption)),
        ("GET replication", error(404, "ReplicationConfigurationNotFoundError")),
        ("GET notification", known("NotificationConfiguration", "")),
    ])
}

async fn findings(answers: Answers, key_prefix: &str) -> Vec<SettingFinding> {
    let bucket = StubStore::new(answers).bucket("neap", "us-east-1");
    bucket.findings(key_prefix, &World::system()).await.unwrap()
}

/// Returns the findings about a bucket with other answers than usual, one line each, without the settings that have none.
async fn told(others: &[(&'static str, (u16, String))], key_prefix: &str) -> String {
    let mut answers = usual();
    answers.extend(others.iter().cloned());
    let lines: Vec<_> = findings(answers, key_prefix)
        .await
        .into_iter()
        .filter(|finding| finding.level != FindingLevel::Ok)
        .map(|finding| finding.to_string())
        .collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_private_bucket_without_versions_has_no_findings() {
    let all: Vec<_> = findings(usual(), "").await.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    ok       versioning
    ok       object lock
    ok       lifecycle rules
    ok       interrupted uploads
    ok       bucket policy
    ok       public policy
    ok       public access
    ok       encryption
    ok       replication
    ok       notifications
    ");
}

#[tokio::test]
async fn a_store_that_knows_no_settings_has_no_findings() {
    for answer in [error(501, "NotImplemented"), error(404, "NoSuchBucket")] {
        let unknown = usual().into_keys().map(|setting| (setting, answer.clone()));
        let found = findings(unknown.collect(), "").await;
        assert!(found.is_empty(), "{found:?}");
    }
}

#[tokio::test]
async fn versions_cost_money_unless_a_rule_deletes_them() {
    let versioned = |status: &str| {
        let status = format!("<Status>{status}</Status>");
        ("GET versioning", known("VersioningConfiguration", &status))
    };
    let text = told(&[versioned("Enabled")], "").await;
    assert!(text.starts_with("warning  versioning: costs money"), "{text}");
    let text = told(&[versioned("Suspended")], "").await;
    assert!(text.starts_with("warning  versioning: may cost money"), "{text}");
    let expire = "<Rule><ID>old</ID><Filter><Prefix/></Filter><Status>Enabled</Status>\
                  <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>";
    let rules = lifecycle(&format!("{ABORT}{expire}"));
    assert_eq!(told(&[versioned("Suspended"), rules], "").await, "");
}

#[tokio::test]
async fn a_rule_that_deletes_or_archives_objects_loses_data() {
    let rules = [lifecycle(&format!("{ABORT}{DOCUMENTED_RULE}"))];
    assert_eq!(told(&rules, "").await, "", "no key of Neap begins with projectdocs/");
    let text = told(&rules, "projectdocs/neap/").await;
    insta::assert_snapshot!(text, @r"
    FAILED   lifecycle rules: rule 'Archive and then delete rule' loses data: it deletes each object 3650 days after it was put. Delete the rule, or limit it to the prefix 'projectdocs/neap/results/'
    warning  lifecycle rules: rule 'Archive and then delete rule' may cost money: STANDARD_IA has a fee for each read and a minimum time, and merges replace objects. INTELLIGENT_TIERING has neither
    FAILED   lifecycle rules: rule 'Archive and then delete rule' moves objects to GLACIER, where Neap can't read them. Delete the rule, or limit it to the prefix 'projectdocs/neap/results/'. Then get them back with --restore-archived
    ");
}

#[tokio::test]
async fn rules_for_results_tags_and_other_prefixes_lose_nothing() {
    let of = async |filter: &str, status: &str, key_prefix: &str| {
        let rule = format!(
            "{ABORT}<Rule><ID>x</ID><Filter>{filter}</Filter><Status>{status}</Status>\
             <Expiration><Days>1</Days></Expiration></Rule>"
        );
        told(&[lifecycle(&rule)], key_prefix).await
    };
    let tag = "<Tag><Key>temporary</Key><Value>true</Value></Tag>";
    let tagged = format!("<And><Prefix>data/</Prefix>{tag}</And>");
    for (filter, status, key_prefix) in [
        ("<Prefix>results/</Prefix>", "Enabled", ""),
        ("<Prefix>data/</Prefix>", "Enabled", "neap/"),
        ("<Prefix></Prefix>", "Disabled", ""),
        (tag, "Enabled", ""),
        (tagged.as_str(), "Enabled", ""),
    ] {
        assert_eq!(of(filter, status, key_prefix).await, "", "{filter}");
    }
    for (filter, key_prefix) in [
        ("", ""),
        ("<Prefix>data/7/</Prefix>", ""),
        ("<Prefix>tail/</Prefix>", ""),
        ("<Prefix>ne</Prefix>", "neap/"),
        (
            "<And><Prefix>data/</Prefix><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And>",
            "",
        ),
    ] {
        let text = of(filter, "Enabled", key_prefix).await;
        assert!(text.starts_with("FAILED"), "{filter}: {text}");
    }
}

#[tokio::test]
async fn interrupted_uploads_cost_money() {
    let none = ("GET lifecycle", error(404, "NoSuchLifecycleConfiguration"));
    let text = told(&[none], "").await;
    assert!(text.starts_with("warning  lifecycle rules: may cost money"), "{text}");
    let upload = |start: &str| {
        format!(
            "<Upload><Key>data/1</Key><UploadId>1</UploadId><Initiated>{start}</Initiated></Upload>"
        )
    };
    let begun = |starts: &[&str]| {
        let uploads: String = starts.iter().map(|start| upload(start)).collect();
        ("GET uploads", known("ListMultipartUploadsResult", &uploads))
    };
    let (old, future) = ("2010-11-10T20:48:33.000Z", "2222-11-10T20:48:33.000Z");
    assert_eq!(told(&[begun(&[future])], "").await, "");
    assert_eq!(
        told(&[begun(&[old, future, old])], "").await,
        "warning  interrupted uploads: cost money: the store keeps the parts of 2 uploads that began more than a day \
         ago. Delete them with --abort-uploads"
    );
}

#[tokio::test]
async fn locked_objects_cost_money() {
    // The example of `GetObjectLockConfiguration`.
    let rule = "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
                <Days>30</Days></DefaultRetention></Rule>";
    let locked = ("GET object-lock", known("ObjectLockConfiguration", rule));
    assert_eq!(
        told(&[locked], "").await,
        "warning  object lock: costs money: each object is kept for 30 days after Neap has deleted it. Remove the \
         default retention"
    );
}

#[tokio::test]
async fn public_buckets_are_reported() {
    // The examples of `GetBucketPolicyStatus` and `GetPublicAccessBlock`.
    let status = known("PolicyStatus", "<IsPublic>true</IsPublic>");
    let block = known(
        "PublicAccessBlockConfiguration",
        "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls>\
         <BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets>",
    );
    let public = [("GET policyStatus", status), ("GET publicAccessBlock", block)];
    let text = told(&public, "").await;
    assert!(text.contains("public policy: exposes data"), "{text}");
    assert!(text.contains("Block Public Access"), "{text}");
    let none = error(404, "NoSuchPublicAccessBlockConfiguration");
    let text = told(&[("GET publicAccessBlock", none)], "").await;
    assert!(text.contains("Block Public Access"), "{text}");
}

#[tokio::test]
async fn policies_that_deny_requests_are_reported() {
    let deny = r#"{"Statement": [{"Sid": "keep", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",
        "Resource": "arn:aws:s3:::neap/*", "Condition": {"StringNotEquals": {"aws:username": "root"}}}]}"#;
    let text = told(&[("GET policy", (200, deny.to_owned()))], "").await;
    let denied = "warning  bucket policy: statement 'keep' denies s3:DeleteObject if StringNotEquals aws:username = root.";
    assert!(text.starts_with(denied), "{text}");
    let text = told(&[("GET policy", (200, "none".to_owned()))], "").await;
    assert!(text.starts_with("warning  bucket policy: can't be understood"), "{text}");
}

#[tokio::test]
async fn keys_of_the_key_service_copies_and_messages_cost_money() {
    let encryption = "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
        <KMSMasterKeyID>arn:aws:kms:us-east-1:1234/5678example</KMSMasterKeyID>\
        </ApplyServerSideEncryptionByDefault></Rule>";
    // The example of `GetBucketReplication`.
    let replication = "<Role>arn:aws:iam::1:role/r</Role><Rule><ID>rule1</ID><Status>Enabled</Status>\
        <Priority>1</Priority><DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>\
        <Filter><And><Prefix>TaxDocs</Prefix><Tag><Key>key1</Key><Value>value1</Value></Tag></And></Filter>\
        <Destination><Bucket>arn:aws:s3:::amzn-s3-demo-bucket</Bucket></Destination></Rule><Rule>\
        <Status>Enabled</Status><Prefix></Prefix><Destination><Bucket>arn:aws:s3:::other</Bucket></Destination></Rule>";
    let queue = |filter: &str| {
        format!(
            "<QueueConfiguration><Queue>arn:aws:sqs:us-east-1:1:q</Queue><Event>s3:ObjectCreated:*</Event>{filter}\
             </QueueConfiguration>"
        )
    };
    let tail = "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>tail/</Value></FilterRule></S3Key></Filter>";
    let text = told(
        &[
            ("GET encryption", known("ServerSideEncryptionConfiguration", encryption)),
            ("GET replication", known("ReplicationConfiguration", replication)),
            (
                "GET notification",
                known("NotificationConfiguration", &(queue("") + &queue(tail))),
            ),
        ],
        "",
    )
    .await;
    assert!(text.contains("each request asks the key service"), "{text}");
    assert!(text.contains("warning  replication: costs money"), "{text}");
    let message = "warning  notifications: cost money: arn:aws:sqs:us-east-1:1:q gets a message for each object of Neap.";
    assert_eq!(text.matches(message).count(), 1, "{text}");
}

#[tokio::test]
async fn missing_permissions_are_named() {
    let denied = ("GET lifecycle", error(403, "AccessDenied"));
    assert_eq!(
        told(&[denied], "").await,
        "warning  lifecycle rules: can't be read: allow s3:GetLifecycleConfiguration, or check it by hand"
    );
}
