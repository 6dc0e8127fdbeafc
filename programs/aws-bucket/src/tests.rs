//! Tests with the answers that the documentation of Amazon S3 shows, and with an S3 server.

use http::StatusCode;
use neap_bucket::{AwsConfig, StoreConfig, World};
use neap_test_inputs::{InputOrigin, skip};

use super::{answers::error_code, *};

const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

fn known<T: serde::de::DeserializeOwned>(xml: &str) -> Setting<T> {
    Setting::of_xml(StatusCode::OK, xml.as_bytes())
}

fn absent<T: serde::de::DeserializeOwned>(code: &str) -> Setting<T> {
    let xml = format!("<Error><Code>{code}</Code><Message>none</Message></Error>");
    Setting::of_xml(StatusCode::NOT_FOUND, xml.as_bytes())
}

fn lifecycle(rules: &str) -> Setting<LifecycleConfiguration> {
    known(&format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration {NAMESPACE}>{rules}</LifecycleConfiguration>"
    ))
}

const ABORT: &str = "<Rule><ID>sample-rule</ID><Prefix></Prefix><Status>Enabled</Status>\
    <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>\
    </AbortIncompleteMultipartUpload></Rule>";

/// The settings of a bucket without findings.
fn usual() -> BucketSettings {
    BucketSettings {
        versioning: known(&format!("<VersioningConfiguration {NAMESPACE}/>")),
        object_lock: absent("ObjectLockConfigurationNotFoundError"),
        lifecycle: lifecycle(ABORT),
        public_access: known(&format!(
            "<PublicAccessBlockConfiguration {NAMESPACE}><BlockPublicAcls>true</BlockPublicAcls>\
             <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
             <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
        )),
        policy: Setting::Absent,
        policy_status: absent("NoSuchBucketPolicy"),
        encryption: known(&format!(
            "<ServerSideEncryptionConfiguration {NAMESPACE}><Rule><ApplyServerSideEncryptionByDefault>\
             <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
        )),
        replication: absent("ReplicationConfigurationNotFoundError"),
    }
}

/// Returns the findings about a bucket, one line each, without the settings that have none.
fn told(settings: &BucketSettings, key_prefix: &str) -> String {
    let findings = settings.findings(key_prefix).into_iter();
    let lines: Vec<_> = findings
        .filter(|finding| finding.level != FindingLevel::Ok)
        .map(|finding| finding.to_string())
        .collect();
    lines.join("\n")
}

#[test]
fn a_private_bucket_without_versions_has_no_findings() {
    let all: Vec<_> = usual().findings("").iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    ok       versioning
    ok       object lock
    ok       lifecycle rules
    ok       bucket policy
    ok       public access
    ok       encryption
    ok       replication
    ");
}

#[test]
fn a_store_that_knows_no_settings_has_no_findings() {
    let of = |status| {
        Setting::<VersioningConfiguration>::of_xml(
            status,
            b"<Error><Code>NotImplemented</Code></Error>",
        )
    };
    assert_eq!(of(StatusCode::NOT_IMPLEMENTED), Setting::Unsupported);
    assert_eq!(of(StatusCode::NOT_FOUND), Setting::Unsupported);
    assert!(BucketSettings::default().findings("").is_empty());
}

#[test]
fn versions_cost_money_unless_a_rule_deletes_them() {
    let versioned = |status: &str| {
        known(&format!(
            "<VersioningConfiguration {NAMESPACE}><Status>{status}</Status></VersioningConfiguration>"
        ))
    };
    let mut settings = usual();
    settings.versioning = versioned("Enabled");
    assert!(told(&settings, "").starts_with("warning  versioning: costs money"));
    settings.versioning = versioned("Suspended");
    assert!(told(&settings, "").starts_with("warning  versioning: may cost money"));
    let expire = "<Rule><ID>old</ID><Filter><Prefix/></Filter><Status>Enabled</Status>\
                  <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>";
    settings.lifecycle = lifecycle(&format!("{ABORT}{expire}"));
    assert_eq!(told(&settings, ""), "");
}

/// The first example of `GetBucketLifecycleConfiguration`.
const DOCUMENTED_RULE: &str = "<Rule><ID>Archive and then delete rule</ID><Prefix>projectdocs/</Prefix>\
    <Status>Enabled</Status><Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>\
    <Transition><Days>365</Days><StorageClass>GLACIER</StorageClass></Transition>\
    <Expiration><Days>3650</Days></Expiration></Rule>";

