//! Interleavings of compaction with drops, undeletions and changes of the retention, one by one.

use std::{sync::Arc, time::Duration};

use neap_bucket::Operation;
use neap_catalog::HardDelete;
use neap_compact::{FlushResult, JobLimits, MergeJob, MergeOutcome, MergeReason, MergeSkipped};
use neap_manifest::TimeRange;

use crate::{
    instance::{DATABASE, Instance, InstanceOptions},
    machine::Suspension,
    rows::TABLE,
    scenario::{ScriptedScenario, before, first_cell, freeze},
    simulate::run,
    write::GeneratedWrite,
};

async fn flush(instance: &Instance) {
    let flushed = instance.flusher.flush(DATABASE).await;
    assert!(matches!(flushed, Ok(FlushResult::Done { .. })), "{flushed:?}");
}

fn assert_whole(scenario: &ScriptedScenario) {
    let broken = scenario.violations();
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn a_flush_with_an_outdated_drop_keeps_the_rows_of_an_undeleted_table() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let operator = scenario.instance("operator");
        let content = scenario.content();
        scenario.write(&operator, &content, None).await.unwrap();
        scenario.sleep_until(10.0).await;
        let after = HardDelete::After(Duration::from_secs(100));
        let catalog = &operator.catalog;
        catalog.delete_table(DATABASE, TABLE, after).await.unwrap();
        let flusher = scenario.instance("flusher");
        flusher.catalog.database(DATABASE, Duration::ZERO).await.unwrap();
        scenario.sleep_until(50.0).await;
        catalog.undelete_table(DATABASE, TABLE, None).await.unwrap();
        scenario.sleep_until(300.0).await;
        flush(&flusher).await;
        let answer = scenario.instance("reader").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(content.value(0)));
        assert_whole(&scenario);
    });
}

#[test]
fn a_flush_keeps_the_rows_of_a_table_with_a_late_undeletion() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let owner = scenario.instance("owner");
        scenario.write(&owner, &scenario.content(), None).await.unwrap();
        scenario.sleep_until(60.0).await;
        // The first flush changes the catalog.
        flush(&owner).await;
        let content = scenario.content();
        scenario.write(&owner, &content, None).await.unwrap();
        scenario.sleep_until(70.0).await;
        let after = HardDelete::After(Duration::from_secs(100));
        owner.catalog.delete_table(DATABASE, TABLE, after).await.unwrap();
        let machine = scenario.machine("operator", Suspension::NoClockStops);
        let script = before(Operation::Put, "catalog", freeze(&machine, 300));
        let operator = scenario.scripted(&machine, script);
        scenario.sleep_until(110.0).await;
        let undeleted = operator.catalog.undelete_table(DATABASE, TABLE, None);
        let (undeleted, ()) = futures::join!(undeleted, async {
            scenario.sleep_until(310.0).await;
            flush(&scenario.instance("flusher")).await;
        });
        undeleted.unwrap();
        let answer = scenario.instance("reader").query().await.unwrap();
        assert_eq!(first_cell(&answer), Some(content.value(0)));
        assert_whole(&scenario);
    });
}

/// Writes rows of four days, and flushes them until their sections are in a page.
async fn fill_a_page(scenario: &ScriptedScenario, instance: &Instance) {
    for round in 1..=3 {
        let content = GeneratedWrite {
            cells: (0..4).map(|day| (2 * day, "a")).collect(),
            ..scenario.content()
        };
        scenario.write(instance, &content, None).await.unwrap();
        scenario.sleep_until(f64::from(round) * 60.0).await;
        flush(instance).await;
    }
    let manifest = instance.manifests.read(DATABASE, None).await.unwrap();
    assert!(!manifest.value.pages.is_empty());
}

