use neap_bucket::{MAX_CATALOG_AGE, StoreTime};
use neap_schema::ColumnType;

use super::*;
use crate::{
    ANY_AGE, CatalogLimits, HardDelete, MAX_ALIASES, NewLastCache, NewTrigger, NewView,
    RestoredDatabase, TableAddition, ViewLanguage, ViewReference, ViewTargetDatabase, ViewWindows,
    tests::CatalogFixture,
};

const NEVER: HardDelete = HardDelete::Never;

async fn rename(catalog: &Catalog, name: &str, new_name: &str) -> Result<(), CatalogError> {
    catalog.rename_database_if(name, new_name, |_, _| true).await
}

async fn delete_alias(catalog: &Catalog, alias: &str) -> Result<(), CatalogError> {
    catalog.delete_database_alias_if(alias, |_| true).await
}

async fn find(catalog: &Catalog, name: &str) -> Option<DatabaseId> {
    catalog.root(Duration::ZERO).await.unwrap().value.database(name)
}

async fn names(catalog: &Catalog) -> Vec<String> {
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    root.live_databases().map(|(_, entry)| entry.name.clone()).collect()
}

/// Restores databases without contents. Returns their ids.
async fn restore(catalog: &Catalog, names: &[&str]) -> Vec<DatabaseId> {
    let owned: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let copies = catalog.add_restored_databases(&owned).await.unwrap();
    let restored: Vec<_> = copies
        .iter()
        .zip(owned)
        .map(|(copy, name)| RestoredDatabase { copy: *copy, name, source: None })
        .collect();
    catalog.publish_restored(&restored, &[], true).await.unwrap();
    copies
}

async fn table_names(catalog: &Catalog, database: DatabaseId) -> Vec<(String, Vec<String>)> {
    let read = catalog.database(database, Duration::ZERO).await.unwrap().value;
    let tables = read.tables();
    tables
        .map(|table| (table.name().to_owned(), table.aliases().to_vec()))
        .collect()
}

fn is_alias(error: CatalogError, of: &str) -> bool {
    matches!(error, CatalogError::NameIsAlias { present_name, .. } if present_name == of)
}

fn view(name: &str, source: &str, target: &str) -> NewView {
    let windows = ViewWindows::since_epoch(60);
    NewView::new(name, ViewLanguage::Sql, "SELECT 1", source, target, windows)
}

