//! Tests of registers on stores with rival commits, false refusals and lost replies.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::{FutureExt, future::join_all};
use neap_s3_server::{Options, S3Server};
use neap_test_inputs::seeds;

use super::*;
use crate::{
    CallPhase, DirectoryStore, FaultyStore, ListPage, ListRequest, MemoryStore, Operation,
    PausedClock, RECENT_PUT_IDS, RemoteOptions, Store, StoreCall, StoreFaults, World,
    s3_fixture::{s3_builder, s3_store},
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct TestCounter {
    count: u64,
}

impl RegisterValue for TestCounter {
    const FORMAT: ObjectFormat = ObjectFormat { magic: *b"CNTR", kind: "counter", version: 1 };
}

fn memory(world: &World) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::clone(&world.clock)))
}

fn register(store: Arc<dyn Store>, world: &World) -> Register<TestCounter> {
    let bucket = Bucket::new(store, world.clone());
    Register::new(bucket, Key::RootCatalog, RECENT_PUT_IDS)
}

type CheckOutcome = Result<CommitOutcome<TestCounter, u64, String>, RegisterError>;

async fn increment(register: &Register<TestCounter>) -> CheckOutcome {
    let change = |base: &VersionedValue<TestCounter>| {
        let count = base.value.count + 1;
        Ok(RegisterChange::Put(TestCounter { count }, count))
    };
    register.commit(None, change).await
}

async fn count(register: &Register<TestCounter>) -> u64 {
    register.read(None).await.unwrap().value.count
}

/// A store whose faults are set by a script for each call.
fn scripted(
    inner: Arc<dyn Store>,
    world: &World,
    script: impl Fn(&StoreCall) -> StoreFaults + Send + Sync + 'static,
) -> Arc<FaultyStore> {
    let place: Arc<OnceLock<Weak<FaultyStore>>> = Arc::default();
    let hook = {
        let place = Arc::clone(&place);
        move |call: &StoreCall| {
            if call.phase == CallPhase::Before
                && let Some(store) = place.get().and_then(Weak::upgrade)
            {
                store.set_faults(script(call));
            }
            async {}.boxed()
        }
    };
    let store = FaultyStore::new(inner, world.clone(), StoreFaults::default());
    let store = Arc::new(store.with_hook(Arc::new(hook)));
    place.set(Arc::downgrade(&store)).unwrap();
    store
}

/// The faults of the first puts, one after the other.
fn puts(faults: impl IntoIterator<Item = StoreFaults>) -> impl Fn(&StoreCall) -> StoreFaults {
    let faults: Mutex<VecDeque<_>> = Mutex::new(faults.into_iter().collect());
    move |call| match call.operation {
        Operation::Put => faults.lock().unwrap().pop_front().unwrap_or_default(),
        _ => StoreFaults::default(),
    }
}

async fn assert_no_increment_is_lost(store: Arc<dyn Store>) {
    let world = World::system();
    let registers: Vec<_> = (0..16)
        .map(|_| Register {
            // A busy machine may need more than the usual time for 16 commits, one after the other.
            deadline: Duration::from_secs(600),
            ..register(Arc::clone(&store), &world)
        })
        .collect();
    let increments = registers.iter().map(async |register| {
        let outcome = increment(register).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    });
    join_all(increments).await;
    let versioned = registers[0].read(None).await.unwrap();
    assert_eq!((versioned.value.count, versioned.version), (16, 16));
}

