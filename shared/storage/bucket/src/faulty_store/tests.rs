//! Tests that each fault has its documented effect.

use std::sync::Mutex as StdMutex;

use futures::FutureExt;

use super::*;
use crate::{ETag, MemoryStore};

fn memory(world: &World) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Arc::clone(&world.clock)))
}

fn faulty(faults: StoreFaults) -> (Arc<dyn Store>, FaultyStore) {
    let world = World::system();
    let inner = memory(&world);
    let store = FaultyStore::new(Arc::clone(&inner), world, faults);
    (inner, store)
}

async fn exists(store: &Arc<dyn Store>) -> bool {
    let answer = store.get("k", GetOptions::default()).await.unwrap();
    matches!(answer.value, Get::Found(_))
}

async fn put(store: &FaultyStore) -> Result<Put, StoreError> {
    Ok(store.put("k", Bytes::new(), PutMode::Create).await?.value)
}

#[tokio::test]
async fn each_fault_has_its_documented_effect_and_answer() {
    let none = StoreFaults::default();
    for (faults, answered, effect) in [
        (none.clone(), Some(true), true),
        (StoreFaults { unavailable: 1.0, ..none.clone() }, None, false),
        (StoreFaults { lost_reply: 1.0, ..none.clone() }, None, true),
        (StoreFaults { refused_after_effect: 1.0, ..none.clone() }, Some(false), true),
        (StoreFaults { refused_without_effect: 1.0, ..none.clone() }, Some(false), false),
    ] {
        let (inner, store) = faulty(faults.clone());
        let outcome = put(&store).await;
        let found = outcome.as_ref().ok().map(|put| *put != Put::Refused);
        assert_eq!(found, answered, "{faults:?}: {outcome:?}");
        assert_eq!(exists(&inner).await, effect, "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_lands_after_its_caller_got_an_error() {
    let (inner, store) = faulty(StoreFaults {
        late_landing: 1.0,
        longest_landing: Duration::from_secs(60),
        ..StoreFaults::default()
    });
    let outcome = put(&store).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
    assert!(!exists(&inner).await);
    World::system().clock.sleep(Duration::from_secs(61)).await;
    assert!(exists(&inner).await);
}

#[tokio::test]
async fn a_frozen_gate_holds_calls_and_answers_until_the_thaw() {
    let (inner, store) = faulty(StoreFaults::default());
    let gate = store.gate();
    let freezer = gate.clone();
    // The effect takes place, and its answer waits.
    let store = store.with_hook(Arc::new(move |call| {
        if call.number == 0 && call.phase == CallPhase::After {
            freezer.freeze();
        }
        async {}.boxed()
    }));
    let mut first = Box::pin(put(&store));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(exists(&inner).await);
    let mut second = Box::pin(put(&store));
    assert!(second.as_mut().now_or_never().is_none());
    gate.thaw();
    assert!(matches!(first.await, Ok(Put::Done(_))));
    assert_eq!(second.await.unwrap(), Put::Refused);
}

#[tokio::test]
async fn a_hook_sees_every_call_twice_in_order() {
    let (_, store) = faulty(StoreFaults::default());
    let seen: Arc<StdMutex<Vec<StoreCall>>> = Arc::default();
    let log = Arc::clone(&seen);
    let store = store.with_hook(Arc::new(move |call| {
        log.lock().unwrap().push(call.clone());
        async {}.boxed()
    }));
    put(&store).await.unwrap();
    store.delete(&["k".to_owned()]).await.unwrap();
    let seen = seen.lock().unwrap();
    let short: Vec<_> = seen.iter().map(|call| (call.number, call.operation, call.phase)).collect();
    assert_eq!(
        short,
        [
            (0, Operation::Put, CallPhase::Before),
            (0, Operation::Put, CallPhase::After),
            (1, Operation::Delete, CallPhase::Before),
            (1, Operation::Delete, CallPhase::After),
        ]
    );
}

#[tokio::test]
async fn dates_are_off_by_no_more_than_the_skew_either_way() {
    let skew = Duration::from_secs(1000);
    let (_, store) = faulty(StoreFaults { date_skew: skew, ..StoreFaults::default() });
    let now = StoreTime::from_micros(World::system().clock.wall_micros());
    let (mut early, mut late) = (false, false);
    for _ in 0..100 {
        let answer = store.get("k", GetOptions::default()).await.unwrap();
        let date = answer.date.unwrap();
        assert!(date.distance(now) <= skew + Duration::from_secs(60));
        early |= date < now.minus(Duration::from_secs(100));
        late |= date > now.plus(Duration::from_secs(100));
    }
    assert!(early && late);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answers() {
    let run = async |seed| {
        let world = World {
            entropy: Arc::new(crate::Entropy::from_seed(seed)),
            ..World::system()
        };
        let faults = StoreFaults {
            unavailable: 0.3,
            lost_reply: 0.3,
            refused_without_effect: 0.3,
            ..StoreFaults::default()
        };
        let store = FaultyStore::new(memory(&world), world, faults);
        let mut outcomes = Vec::new();
        let mut mode = PutMode::Create;
        for _ in 0..50 {
            let outcome = store
                .put("k", Bytes::new(), mode.clone())
                .await
                .map(|answer| answer.value)
                .map_err(|error| error.to_string());
            if let Ok(Put::Done(etag)) = &outcome {
                mode = PutMode::Update(ETag::new(etag.as_str()));
            }
            outcomes.push(outcome);
        }
        outcomes
    };
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}
