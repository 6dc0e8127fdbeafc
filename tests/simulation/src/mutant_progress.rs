//! A store that changes the progress of views and triggers in requests, such that the refreshers and engines of the
//! product break one rule.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use neap_bucket::{
    Get, GetOptions, Key, ListPage, ListRequest, Object, Put, PutMode, RegisterValue, Stamp, Store,
    StoreError, StoreResponse, StoreTime,
};
use neap_rollup::{ViewProgress, ViewState, WindowSet};
use neap_schema::ViewId;
use neap_wal::TriggerCheckpoint;
use serde::{Deserialize, Serialize};

use crate::{
    disabled_rule::DisabledRule, instance::Instance, machine::VirtualTime,
    network::SimulatedNetwork,
};

/// Time after the end of a claim when another refresher may claim the view.
const TAKEOVER_MARGIN: Duration = Duration::from_secs(30);

/// A network whose requests change the progress of views or triggers.
#[derive(Debug)]
struct ProgressMutant {
    network: SimulatedNetwork,
    rule: DisabledRule,
    time: VirtualTime,
}

/// A register with the progress of views, as stored in the bucket.
#[derive(Serialize, Deserialize)]
struct ProgressRegister {
    version: u64,
    recent: Vec<String>,
    value: ViewProgress,
}

/// The checkpoint of a trigger, as stored in the bucket.
#[derive(Serialize, Deserialize)]
struct CheckpointRegister {
    version: u64,
    recent: Vec<String>,
    value: TriggerCheckpoint,
}

/// Returns the store of an instance. It changes the progress of views or triggers if one of their rules is disabled.
pub(crate) fn with_progress_of(
    network: SimulatedNetwork,
    weakness: Option<DisabledRule>,
    time: VirtualTime,
) -> Arc<dyn Store> {
    match weakness {
        Some(
            rule @ (DisabledRule::PendingWindows
            | DisabledRule::SoleClaim
            | DisabledRule::UnfinishedWindows
            | DisabledRule::CheckpointLag
            | DisabledRule::CollectAfterDelivery),
        ) => Arc::new(ProgressMutant { network, rule, time }),
        _ => Arc::new(network),
    }
}

impl Instance {
    /// Returns the state of a view for a query. Without the rule of current windows, no window is listed or claimed.
    pub(crate) fn without_listed_windows(&self, state: &ViewState) -> ViewState {
        let mut state = state.clone();
        if self.weakness == Some(DisabledRule::CurrentWindows) {
            state.pending = WindowSet::default();
            state.claimed = WindowSet::default();
        }
        state
    }
}

fn changed(body: &Bytes, change: impl Fn(&mut BTreeMap<ViewId, ViewState>)) -> Bytes {
    let (put_id, payload) = ViewProgress::FORMAT.decode("the progress", body).unwrap();
    let json = zstd::decode_all(payload.as_ref()).unwrap();
    let mut register: ProgressRegister = serde_json::from_slice(&json).unwrap();
    change(&mut register.value.views);
    let json = serde_json::to_vec(&register).unwrap();
    let payload = zstd::encode_all(json.as_slice(), 0).unwrap();
    ViewProgress::FORMAT.encode(put_id, &payload)
}

/// Removes claimed windows from the list before their rows are stored.
fn forget_claimed_windows(views: &mut BTreeMap<ViewId, ViewState>) {
    for state in views.values_mut() {
        let claimed = std::mem::take(&mut state.claimed);
        claimed.ranges().for_each(|range| state.pending.remove(range));
    }
}

/// Removes the claims that ended without a result, as if they had one.
fn forget_ended_claims(views: &mut BTreeMap<ViewId, ViewState>, now: StoreTime) {
    for state in views.values_mut() {
        let claim = state.claim;
        if claim.is_some_and(|claim| claim.until.plus(TAKEOVER_MARGIN) <= now) {
            state.claim = None;
            state.claimed = WindowSet::default();
        }
    }
}

/// Removes the claims of other refreshers.
fn forget_claims(views: &mut BTreeMap<ViewId, ViewState>) {
    for state in views.values_mut() {
        state.claim = None;
    }
}

/// Raises the mark of a checkpoint to now.
fn with_mark_at(body: &Bytes, now: StoreTime) -> Bytes {
    let format = TriggerCheckpoint::FORMAT;
    let (put_id, payload) = format.decode("a checkpoint", body).unwrap();
    let json = zstd::decode_all(payload.as_ref()).unwrap();
    let mut register: CheckpointRegister = serde_json::from_slice(&json).unwrap();
    register.value.merge(Stamp::end_of(now), []);
    let json = serde_json::to_vec(&register).unwrap();
    let payload = zstd::encode_all(json.as_slice(), 0).unwrap();
    format.encode(put_id, &payload)
}

fn is_checkpoint(key: &str) -> bool {
    matches!(key.parse(), Ok(Key::Checkpoint(..)))
}

fn is_progress(key: &str) -> bool {
    matches!(key.parse(), Ok(Key::ViewProgress(_)))
}

impl ProgressMutant {
    fn is_collector(&self) -> bool {
        self.network.machine().name().starts_with("collector")
    }
}

#[async_trait]
impl Store for ProgressMutant {
    async fn get(&self, key: &str, options: GetOptions) -> Result<StoreResponse<Get>, StoreError> {
        let answer = self.network.get(key, options).await?;
        let (value, rule) = match answer.value {
            Get::Found(object) if is_progress(key) || is_checkpoint(key) => (object, self.rule),
            value => {
                let date = answer.date;
                return Ok(StoreResponse { value, date });
            }
        };
        let bytes = match (rule, answer.date) {
            (DisabledRule::SoleClaim, _) if is_progress(key) => {
                changed(&value.bytes, forget_claims)
            }
            (DisabledRule::UnfinishedWindows, Some(now)) if is_progress(key) => {
                changed(&value.bytes, |views| forget_ended_claims(views, now))
            }
            (DisabledRule::CollectAfterDelivery, Some(now)) if self.is_collector() => {
                with_mark_at(&value.bytes, now)
            }
            _ => value.bytes,
        };
        let value = Get::Found(Object { bytes, ..value });
        Ok(StoreResponse { value, date: answer.date })
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        mode: PutMode,
    ) -> Result<StoreResponse<Put>, StoreError> {
        let body = match self.rule {
            DisabledRule::CheckpointLag if is_checkpoint(key) => {
                with_mark_at(&body, StoreTime::from_micros(self.time.micros()))
            }
            _ if !is_progress(key) => body,
            DisabledRule::PendingWindows => changed(&body, forget_claimed_windows),
            _ => body,
        };
        self.network.put(key, body, mode).await
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<StoreResponse<ListPage>, StoreError> {
        self.network.list(request).await
    }

    async fn delete(&self, keys: &[String]) -> Result<StoreResponse<()>, StoreError> {
        self.network.delete(keys).await
    }

    fn is_sorted(&self) -> bool {
        self.network.is_sorted()
    }
}
