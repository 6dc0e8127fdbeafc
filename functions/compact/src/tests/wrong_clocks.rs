//! Maintenance while the clock of the store or that of the machine is hours ahead.

use std::time::Duration;

use neap_bucket::{Key, ProtocolMargins};
use neap_catalog::{Catalog, HardDelete};

use super::test_bed::{CompactTestBed, NOW};
use crate::{CompactionReport, Compactor, CompactorEvent};

const HOUR: Duration = Duration::from_secs(3600);

/// Returns the keys of all data, and the names of all databases and tables.
async fn stored(stage: &CompactTestBed) -> (Vec<String>, Vec<String>) {
    let mut keys = stage.keys(Key::TAIL_PREFIX).await;
    keys.extend(stage.keys("data/").await);
    let catalog = Catalog::new(stage.bucket.clone(), ProtocolMargins::LOCAL, None);
    let root = catalog.root(Duration::ZERO).await.unwrap();
    let mut names = Vec::new();
    for (id, entry) in root.value.databases() {
        names.push(format!("{} {:?}", entry.name, entry.deletion));
        let tables = catalog.database(*id, Duration::ZERO).await.unwrap().value;
        names.extend(tables.all_tables().map(|it| format!("{:?}", it.deletion())));
    }
    (keys, names)
}

async fn run_all(compactor: &Compactor) -> CompactionReport {
    let mut all = CompactionReport::default();
    for event in [CompactorEvent::Scheduled, CompactorEvent::Collect] {
        all = all.and(compactor.handle(&event, None).await.unwrap());
    }
    all
}

/// A database with expiring rows and a dropped table, and a dropped database.
async fn filled() -> CompactTestBed {
    let stage = CompactTestBed::new().await;
    for (database, table) in [("kept", "m"), ("kept", "dropped"), ("gone", "m")] {
        stage.write(database, &format!("{table} v=1 {NOW}")).await;
        stage.flush(database).await;
    }
    let (catalog, id) = (&stage.catalog, stage.id("kept").await);
    let days = |days: u32| Some(days * 24 * HOUR);
    catalog.set_retention(id, days(2)).await.unwrap();
    let default = HardDelete::DEFAULT;
    catalog.delete_table(id, "dropped", default).await.unwrap();
    catalog.delete_database("gone", default).await.unwrap();
    stage
}

#[tokio::test]
async fn nothing_is_destroyed_while_the_clocks_disagree() {
    let stage = filled().await;
    run_all(&stage.compactor()).await;
    let before = stored(&stage).await;
    // The store's clock is ahead: that of the machine is behind it.
    stage.pass(100 * HOUR);
    let behind = stage.compactor_behind(100 * HOUR);
    let report = run_all(&behind).await;
    assert_eq!((report.removed, &report.collected), (0, &Default::default()));
    // The database of the table, and the dropped ones.
    assert_eq!(report.failures.len(), 3);
    for (_, reason) in &report.failures {
        assert!(reason.contains("differ by 360000 s"), "{reason}");
    }
    assert_eq!(stored(&stage).await, before);

    // The clocks agree, so the rows have expired and the undelete periods are over.
    let report = run_all(&stage.compactor()).await;
    assert_eq!((report.removed, report.failures), (3, Vec::new()));
}