#[tokio::test(start_paused = true)]
async fn a_renamed_database_has_both_names_until_the_alias_is_deleted() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("a", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    assert_eq!(find(&catalog, "a").await, Some(id));
    assert_eq!(find(&catalog, "b").await, Some(id));
    assert_eq!(names(&catalog).await, ["b"]);
    assert_eq!(catalog.get_or_create_database("a", ANY_AGE).await.unwrap(), id);

    let created = catalog.create_database("a", None).await.unwrap_err();
    assert_eq!(
        created.to_string(),
        "'a' is an alias of 'b': use this name, or delete the alias first"
    );
    let dropped = catalog.delete_database("a", NEVER).await.unwrap_err();
    assert!(is_alias(dropped, "b"));

    delete_alias(&catalog, "a").await.unwrap();
    assert_eq!(find(&catalog, "a").await, None);
    assert_ne!(catalog.create_database("a", None).await.unwrap(), id);
    for not_alias in ["a", "b", "none"] {
        let error = delete_alias(&catalog, not_alias).await.unwrap_err();
        assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_rename_changes_nothing_and_a_name_can_be_taken_back() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("a", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    let version = catalog.root(Duration::ZERO).await.unwrap().version;
    rename(&catalog, "a", "b").await.unwrap();
    assert_eq!(catalog.root(Duration::ZERO).await.unwrap().version, version);
    rename(&catalog, "b", "a").await.unwrap();
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    let entry = &root.databases()[&id];
    assert_eq!((entry.name.as_str(), entry.aliases.as_slice()), ("a", &["b".to_owned()][..]));
}

#[tokio::test(start_paused = true)]
async fn retention_policies_follow_their_database() {
    let catalog = CatalogFixture::new().instance();
    catalog.create_database("a", None).await.unwrap();
    let week = catalog.create_database("a/week", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    assert_eq!(names(&catalog).await, ["b", "b/week"]);
    for name in ["a/week", "b/week"] {
        assert_eq!(find(&catalog, name).await, Some(week), "{name}");
    }
    // A policy that a client of the old name creates is one of the database.
    let year = catalog.get_or_create_database("a/year", ANY_AGE).await.unwrap();
    assert_eq!(names(&catalog).await, ["b", "b/week", "b/year"]);
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    assert_eq!(root.policies().into_values().next().unwrap(), [week, year]);
    // One that was dropped before the rename, too.
    catalog.delete_database("b/year", NEVER).await.unwrap();
    rename(&catalog, "b", "c").await.unwrap();
    let undeleted = catalog.undelete_database("b/year", None).await.unwrap();
    assert_eq!(undeleted, (year, "c/year".to_owned()));
    rename(&catalog, "c", "b").await.unwrap();
    // And one that is undeleted under an alias of its database.
    catalog.delete_database("b/year", NEVER).await.unwrap();
    let undeleted = catalog.undelete_database("b/year", Some("c/year")).await.unwrap();
    assert_eq!(undeleted, (year, "b/year".to_owned()));
    delete_alias(&catalog, "c").await.unwrap();
    for (name, new_name) in [("a/week", "a/month"), ("b", "b/c")] {
        let error = rename(&catalog, name, new_name).await.unwrap_err();
        assert!(matches!(error, CatalogError::InvalidRename { .. }), "{error}");
    }
    catalog.create_database("c/day", None).await.unwrap();
    let error = rename(&catalog, "b", "c").await.unwrap_err();
    assert!(error.to_string().contains("'c/day' would be its own"), "{error}");
    delete_alias(&catalog, "a").await.unwrap();
    assert_eq!(find(&catalog, "a/week").await, None);
}

#[tokio::test(start_paused = true)]
async fn names_of_others_are_refused() {
    let catalog = CatalogFixture::new().instance();
    for name in ["a", "taken", "gone"] {
        catalog.create_database(name, None).await.unwrap();
    }
    catalog.delete_database("gone", NEVER).await.unwrap();
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    let dropped = root.databases().values().find(|entry| entry.deletion.is_some());
    for name in ["taken", &dropped.unwrap().name] {
        let error = rename(&catalog, "a", name).await.unwrap_err();
        assert!(matches!(error, CatalogError::AlreadyExists { .. }), "{error}");
    }
    rename(&catalog, "taken", "other").await.unwrap();
    assert!(is_alias(rename(&catalog, "a", "taken").await.unwrap_err(), "other"));
    for invalid in ["", "_internal"] {
        let error = rename(&catalog, "a", invalid).await.unwrap_err();
        assert!(matches!(error, CatalogError::InvalidName(_)), "{error}");
    }
    let missing = rename(&catalog, "none", "x").await.unwrap_err();
    assert!(matches!(missing, CatalogError::NotFound { .. }));
    rename(&catalog, "a", "gone").await.unwrap();
    let undeleted = catalog.undelete_database("gone", None).await.unwrap_err();
    assert!(matches!(undeleted, CatalogError::AlreadyExists { .. }));
}

#[tokio::test(start_paused = true)]
async fn renaming_requires_the_permissions_to_delete_and_to_create() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("a", None).await.unwrap();
    let delete = |action, of| (action, of) == (DatabaseAction::Delete, Some(id));
    let create = |action, of| (action, of) == (DatabaseAction::Create, None);
    for name in ["a", "none"] {
        let error = catalog.rename_database_if(name, "b", create).await.unwrap_err();
        assert!(matches!(error, CatalogError::Forbidden), "{error}");
    }
    let error = catalog.rename_database_if("a", "b", delete).await.unwrap_err();
    assert!(matches!(error, CatalogError::Forbidden), "{error}");
    let both = |action, of| delete(action, of) || create(action, of);
    catalog.rename_database_if("a", "b", both).await.unwrap();
    let error = catalog.delete_database_alias_if("a", |_| false).await.unwrap_err();
    assert!(matches!(error, CatalogError::Forbidden), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_for_a_renamed_database_is_for_both_names() {
    let catalog = CatalogFixture::new().instance();
    catalog.create_database("a", None).await.unwrap();
    let token = async |name: &str, permission: &str| {
        let permissions = [permission.parse().unwrap()];
        let token = catalog.create_resource_token(name, &permissions, None, None);
        token.await.unwrap().id
    };
    let before = token("before", "db:a:read").await;
    rename(&catalog, "a", "b").await.unwrap();
    let after = token("after", "db:a:read").await;
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    for token in [before, after] {
        let permissions = &root.tokens()[&token].permissions;
        for name in ["a", "b"] {
            assert!(permissions.allow(DatabaseAction::Read, root.database(name)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_undeleted_database_has_the_aliases_that_are_still_free() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("a", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    rename(&catalog, "b", "c").await.unwrap();
    catalog.delete_database("c", NEVER).await.unwrap();
    assert_eq!(find(&catalog, "a").await, None);
    let other = catalog.create_database("a", None).await.unwrap();
    catalog.undelete_database("c", None).await.unwrap();
    assert_eq!(find(&catalog, "a").await, Some(other));
    assert_eq!(find(&catalog, "b").await, Some(id));
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_gets_its_name_and_the_aliases_of_the_one_that_it_replaces() {
    let catalog = CatalogFixture::new().instance();
    let present = catalog.create_database("a", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    let of_b = restore(&catalog, &["b"]).await[0];
    for name in ["a", "b"] {
        assert_eq!(find(&catalog, name).await, Some(of_b), "{name}");
    }
    let of_a = restore(&catalog, &["a"]).await[0];
    assert_eq!(find(&catalog, "a").await, Some(of_a));
    assert_eq!(find(&catalog, "b").await, Some(of_b));
    catalog.undelete_database("b", Some("before")).await.unwrap();
    assert_eq!(find(&catalog, "before").await, Some(present));
    assert_eq!(find(&catalog, "a").await, Some(of_a));
}

#[tokio::test(start_paused = true)]
async fn a_restored_policy_is_one_of_the_database_that_its_name_means() {
    let catalog = CatalogFixture::new().instance();
    let present = catalog.create_database("a", None).await.unwrap();
    catalog.create_database("a/week", None).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    let week = restore(&catalog, &["a/week"]).await[0];
    assert_eq!(names(&catalog).await, ["b", "b/week"]);
    assert_eq!(find(&catalog, "a").await, Some(present));
    assert_eq!(find(&catalog, "a/week").await, Some(week));
    // With its database, in any order.
    let restored = restore(&catalog, &["a/week", "a"]).await;
    assert_eq!(names(&catalog).await, ["b", "b/week", "a/week", "a"]);
    assert_eq!(find(&catalog, "a/week").await, Some(restored[0]));
    assert_eq!(find(&catalog, "b/week").await, Some(week));
}

#[tokio::test(start_paused = true)]
async fn a_renamed_table_keeps_its_id_its_caches_and_both_names() {
    let (catalog, db) = CatalogFixture::with_database().await;
    let tags = ["host".to_owned()];
    catalog.create_table(db, "a", &tags, &[]).await.unwrap();
    let cache = NewLastCache {
        table: "a".to_owned(),
        name: Some("c".to_owned()),
        key_columns: None,
        value_columns: None,
        count: 1,
        ttl_s: 60,
    };
    catalog.create_last_cache(db, &cache).await.unwrap();
    let id = catalog.rename_table(db, "a", "b").await.unwrap();
    assert_eq!(catalog.rename_table(db, "a", "b").await.unwrap(), id);
    assert_eq!(table_names(&catalog, db).await, [("b".to_owned(), vec!["a".to_owned()])]);
    let read = catalog.database(db, Duration::ZERO).await.unwrap();
    for name in ["a", "b"] {
        let table = read.value.table(name).unwrap();
        assert_eq!(table.id(), id);
        assert!(table.last_cache("c").is_some() && table.is_named(name));
    }
    // A write of a client that uses the old name adds columns to the same table.
    let addition = TableAddition {
        table: "a".to_owned(),
        columns: vec![("v".to_owned(), ColumnType::Float)],
    };
    let added = catalog.add(db, read, &[addition]).await.unwrap().value;
    assert_eq!(added.table("b").unwrap().columns().len(), 3);

    let created = catalog.create_table(db, "a", &[], &[]).await.unwrap_err();
    assert!(is_alias(created, "b"));
    assert!(is_alias(catalog.delete_table(db, "a", NEVER).await.unwrap_err(), "b"));
    catalog.create_table(db, "c", &[], &[]).await.unwrap();
    assert!(is_alias(catalog.rename_table(db, "c", "a").await.unwrap_err(), "b"));
    let taken = catalog.rename_table(db, "c", "b").await.unwrap_err();
    assert!(matches!(taken, CatalogError::AlreadyExists { .. }));
    catalog.delete_table_alias(db, "a").await.unwrap();
    catalog.rename_table(db, "c", "a").await.unwrap();
    let missing = catalog.delete_table_alias(db, "b").await.unwrap_err();
    assert!(matches!(missing, CatalogError::NotFound { .. }));
    let invalid = catalog.rename_table(db, "b", "").await.unwrap_err();
    assert!(matches!(invalid, CatalogError::InvalidTableName(_)), "{invalid}");
}

#[tokio::test(start_paused = true)]
async fn an_undeleted_table_has_the_aliases_that_are_still_free() {
    let (catalog, db) = CatalogFixture::with_database().await;
    catalog.create_table(db, "a", &[], &[]).await.unwrap();
    catalog.rename_table(db, "a", "b").await.unwrap();
    catalog.rename_table(db, "b", "c").await.unwrap();
    catalog.delete_table(db, "c", NEVER).await.unwrap();
    catalog.create_table(db, "a", &[], &[]).await.unwrap();
    catalog.undelete_table(db, "c", None).await.unwrap();
    assert_eq!(
        table_names(&catalog, db).await,
        [("c".to_owned(), vec!["b".to_owned()]), ("a".to_owned(), Vec::new())]
    );
}

#[test]
fn a_copy_as_of_a_time_takes_the_name_of_a_dropped_table_from_an_alias() {
    let mut catalog = DatabaseCatalog::default();
    let add = |catalog: &mut DatabaseCatalog| {
        let addition = TableAddition { table: "t".to_owned(), columns: Vec::new() };
        catalog.add(&[addition], 0, &CatalogLimits::default()).unwrap();
    };
    let at = |seconds: i64| StoreTime::from_micros((1_757_510_000 + seconds) * 1_000_000);
    add(&mut catalog);
    catalog.delete_table("t", at(20), NEVER).unwrap();
    add(&mut catalog);
    catalog.rename_table(TableId::new(2), "u").unwrap();
    let options = crate::CopyOptions { as_of: Some(at(10)), ..crate::CopyOptions::default() };
    let copy = catalog.copied(options, at(30)).unwrap();
    assert_eq!(copy.table("t").unwrap().id(), TableId::new(1));
    assert_eq!(copy.table("u").unwrap().id(), TableId::new(2));
}

#[tokio::test(start_paused = true)]
async fn views_and_triggers_of_a_renamed_table_keep_its_alias() {
    let (catalog, db) = CatalogFixture::with_database().await;
    for name in ["cpu", "hourly"] {
        catalog.create_table(db, name, &[], &[]).await.unwrap();
    }
    catalog.create_view(db, &view("v", "cpu", "hourly")).await.unwrap();
    let trigger = NewTrigger::new(
        "t",
        "p.py",
        TriggerSpecification::SingleTableWalWrite { table_name: "mem".to_owned() },
    );
    catalog.create_trigger(db, &trigger).await.unwrap();
    catalog.create_table(db, "mem", &[], &[]).await.unwrap();
    for (name, new_name) in [("cpu", "processor"), ("hourly", "averages"), ("mem", "memory")] {
        catalog.rename_table(db, name, new_name).await.unwrap();
    }
    for (alias, user) in [
        ("cpu", "materialized view 'v'"),
        ("hourly", "materialized view 'v'"),
        ("mem", "trigger 't'"),
    ] {
        let error = catalog.delete_table_alias(db, alias).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{user} uses the alias '{alias}'"));
    }
    // The rules for the tables of views are those of the tables, under any of their names.
    for (new, reason) in [
        (view("w", "memory", "averages"), "gets the rows of"),
        (view("w", "averages", "processor"), "depend on themselves"),
    ] {
        let error = catalog.create_view(db, &new).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // Another table can't take the place of one that a view names.
    catalog.delete_table(db, "processor", NEVER).await.unwrap();
    let error = catalog.rename_table(db, "memory", "cpu").await.unwrap_err();
    assert!(error.to_string().contains("materialized view 'v'"), "{error}");
    catalog.delete_view(db, "v", ViewLanguage::Sql).await.unwrap();
    catalog.delete_table_alias(db, "hourly").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_a_view_of_another_database_writes_is_reserved_under_any_name() {
    let catalog = CatalogFixture::new().instance();
    let own = catalog.create_database("own", None).await.unwrap();
    let other = catalog.create_database("other", None).await.unwrap();
    catalog.create_table(other, "t", &[], &[]).await.unwrap();
    let into_other = |name: &str, table: &str| {
        let mut new = view(name, "cpu", table);
        new.language = ViewLanguage::InfluxQl;
        new.target.database = Some(ViewTargetDatabase { id: other, name: "other".to_owned() });
        new
    };
    catalog.create_view(own, &into_other("v", "t")).await.unwrap();
    catalog.rename_table(other, "t", "u").await.unwrap();
    for table in ["t", "u"] {
        for (database, new) in [(own, into_other("w", table)), (other, view("w", "mem", table))] {
            let error = catalog.create_view(database, &new).await.unwrap_err();
            assert!(matches!(error, CatalogError::InvalidView { .. }), "{error}");
        }
    }
    let in_use = catalog.delete_table_alias(other, "t").await.unwrap_err();
    assert!(matches!(in_use, CatalogError::AliasInUse { .. }));
    let holder = ViewReference { database: own, view: "v".to_owned() };
    catalog.reserve_view_target(other, "t", &holder, ANY_AGE).await.unwrap();
    catalog.delete_view(own, "v", ViewLanguage::InfluxQl).await.unwrap();
    catalog.create_view(own, &into_other("w", "u")).await.unwrap();
    catalog.delete_table_alias(other, "t").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_instance_finds_a_new_name_at_once_and_a_deleted_alias_never() {
    let fixture = CatalogFixture::new();
    let (one, other) = (fixture.instance(), fixture.instance());
    let id = one.create_database("a", None).await.unwrap();
    one.create_table(id, "t", &[], &[]).await.unwrap();
    let found = async |name: &str| other.database_by_name(name, MAX_CATALOG_AGE).await.unwrap();
    let table = async |name: &str| {
        let catalog = other.database(id, MAX_CATALOG_AGE).await.unwrap();
        catalog.value.table(name).map(|table| table.id())
    };
    assert_eq!(found("a").await, Some(id));
    let table_id = table("t").await;
    assert!(table_id.is_some());
    let started_at = fixture.bucket.world().clock.monotonic();
    rename(&one, "a", "b").await.unwrap();
    one.rename_table(id, "t", "u").await.unwrap();
    assert_eq!(fixture.bucket.world().clock.monotonic(), started_at);
    assert_eq!((found("a").await, found("b").await), (Some(id), Some(id)));
    assert_eq!(table("t").await, table_id);
    delete_alias(&one, "a").await.unwrap();
    one.delete_table_alias(id, "t").await.unwrap();
    assert_eq!((found("a").await, found("b").await), (None, Some(id)));
    assert_eq!((table("t").await, table("u").await), (None, table_id));
}

#[tokio::test(start_paused = true)]
async fn renames_are_recorded_in_the_audit_log() {
    let catalog = CatalogFixture::new().instance();
    let id = catalog.create_database("a", None).await.unwrap();
    catalog.create_table(id, "t", &[], &[]).await.unwrap();
    rename(&catalog, "a", "b").await.unwrap();
    delete_alias(&catalog, "a").await.unwrap();
    catalog.rename_table(id, "t", "u").await.unwrap();
    catalog.delete_table_alias(id, "t").await.unwrap();
    let root = catalog.root(Duration::ZERO).await.unwrap().value;
    let database = catalog.database(id, Duration::ZERO).await.unwrap().value;
    let entries = root.audit().chain(database.audit());
    let shown = |entry: &crate::AuditEntry| {
        format!("{} {} {}", entry.action, entry.target, entry.detail.clone().unwrap_or_default())
    };
    let shown: Vec<_> = entries.map(shown).filter(|text| !text.starts_with("create")).collect();
    assert_eq!(
        shown,
        [
            "rename database a to b",
            "delete database alias a of b",
            "rename table t to u",
            "delete table alias t of u",
        ]
    );
}

#[test]
fn format_of_a_renamed_table() {
    let mut catalog = DatabaseCatalog::default();
    let addition = TableAddition { table: "a".to_owned(), columns: Vec::new() };
    catalog.add(&[addition], 0, &CatalogLimits::default()).unwrap();
    catalog.rename_table(TableId::new(1), "b").unwrap();
    let json = serde_json::to_value(&catalog).unwrap();
    assert_eq!(json["tables"]["1"]["name"], "b");
    assert_eq!(json["tables"]["1"]["aliases"], serde_json::json!(["a"]));
    let read: DatabaseCatalog = serde_json::from_value(json).unwrap();
    assert_eq!(read.table("a").unwrap().id(), TableId::new(1));
    for number in 1..MAX_ALIASES {
        catalog.rename_table(TableId::new(1), &format!("t{number}")).unwrap();
    }
    let refused = catalog.rename_table(TableId::new(1), "one too many");
    assert!(matches!(refused, Err(CatalogError::Limit(_))));
}
