//! Reads the sections of all tables, with each page read once.

use std::collections::BTreeSet;

use bytes::Bytes;
use neap_bucket::PutMode;
use neap_schema::TableId;

use super::fixture::ManifestFixture;
use crate::{Manifest, TableSweep};

const TABLES: u32 = 60;

/// Returns a site with shared pages: each flush has a section of each table, of another day.
async fn flushed(count: i32) -> ManifestFixture {
    let fixture = ManifestFixture::new(40);
    for day in 0..count {
        let sections: Vec<_> = (1..=TABLES).map(|table| (table, day)).collect();
        fixture.flush(&sections).await;
    }
    fixture
}

fn sweep(fixture: &ManifestFixture, manifest: &Manifest) -> TableSweep {
    // A store that has read no page.
    let fresh = ManifestFixture::on(&fixture.stage, 7, 40);
    TableSweep::new(fresh.store(), fixture.database, manifest)
}

#[tokio::test(start_paused = true)]
async fn a_sweep_returns_the_loaded_sections_and_reads_each_page_once() {
    let fixture = flushed(30).await;
    let manifest = fixture.read().await.value;
    assert!(manifest.pages.len() > 4);
    let mut sweep = sweep(&fixture, &manifest);
    let mut found = Vec::new();
    fixture.stage.taken();
    for table in 1..=TABLES + 1 {
        let sections = sweep.all_of(TableId::new(table)).await.unwrap();
        found.push(sections);
    }
    assert_eq!(fixture.stage.taken().gets, manifest.pages.len());
    for (table, mut sections) in (1..).zip(found) {
        sections.sort_by_key(|section| section.order());
        assert_eq!(sections, fixture.table(table).await, "table {table}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_recent_days_reads_only_pages_of_these_days() {
    let fixture = flushed(30).await;
    let manifest = fixture.read().await.value;
    let mut sweep = sweep(&fixture, &manifest);
    let days: BTreeSet<_> = manifest.sections.iter().map(|section| section.first_day).collect();
    let touched = manifest.pages.iter().filter(|page| {
        let mut days = days.iter();
        days.any(|day| page.first_day <= *day && *day <= page.last_day)
    });
    let touched = touched.count();
    assert!(touched < manifest.pages.len());
    fixture.stage.taken();
    for table in 1..=TABLES {
        let sections = sweep.recent_of(TableId::new(table)).await.unwrap();
        assert!(!sections.is_empty());
    }
    assert!(fixture.stage.taken().gets <= touched);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_page_fails_only_the_tables_that_it_spans() {
    let fixture = flushed(30).await;
    let manifest = fixture.read().await.value;
    let page = manifest.pages.iter().max_by_key(|page| page.table).unwrap();
    assert!(page.table > TableId::new(1));
    let mut alone = Manifest::clone(&manifest);
    alone.pages.retain(|other| other.object == page.object);
    let key = page.key(fixture.database);
    let damaged = Bytes::from_static(b"damaged");
    let put = fixture.instance.bucket.put(&key, damaged, PutMode::Overwrite);
    put.await.unwrap();
    let mut sweep = sweep(&fixture, &alone);
    for table in 1..=TABLES {
        let table = TableId::new(table);
        let is_reached = alone.pages.iter().any(|page| page.may_hold(table));
        let found = sweep.all_of(table).await;
        assert_eq!(found.is_err_and(|error| error.is_damage()), is_reached, "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_page_does_not_reference_a_table_without_sections() {
    let fixture = ManifestFixture::new(40);
    for day in 0..4 {
        let tables = (1..=TABLES).filter(|table| *table != 30);
        let sections: Vec<_> = tables.map(|table| (table, day)).collect();
        fixture.flush(&sections).await;
    }
    let manifest = fixture.read().await.value;
    let table = TableId::new(30);
    assert!(manifest.pages.iter().any(|page| page.may_hold(table)));
    let asked = [29, 30, 31, 99].map(TableId::new);
    let unnamed = fixture.store().unnamed_tables(fixture.database, &manifest, asked);
    assert_eq!(unnamed.await.unwrap(), BTreeSet::from([table, TableId::new(99)]));
}