#[test]
fn a_rule_that_deletes_or_archives_objects_loses_data() {
    let mut settings = usual();
    settings.lifecycle = lifecycle(&format!("{ABORT}{DOCUMENTED_RULE}"));
    assert_eq!(
        told(&settings, ""),
        "",
        "no key of Neap begins with projectdocs/"
    );
    insta::assert_snapshot!(told(&settings, "projectdocs/neap/"), @r"
    FAILED   lifecycle rules: rule 'Archive and then delete rule' loses data: it deletes each object 3650 days after it was put. Delete the rule, or limit it to the prefix 'projectdocs/neap/results/'
    warning  lifecycle rules: rule 'Archive and then delete rule' may cost money: STANDARD_IA has a fee for each read and a minimum time, and merges replace objects. INTELLIGENT_TIERING has neither
    FAILED   lifecycle rules: rule 'Archive and then delete rule' moves objects to GLACIER, where Neap can't read them. Delete the rule, or limit it to the prefix 'projectdocs/neap/results/'
    ");
}

#[test]
fn rules_for_results_tags_and_other_prefixes_lose_nothing() {
    let expire = |filter: &str, status: &str| {
        format!(
            "{ABORT}<Rule><ID>x</ID><Filter>{filter}</Filter><Status>{status}</Status>\
             <Expiration><Days>1</Days></Expiration></Rule>"
        )
    };
    let of = |filter: &str, status: &str, key_prefix: &str| {
        let settings = BucketSettings {
            lifecycle: lifecycle(&expire(filter, status)),
            ..usual()
        };
        told(&settings, key_prefix)
    };
    let tag = "<Tag><Key>temporary</Key><Value>true</Value></Tag>";
    assert_eq!(of("<Prefix>results/</Prefix>", "Enabled", ""), "");
    assert_eq!(of("<Prefix>data/</Prefix>", "Enabled", "neap/"), "");
    assert_eq!(of("<Prefix></Prefix>", "Disabled", ""), "");
    assert_eq!(of(tag, "Enabled", ""), "");
    assert_eq!(
        of(
            &format!("<And><Prefix>data/</Prefix>{tag}</And>"),
            "Enabled",
            ""
        ),
        ""
    );
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
        let text = of(filter, "Enabled", key_prefix);
        assert!(text.starts_with("FAILED"), "{filter}: {text}");
    }
}

#[test]
fn interrupted_uploads_cost_money_without_a_rule() {
    let mut settings = usual();
    settings.lifecycle = absent("NoSuchLifecycleConfiguration");
    let text = told(&settings, "");
    assert!(
        text.starts_with("warning  lifecycle rules: may cost money"),
        "{text}"
    );
}

#[test]
fn locked_objects_cost_money() {
    let mut settings = usual();
    // The example of `GetObjectLockConfiguration`.
    settings.object_lock = known(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
         <Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
    );
    assert_eq!(
        told(&settings, ""),
        "warning  object lock: costs money: each object is kept for 30 days after Neap has deleted it. Remove the \
         default retention"
    );
}

#[test]
fn public_buckets_are_reported() {
    let mut settings = usual();
    // The examples of `GetBucketPolicyStatus` and `GetPublicAccessBlock`.
    settings.policy_status = known(&format!(
        "<PolicyStatus {NAMESPACE}><IsPublic>TRUE</IsPublic></PolicyStatus>"
    ));
    settings.public_access = known(
        "<PublicAccessBlockConfiguration><BlockPublicAcls>TRUE</BlockPublicAcls>\
         <IgnorePublicAcls>FALSE</IgnorePublicAcls><BlockPublicPolicy>FALSE</BlockPublicPolicy>\
         <RestrictPublicBuckets>FALSE</RestrictPublicBuckets></PublicAccessBlockConfiguration>",
    );
    let text = told(&settings, "");
    assert!(text.contains("the bucket policy is public"), "{text}");
    assert!(text.contains("Block Public Access"), "{text}");
    settings = BucketSettings {
        public_access: absent("NoSuchPublicAccessBlockConfiguration"),
        ..usual()
    };
    assert!(told(&settings, "").contains("Block Public Access"));
}