#[test]
fn a_merge_frozen_while_it_reads_pages_removes_only_rows_that_had_expired_before() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let start = || InstanceOptions {
            inline_sections: 0,
            ..InstanceOptions::healthy(scenario.rules)
        };
        let owner = scenario.start(&scenario.machine("owner", Suspension::NoClockStops), start());
        fill_a_page(&scenario, &owner).await;
        // The rows of the previous day would expire in an hour.
        let retention = Duration::from_secs(86_400 + 3600);
        owner.catalog.set_retention(DATABASE, Some(retention)).await.unwrap();
        let machine = scenario.machine("merger", Suspension::MonotonicClockStops);
        let script = before(Operation::Get, ".page", freeze(&machine, 7200));
        let merger = scenario.start(&machine, InstanceOptions { script: Some(script), ..start() });
        let manifest = owner.manifests.read(DATABASE, None).await.unwrap();
        let catalog = owner.catalog.known_database(DATABASE).unwrap();
        let table = catalog.value.table(TABLE).unwrap().id();
        let found = owner
            .manifests
            .load_sections(DATABASE, &manifest.value, table, TimeRange::ALL)
            .await
            .unwrap();
        let sections = found.into_iter().map(|found| found.section);
        let job = MergeJob::new(sections.collect(), MergeReason::Recent).unwrap();
        let (job, limits) = (
            job.reference(),
            JobLimits { time: Duration::from_secs(10_000), ..JobLimits::default() },
        );
        let merge = merger.merger.run(DATABASE, &job, None, &limits);
        let (merged, ()) = futures::join!(merge, async {
            scenario.sleep(60.0).await;
            owner.catalog.set_retention(DATABASE, None).await.unwrap();
        });
        assert!(matches!(merged, Ok(MergeOutcome::Done { .. })), "{merged:?}");
        let answer = scenario.instance("reader").query().await.unwrap();
        // Two days before was older than the retention; the previous day was not.
        assert_eq!(answer.len(), 2 + 3, "{answer:?}");
        assert_whole(&scenario);
    });
}

/// Returns merges of sections of the table, given by their numbers from the oldest on.
async fn merges(instance: &Instance, inputs: [[usize; 2]; 2]) -> [MergeJob; 2] {
    let manifest = instance.manifests.read(DATABASE, None).await.unwrap();
    let catalog = instance.catalog.known_database(DATABASE).unwrap();
    let table = catalog.value.table(TABLE).unwrap().id();
    let mut sections: Vec<_> =
        manifest.value.sections.iter().filter(|one| one.table == table).collect();
    sections.sort_by_key(|section| section.upto);
    inputs.map(|inputs| {
        let inputs = inputs.map(|input| Arc::clone(sections[input]));
        MergeJob::new(inputs.to_vec(), MergeReason::Recent).unwrap()
    })
}

#[test]
fn the_later_of_two_merges_with_overlapping_bounds_is_refused() {
    run(async {
        let scenario = ScriptedScenario::open().await;
        let owner = scenario.instance("owner");
        // Two points for each day. The days are 1, 0, 2 and 1 before the first day of the schedule.
        for (point, minute) in [2, 0, 4, 2].into_iter().zip(1..) {
            let content = GeneratedWrite { cells: vec![(point, "a")], ..scenario.content() };
            scenario.write(&owner, &content, None).await.unwrap();
            scenario.sleep_until(60.0 * f64::from(minute)).await;
            flush(&owner).await;
        }
        let [one, other] = merges(&owner, [[0, 3], [1, 2]]).await;
        assert!(one.bounds().overlaps(&other.bounds()));
        let machine = scenario.machine("slow", Suspension::NoClockStops);
        let script = before(Operation::Put, "manifest", freeze(&machine, 5));
        let slow = scenario.scripted(&machine, script);
        let quick = scenario.instance("quick");
        let (one, other, limits) = (one.reference(), other.reference(), JobLimits::default());
        let (refused, done) = futures::join!(
            slow.merger.run(DATABASE, &one, None, &limits),
            quick.merger.run(DATABASE, &other, None, &limits),
        );
        assert!(matches!(done, Ok(MergeOutcome::Done { .. })), "{done:?}");
        assert!(
            matches!(refused, Ok(MergeOutcome::Skipped(MergeSkipped::Overtaken))),
            "{refused:?}"
        );
        scenario.instance("reader").query().await.unwrap();
        assert_whole(&scenario);
    });
}
