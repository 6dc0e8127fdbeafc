//! Tests of the stores that flags open and of the flags that are refused.

use super::*;
use crate::{CountingStore, ProtocolMargins};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    store: StoreConfig,
}

fn parse(arguments: &str) -> StoreConfig {
    let arguments = ["program"].into_iter().chain(arguments.split_whitespace());
    Program::try_parse_from(arguments).unwrap().store
}

fn refusal(arguments: &str) -> String {
    let opened = parse(arguments).open(&World::system(), None);
    opened.unwrap_err().to_string()
}

#[test]
fn the_flags_are_well_formed() {
    Program::command().debug_assert();
}

#[test]
fn errors_name_the_flag() {
    let pairs = "
        --object-store s3 ==> --bucket is needed with --object-store s3
        --object-store google ==> --bucket is needed with --object-store google
        --object-store memory --tail-bucket b ==> --tail-bucket: --object-store memory has no buckets
        --object-store memory --former-tail-bucket b ==> --former-tail-bucket: --object-store memory has no buckets
        --bucket b --former-tail-bucket b ==> --former-tail-bucket: it is the bucket that new data go to
        --object-store memory --format-level 2 ==> --format-level: this release knows level 1, not 2
        --object-store memory --key-prefix a//b ==> --key-prefix: use letters, digits, '-', '_' and '.', and '/' between parts
        --bucket b --aws-access-key k ==> --aws-access-key-id: --aws-secret-access-key is needed with it
        --bucket b --aws-endpoint http://127.0.0.1:9000 ==> --aws-endpoint: 'http://127.0.0.1:9000' needs --aws-allow-http
        --bucket b --aws-endpoint localhost:9000 ==> --aws-endpoint: 'localhost:9000' is not an HTTP URL
        --bucket b --aws-endpoint https:// ==> --aws-endpoint: 'https://' is not a URL: empty string
        --bucket b --object-store-tls-ca /no/such/file ==> --object-store-tls-ca: '/no/such/file': No such file or directory (os error 2)
    ";
    for (arguments, expected) in neap_test_inputs::text_pairs(pairs)
        .chain([("", "--data-dir is needed with --object-store file")])
    {
        assert_eq!(refusal(arguments), expected, "{arguments}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = parse(
        "--aws-access-key-id hidden1 --aws-secret-access-key hidden2 --aws-session-token hidden3 \
         --azure-storage-access-key hidden4",
    );
    let shown = format!("{config:?}");
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn a_bucket_selects_s3_and_no_bucket_selects_a_directory() {
    assert_eq!(parse("--bucket b").kind(), ObjectStoreKind::S3);
    assert_eq!(parse("--data-dir d").kind(), ObjectStoreKind::File);
    assert_eq!(parse("--bucket b --object-store azure").kind(), ObjectStoreKind::Azure);
}

#[tokio::test]
async fn stores_of_every_kind_are_opened_with_their_margins() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::system();
    let file = format!("--data-dir {}", directory.path().display());
    let keys = "--aws-access-key-id k --aws-secret-access-key s";
    for (arguments, kind, margins, one_store) in [
        (
            "--object-store memory".to_owned(),
            StoreKind::Memory,
            ProtocolMargins::LOCAL,
            true,
        ),
        (
            "--object-store memory-throttled".to_owned(),
            StoreKind::Memory,
            ProtocolMargins::LOCAL,
            true,
        ),
        (file, StoreKind::Directory, ProtocolMargins::LOCAL, true),
        (format!("--bucket b {keys}"), StoreKind::Network, ProtocolMargins::NETWORK, true),
        ("--bucket b".to_owned(), StoreKind::Network, ProtocolMargins::NETWORK, true),
        (
            "--object-store memory --protocol-margins short".to_owned(),
            StoreKind::Memory,
            ProtocolMargins::SHORT_LOCAL,
            true,
        ),
        (
            format!("--bucket b --protocol-margins short {keys}"),
            StoreKind::Network,
            ProtocolMargins::SHORT_NETWORK,
            true,
        ),
        (
            format!("--bucket b --tail-bucket t--use1-az4--x-s3 {keys}"),
            StoreKind::Network,
            ProtocolMargins::NETWORK,
            false,
        ),
        #[cfg(feature = "other-clouds")]
        (
            "--object-store azure --bucket b --azure-storage-account a \
             --azure-storage-access-key aGlkZGVu"
                .to_owned(),
            StoreKind::Network,
            ProtocolMargins::NETWORK,
            true,
        ),
    ] {
        let opened = parse(&arguments).open(&world, None).unwrap();
        assert_eq!((opened.kind, opened.margins), (kind, margins), "{arguments}");
        assert_eq!(Arc::ptr_eq(&opened.main, &opened.tail), one_store, "{arguments}");
    }
}

#[tokio::test]
async fn the_tail_has_the_locations_that_the_flags_name() {
    let world = World::system();
    let keys = "--aws-access-key-id k --aws-secret-access-key s";
    let fast = || TailLocation::bucket("fast");
    for (arguments, current, former, stores) in [
        ("", TailLocation::MAIN, None, 1),
        ("--tail-bucket b", TailLocation::MAIN, None, 1),
        ("--tail-bucket fast", fast(), None, 2),
        ("--tail-bucket fast --former-tail-bucket b", fast(), Some(TailLocation::MAIN), 2),
        ("--former-tail-bucket fast", TailLocation::MAIN, Some(fast()), 2),
    ] {
        let config = parse(&format!("--bucket b {keys} {arguments}"));
        let opened = config.open(&world, None).unwrap();
        let (bucket, wrapped) = opened.bucket(&world, CountingStore::new);
        assert!(bucket.can_move_tail());
        let expected = TailLocations { current, former };
        assert_eq!(*bucket.tail_locations(), expected, "{arguments}");
        assert_eq!(wrapped.len(), stores, "{arguments}");
    }
    let opened = parse("--object-store memory").open(&world, None).unwrap();
    let (bucket, _) = opened.bucket(&world, CountingStore::new);
    assert!(!bucket.can_move_tail());
    assert_eq!(*bucket.tail_locations(), TailLocations::MAIN);
}

#[test]
fn a_new_cluster_has_the_oldest_format_level_or_the_given_one() {
    for arguments in ["", "--format-level 1"] {
        let config = parse(&format!("--object-store memory {arguments}"));
        let opened = config.open(&World::system(), None).unwrap();
        let (bucket, _) = opened.bucket(&World::system(), CountingStore::new);
        let levels = bucket.format_levels();
        assert_eq!(levels, FormatLevels::SUPPORTED, "{arguments}");
        assert_eq!(levels.initial, levels.oldest, "{arguments}");
    }
}

#[tokio::test]
async fn a_key_prefix_is_part_of_every_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let config = parse(&format!("--data-dir {path} --key-prefix /clusters/one/"));
    let store = config.open(&World::system(), None).unwrap().tail;
    let put = store.put("tail/1/a", "body".into(), crate::PutMode::Create);
    put.await.unwrap();
    assert!(directory.path().join("clusters/one/tail/1/a").exists());
}

#[test]
fn the_environment_alone_is_a_configuration() {
    // The environment of the machine that runs the test is unknown. It must parse in any case.
    StoreConfig::from_environment().unwrap();
}
