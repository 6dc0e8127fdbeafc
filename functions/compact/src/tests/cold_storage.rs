//! Rows that merges move to a storage class for cold data.

use std::time::Duration;

use neap_bucket::{KeyClass, Operation, StorageClass};
use neap_catalog::ColdStorage;
use neap_manifest::Section;
use neap_row_delete::Condition;

use super::test_bed::{CompactTestBed, DAY, NOW};

const HOUR: Duration = Duration::from_secs(3_600);
const TWO_DAYS: Duration = Duration::from_secs(2 * 24 * 3_600);

/// Returns a database with rows that are 200, 100 and 1 days old, whose rows of more than 90 days are cold.
async fn database_with_cold_rows() -> CompactTestBed {
    let mut bed = CompactTestBed::new().await;
    bed.policy.small_bytes = 1;
    for age in [200, 100, 1] {
        let time = NOW - age * DAY;
        bed.write("db", &format!("m,host=a v=1 {time}\nm,host=b v=1 {time}")).await;
        bed.flush("db").await;
    }
    let cold = ColdStorage::new(Duration::from_secs(90 * 24 * 3_600), StorageClass::GlacierIr);
    let id = bed.id("db").await;
    bed.catalog.set_cold_storage(id, None, Some(cold)).await.unwrap();
    assert_eq!(bed.look(TWO_DAYS).await.merges, 2);
    bed
}

/// Returns the rows of each section by age, oldest first, and whether it is cold, and asserts that its object has the class.
async fn sections(bed: &CompactTestBed) -> Vec<(u64, bool)> {
    let id = bed.id("db").await;
    let manifest = bed.manifest("db").await;
    let mut found: Vec<&Section> = manifest.sections.iter().map(|section| &**section).collect();
    found.sort_by_key(|section| section.min_time);
    for section in &found {
        let key = section.key(id).to_string();
        assert_eq!(bed.memory.class_of(&key), section.class, "{key}");
        assert!(!section.is_cold() || !section.in_bundle);
    }
    found.iter().map(|section| (section.rows, section.is_cold())).collect()
}

#[tokio::test]
async fn old_rows_move_to_the_storage_class_once() {
    let bed = database_with_cold_rows().await;
    assert_eq!(sections(&bed).await, [(2, true), (2, true), (2, false)]);
    for _ in 0..3 {
        let (report, counts) = bed.counted(bed.look(TWO_DAYS)).await;
        assert_eq!(report.merges, 0);
        assert_eq!(counts.of(Operation::Get, KeyClass::Data).requests, 0);
    }
}

#[tokio::test]
async fn a_row_delete_rewrites_only_the_cold_sections_that_it_may_match() {
    let bed = database_with_cold_rows().await;
    let of_host = Condition::Tag { name: "host".to_owned(), value: Some("a".to_owned()) };
    let before = NOW - 150 * DAY;
    let old = Condition::Time { min: i64::MIN, max: before };
    bed.delete("db", Condition::All(vec![of_host, old])).await;
    bed.flush("db").await;
    assert_eq!(bed.look(HOUR).await.merges, 1);
    assert_eq!(sections(&bed).await, [(1, true), (2, true), (2, false)]);
}

#[tokio::test]
async fn rows_that_are_added_to_cold_days_are_merged_with_them_after_a_day() {
    let bed = database_with_cold_rows().await;
    let time = NOW - 100 * DAY;
    bed.write("db", &format!("m,host=b v=2 {time}\nm,host=c v=1 {time}")).await;
    bed.flush("db").await;
    assert_eq!(bed.look(HOUR).await.merges, 0);
    assert_eq!(bed.look(TWO_DAYS).await.merges, 1);
    assert_eq!(sections(&bed).await, [(2, true), (3, true), (2, false)]);
}

#[tokio::test]
async fn cold_sections_stay_where_they_are_after_the_setting_is_removed() {
    let bed = database_with_cold_rows().await;
    let id = bed.id("db").await;
    bed.catalog.set_cold_storage(id, None, None).await.unwrap();
    assert_eq!(bed.look(TWO_DAYS).await.merges, 0);
    assert_eq!(sections(&bed).await, [(2, true), (2, true), (2, false)]);
}
