//! Tests of creating, refusing and deleting cache definitions, also by two concurrent instances.

use futures::future::join_all;

use super::*;
use crate::{
    ANY_AGE, CatalogLimits, CopyOptions, HardDelete, TableAddition, tests::CatalogFixture,
};

const NOW: Duration = Duration::ZERO;

/// A table with two tags and a field of each type.
fn weather() -> TableAddition {
    let columns = [
        ("room", ColumnType::Tag),
        ("temp", ColumnType::Float),
        ("site", ColumnType::Tag),
        ("note", ColumnType::String),
        ("n", ColumnType::Integer),
        ("u", ColumnType::UInteger),
        ("open", ColumnType::Boolean),
    ];
    TableAddition {
        table: "weather".to_owned(),
        columns: columns.map(|(name, column_type)| (name.to_owned(), column_type)).to_vec(),
    }
}

fn catalog() -> DatabaseCatalog {
    let mut catalog = DatabaseCatalog::default();
    let additions = [weather(), TableAddition { table: "bare".to_owned(), columns: Vec::new() }];
    catalog.add(&additions, 0, &CatalogLimits::default()).unwrap();
    catalog
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn last(name: &str) -> NewLastCache {
    NewLastCache {
        table: "weather".to_owned(),
        name: Some(name.to_owned()),
        key_columns: None,
        value_columns: None,
        count: 1,
        ttl_s: 14_400,
    }
}

fn distinct(name: &str, columns: &[&str]) -> NewDistinctCache {
    NewDistinctCache {
        table: "weather".to_owned(),
        name: Some(name.to_owned()),
        columns: names(columns),
        max_cardinality: 100_000,
        max_age_s: 86_400,
    }
}

#[test]
fn a_last_cache_defaults_to_tag_keys_and_all_other_columns() {
    let mut catalog = catalog();
    let new = NewLastCache { name: None, ..last("") };
    let cache = catalog.add_last_cache(&new).unwrap();
    assert_eq!(cache.name, "weather_room_site_last_cache");
    assert_eq!(cache.ttl(), Duration::from_secs(14_400));
    let table = catalog.table("weather").unwrap();
    assert_eq!(cache.key_names(table), ["room", "site"]);
    let values = ["n", "note", "open", "temp", "u"];
    assert_eq!(cache.value_names(table), values);
    assert!(!cache.is_keyed_by_fields(table));
    assert_eq!(table.last_cache(&cache.name), Some(&cache));
    assert_eq!(table.distinct_cache(&cache.name), None);

    let later = TableAddition {
        table: "weather".to_owned(),
        columns: vec![("hum".to_owned(), ColumnType::Float), ("floor".to_owned(), ColumnType::Tag)],
    };
    catalog.add(&[later], 0, &CatalogLimits::default()).unwrap();
    let table = catalog.table("weather").unwrap();
    let values = ["floor", "hum", "n", "note", "open", "temp", "u"];
    assert_eq!(cache.value_names(table), values);
    assert_eq!(cache.key_names(table), ["room", "site"]);
}

#[test]
fn a_last_cache_keeps_the_order_of_explicit_columns() {
    let mut catalog = catalog();
    let new = NewLastCache {
        key_columns: Some(names(&["n", "site"])),
        value_columns: Some(names(&["temp", "time", "room"])),
        name: None,
        ..last("")
    };
    let cache = catalog.add_last_cache(&new).unwrap();
    assert_eq!(cache.name, "weather_n_site_last_cache");
    let table = catalog.table("weather").unwrap();
    assert_eq!(cache.key_names(table), ["n", "site"]);
    assert_eq!(cache.value_names(table), ["temp", "room"]);
    assert!(cache.is_keyed_by_fields(table));

    let one_key = NewLastCache {
        table: "bare".to_owned(),
        key_columns: Some(Vec::new()),
        value_columns: Some(Vec::new()),
        name: None,
        ..last("")
    };
    let cache = catalog.add_last_cache(&one_key).unwrap();
    assert_eq!(cache.name, "bare__last_cache");
    let table = catalog.table("bare").unwrap();
    assert!(cache.key_names(table).is_empty() && cache.value_names(table).is_empty());
}

#[test]
fn a_distinct_cache_keeps_the_order_of_its_columns() {
    let mut catalog = catalog();
    let new = NewDistinctCache { name: None, ..distinct("", &["site", "note"]) };
    let cache = catalog.add_distinct_cache(&new).unwrap();
    assert_eq!(cache.name, "weather_site_note_distinct_cache");
    assert_eq!(cache.max_age(), Duration::from_secs(86_400));
    let table = catalog.table("weather").unwrap();
    assert_eq!(cache.column_names(table), ["site", "note"]);
    assert!(cache.is_keyed_by_fields(table));
    assert_eq!(table.distinct_caches(), [cache]);
    let of_tags = catalog.add_distinct_cache(&distinct("tags", &["room"]));
    let table = catalog.table("weather").unwrap();
    assert!(!of_tags.unwrap().is_keyed_by_fields(table));
}

#[test]
fn errors_for_last_caches_match_influxdb() {
    let key = |columns: &[&str]| NewLastCache { key_columns: Some(names(columns)), ..last("x") };
    let value =
        |columns: &[&str]| NewLastCache { value_columns: Some(names(columns)), ..last("x") };
    let key_type =
        "only uint64, int64, bool, tag, and string columns are supported in the last cache";
    let count = |count| NewLastCache { count, ..last("x") };
    let long = "x".repeat(MAX_CACHE_NAME_BYTES + 1);
    let elsewhere = NewLastCache { table: "nope".to_owned(), ..last("x") };
    for (new, expected) in [
        (
            key(&["nope"]),
            "invalid configuration provided: invalid key column provided: nope",
        ),
        (
            value(&["temp", "nope"]),
            "invalid configuration provided: invalid value column provided: nope",
        ),
        (key(&["temp"]), key_type),
        (key(&["time"]), key_type),
        (key(&["room", "site", "room"]), "duplicate column 'room'"),
        (value(&["temp", "temp"]), "duplicate column 'temp'"),
        (
            value(&["site"]),
            "invalid configuration provided: column 'site' is in the key already",
        ),
        (
            count(0),
            "invalid configuration provided: last cache size must be from 1 to 1000",
        ),
        (
            count(1_001),
            "invalid configuration provided: last cache size must be from 1 to 1000",
        ),
        (last(""), "cache name cannot be empty"),
        (last(&long), "invalid configuration provided: cache name too long: max 512"),
        (
            key(&["room"; MAX_CACHE_COLUMNS + 1]),
            "invalid configuration provided: more than 250 columns provided",
        ),
        (elsewhere, "there is no table 'nope' in the database"),
        (last("there"), "attempted to create a resource that already exists"),
    ] {
        let mut catalog = catalog();
        catalog.add_last_cache(&last("there")).unwrap();
        let refused = catalog.add_last_cache(&new).unwrap_err();
        assert_eq!(refused.to_string(), expected);
        assert_eq!(catalog.next_cache(), CacheId::new(2));
    }
}

#[test]
fn errors_for_distinct_caches_match_influxdb() {
    let types = "only tag and string columns are supported in the distinct cache";
    let nothing = NewDistinctCache { max_cardinality: 0, ..distinct("x", &["room"]) };
    for (new, expected) in [
        (
            distinct("x", &[]),
            "invalid configuration provided: no columns provided when creating distinct cache",
        ),
        (
            distinct("x", &["room", "nope"]),
            "invalid configuration provided: invalid column provided: nope",
        ),
        (distinct("x", &["temp"]), types),
        (distinct("x", &["time"]), types),
        (distinct("x", &["room", "room"]), "duplicate column 'room'"),
        (
            nothing,
            "invalid configuration provided: distinct cache size must be greater than 0",
        ),
        (
            distinct("there", &["site"]),
            "attempted to create a resource that already exists",
        ),
    ] {
        let mut catalog = catalog();
        let there = distinct("there", &["room"]);
        catalog.add_distinct_cache(&there).unwrap();
        let refused = catalog.add_distinct_cache(&new).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
}

fn has_cache(catalog: &DatabaseCatalog, cache: CacheId) -> bool {
    catalog.cache_ids().any(|id| id == cache)
}

#[test]
fn a_database_has_a_bounded_number_of_caches() {
    let mut catalog = DatabaseCatalog::default();
    let tables: Vec<_> = (0..=MAX_CACHES / MAX_CACHES_PER_TABLE)
        .map(|n| TableAddition { table: format!("t{n}"), ..weather() })
        .collect();
    catalog.add(&tables, 0, &CatalogLimits::default()).unwrap();
    let new = |n: usize| NewLastCache {
        table: format!("t{}", n / MAX_CACHES_PER_TABLE),
        ..last(&n.to_string())
    };
    for n in 0..MAX_CACHES {
        catalog.add_last_cache(&new(n)).unwrap();
    }
    let refused = catalog.add_last_cache(&new(MAX_CACHES)).unwrap_err();
    insta::assert_snapshot!(refused, @"Adding a new cache would exceed limit of 1000 caches per database");
    let table = catalog.table_with_caches("t0").unwrap();
    table.last_caches.clear();
    catalog.add_last_cache(&new(MAX_CACHES)).unwrap();
}

#[test]
fn a_table_has_a_bounded_number_of_caches_of_each_kind() {
    let mut catalog = catalog();
    for n in 0..MAX_CACHES_PER_TABLE {
        catalog.add_last_cache(&last(&n.to_string())).unwrap();
    }
    let refused = catalog.add_last_cache(&last("more")).unwrap_err();
    assert!(matches!(refused, CatalogError::Limit(_)));
    insta::assert_snapshot!(refused, @"Adding a new cache would exceed limit of 32 caches of a kind per table");
    let other = distinct("more", &["room"]);
    catalog.add_distinct_cache(&other).unwrap();
}

#[test]
fn ids_are_not_reused_and_survive_a_drop_of_the_table() {
    let now = neap_bucket::StoreTime::from_micros(1_757_510_800_000_000);
    let mut catalog = catalog();
    let first = catalog.add_last_cache(&last("a")).unwrap().id;
    let new = distinct("a", &["room"]);
    let second = catalog.add_distinct_cache(&new).unwrap().id;
    assert_eq!((first.get(), second.get()), (1, 2));
    let caches = &mut catalog.table_with_caches("weather").unwrap().last_caches;
    remove(caches, "a", |cache| &cache.name).unwrap();
    assert!(!has_cache(&catalog, first) && has_cache(&catalog, second));
    let again = catalog.add_last_cache(&last("a")).unwrap().id;
    assert_eq!((again.get(), catalog.next_cache().get()), (3, 4));

    catalog.delete_table("weather", now, HardDelete::Never).unwrap();
    assert!(has_cache(&catalog, second) && has_cache(&catalog, again));
    let gone = catalog.add_last_cache(&last("b")).unwrap_err();
    assert!(matches!(gone, CatalogError::NoSuchTable { .. }));
}

#[test]
fn format() {
    let mut catalog = DatabaseCatalog::default();
    let without = serde_json::to_value(&catalog).unwrap();
    assert!(without.get("next_cache").is_none());
    catalog.add(&[weather()], 0, &CatalogLimits::default()).unwrap();
    catalog.add_last_cache(&last("all")).unwrap();
    let explicit = NewLastCache { value_columns: Some(names(&["temp"])), ..last("some") };
    catalog.add_last_cache(&explicit).unwrap();
    let new = distinct("rooms", &["room"]);
    catalog.add_distinct_cache(&new).unwrap();
    let json = serde_json::to_value(&catalog).unwrap();
    assert_eq!(json["next_cache"], 4);
    let table = catalog.table("weather").unwrap();
    let caches = serde_json::to_string(table.last_caches()).unwrap();
    insta::assert_snapshot!(caches, @r#"[{"id":1,"name":"all","key_columns":[1,3],"value_columns":"all_non_key","count":1,"ttl_s":14400},{"id":2,"name":"some","key_columns":[1,3],"value_columns":{"explicit":[2]},"count":1,"ttl_s":14400}]"#);
    let caches = serde_json::to_string(table.distinct_caches()).unwrap();
    insta::assert_snapshot!(caches, @r#"[{"id":3,"name":"rooms","columns":[1],"max_cardinality":100000,"max_age_s":86400}]"#);
    let read: DatabaseCatalog = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

#[tokio::test(start_paused = true)]
async fn caches_created_concurrently_by_two_instances_all_exist() {
    let stage = CatalogFixture::new();
    let instances = [stage.instance(), stage.instance()];
    let id = instances[0].create_database("db", None).await.unwrap();
    let known = instances[0].database(id, NOW).await.unwrap();
    instances[0].add(id, known, &[weather()]).await.unwrap();
    let creations = (0..6).map(|n| {
        let instance = &instances[n % 2];
        async move { instance.create_last_cache(id, &last(&n.to_string())).await }
    });
    let created = join_all(creations).await;
    let mut ids: Vec<_> = created.into_iter().map(|created| created.unwrap().1.id.get()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);

    let new = distinct("rooms", &["room"]);
    let (one, other) = futures::join!(
        instances[0].create_distinct_cache(id, &new),
        instances[1].create_distinct_cache(id, &new)
    );
    let lost = match (one, other) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        both => panic!("{both:?}"),
    };
    assert!(matches!(lost, CatalogError::AlreadyExists { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_cache_is_gone_for_every_instance_and_its_name_is_free() {
    let stage = CatalogFixture::new();
    let (one, other) = (stage.instance(), stage.instance());
    let id = one.create_database("db", None).await.unwrap();
    let known = one.database(id, NOW).await.unwrap();
    one.add(id, known, &[weather()]).await.unwrap();
    one.create_last_cache(id, &last("a")).await.unwrap();
    let new = distinct("a", &["room"]);
    one.create_distinct_cache(id, &new).await.unwrap();
    other.delete_last_cache(id, "weather", "a").await.unwrap();
    let again = one.delete_last_cache(id, "weather", "a").await.unwrap_err();
    assert_eq!(again.to_string(), "the requested resource was not found: a");
    let (catalog, _) = one.create_last_cache(id, &last("a")).await.unwrap();
    assert_eq!(catalog.value.next_cache(), CacheId::new(4));
    other.delete_distinct_cache(id, "weather", "a").await.unwrap();
    let nowhere = other.delete_distinct_cache(id, "nope", "a").await;
    assert!(matches!(nowhere, Err(CatalogError::NoSuchTable { .. })));
    let catalog = one.database(id, NOW).await.unwrap().value;
    let table = catalog.table("weather").unwrap();
    assert_eq!(table.last_caches().len(), 1);
    assert!(table.distinct_caches().is_empty());
}

#[tokio::test(start_paused = true)]
async fn creating_a_cache_is_one_read_and_one_put() {
    let (stage, instance) = CatalogFixture::with_instance();
    let id = instance.create_database("db", None).await.unwrap();
    let known = instance.database(id, NOW).await.unwrap();
    instance.add(id, known, &[weather()]).await.unwrap();
    stage.taken();
    instance.create_last_cache(id, &last("a")).await.unwrap();
    let taken = stage.taken();
    assert_eq!((taken.gets, taken.puts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_database_has_its_caches() {
    let (instance, id) = CatalogFixture::with_database().await;
    let known = instance.database(id, NOW).await.unwrap();
    instance.add(id, known, &[weather()]).await.unwrap();
    let (_, cache) = instance.create_last_cache(id, &last("a")).await.unwrap();
    let options = CopyOptions::default();
    let copy = instance.create_copy(id, "copy", options).await.unwrap();
    let catalog = instance.database(copy.id, ANY_AGE).await.unwrap().value;
    let table = catalog.table("weather").unwrap();
    assert_eq!(table.last_cache("a"), Some(&cache));
    assert_eq!(catalog.next_cache(), CacheId::new(2));
}
