//! Tests of keys, their text and their prefixes.

use proptest::prelude::*;

use super::*;

fn published_objects() -> impl Strategy<Value = PublishedObject> {
    prop_oneof![
        Just(PublishedObject::VersionHint),
        any::<u64>().prop_map(PublishedObject::Metadata),
        any::<u64>().prop_map(PublishedObject::ManifestList),
        any::<u64>().prop_map(PublishedObject::Manifest),
    ]
}

fn keys() -> impl Strategy<Value = Key> {
    let database = any::<u32>().prop_map(DatabaseId::new);
    let ulid = any::<u128>().prop_map(Ulid);
    prop_oneof![
        Just(Key::RootCatalog),
        Just(Key::RowDeletes),
        ulid.clone().prop_map(Key::ImportJob),
        ulid.clone().prop_map(Key::ImportFile),
        database.clone().prop_map(Key::DatabaseCatalog),
        database.clone().prop_map(Key::Manifest),
        database.clone().prop_map(Key::Documents),
        database.clone().prop_map(Key::ViewProgress),
        database.clone().prop_map(Key::RuleProgress),
        database.clone().prop_map(Key::SiteProgress),
        "(assets/)?[a-zA-Z0-9_.-]{1,8}[a-z]"
            .prop_filter("a name begins with no dot", |name| !name.contains("/.")
                && !name.starts_with('.'))
            .prop_map(|name| Key::Console(name.parse().unwrap())),
        (database.clone(), any::<u64>(), any::<u64>()).prop_map(|(database, stamp, nonce)| {
            Key::Segment(database, SegmentName { stamp: Stamp::from_u64(stamp), nonce })
        }),
        (database.clone(), ulid.clone()).prop_map(|(database, ulid)| Key::Parquet(database, ulid)),
        (database.clone(), ulid.clone()).prop_map(|(database, ulid)| Key::Bundle(database, ulid)),
        (database.clone(), ulid.clone()).prop_map(|(database, ulid)| Key::Page(database, ulid)),
        (database.clone(), any::<u32>(), ulid.clone()).prop_map(|(database, cache, ulid)| {
            Key::Cache(database, CacheId::new(cache), ulid)
        }),
        (database.clone(), any::<u32>())
            .prop_map(|(database, trigger)| { Key::Checkpoint(database, TriggerId::new(trigger)) }),
        (database.clone(), any::<u32>(), any::<u64>()).prop_map(|(database, trigger, millis)| {
            Key::Tick(database, TriggerId::new(trigger), millis)
        }),
        (database.clone(), ulid.clone())
            .prop_map(|(database, ulid)| Key::EngineLog(database, ulid)),
        any::<[u8; 32]>().prop_map(|hash| Key::PluginCode(CodeHash(hash))),
        ulid.clone().prop_map(Key::Node),
        Just(Key::Backups),
        ulid.clone().prop_map(Key::BackupManifest),
        (ulid.clone(), ulid.clone()).prop_map(|(backup, part)| Key::BackupProgress(backup, part)),
        (any::<u32>(), "[a-z0-9_=.-]{3,8}(/[a-z0-9=]{1,8}){0,2}").prop_map(|(database, name)| {
            Key::Export(DatabaseId::new(database), name.parse().unwrap())
        }),
        (any::<u32>(), any::<u32>(), published_objects()).prop_map(|(database, table, name)| {
            Key::Published(DatabaseId::new(database), TableId::new(table), name)
        }),
        (ulid.clone(), ulid.clone()).prop_map(|(query, ulid)| Key::TaskResult(query, ulid)),
        (ulid, "[a-z]{1,8}").prop_map(|(ulid, extension)| Key::QueryResult(ulid, extension)),
        (any::<u64>(), "[a-z0-9/]{1,8}").prop_map(|(run, name)| Key::Probe(run, name)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn each_kind_has_an_example(key in keys()) {
        let examples = Key::one_of_each_kind(DatabaseId::new(1));
        let kinds = examples.iter().map(std::mem::discriminant);
        prop_assert_eq!(kinds.filter(|kind| *kind == std::mem::discriminant(&key)).count(), 1);
    }

    #[test]
    fn keys_of_all_objects_but_results_and_probes_are_kept(key in keys()) {
        let is_temporary = matches!(
            key,
            Key::QueryResult(..) | Key::TaskResult(..) | Key::Probe(..)
        );
        let text = key.to_string();
        let is_kept = Key::KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        prop_assert_eq!(is_kept, !is_temporary);
    }

    #[test]
    fn every_key_parses_to_itself(key in keys()) {
        let text = key.to_string();
        prop_assert_eq!(text.parse::<Key>(), Ok(key.clone()));
        prop_assert_eq!(KeyClass::from_key(&text), key.class());
        prop_assert_eq!(Key::database_in(&text), key.database());
    }

    #[test]
    fn segments_sort_by_stamp_and_around_a_mark(stamps in proptest::array::uniform2(any::<u64>()), nonce: u64) {
        let database = DatabaseId::new(1);
        let [one, two] = stamps.map(|stamp| {
            Key::Segment(database, SegmentName { stamp: Stamp::from_u64(stamp), nonce }).to_string()
        });
        prop_assert_eq!(one.cmp(&two), stamps[0].cmp(&stamps[1]));
        let after = Key::tail_after(database, Stamp::from_u64(stamps[0]));
        prop_assert!(one < after);
        prop_assert_eq!(two > after, stamps[1] > stamps[0]);
    }
}

#[test]
fn prefixes_name_the_database_of_the_keys_below_them() {
    let database = DatabaseId::new(7);
    for prefix in [
        Key::tail_prefix(database),
        Key::data_prefix(database),
        Key::cache_prefix(database),
        Key::engine_log_prefix(database),
        Key::published_prefix(database),
    ] {
        assert_eq!(Key::database_in(&prefix), Some(database), "{prefix}");
    }
    for key in ["tail/", "tail/x/", "db/7", "catalog", "results/7/x", "published/7/x"] {
        assert_eq!(Key::database_in(key), None, "{key}");
    }
}

#[test]
fn text_that_is_not_canonical_is_not_a_key() {
    for text in [
        "",
        "Catalog",
        "db/01/catalog",
        "tail/1/5-0.wal",
        "data/1/x.parquet",
        "data/1/00000000010000000000000001.section",
        "cache/1/2",
        "cache/1/02/00000000000000000000000001",
        "db/1/other",
        "console/",
        "console/.hidden",
        "console/assets/../index.html",
        "console/other/a.js",
        "engine/1/2/tick/5",
        "engine/1/log",
        "plugins/abc",
        "exports/1",
        "exports/1/",
        "exports/01/a.csv",
        "exports/1/../a.csv",
        "published/iceberg/1/2",
        "published/iceberg/1/2/metadata/v01.metadata.json",
        "published/iceberg/1/2/metadata/v1.json",
        "published/iceberg/1/2/data/v1.metadata.json",
        "imports/00000000000000000000000001",
        "imports/00000000000000000000000001/file",
        "nodes/one",
        "backups/one/manifest",
        "backups/00000000010000000000000001/objects/catalog",
        "nodes/00000000000000000000000001/2",
    ] {
        assert!(text.parse::<Key>().is_err(), "{text}");
    }
}
