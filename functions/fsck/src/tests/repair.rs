//! Tests of repairs, and that they change nothing else.

use std::time::Duration;

use neap_bucket::Stamp;
use ulid::Ulid;

use super::*;
use crate::{FindingKind, FsckError};

#[tokio::test(start_paused = true)]
async fn wrong_statistics_are_recomputed_from_the_rows() {
    for stage in FsckFixture::filled().await {
        let before = stage.manifest().await.value;
        stage
            .tamper_section(|section| {
                section.rows = 9;
                section.max_time = 6;
                section.tags.clear();
                section.series = Some("5e12".to_owned());
                section.footer_length -= 1;
            })
            .await;
        let report = stage.repair(true).await;
        assert!(!report.clean);
        assert_eq!(report.repaired, [r#""db": the statistics of 1 sections and 0 pages"#]);
        assert_eq!(stage.manifest().await.value.sections, before.sections);
        let again = stage.repair(true).await;
        assert_eq!((lines(&again).as_str(), again.repaired.len()), ("", 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repaired_in_a_cluster_whose_root_catalog_is_of_a_later_release() {
    let stage = FsckFixture::filled_in_memory().await;
    stage.tamper_section(|section| section.rows = 9).await;
    let before = stage.manifest().await.version;
    // The upper byte of the version.
    stage.flip_bit(&Key::RootCatalog, 5).await;
    let options = FsckOptions { full: true, repair: true, database: None };
    let refused = Fsck::new(stage.bucket.clone()).check(&options, &|_| {}).await;
    assert!(matches!(refused, Err(FsckError::Aborted(_))), "{refused:?}");
    assert_eq!(stage.manifest().await.version, before);
}

#[tokio::test(start_paused = true)]
async fn a_delete_dropped_too_early_is_found_and_applied_again() {
    for stage in FsckFixture::filled().await {
        let host =
            |value: &str| Condition::Tag { name: "host".to_owned(), value: Some(value.to_owned()) };
        stage.delete_rows(CPU, host("b")).await;
        stage.flush().await;
        let before = stage.manifest().await.value;
        assert_eq!(before.pending_deletes().count(), 1);
        assert_eq!(lines(&stage.quick().await), "");
        stage
            .tamper(|manifest| manifest.deletes[0].dropped = Some(manifest.deletes[0].added + 1))
            .await;
        let report = stage.quick().await;
        let kinds: Vec<_> = report.findings.iter().map(|found| found.kind).collect();
        assert_eq!(kinds, [FindingKind::ForgottenDelete; 2], "{report}");

        let report = stage.repair(false).await;
        assert_eq!(report.repaired, [r#""db": 1 row deletes are applied again"#]);
        assert_eq!(stage.manifest().await.value.deletes, before.deletes);
        assert_eq!(lines(&stage.quick().await), "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delete_whose_rows_a_pending_one_hides_is_not_forgotten() {
    let stage = FsckFixture::filled_in_memory().await;
    stage.delete_rows(CPU, Condition::EVERYTHING).await;
    stage.delete_rows(CPU, Condition::between(5, 6)).await;
    stage.flush().await;
    stage
        .tamper(|manifest| manifest.deletes[1].dropped = Some(manifest.deletes[1].added + 1))
        .await;
    assert_eq!(lines(&stage.quick().await), "");
}

#[tokio::test(start_paused = true)]
async fn statistics_in_a_page_are_repaired_and_earlier_versions_stay_readable() {
    let stage = FsckFixture::paged().await;
    let early = stage.sections(CPU).await[3].clone();
    let mark = early.upto;
    let key = stage.manifest().await.value.pages[0].key(stage.database);
    // A page with different statistics, under the same name.
    let truth = stage.bytes(&key).await;
    let wrong = neap_manifest::Corrections {
        sections: vec![Section { rows: 7, ..early.clone() }],
        pages: Vec::new(),
    };
    let base = stage.manifest().await;
    let corrected = stage.manifests.correct(stage.database, base, &wrong).await;
    assert_eq!(corrected.unwrap().sections, 0);
    assert_eq!(stage.sections(CPU).await[3].rows, 7);
    assert_ne!(stage.manifest().await.value.pages[0].key(stage.database), key);
    assert_eq!(stage.bytes(&key).await, truth, "immutable");

    let report = stage.repair(true).await;
    assert!(report.findings.iter().all(|it| it.kind == FindingKind::WrongStatistics));
    assert_eq!(report.repaired, [r#""db": the statistics of 0 sections and 1 pages"#]);
    assert_eq!(stage.sections(CPU).await[3], early);
    assert_eq!(lines(&stage.full().await), "");
    let current = stage.manifest().await;
    let (_, view) = Manifest::at(&current, mark).unwrap();
    let then = stage.manifests.all_sections(stage.database, &view).await.unwrap();
    assert_eq!(then.len(), 4);
    assert_eq!(then[3].section.rows, 2);
}

#[tokio::test(start_paused = true)]
async fn statistics_of_a_page_are_repaired() {
    let stage = FsckFixture::paged().await;
    let before = stage.manifest().await.value.pages.clone();
    stage
        .tamper(|manifest| {
            manifest.pages[0].rows = 1;
            manifest.pages[0].first_day += 1;
        })
        .await;
    let report = stage.repair(false).await;
    assert_eq!(report.repaired, [r#""db": the statistics of 0 sections and 1 pages"#]);
    assert_eq!(stage.manifest().await.value.pages, before);
    assert_eq!(lines(&stage.full().await), "");
}

#[tokio::test(start_paused = true)]
async fn old_orphans_are_condemned_and_nothing_is_deleted() {
    for stage in FsckFixture::filled().await {
        let key = Key::Parquet(stage.database, Ulid::from_parts(5, 5));
        stage.put(&key.to_string(), vec![1, 2, 3]).await;
        let bundle = Key::Bundle(stage.database, Ulid::from_parts(5, 6));
        stage.put(&bundle.to_string(), vec![1, 2, 3, 4]).await;
        assert_eq!(lines(&stage.repair(false).await), "", "its commit may still come");
        stage.advance(Duration::from_secs(25 * 3_600));
        stage.flush().await;
        let report = stage.repair(false).await;
        assert!(report.clean);
        insta::allow_duplicates! {
            insta::assert_snapshot!(report.to_string().lines().take(3).collect::<Vec<_>>().join("\n"), @r#"
            note     data/1/00000000050000000000000005.parquet ("db"): it is unreferenced, 3 bytes that are 25 hours old: the collector removes it
            note     data/1/00000000050000000000000006.bundle ("db"): it is unreferenced, 4 bytes that are 25 hours old: the collector removes it
            repaired "db": 2 unreferenced objects are condemned, the collector deletes them
            "#);
        }
        stage.bytes(&key).await;
        let condemned = &stage.manifest().await.value.condemned;
        assert_eq!(condemned.len(), 2);
        let again = stage.repair(true).await;
        assert_eq!((lines(&again).as_str(), again.repaired.len()), ("", 0));
        let current = stage.manifest().await;
        assert!(Manifest::at(&current, Stamp::ZERO).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_alone_writes_nothing() {
    let stage = FsckFixture::filled_in_memory().await;
    stage.tamper_section(|section| section.rows = 9).await;
    let before = stage.manifest().await.version;
    let report = stage.full().await;
    assert_eq!((report.errors, report.repaired.len()), (1, 0));
    assert_eq!(stage.manifest().await.version, before);
}

#[tokio::test(start_paused = true)]
async fn damage_is_not_repaired() {
    let stage = FsckFixture::filled_in_memory().await;
    stage.tamper_section(|section| section.rows = 9).await;
    let section = stage.sections(CPU).await.remove(0);
    let middle = usize::try_from(section.offset + section.length / 2).unwrap();
    stage.flip_bit(&section.key(stage.database), middle).await;
    let report = stage.repair(true).await;
    assert_eq!((report.errors, report.repaired.len()), (1, 0));
    assert_eq!(report.findings[0].kind, FindingKind::Damaged);
}
