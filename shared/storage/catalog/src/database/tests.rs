//! Tests of the format of a database catalog, and of changes of its tables and retention.

use std::time::Duration;

use neap_schema::ColumnType;

use super::*;
use crate::{CatalogLimits, HardDelete, PurgeState};

fn addition(table: &str, columns: &[(&str, ColumnType)]) -> TableAddition {
    let columns = columns.iter();
    TableAddition {
        table: table.to_owned(),
        columns: columns.map(|(name, column_type)| ((*name).to_owned(), *column_type)).collect(),
    }
}

fn catalog() -> DatabaseCatalog {
    let mut catalog = DatabaseCatalog::default();
    let additions = [
        addition("cpu", &[("host", ColumnType::Tag), ("usage", ColumnType::Float)]),
        addition("old", &[]),
    ];
    assert!(catalog.add(&additions, 0, &CatalogLimits::default()).unwrap());
    let now = StoreTime::from_micros(1_757_510_705_000_000);
    catalog.delete_table("old", now, HardDelete::Never).unwrap();
    catalog.set_retention(Some(Duration::from_secs(60)));
    catalog
}

#[test]
fn format() {
    insta::assert_json_snapshot!(catalog(), @r#"
    {
      "next_table": 3,
      "tables": {
        "1": {
          "id": 1,
          "name": "cpu",
          "columns": [
            {
              "id": 0,
              "name": "time",
              "type": "time"
            },
            {
              "id": 1,
              "name": "host",
              "type": "tag"
            },
            {
              "id": 2,
              "name": "usage",
              "type": "float"
            }
          ],
          "next_column": 3
        },
        "2": {
          "id": 2,
          "name": "old-20250910T132505",
          "columns": [
            {
              "id": 0,
              "name": "time",
              "type": "time"
            }
          ],
          "next_column": 1,
          "deletion": {
            "deleted_at": 1757510705000000
          },
          "original_name": "old"
        }
      },
      "retention_ns": 60000000000
    }
    "#);
}

#[test]
fn format_of_tables_with_a_retention_and_with_a_begun_removal() {
    let mut catalog = catalog();
    let (cpu, old) = (TableId::new(1), TableId::new(2));
    let hour = Duration::from_secs(3600);
    assert!(catalog.set_table_retention(cpu, Some(hour)).unwrap());
    let name = "old-20250910T132505";
    let now = StoreTime::from_micros(1_757_510_800_000_000);
    catalog.delete_table(name, now, HardDelete::NOW).unwrap();
    let due = now.plus(hour);
    assert_eq!(catalog.due_tables(due).collect::<Vec<_>>(), [old]);
    assert!(catalog.note_purge(&[old], PurgeState::Begun, due).unwrap());
    let json = serde_json::to_value(&catalog).unwrap();
    let mut tables = json["tables"].clone();
    for table in ["1", "2"] {
        tables[table].as_object_mut().unwrap().remove("columns");
    }
    insta::assert_json_snapshot!(tables, @r#"
    {
      "1": {
        "id": 1,
        "name": "cpu",
        "next_column": 3,
        "retention_ns": 3600000000000
      },
      "2": {
        "deletion": {
          "deleted_at": 1757510705000000,
          "hard_delete_at": 1757510800000000,
          "purge": "begun"
        },
        "id": 2,
        "name": "old-20250910T132505",
        "next_column": 1,
        "original_name": "old"
      }
    }
    "#);
    let read: DatabaseCatalog = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

#[test]
fn retention_of_a_table_overrides_that_of_its_database() {
    let mut catalog = catalog();
    let table = TableId::new(1);
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    assert_eq!(catalog.retention_of(table), Some(minute));
    assert!(catalog.set_table_retention(table, Some(hour)).unwrap());
    assert!(!catalog.set_table_retention(table, Some(hour)).unwrap());
    assert_eq!(catalog.retention_of(table), Some(hour));
    catalog.set_retention(None);
    assert_eq!(catalog.retention_of(table), Some(hour));
    catalog.set_table_retention(table, None).unwrap();
    assert_eq!(catalog.retention_of(table), None);
    let dropped = catalog.set_table_retention(TableId::new(2), None);
    assert!(matches!(dropped, Err(CatalogError::NotFound { .. })));
}

#[test]
fn a_table_is_undeleted_under_its_name_or_a_new_one() {
    let limits = CatalogLimits::default();
    let now = StoreTime::from_micros(1_757_510_800_000_000);
    let undelete = |catalog: &mut DatabaseCatalog, dropped: &str, name: Option<&str>| {
        catalog.undelete_table(dropped, name, now, 0, &limits)
    };
    let id = TableId::new(2);
    let mut catalog_with_room = catalog();
    let restored = undelete(&mut catalog_with_room, "old", None).unwrap();
    assert_eq!(restored, (id, "old".to_owned()));
    assert_eq!(catalog_with_room.table("old").unwrap().id(), id);

    let mut catalog = catalog();
    catalog.add(&[addition("old", &[])], 0, &limits).unwrap();
    let taken = undelete(&mut catalog, "old-20250910T132505", None);
    assert!(matches!(taken, Err(CatalogError::AlreadyExists { .. })));
    let restored = undelete(&mut catalog, "old-20250910T132505", Some("back")).unwrap();
    assert_eq!(restored, (id, "back".to_owned()));
    let live = undelete(&mut catalog, "back", None);
    assert!(matches!(live, Err(CatalogError::NotFound { .. })));
}

#[test]
fn adding_existing_columns_changes_nothing() {
    let mut catalog = catalog();
    let known = [addition("cpu", &[("usage", ColumnType::Float)])];
    assert!(!catalog.add(&known, 0, &CatalogLimits::default()).unwrap());
}

#[test]
fn ids_of_dropped_tables_are_not_reused() {
    let mut catalog = catalog();
    assert!(catalog.table("old").is_none());
    catalog.add(&[addition("old", &[])], 0, &CatalogLimits::default()).unwrap();
    assert_eq!(catalog.table("old").unwrap().id(), TableId::new(3));
    let dropped = catalog.table_by_id(TableId::new(2)).unwrap();
    assert_eq!(dropped.name(), "old-20250910T132505");
}

#[test]
fn limit_errors_match_influxdb() {
    let error = |limits: CatalogLimits, columns: &[(&str, ColumnType)], elsewhere| {
        let mut catalog = catalog();
        let added = catalog.add(&[addition("new", columns)], elsewhere, &limits);
        added.unwrap_err().to_string()
    };
    let limits = CatalogLimits {
        tables: Some(4),
        columns_per_table: Some(2),
        tags_per_table: Some(1),
        ..CatalogLimits::default()
    };
    assert_eq!(
        error(limits, &[], 3),
        "Update to schema would exceed number of tables limit: attempted to create table but already have 4 table(s) (limit: 4)"
    );
    let own = CatalogLimits {
        tables: Some(4),
        tables_per_database: Some(1),
        ..CatalogLimits::default()
    };
    assert_eq!(
        error(own, &[], 0),
        "Update to schema would exceed number of tables limit: attempted to create table but already have 1 table(s) (limit: 1)"
    );
    let columns = ["a", "b", "c"].map(|name| (name, ColumnType::Float));
    assert_eq!(
        error(limits, &columns, 2),
        "Update to schema would exceed number of columns per table limit of 2 columns"
    );
    let tags = ["a", "b"].map(|name| (name, ColumnType::Tag));
    assert_eq!(
        error(limits, &tags, 0),
        "Update to schema would exceed number of tag columns per table limit of 1 columns"
    );
}
