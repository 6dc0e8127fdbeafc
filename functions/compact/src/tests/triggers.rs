//! Objects that the processing engine needs are kept while it needs them.

use std::time::Duration;

use bytes::Bytes;
use neap_bucket::{
    CodeHash, Key, PutMode, RECENT_PUT_IDS, Register, RegisterChange, Stamp, VersionedValue,
};
use neap_catalog::{HardDelete, NewPlugin, NewTrigger, Trigger, TriggerSpecification};
use neap_schema::DatabaseId;
use neap_wal::TriggerCheckpoint;

use super::test_bed::{CompactTestBed, NOW};
use crate::CompactorEvent;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl CompactTestBed {
    async fn trigger(&self, database: &str, name: &str) -> std::sync::Arc<Trigger> {
        let trigger = NewTrigger::new(name, "plugin.py", TriggerSpecification::AllTablesWalWrite);
        let id = self.id(database).await;
        self.catalog.create_trigger(id, &trigger).await.unwrap()
    }

    /// Marks everything up to now as seen by a trigger.
    async fn has_seen_all(&self, database: DatabaseId, trigger: &Trigger) {
        let key = Key::Checkpoint(database, trigger.id);
        let register = Register::<TriggerCheckpoint>::new(self.bucket.clone(), key, RECENT_PUT_IDS);
        let now = self.bucket.clock().now().unwrap();
        let see = |base: &VersionedValue<TriggerCheckpoint>| {
            let mut next = TriggerCheckpoint::clone(&base.value);
            next.merge(Stamp::end_of(now), []);
            Ok::<_, std::convert::Infallible>(RegisterChange::Put(next, ()))
        };
        register.commit(None, see).await.unwrap();
    }
}

#[tokio::test]
async fn a_settled_segment_stays_until_every_trigger_has_seen_it() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    let id = stage.id("db").await;
    let first = stage.trigger("db", "first").await;
    let second = stage.trigger("db", "second").await;
    stage.write("db", &format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    // The segment that is older than the triggers is deleted.
    let report = stage.look(5 * MINUTE).await;
    assert_eq!((report.collected.segments, report.collected.kept), (1, 1));
    stage.has_seen_all(id, &first).await;
    assert_eq!(stage.look(MINUTE).await.collected.kept, 1);
    stage.has_seen_all(id, &second).await;
    let report = stage.look(MINUTE).await;
    assert_eq!((report.collected.segments, report.collected.unseen), (1, 0));
    assert_eq!(stage.keys("tail/").await, [] as [String; 0]);
}

#[tokio::test]
async fn a_segment_that_no_trigger_has_seen_is_deleted_after_a_day() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    stage.trigger("db", "t").await;
    stage.write("db", &format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.look(5 * MINUTE).await;
    assert_eq!(stage.look(23 * HOUR).await.collected.kept, 1);
    let report = stage.look(HOUR).await;
    assert_eq!((report.collected.segments, report.collected.unseen), (1, 1));
}

#[tokio::test]
async fn a_disabled_trigger_and_a_dropped_database_keep_nothing() {
    let stage = CompactTestBed::new().await;
    for database in ["disabled", "dropped"] {
        stage.write(database, &format!("m v=0 {NOW}")).await;
        stage.trigger(database, "t").await;
        stage.write(database, &format!("m v=1 {NOW}")).await;
        stage.flush(database).await;
    }
    let disabled = stage.id("disabled").await;
    let switched = stage.catalog.set_trigger_enabled(disabled, "t", false);
    switched.await.unwrap();
    let dropped = stage.id("dropped").await;
    stage
        .catalog
        .delete_database("dropped", HardDelete::After(MINUTE))
        .await
        .unwrap();
    stage.look_times(4, 2 * HOUR).await;
    assert_eq!(stage.keys("tail/").await, [] as [String; 0]);
    assert_eq!(stage.keys(&Key::engine_prefix(dropped)).await, [] as [String; 0]);
}

#[tokio::test]
async fn unseen_segments_of_a_dropped_database_stay_while_it_can_be_undeleted() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    let id = stage.id("db").await;
    let trigger = stage.trigger("db", "t").await;
    stage.write("db", &format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.catalog.delete_database("db", HardDelete::After(72 * HOUR)).await.unwrap();
    stage.scheduled(11 * MINUTE).await;
    let report = stage.scheduled(48 * HOUR).await;
    assert_eq!((report.collected.segments, report.collected.kept), (0, 1));
    stage.has_seen_all(id, &trigger).await;
    assert_eq!(stage.scheduled(MINUTE).await.collected.segments, 1);
}

