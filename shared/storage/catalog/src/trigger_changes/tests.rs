//! Tests of creating, switching and deleting triggers, also by two concurrent instances.

use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{CopyOptions, HardDelete, tests::CatalogFixture};

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn new(name: &str) -> NewTrigger {
    NewTrigger::new(name, "p.py", TriggerSpecification::AllTablesWalWrite)
}

async fn database(catalog: &Catalog) -> DatabaseId {
    catalog.create_database("db", None).await.unwrap()
}

async fn names(catalog: &Catalog, database: DatabaseId) -> Vec<String> {
    let read = catalog.database(database, NOW).await.unwrap().value;
    read.triggers().map(|trigger| trigger.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_trigger_exists_until_it_is_deleted_and_its_id_is_not_reused() {
    let catalog = CatalogFixture::new().instance();
    let db = database(&catalog).await;
    let created = catalog.create_trigger(db, &new("t")).await.unwrap();
    assert_eq!(created.id, TriggerId::new(1));
    let again = catalog.create_trigger(db, &new("t")).await.unwrap_err();
    assert_eq!(again.to_string(), "attempted to create a resource that already exists");
    let enabled = catalog.delete_trigger(db, "t", false).await.unwrap_err();
    assert_eq!(
        enabled.to_string(),
        "Cannot delete running plugin t. Disable it first or use --force."
    );
    catalog.delete_trigger(db, "t", true).await.unwrap();
    let gone = catalog.delete_trigger(db, "t", true).await.unwrap_err();
    assert_eq!(gone.to_string(), "the requested resource was not found: t");
    let created = catalog.create_trigger(db, &new("t")).await.unwrap();
    assert_eq!(created.id, TriggerId::new(2));
    catalog.set_trigger_enabled(db, "t", false).await.unwrap();
    catalog.delete_trigger(db, "t", false).await.unwrap();
    assert!(names(&catalog, db).await.is_empty());
    let database = catalog.database(db, NOW).await.unwrap().value;
    let audit: Vec<_> = database.audit().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        audit,
        [
            "create trigger",
            "delete trigger",
            "create trigger",
            "disable trigger",
            "delete trigger"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn switching_is_idempotent_and_enabling_resets_since() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let db = database(&catalog).await;
    let created = catalog.create_trigger(db, &new("t")).await.unwrap();
    stage.sleep(SECOND).await;
    stage.taken();
    let same = catalog.set_trigger_enabled(db, "t", true).await.unwrap();
    assert_eq!((same, stage.taken().puts), (Arc::clone(&created), 0));
    let disabled = catalog.set_trigger_enabled(db, "t", false).await.unwrap();
    assert!(disabled.disabled);
    assert_eq!(disabled.since, created.since);
    let same = catalog.disable_failed_trigger(db, created.id, created.since).await.unwrap();
    assert_eq!(same, disabled);
    stage.sleep(SECOND).await;
    let enabled = catalog.set_trigger_enabled(db, "t", true).await.unwrap();
    assert!(!enabled.disabled && enabled.since > created.since);
    let late = catalog.disable_failed_trigger(db, created.id, created.since).await.unwrap();
    assert_eq!(late, enabled, "a failure from before does not count");
    let failed = catalog.disable_failed_trigger(db, created.id, enabled.since).await.unwrap();
    assert!(failed.disabled);

    catalog.delete_trigger(db, "t", false).await.unwrap();
    catalog.create_trigger(db, &new("t")).await.unwrap();
    let namesake = catalog.disable_failed_trigger(db, created.id, enabled.since).await;
    assert!(matches!(namesake, Err(CatalogError::NotFound { .. })));
    let none = catalog.set_trigger_enabled(db, "none", true).await;
    assert!(matches!(none, Err(CatalogError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn code_is_pinned_and_put_only_once() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let db = database(&catalog).await;
    catalog.create_trigger(db, &new("t")).await.unwrap();
    let code = CodeHash([7; 32]);
    let pinned = catalog.set_trigger_code(db, "t", code).await.unwrap();
    assert_eq!(pinned.code, Some(code));
    stage.taken();
    catalog.set_trigger_code(db, "t", code).await.unwrap();
    assert_eq!(stage.taken().puts, 0);
    let none = catalog.set_trigger_code(db, "none", code).await;
    assert!(matches!(none, Err(CatalogError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_root_catalog_marks_a_database_before_its_first_trigger_exists() {
    let (stage, catalog) = CatalogFixture::with_instance();
    let (db, _) = (database(&catalog).await, catalog.create_database("other", None).await);
    let with_triggers = async || {
        let root = catalog.root(NOW).await.unwrap().value;
        let databases = root.databases_with_triggers();
        databases.map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert!(with_triggers().await.is_empty());
    stage.taken();
    catalog.create_trigger(db, &new("a")).await.unwrap();
    assert_eq!(stage.taken().puts, 2);
    catalog.create_trigger(db, &new("b")).await.unwrap();
    assert_eq!(stage.taken().puts, 1);
    for name in ["a", "b"] {
        catalog.delete_trigger(db, name, true).await.unwrap();
    }
    assert_eq!(with_triggers().await, [db]);
    catalog.delete_database("db", HardDelete::Never).await.unwrap();
    assert!(with_triggers().await.is_empty());
    let unknown = catalog.create_trigger(DatabaseId::new(77), &new("a")).await;
    assert!(matches!(unknown, Err(CatalogError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn only_one_of_two_instances_creates_a_trigger_of_a_name() {
    let stage = CatalogFixture::new();
    let instances = [stage.instance(), stage.instance()];
    let db = database(&instances[0]).await;
    let creations = (0..6).map(|number| {
        let new = new(&format!("t{}", number / 2));
        let catalog = &instances[number % 2];
        async move { catalog.create_trigger(db, &new).await }
    });
    let made = join_all(creations).await;
    let ids: Vec<_> = made.iter().flatten().map(|trigger| trigger.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(names(&instances[0], db).await.len(), 3);
    let refused = made.iter().filter_map(|made| made.as_ref().err());
    assert!(refused.clone().all(|error| matches!(error, CatalogError::AlreadyExists { .. })));
    assert_eq!(refused.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn oversized_triggers_are_refused() {
    let catalog = CatalogFixture::new().instance();
    let db = database(&catalog).await;
    let long = "x".repeat(MAX_TRIGGER_NAME_BYTES + 1);
    let arguments = |number: usize, bytes: usize| {
        let arguments = (0..number).map(|key| (format!("{key:02}"), "v".repeat(bytes)));
        Some(arguments.collect())
    };
    let wrong = [
        new(""),
        new(&long),
        NewTrigger { plugin: long.clone(), ..new("t") },
        NewTrigger {
            specification: TriggerSpecification::RequestPath { path: long },
            ..new("t")
        },
        NewTrigger { arguments: arguments(65, 0), ..new("t") },
        NewTrigger { arguments: arguments(2, 32 << 10), ..new("t") },
    ];
    for wrong in wrong {
        let error = catalog.create_trigger(db, &wrong).await.unwrap_err();
        let is_expected = matches!(
            error,
            CatalogError::InvalidTrigger { .. } | CatalogError::EmptyName { what: "trigger" }
        );
        assert!(is_expected, "{error}");
    }
    let most = NewTrigger { arguments: arguments(64, 1_022), ..new("t") };
    catalog.create_trigger(db, &most).await.unwrap();

    let mut full = DatabaseCatalog::default();
    let now = StoreTime::from_micros(0);
    for number in 0..MAX_TRIGGERS {
        full.add_trigger(&new(&number.to_string()), now).unwrap();
    }
    let error = full.add_trigger(&new("more"), now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Adding a new trigger would exceed limit of 1000 triggers per database"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_database_has_its_triggers_disabled() {
    let catalog = CatalogFixture::new().instance();
    let db = database(&catalog).await;
    let plain = catalog.create_copy(db, "plain", CopyOptions::default()).await.unwrap().id;
    catalog.create_trigger(db, &new("t")).await.unwrap();
    let copy = catalog.create_copy(db, "copy", CopyOptions::default()).await.unwrap();
    let trigger = copy.catalog.value.trigger("t").unwrap();
    assert!(trigger.disabled);
    let root = catalog.root(NOW).await.unwrap().value;
    let has = |id| root.databases()[&id].has_triggers;
    assert_eq!((has(plain), has(copy.id)), (false, true));
    let source = catalog.database(db, NOW).await.unwrap().value;
    assert!(!source.trigger("t").unwrap().disabled);
}

#[test]
fn format() {
    let mut catalog = DatabaseCatalog::default();
    let now = StoreTime::from_micros(1_757_510_705_000_000);
    catalog.add_trigger(&new("all"), now).unwrap();
    let specifications = [
        TriggerSpecification::SingleTableWalWrite { table_name: "cpu".to_owned() },
        TriggerSpecification::Schedule { schedule: "TZ=Europe/Berlin 0 0 6 * * *".to_owned() },
        TriggerSpecification::Every { duration: Duration::from_millis(1_500) },
        TriggerSpecification::RequestPath { path: "hook".to_owned() },
    ];
    for (specification, name) in
        specifications.into_iter().zip(["table", "cron", "every", "request"])
    {
        let full = NewTrigger {
            code: Some(CodeHash([0xab; 32])),
            specification,
            arguments: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
            run_async: true,
            error_behavior: ErrorBehavior::Disable,
            disabled: true,
            ..new(name)
        };
        catalog.add_trigger(&full, now).unwrap();
    }
    let full_json = |id: u32, name: &str, specification: Value| {
        json!({
            "id": id, "name": name, "plugin": "p.py",
            "code": "abababababababababababababababababababababababababababababababab",
            "specification": specification, "arguments": {"k": "v"}, "run_async": true,
            "error_behavior": "disable", "disabled": true, "since": 1_757_510_705_000_000_i64,
        })
    };
    let expected = json!({
        "next_table": 1, "tables": {},
        "triggers": {
            "1": {
                "id": 1, "name": "all", "plugin": "p.py", "specification": "all_tables_wal_write",
                "run_async": false, "error_behavior": "log", "disabled": false,
                "since": 1_757_510_705_000_000_i64,
            },
            "2": full_json(2, "table", json!({"single_table_wal_write": {"table_name": "cpu"}})),
            "3": full_json(3, "cron", json!({"schedule": {"schedule": "TZ=Europe/Berlin 0 0 6 * * *"}})),
            "4": full_json(4, "every", json!({"every": {"duration": {"secs": 1, "nanos": 500_000_000}}})),
            "5": full_json(5, "request", json!({"request_path": {"path": "hook"}})),
        },
        "next_trigger": 6,
    });
    assert_eq!(serde_json::to_value(&catalog).unwrap(), expected);
    let json = serde_json::to_string(&catalog).unwrap();
    let read: DatabaseCatalog = serde_json::from_str(&json).unwrap();
    assert!(read.triggers().eq(catalog.triggers()));
    assert_eq!(read.next_trigger, TriggerId::new(6));
}

#[test]
fn a_catalog_without_triggers_does_not_mention_them() {
    let catalog: DatabaseCatalog = serde_json::from_str(r#"{"next_table":1,"tables":{}}"#).unwrap();
    assert_eq!(catalog.triggers().count(), 0);
    assert_eq!(catalog.next_trigger, crate::triggers::first_id());
    let json = serde_json::to_value(&catalog).unwrap();
    assert_eq!(json.get("triggers"), None);
    assert_eq!(json.get("next_trigger"), None);
}

fn specifications() -> impl Strategy<Value = TriggerSpecification> {
    prop_oneof![
        Just(TriggerSpecification::AllTablesWalWrite),
        "\\PC{0,9}".prop_map(|table_name| TriggerSpecification::SingleTableWalWrite { table_name }),
        "\\PC{0,9}".prop_map(|schedule| TriggerSpecification::Schedule { schedule }),
        "\\PC{0,9}".prop_map(|path| TriggerSpecification::RequestPath { path }),
        any::<Duration>().prop_map(|duration| TriggerSpecification::Every { duration }),
    ]
}

fn triggers() -> impl Strategy<Value = NewTrigger> {
    let texts = ("\\PC{1,9}", "\\PC{0,9}");
    let flags = (any::<bool>(), any::<bool>(), 0_usize..3);
    let arguments = proptest::collection::btree_map("\\PC{0,5}", "\\PC{0,5}", 0..4);
    let code = proptest::option::of(any::<[u8; 32]>());
    let arguments = proptest::option::of(arguments);
    (texts, specifications(), flags, arguments, code).prop_map(
        |((name, plugin), specification, (run_async, disabled, behavior), arguments, code)| {
            NewTrigger {
                code: code.map(CodeHash),
                arguments,
                run_async,
                error_behavior: [ErrorBehavior::Log, ErrorBehavior::Retry, ErrorBehavior::Disable]
                    [behavior],
                disabled,
                cancel_on_disconnect: run_async,
                ..NewTrigger::new(&name, &plugin, specification)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn triggers_round_trip_through_json(
        new in proptest::collection::vec(triggers(), 0..5), since in any::<i64>()
    ) {
        let mut catalog = DatabaseCatalog::default();
        for new in &new {
            // Two generated triggers may have the same name.
            let _ = catalog.add_trigger(new, StoreTime::from_micros(since));
        }
        let json = serde_json::to_string(&catalog).unwrap();
        let read: DatabaseCatalog = serde_json::from_str(&json).unwrap();
        prop_assert!(read.triggers().eq(catalog.triggers()));
        prop_assert_eq!(read.next_trigger, catalog.next_trigger);
    }
}
