//! A database with more tables than sections that one commit moves to a page.

use std::{fmt::Write, time::Duration};

use neap_bucket::{KeyClass, Operation};
use neap_manifest::{DroppedItem, TimeRange};

use super::test_bed::{CompactTestBed, NOW};

const TABLES: usize = 2_100;

/// Target number of sections in a manifest.
const INLINE: usize = 512;

/// Number of merges of one plan, and of one commit.
const PLAN: usize = 1_000;
const BATCH: usize = 256;

/// Writes a row to each table, and flushes.
async fn write_all(stage: &CompactTestBed, round: i64) {
    let mut lines = String::new();
    for table in 0..TABLES {
        writeln!(lines, "m{table},host=a v={round} {}", NOW + round).unwrap();
    }
    stage.write("db", &lines).await;
    stage.flush("db").await;
}

#[tokio::test]
async fn thousands_of_tables_share_pages_and_are_merged_by_few_commits() {
    let stage = CompactTestBed::new().await;
    let rounds = 3;
    for round in 1..=rounds {
        write_all(&stage, round).await;
        let manifest = stage.manifest("db").await;
        assert!(manifest.sections.len() <= INLINE / 2 + TABLES);
    }
    let rounds = usize::try_from(rounds).unwrap();
    let manifest = stage.manifest("db").await;
    let paged = rounds * TABLES - manifest.sections.len();
    assert!(paged >= TABLES && manifest.pages.len() <= paged / 200 + rounds);
    for table in manifest.sections.iter().map(|section| section.table) {
        let pages = manifest.pages.iter().filter(|page| page.may_hold(table));
        assert!(pages.count() <= rounds);
    }

    // The days are quiet, so each table is merged into one section.
    stage.pass(Duration::from_secs(3_600));
    let id = stage.id("db").await;
    let (_, read) = stage.counted(stage.manifest("db")).await;
    let manifest_bytes = read.of(Operation::Get, KeyClass::Manifest).bytes;
    let compactor = stage.compactor();
    let (report, counts) = stage.counted(compactor.settle(id, None)).await;
    let report = report.unwrap();
    assert_eq!((report.failures, report.merges), (Vec::new(), TABLES));
    let of = |operation, class| usize::try_from(counts.of(operation, class).requests).unwrap();
    let plans = TABLES.div_ceil(PLAN);
    let full = TABLES / PLAN * PLAN.div_ceil(BATCH);
    let commits = full + (TABLES % PLAN).div_ceil(BATCH);
    // One bundle and one commit for all merges of a batch, and one commit of claims for each plan.
    assert_eq!(of(Operation::Put, KeyClass::Data), commits);
    assert_eq!(of(Operation::Put, KeyClass::Manifest), plans + commits);
    // Pages of the inputs that remain, and new pages.
    assert!(of(Operation::Put, KeyClass::Page) <= 2 * commits);
    // Each input is read once. In addition, footers of neighbours in a bundle are read together for pages.
    let inputs = rounds * TABLES;
    let footers = of(Operation::Get, KeyClass::Data).checked_sub(inputs);
    assert!(footers.is_some_and(|footers| footers <= 4 * commits), "{counts}");
    // The collector, the first plan and the backfill transfer the manifest; merges send conditional requests.
    let transferred = counts.of(Operation::Get, KeyClass::Manifest);
    assert!(transferred.requests >= (plans + commits) as u64);
    assert!(transferred.bytes <= 4 * manifest_bytes, "{transferred:?}");

    let manifest = stage.manifest("db").await;
    assert_eq!(manifest.section_count(), TABLES as u64);
    assert!(manifest.sections.len() <= 2 * INLINE);
    assert_eq!(manifest.claims, []);
    // Pages remember their removed sections, except those that the last commit removed from the manifest itself.
    let is_section = |what: &DroppedItem| matches!(what, DroppedItem::Section(_));
    let listed = manifest.condemned.iter().filter(|entry| is_section(&entry.what)).count();
    assert!(listed <= 128, "{listed}");
    assert!(manifest.condemned.len() - listed <= 100);
    let catalog = stage.catalog.database(id, Duration::ZERO).await.unwrap();
    for name in ["m0", "m1050", "m2099"] {
        let table = catalog.value.table(name).unwrap().id();
        let loaded = stage.manifests.load_sections(id, &manifest, table, TimeRange::ALL).await;
        let rows: Vec<_> = loaded.unwrap().iter().map(|one| one.section.rows).collect();
        assert_eq!(rows, [rounds as u64]);
    }
    // Nothing is left to do.
    let (report, counts) = stage.counted(compactor.settle(id, None)).await;
    assert_eq!(report.unwrap().merges, 0);
    assert_eq!(counts.requests(Operation::Put), 0, "{counts}");
}