#[tokio::test]
async fn sixteen_concurrent_increments_lose_nothing_in_memory() {
    let world = World::system();
    let delay = StoreFaults {
        delay: 1.0,
        longest_delay: Duration::from_millis(5),
        ..StoreFaults::default()
    };
    let store = FaultyStore::new(memory(&world), world, delay);
    assert_no_increment_is_lost(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_concurrent_increments_lose_nothing_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(directory.path(), &World::system()).unwrap();
    assert_no_increment_is_lost(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_concurrent_increments_lose_nothing_on_s3() {
    let server = S3Server::start(Options::default()).await.unwrap();
    let store = s3_store(s3_builder(&server), RemoteOptions::default());
    assert_no_increment_is_lost(Arc::new(store)).await;
}

#[tokio::test]
async fn an_own_put_is_recognised_after_a_lost_reply_and_after_a_false_refusal() {
    let world = World::system();
    let store = scripted(
        memory(&world),
        &world,
        puts([
            StoreFaults { lost_reply: 1.0, ..StoreFaults::default() },
            StoreFaults { refused_after_effect: 1.0, ..StoreFaults::default() },
        ]),
    );
    let register = register(store, &world);
    for expected in 1..=2 {
        let outcome = increment(&register).await.unwrap();
        let CommitOutcome::Committed { current, result } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((result, current.version), (expected, expected));
    }
    assert_eq!(count(&register).await, 2);
}

#[tokio::test]
async fn a_put_that_had_no_effect_is_repeated() {
    let world = World::system();
    let refused = StoreFaults { refused_without_effect: 1.0, ..StoreFaults::default() };
    let unavailable = StoreFaults { unavailable: 1.0, ..StoreFaults::default() };
    let faults = [refused.clone(), unavailable.clone(), refused, unavailable];
    let store = scripted(memory(&world), &world, puts(faults));
    let register = register(store, &world);
    for expected in 1..=2 {
        let outcome = increment(&register).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { result, .. } if result == expected));
    }
    assert_eq!(count(&register).await, 2);
}

/// The error of a call that does not reach the store.
#[derive(Clone, Copy, Debug)]
enum ScriptedError {
    Unavailable,
    Rejected,
}

/// A store whose first calls end with the given errors; `None` lets a call through.
#[derive(Debug)]
struct ScriptedErrorStore {
    inner: Arc<dyn Store>,
    endings: Mutex<VecDeque<Option<ScriptedError>>>,
}

impl ScriptedErrorStore {
    fn end(&self, operation: Operation, key: &str) -> Result<(), StoreError> {
        let (key, reason) = (key.to_owned(), "told so".to_owned());
        match self.endings.lock().unwrap().pop_front().flatten() {
            None => Ok(()),
            Some(ScriptedError::Unavailable) => {
                Err(StoreError::Unavailable { operation, key, reason })
            }
            Some(ScriptedError::Rejected) => Err(StoreError::Rejected { operation, key, reason }),
        }
    }
}

#[async_trait]
impl Store for ScriptedErrorStore {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        self.end(Operation::Get, key)?;
        self.inner.get(key, options).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        self.end(Operation::Put, key)?;
        self.inner.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.inner.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.inner.delete(keys).await
    }
}

#[tokio::test]
async fn a_rejection_is_an_error_only_while_nothing_can_land_any_more() {
    use ScriptedError::{Rejected, Unavailable};
    // The calls are a read of the base, a put, a read of its outcome, a put, and so on.
    for (endings, may_land) in [
        (vec![Some(Rejected)], false),
        (vec![None, Some(Rejected)], false),
        (vec![None, Some(Unavailable), None, Some(Rejected)], true),
        (vec![None, Some(Unavailable), Some(Rejected)], true),
    ] {
        let world = World::system();
        let store = ScriptedErrorStore {
            inner: memory(&world),
            endings: Mutex::new(endings.iter().copied().collect()),
        };
        let outcome = increment(&register(Arc::new(store), &world)).await;
        match &outcome {
            Ok(CommitOutcome::Unknown { reason }) => {
                assert!(may_land && reason.contains("told so"), "{endings:?}: {reason}");
            }
            Err(RegisterError::Store(StoreError::Rejected { .. })) => {
                assert!(!may_land, "{endings:?}: {outcome:?}");
            }
            _ => panic!("{endings:?}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn an_own_put_is_recognised_until_too_many_commits_came_after_it() {
    for (rivals, known) in [(0, true), (63, true), (64, true), (65, false), (200, false)] {
        let world = World::system();
        let inner = memory(&world);
        let rival = register(Arc::clone(&inner), &world);
        increment(&rival).await.unwrap();
        let false_refusal = StoreFaults { refused_after_effect: 1.0, ..StoreFaults::default() };
        let hook = {
            let rival = rival.clone();
            move |call: &StoreCall| {
                let rival = rival.clone();
                let own_put = call.operation == Operation::Put && call.phase == CallPhase::After;
                async move {
                    for _ in 0..if own_put { rivals } else { 0 } {
                        increment(&rival).await.unwrap();
                    }
                }
                .boxed()
            }
        };
        let store = FaultyStore::new(inner, world.clone(), false_refusal);
        let own = register(Arc::new(store.with_hook(Arc::new(hook))), &world);
        let outcome = increment(&own).await.unwrap();
        let recognised = match &outcome {
            CommitOutcome::Committed { result, .. } => *result == 2,
            CommitOutcome::Unknown { .. } => false,
            CommitOutcome::Refused(_) => panic!("{outcome:?}"),
        };
        assert_eq!(recognised, known, "{rivals} rivals: {outcome:?}");
        assert_eq!(count(&rival).await, 2 + rivals);
    }
}

#[tokio::test]
async fn a_refusal_on_an_old_value_is_retried_on_the_current_one() {
    let world = World::system();
    let register = register(memory(&world), &world);
    let old = register.read(None).await.unwrap();
    increment(&register).await.unwrap();
    let mut shown = Vec::new();
    let change = |base: &VersionedValue<TestCounter>| {
        shown.push(base.value.count);
        match base.value.count {
            0 => Err("too low"),
            count => Ok(RegisterChange::Put(TestCounter { count: count * 10 }, ())),
        }
    };
    let outcome = register.commit(Some(old), change).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    assert_eq!(shown, [0, 1]);
    assert_eq!(count(&register).await, 10);

    let current = register.read(None).await.unwrap();
    let refuse =
        |_: &VersionedValue<TestCounter>| Err::<RegisterChange<TestCounter, ()>, _>("never");
    let outcome = register.commit(Some(current), refuse).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Refused("never")), "{outcome:?}");
}

#[tokio::test]
async fn an_old_base_is_a_lost_race() {
    let world = World::system();
    let register = register(memory(&world), &world);
    let old = register.read(None).await.unwrap();
    increment(&register).await.unwrap();
    let change = |base: &VersionedValue<TestCounter>| {
        let count = base.value.count + 1;
        Ok::<_, String>(RegisterChange::Put(TestCounter { count }, count))
    };
    let outcome = register.commit(Some(old), change).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { result: 2, .. }), "{outcome:?}");
}

