//! The tail states that flushers publish.

use neap_bucket::{Stamp, StoreTime};
use neap_wal::TailState;

use super::{DATABASE, Instance, ManifestTestBed};
use crate::{Manifest, SnapshotSettings};

fn stage() -> Instance {
    ManifestTestBed::new().instance(1, SnapshotSettings::default())
}

fn state(segments: u64, second: i64) -> TailState {
    TailState {
        segments,
        oldest: None,
        listed: StoreTime::from_micros(second * 1_000_000),
    }
}

async fn published(instance: &Instance) -> (u64, Option<TailState>) {
    let manifest = instance.manifests.read(DATABASE, None).await.unwrap();
    (manifest.version, manifest.value.tail)
}

#[tokio::test(start_paused = true)]
async fn the_newest_tail_state_is_published_even_before_the_first_flush() {
    let instance = stage();
    let base = instance.manifests.read(DATABASE, None).await.unwrap();
    let publish = async |mark, state| {
        let (store, base) = (&instance.manifests, base.clone());
        let committed = store.commit_tail_state(DATABASE, base, mark, state);
        committed.await.unwrap()
    };
    let first = state(4_000, 10);
    assert!(publish(Stamp::ZERO, first).await);
    assert_eq!(published(&instance).await, (1, Some(first)));
    assert!(!publish(Stamp::ZERO, state(1, 9)).await);
    let second = state(12_000, 20);
    assert!(publish(Stamp::ZERO, second).await);
    assert_eq!(published(&instance).await, (2, Some(second)));
    // The flush of these tests publishes no tail state.
    instance.flush(Stamp::from_u64(5 << 40)).await;
    assert_eq!(published(&instance).await, (3, None));
    assert!(!publish(Stamp::ZERO, state(13_000, 30)).await);
    assert_eq!(published(&instance).await, (3, None));
}

#[test]
fn manifests_without_a_state_and_with_one_are_read() {
    let text = serde_json::to_string(&Manifest::default()).unwrap();
    assert!(!text.contains("tail"), "{text}");
    let mut manifest: Manifest = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest, Manifest::default());
    manifest.tail = Some(TailState { oldest: Some(StoreTime::from_micros(3)), ..state(2, 1) });
    let text = serde_json::to_string(&manifest).unwrap();
    assert!(text.contains(r#""tail":{"segments":2,"oldest":3,"listed":1000000}"#), "{text}");
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
}