#[tokio::test]
async fn segments_that_are_kept_do_not_make_a_tail_look_due() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    stage.trigger("db", "t").await;
    stage.write("db", &format!("m v=1 {NOW}")).await;
    stage.pass(11 * MINUTE);
    let compactor = stage.compactor();
    let run = async || {
        let report = compactor.handle(&CompactorEvent::Scheduled, None).await.unwrap();
        assert_eq!(report.failures, []);
        report
    };
    assert_eq!(run().await.flushes, 1);
    stage.pass(3 * MINUTE);
    let report = run().await;
    assert_eq!((report.flushes, report.collected.kept), (0, 1));
    stage.pass(MINUTE);
    let (report, counts) = stage.counted(run()).await;
    assert_eq!((report.flushes, report.collected.kept), (0, 0));
    assert_eq!(counts.to_string(), "1 list tail");
    // Segments above the mark still count.
    stage.write("db", &format!("m v=2 {NOW}")).await;
    stage.pass(11 * MINUTE);
    assert_eq!(run().await.flushes, 1);
}

#[tokio::test]
async fn databases_without_triggers_add_no_cost_to_a_collection() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    stage.flush("db").await;
    let compactor = stage.compactor();
    let look = async |after| {
        stage.pass(after);
        let looked = compactor.handle(&CompactorEvent::Collect, None);
        let (report, counts) = stage.counted(looked).await;
        report.unwrap();
        let of_engine = |class: &str| ["engine", "plugin"].contains(&class);
        let counts = counts.iter().filter(|(_, class, _)| of_engine(class.as_str()));
        counts.count()
    };
    // Unreferenced code is also searched when a process starts, and then once a day.
    assert_eq!(look(5 * MINUTE).await, 1);
    assert_eq!(look(5 * MINUTE).await, 0);
    assert_eq!(look(12 * HOUR).await, 0);
    assert_eq!(look(12 * HOUR).await, 1);
}

#[tokio::test]
async fn unneeded_claims_logs_and_checkpoints_are_deleted() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    let id = stage.id("db").await;
    let kept = stage.trigger("db", "kept").await;
    let gone = stage.trigger("db", "gone").await;
    stage.has_seen_all(id, &kept).await;
    stage.has_seen_all(id, &gone).await;
    for key in [
        Key::Tick(id, kept.id, 1_700_000_000_000),
        Key::EngineLog(id, stage.bucket.draw_ulid()),
    ] {
        let body = Bytes::from_static(b"x");
        stage.bucket.put(&key, body, PutMode::Create).await.unwrap();
    }
    stage.catalog.delete_trigger(id, "gone", true).await.unwrap();
    assert_eq!(stage.look(50 * MINUTE).await.collected.engine, 0);
    // The tick claim is deleted.
    assert_eq!(stage.look(22 * HOUR).await.collected.engine, 1);
    // The checkpoint of the deleted trigger is deleted.
    assert_eq!(stage.look(2 * HOUR).await.collected.engine, 1);
    assert_eq!(stage.look(72 * HOUR).await.collected.engine, 1);
    let left = stage.keys("engine/").await;
    assert_eq!(left, [Key::Checkpoint(id, kept.id).to_string()]);
}

#[tokio::test]
async fn code_is_deleted_when_neither_a_trigger_nor_a_plugin_references_it() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    let id = stage.id("db").await;
    stage.trigger("db", "t").await;
    let [named, unnamed, young] = [1, 2, 3].map(|number| CodeHash([number; 32]));
    let put = async |hash| {
        let (key, body) = (Key::PluginCode(hash), Bytes::from_static(b"code"));
        stage.bucket.put(&key, body, PutMode::Overwrite).await.unwrap();
    };
    put(named).await;
    put(unnamed).await;
    stage.catalog.set_trigger_code(id, "t", named).await.unwrap();
    assert_eq!(stage.look(23 * HOUR).await.collected.engine, 0);
    put(young).await;
    assert_eq!(stage.look(2 * HOUR).await.collected.engine, 1);
    let left = stage.keys(Key::PLUGINS_PREFIX).await;
    assert_eq!(left, [named, young].map(|hash| Key::PluginCode(hash).to_string()));
}

#[tokio::test]
async fn code_is_deleted_after_the_last_plugin_is_deleted() {
    let stage = CompactTestBed::new().await;
    let compactor = stage.compactor();
    let collected = async |after| {
        stage.pass(after);
        let report = compactor.handle(&CompactorEvent::Collect, None).await.unwrap();
        report.collected.engine
    };
    let code = CodeHash([1; 32]);
    let (key, body) = (Key::PluginCode(code), Bytes::from_static(b"code"));
    let put = stage.bucket.put(&key, body, PutMode::Overwrite);
    put.await.unwrap();
    let plugin = NewPlugin { code, is_package: false, files: Vec::new() };
    stage.catalog.put_plugin("p.py", plugin, None).await.unwrap();
    assert_eq!(collected(25 * HOUR).await, 0);
    stage.catalog.delete_plugin("p.py").await.unwrap();
    let both = collected(HOUR).await + collected(24 * HOUR).await;
    assert_eq!(both, 1);
    assert_eq!(stage.keys(Key::PLUGINS_PREFIX).await, [] as [String; 0]);
}