#[test]
fn keys_of_the_key_service_and_copies_cost_money() {
    let mut settings = usual();
    settings.encryption = known(&format!(
        "<ServerSideEncryptionConfiguration {NAMESPACE}><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:us-east-1:1234/5678example</KMSMasterKeyID>\
         </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    ));
    // The example of `GetBucketReplication`.
    settings.replication = known(&format!(
        "<ReplicationConfiguration {NAMESPACE}><Rule><ID>rule1</ID><Status>Enabled</Status><Priority>1</Priority>\
         <DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>\
         <Filter><And><Prefix>TaxDocs</Prefix><Tag><Key>key1</Key><Value>value1</Value></Tag></And></Filter>\
         <Destination><Bucket>arn:aws:s3:::amzn-s3-demo-bucket</Bucket></Destination></Rule><Rule>\
         <Status>Enabled</Status><Prefix></Prefix></Rule></ReplicationConfiguration>"
    ));
    let text = told(&settings, "");
    assert!(text.contains("each request asks the key service"), "{text}");
    assert!(text.contains("warning  replication: costs money"), "{text}");
}

#[test]
fn missing_permissions_are_named() {
    let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    assert_eq!(
        error_code(denied.as_bytes()).as_deref(),
        Some("AccessDenied")
    );
    let settings = BucketSettings {
        lifecycle: Setting::of_xml(StatusCode::FORBIDDEN, denied.as_bytes()),
        ..usual()
    };
    assert_eq!(
        told(&settings, ""),
        "warning  lifecycle rules: can't be read: allow s3:GetLifecycleConfiguration, or check it by hand"
    );
}

/// Returns the configuration of the S3 server of the tests, with a bucket of this name.
fn server_config(bucket: &str) -> Option<StoreConfig> {
    let variable = |name: &str| std::env::var(name).ok();
    let endpoint = variable("NEAP_TEST_S3_ENDPOINT")?;
    let aws = AwsConfig {
        aws_access_key_id: variable("NEAP_TEST_S3_ACCESS_KEY_ID")?.parse().ok(),
        aws_secret_access_key: variable("NEAP_TEST_S3_SECRET_ACCESS_KEY")?.parse().ok(),
        aws_endpoint: Some(endpoint),
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
async fn a_created_bucket_has_no_findings_on_a_server() {
    let world = World::system();
    let name = format!("neap-settings-{:016x}", world.entropy.next_u64());
    let Some(config) = server_config(&name) else {
        skip(
            InputOrigin::Installed,
            "NEAP_TEST_S3_ENDPOINT names no S3 server",
        );
        return;
    };
    let client = config.s3_buckets(&world, None).unwrap().remove(0);
    assert_eq!(
        create_bucket(&client).await.unwrap(),
        BucketCreation::Created
    );
    assert_eq!(
        create_bucket(&client).await.unwrap(),
        BucketCreation::Exists
    );
    let settings = BucketSettings::read(&client).await.unwrap();
    assert_eq!(told(&settings, ""), "", "{settings:?}");
    let put = async |query: &str, xml: String| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        use md5::{Digest, Md5};
        let checksum = STANDARD.encode(Md5::digest(&xml));
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("content-md5"),
            checksum.parse().unwrap(),
        )]);
        let answer = client.send(Method::PUT, query, headers, xml.into()).await;
        assert!(answer.as_ref().unwrap().status.is_success(), "{answer:?}");
    };
    let versions = format!(
        "<VersioningConfiguration {NAMESPACE}><Status>Enabled</Status></VersioningConfiguration>"
    );
    put("versioning", versions).await;
    let rules = "<Rule><ID>expire</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
                 <Expiration><Days>30</Days></Expiration></Rule>";
    // LocalStack refuses rules without a filter, which S3 accepts.
    let abort = ABORT.replace("<Prefix></Prefix>", "<Filter><Prefix></Prefix></Filter>");
    put(
        "lifecycle",
        format!("<LifecycleConfiguration {NAMESPACE}>{abort}{rules}</LifecycleConfiguration>"),
    )
    .await;
    let statement = format!(
        "{{\"Sid\": \"keep\", \"Effect\": \"Deny\", \"Principal\": \"*\", \"Action\": \"s3:DeleteObject\", \
         \"Resource\": \"arn:aws:s3:::{name}/*\", \"Condition\": {{\"StringNotEquals\": {{\"aws:username\": \"root\"}}}}}}"
    );
    let policy = format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{statement}]}}");
    put("policy", policy).await;
    let text = told(&BucketSettings::read(&client).await.unwrap(), "");
    let denied = "warning  bucket policy: statement 'keep' denies s3:DeleteObject if StringNotEquals aws:username = root.";
    assert!(text.contains(denied), "{text}");
    assert!(text.contains("warning  versioning: costs money"), "{text}");
    assert!(
        text.contains("FAILED   lifecycle rules: rule 'expire' loses data"),
        "{text}"
    );
    client
        .send(Method::DELETE, "", HeaderMap::new(), Default::default())
        .await
        .unwrap();
}
