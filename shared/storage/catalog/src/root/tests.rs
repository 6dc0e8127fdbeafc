//! Tests of the format of the root catalog, and of drops and undeletions of databases.

use std::time::Duration;

use super::*;
use crate::{CatalogLimits, HardDelete, PurgeState};

fn catalog() -> RootCatalog {
    let mut catalog = RootCatalog::new("c0ffee".to_owned(), ProtocolMargins::LOCAL);
    let created = Some(StoreTime::from_micros(1_000_000));
    let limits = CatalogLimits::default();
    catalog.add("one", created, &limits).unwrap();
    catalog.add("two/rp", created, &limits).unwrap();
    let now = StoreTime::from_micros(1_757_510_705_000_000);
    catalog.delete("one", now, HardDelete::DEFAULT).unwrap();
    catalog
}

#[test]
fn format() {
    insta::assert_json_snapshot!(catalog(), @r#"
    {
      "cluster": "c0ffee",
      "margins": {
        "acknowledgement_limit_ms": 2000,
        "flush_lag_ms": 8000
      },
      "next_database": 3,
      "databases": {
        "1": {
          "name": "one-20250910T132505",
          "created": 1000000,
          "deletion": {
            "deleted_at": 1757510705000000,
            "hard_delete_at": 1757769905000000
          },
          "original_name": "one"
        },
        "2": {
          "name": "two/rp",
          "created": 1000000
        }
      }
    }
    "#);
}

#[test]
fn a_dropped_name_is_free_immediately_and_its_id_is_not_reused() {
    let mut catalog = catalog();
    assert_eq!(catalog.database("one"), None);
    let id = catalog.add("one", None, &CatalogLimits::default()).unwrap();
    assert_eq!(id, DatabaseId::new(3));
    assert_eq!(catalog.database("one"), Some(id));
    assert_eq!(catalog.deleted_database("one-20250910T132505"), Some(DatabaseId::new(1)));
}

#[test]
fn a_database_is_undeleted_under_its_old_name_or_a_new_one() {
    let now = StoreTime::from_micros(1_757_510_800_000_000);
    let limits = CatalogLimits::default();
    let mut undeleted = catalog();
    let id = undeleted.find_dropped("one-20250910T132505", now).unwrap();
    assert_eq!(undeleted.find_dropped("one", now).unwrap(), id);
    assert_eq!(undeleted.undelete(id, None, now, &limits).unwrap(), "one");
    assert_eq!(undeleted.database("one"), Some(id));
    let live = &undeleted.databases()[&id];
    assert_eq!((live.deletion, live.original_name.as_deref()), (None, None));

    let mut taken = catalog();
    taken.add("one", None, &limits).unwrap();
    let error = taken.undelete(id, None, now, &limits).unwrap_err();
    assert!(matches!(error, CatalogError::AlreadyExists { name } if name == "one"));
    let name = taken.undelete(id, Some("back"), now, &limits).unwrap();
    assert_eq!(taken.database(&name), Some(id));
}

#[test]
fn undeleting_an_ambiguous_name_is_refused() {
    let mut catalog = catalog();
    let later = StoreTime::from_micros(1_757_510_706_000_000);
    catalog.add("one", None, &CatalogLimits::default()).unwrap();
    catalog.delete("one", later, HardDelete::NOW).unwrap();
    let error = catalog.find_dropped("one", later).unwrap_err();
    assert_eq!(
        error.to_string(),
        "several deleted resources were named 'one', use one of one-20250910T132505, one-20250910T132506"
    );
    // A database that is past its deletion time is not a candidate.
    let after = later.plus(Duration::from_micros(1));
    assert_eq!(catalog.find_dropped("one", after).unwrap(), DatabaseId::new(1));
    let error = catalog.find_dropped("one-20250910T132506", after).unwrap_err();
    assert!(matches!(error, CatalogError::Purged { .. }));
    let error = catalog.find_dropped("none", after).unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }));
}

#[test]
fn a_begun_removal_prevents_undeletion_and_rescheduling() {
    let mut catalog = catalog();
    let id = DatabaseId::new(1);
    let now = StoreTime::from_micros(1_757_769_905_000_000);
    assert!(catalog.note_purge(id, PurgeState::Begun, now).is_err(), "too early");
    let due = now.plus(Duration::from_secs(60));
    assert_eq!(catalog.due_databases(due).collect::<Vec<_>>(), [id]);
    assert!(catalog.note_purge(id, PurgeState::Begun, due).unwrap());
    assert!(!catalog.note_purge(id, PurgeState::Begun, due).unwrap());
    assert_eq!(catalog.due_databases(due).collect::<Vec<_>>(), [id]);
    let limits = CatalogLimits::default();
    // Also if the clock has not advanced.
    let undeleted = catalog.undelete(id, None, now, &limits);
    assert!(matches!(undeleted, Err(CatalogError::Purged { .. })));
    let again = catalog.delete("one-20250910T132505", now, HardDelete::Never);
    assert!(matches!(again, Err(CatalogError::AlreadyDeleted { .. })));
    assert!(catalog.note_purge(id, PurgeState::Done, due).unwrap());
    assert_eq!(catalog.due_databases(due).count(), 0);
    assert!(!catalog.note_purge(id, PurgeState::Begun, due).unwrap());
    assert_eq!(catalog.due_databases(due).count(), 0);
}

#[test]
fn a_hidden_database_appears_when_undeleted_and_is_otherwise_due_for_removal() {
    let mut catalog = catalog();
    let (limits, hour) = (CatalogLimits::default(), Duration::from_secs(3600));
    let now = StoreTime::from_micros(1_757_510_800_000_000);
    let id = catalog.add_hidden("new", now, hour, &limits).unwrap();
    assert_eq!(catalog.database("new"), None);
    let late = now.plus(2 * hour);
    assert_eq!(catalog.due_databases(late).collect::<Vec<_>>(), [id]);
    assert_eq!(catalog.undelete(id, None, now, &limits).unwrap(), "new");
    assert_eq!(catalog.database("new"), Some(id));
}

#[test]
fn dropping_again_changes_the_deletion_time_and_refuses_the_same_time() {
    let mut catalog = catalog();
    let now = StoreTime::from_micros(1_757_510_800_000_000);
    let name = "one-20250910T132505";
    let id = catalog.delete(name, now, HardDelete::Never).unwrap();
    let entry = &catalog.databases()[&id];
    assert_eq!(entry.name, name);
    assert_eq!(entry.deletion.unwrap().hard_delete_at, None);
    let error = catalog.delete(name, now, HardDelete::Never).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attempted to modify resource that was already deleted: one-20250910T132505"
    );
}
