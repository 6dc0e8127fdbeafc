//! The rules of a flush's commit.

use std::time::Duration;

use neap_bucket::{Operation, Stamp, StoreTime, VersionedValue};

use super::{DATABASE, Instance, ManifestTestBed, job, section};
use crate::{
    CommitAbandoned, FlushCommit, FlushOutcome, JobKind, Manifest, ManifestError, PendingObject,
    SnapshotSettings,
};

fn stage() -> (ManifestTestBed, Instance) {
    let stage = ManifestTestBed::new();
    let instance = stage.instance(1, SnapshotSettings::default());
    (stage, instance)
}

fn at(second: i64) -> Stamp {
    Stamp::end_of(StoreTime::from_micros(second * 1_000_000))
}

async fn read(instance: &Instance) -> VersionedValue<Manifest> {
    instance.manifests.read(DATABASE, None).await.unwrap()
}

fn flush(instance: &Instance, read_mark: Stamp, cut: Stamp) -> FlushCommit {
    let object = PendingObject::draw(&instance.bucket).unwrap();
    let mut section = section(1, 0, read_mark.as_u64(), cut.as_u64());
    section.object = object.ulid;
    FlushCommit {
        sections: vec![section],
        needs_catalog: 3,
        object: Some(object),
        ..FlushCommit::new(read_mark, cut, job(JobKind::Flush))
    }
}

async fn commit(
    instance: &Instance,
    base: VersionedValue<Manifest>,
    flush: FlushCommit,
) -> FlushOutcome {
    let outcome = instance.manifests.commit_flush(DATABASE, base, flush).await;
    outcome.unwrap()
}