/// Returns a register whose first `puts` puts each take `while_` and are then overtaken by a rival's commit, and the
/// rival's register.
fn overtaken(
    world: &World,
    puts: u64,
    while_: Duration,
) -> (Register<TestCounter>, Register<TestCounter>) {
    let inner = memory(world);
    let rival = register(Arc::clone(&inner), world);
    let hook = {
        let (rival, clock) = (rival.clone(), Arc::clone(&world.clock));
        let started_puts = AtomicU64::new(0);
        move |call: &StoreCall| {
            let (rival, clock) = (rival.clone(), Arc::clone(&clock));
            let is_put = call.operation == Operation::Put && call.phase == CallPhase::Before;
            let is_overtaken = is_put && started_puts.fetch_add(1, Ordering::Relaxed) < puts;
            async move {
                if is_overtaken {
                    clock.sleep(while_).await;
                    increment(&rival).await.unwrap();
                }
            }
            .boxed()
        }
    };
    let store = FaultyStore::new(inner, world.clone(), StoreFaults::default());
    let own = register(Arc::new(store.with_hook(Arc::new(hook))), world);
    (own, rival)
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_loses_every_race_ends_as_unknown() {
    let world = virtual_world(1);
    let (own, _) = overtaken(&world, u64::MAX, Duration::ZERO);
    let outcome = increment(&own).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "{outcome:?}");
    let change =
        |base: &VersionedValue<TestCounter>| Ok::<_, String>(RegisterChange::Keep(base.version));
    let outcome = own.commit(None, change).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_commit_past_the_deadline_ends_at_the_third_lost_race_and_not_before() {
    for (lost, is_committed) in [(1, true), (2, true), (3, false), (u64::MAX, false)] {
        let world = virtual_world(1);
        let (own, rival) = overtaken(&world, lost, Duration::from_secs(60));
        let outcome = increment(&own).await.unwrap();
        match outcome {
            CommitOutcome::Committed { result, .. } => assert!(is_committed && result == lost + 1),
            _ => assert!(!is_committed, "{outcome:?}"),
        }
        let commits = lost.min(3) + u64::from(is_committed);
        assert_eq!(count(&rival).await, commits);
    }
}

#[tokio::test]
async fn a_damaged_or_newer_register_is_refused_by_its_key() {
    let world = World::system();
    let store = memory(&world);
    let newer = ObjectFormat { version: 2, ..TestCounter::FORMAT };
    let mut flipped = TestCounter::FORMAT.encode(1, b"payload").to_vec();
    flipped[crate::HEADER_BYTES] ^= 1;
    for (object, expected) in [
        (
            newer.encode(1, b""),
            "'catalog' has format version 2; this release reads counter up to version 1",
        ),
        (flipped.into(), "'catalog' is damaged: its checksum does not match"),
        (Bytes::from_static(b"{}"), "'catalog' is damaged: it has only 2 bytes"),
        (Bytes::from(vec![b'x'; 64]), "'catalog' is damaged: it is not a counter"),
    ] {
        store.put("catalog", object, PutMode::Overwrite).await.unwrap();
        let register = register(Arc::clone(&store), &world);
        let error = register.read(None).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = increment(&register).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let payload = TestCounter::FORMAT.encode(1, b"not compressed");
    store.put("catalog", payload, PutMode::Overwrite).await.unwrap();
    let error = register(store, &world).read(None).await.unwrap_err();
    assert!(error.to_string().starts_with("'catalog' is damaged: "), "{error}");
}

#[tokio::test]
async fn a_register_whose_version_got_another_etag_can_be_changed() {
    let world = World::system();
    let store = memory(&world);
    let register = register(Arc::clone(&store), &world);
    increment(&register).await.unwrap();
    let base = register.read(None).await.unwrap();
    // As a restore of the bucket does: the same bytes, another ETag.
    let answer = store.get("catalog", GetOptions::default()).await.unwrap();
    let Get::Found(object) = answer.value else {
        panic!("the register is gone");
    };
    store.put("catalog", object.bytes, PutMode::Overwrite).await.unwrap();
    let change = |base: &VersionedValue<TestCounter>| {
        let count = base.value.count + 1;
        Ok::<_, String>(RegisterChange::Put(TestCounter { count }, count))
    };
    let outcome = register.commit(Some(base), change).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed { result: 2, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_register_that_was_lost_is_not_created_again_by_a_commit_that_knew_it() {
    let world = World::system();
    let store = memory(&world);
    let register = register(Arc::clone(&store), &world);
    increment(&register).await.unwrap();
    let known = register.read(None).await.unwrap();
    store.delete(&["catalog".to_owned()]).await.unwrap();
    for is_refused_at_first in [false, true] {
        let change = |base: &VersionedValue<TestCounter>| {
            if is_refused_at_first && base.version > 0 {
                return Err("no".to_owned());
            }
            let count = base.value.count + 1;
            Ok(RegisterChange::Put(TestCounter { count }, count))
        };
        let error = register.commit(Some(known.clone()), change).await.unwrap_err();
        assert!(matches!(error, RegisterError::Missing(_)), "{error}");
        let answer = store.get("catalog", GetOptions::default()).await.unwrap();
        assert!(matches!(answer.value, Get::Missing));
    }
}

fn virtual_world(seed: u64) -> World {
    World::seeded(Arc::new(PausedClock::new(1_700_000_000_000_000)), seed)
}

/// Increments a counter from four instances on a faulty store. Returns the number of committed increments, the number
/// of unknown ones, and the final count.
async fn increments_on_a_bad_store(seed: u64) -> (u64, u64, u64) {
    let world = virtual_world(seed);
    let inner = memory(&world);
    let faults = StoreFaults {
        delay: 0.5,
        longest_delay: Duration::from_secs(1),
        unavailable: 0.1,
        lost_reply: 0.1,
        late_landing: 0.1,
        longest_landing: Duration::from_secs(20),
        refused_after_effect: 0.1,
        refused_without_effect: 0.1,
        date_skew: Duration::from_secs(2),
        page_keys: None,
    };
    let instances = (0..4).map(|_| {
        let store = FaultyStore::new(Arc::clone(&inner), world.clone(), faults.clone());
        let register = register(Arc::new(store), &world);
        async move {
            let (mut committed, mut unknown) = (0, 0);
            for _ in 0..20 {
                match increment(&register).await {
                    Ok(CommitOutcome::Committed { .. }) => committed += 1,
                    Ok(CommitOutcome::Unknown { .. }) => unknown += 1,
                    Ok(CommitOutcome::Refused(_)) => panic!("nothing is refused"),
                    // The first read got no answer: nothing was put.
                    Err(_) => {}
                }
            }
            (committed, unknown)
        }
    });
    let ends = join_all(instances).await;
    world.clock.sleep(Duration::from_secs(60)).await;
    let committed = ends.iter().map(|(committed, _)| committed).sum();
    let unknown = ends.iter().map(|(_, unknown)| unknown).sum();
    (committed, unknown, count(&register(inner, &world)).await)
}

#[tokio::test(start_paused = true)]
async fn on_a_faulty_store_commits_apply_once_and_a_seed_reproduces_the_outcome() {
    let mut all_unknown = 0;
    for seed in 0..seeds(30) {
        let end = increments_on_a_bad_store(seed).await;
        let (committed, unknown, count) = end;
        assert!(
            (committed..=committed + unknown).contains(&count),
            "seed {seed}: {committed} committed, {unknown} unknown, the counter is at {count}"
        );
        assert!(committed > 20, "seed {seed}: {end:?}");
        assert_eq!(increments_on_a_bad_store(seed).await, end, "seed {seed}");
        all_unknown += unknown;
    }
    assert!(all_unknown > 0, "the store was not bad enough");
}