#[tokio::test(start_paused = true)]
async fn sections_are_added_and_the_mark_rises() {
    let (stage, instance) = stage();
    let base = read(&instance).await;
    stage.taken();
    let flushed = commit(&instance, base, flush(&instance, Stamp::ZERO, at(10))).await;
    let FlushOutcome::Committed(current) = flushed else {
        panic!("{flushed:?}");
    };
    assert_eq!((stage.taken().gets, stage.taken().puts), (0, 0));
    assert_eq!(current.value.low_water_mark, at(10));
    assert_eq!((current.value.sections.len(), current.value.needs_catalog), (1, 3));

    let flushed = commit(&instance, current, flush(&instance, at(10), at(20))).await;
    assert!(matches!(flushed, FlushOutcome::Committed(_)));
    let current = read(&instance).await;
    assert_eq!(current.value.check(), Ok(()));
    assert_eq!(current.value.section_count(), 2);
    let first = current.value.marks.first().unwrap();
    assert_eq!((first.mark, first.version), (at(10), 1));
    assert!(first.committed.is_some());
    assert_eq!(current.value.marks.last().unwrap().committed, None);
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_abandoned_when_the_mark_has_moved_even_if_its_base_is_old() {
    let (_, instance) = stage();
    let base = read(&instance).await;
    let late = flush(&instance, Stamp::ZERO, at(12));
    commit(&instance, base.clone(), flush(&instance, Stamp::ZERO, at(10))).await;
    let flushed = commit(&instance, base, late).await;
    assert!(matches!(
        flushed,
        FlushOutcome::GivenUp(CommitAbandoned::MarkMoved { mark }) if mark == at(10)
    ));
    assert_eq!(read(&instance).await.value.section_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_the_mark_is_nothing_to_flush_and_costs_nothing() {
    let (stage, instance) = stage();
    let base = read(&instance).await;
    commit(&instance, base, flush(&instance, Stamp::ZERO, at(10))).await;
    let base = read(&instance).await;
    let mut nothing = flush(&instance, at(10), at(10));
    nothing.sections.clear();
    stage.taken();
    let flushed = commit(&instance, base, nothing).await;
    assert!(matches!(flushed, FlushOutcome::GivenUp(CommitAbandoned::NothingToFlush)));
    assert_eq!(stage.taken(), super::RequestCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_bundle_whose_name_was_drawn_long_ago_is_refused() {
    let (stage, instance) = stage();
    read(&instance).await;
    let old = flush(&instance, Stamp::ZERO, at(10));
    stage.sleep(Duration::from_secs(15 * 60 + 1)).await;
    let base = read(&instance).await;
    let flushed = commit(&instance, base, old.clone()).await;
    assert!(matches!(flushed, FlushOutcome::GivenUp(CommitAbandoned::ObjectTooOld)));
    // On a base from before the name was drawn, the commit is safe, because a collector would have changed the
    // manifest.
    assert_eq!(read(&instance).await.version, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flush_without_rows_needs_no_bundle() {
    let (_, instance) = stage();
    let base = read(&instance).await;
    let mut empty = flush(&instance, Stamp::ZERO, at(10));
    empty.sections.clear();
    empty.object = None;
    let flushed = commit(&instance, base, empty).await;
    assert!(matches!(flushed, FlushOutcome::Committed(_)));
    assert_eq!(read(&instance).await.value.low_water_mark, at(10));
}

#[tokio::test(start_paused = true)]
async fn sections_of_another_interval_or_bundle_are_refused() {
    let (_, instance) = stage();
    let base = read(&instance).await;
    let mut interval = flush(&instance, Stamp::ZERO, at(10));
    interval.sections[0].upto = at(9);
    let mut bundle = flush(&instance, Stamp::ZERO, at(10));
    bundle.object = None;
    for impossible in [interval, bundle] {
        let outcome = instance.manifests.commit_flush(DATABASE, base.clone(), impossible).await;
        assert!(matches!(outcome, Err(ManifestError::InvalidCommit { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_the_store_never_answers_is_unknown() {
    let (stage, instance) = stage();
    let base = read(&instance).await;
    let flush = flush(&instance, Stamp::ZERO, at(10));
    stage.set_unavailable(true);
    let flushed = commit(&instance, base, flush).await;
    assert!(matches!(flushed, FlushOutcome::Unknown { .. }));
}

#[tokio::test(start_paused = true)]
async fn rivals_flush_once() {
    let stage = ManifestTestBed::new();
    let instances = [1, 2].map(|seed| stage.instance(seed, SnapshotSettings::default()));
    stage.slow_down(Duration::from_millis(20));
    for instance in &instances {
        read(instance).await;
    }
    let flushes = instances.iter().map(|instance| instance.flush(at(10)));
    let outcomes = futures::future::join_all(flushes).await;
    let committed = outcomes.iter().filter(|outcome| matches!(outcome, FlushOutcome::Committed(_)));
    assert_eq!(committed.count(), 1);
    assert_eq!(read(&instances[0]).await.value.section_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_settled_once_its_commit_is_old_enough() {
    let (stage, instance) = stage();
    let grace = Duration::from_secs(120);
    let settled = || async {
        let current = read(&instance).await;
        Manifest::settled_mark(&current, current.current_at.unwrap(), grace)
    };
    assert_eq!(settled().await, None);
    instance.flush(at(10)).await;
    stage.sleep(Duration::from_secs(60)).await;
    instance.flush(at(100)).await;
    assert_eq!(settled().await, None);
    stage.sleep(Duration::from_secs(60)).await;
    assert_eq!(settled().await, Some(at(10)));
    stage.sleep(Duration::from_secs(60)).await;
    assert_eq!(settled().await, Some(at(100)));
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_abandoned_when_a_rival_commits_between_read_and_put() {
    let (stage, instance) = stage();
    let rival = stage.instance(2, SnapshotSettings::default());
    read(&instance).await;
    let act = async move {
        rival.flush(at(5)).await;
    };
    let base = read(&instance).await;
    let flush = flush(&instance, Stamp::ZERO, at(10));
    stage.before(Operation::Put, "db/1/manifest", act);
    let flushed = commit(&instance, base, flush).await;
    assert!(matches!(
        flushed,
        FlushOutcome::GivenUp(CommitAbandoned::MarkMoved { mark }) if mark == at(5)
    ));
}
