//! Claims of ticks: the instance that creates the object of a tick runs the tick.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, ListRequest, Put, PutMode, StoreError, StoreTime};

use crate::{checkpoint::TriggerRef, engine::Engine};

/// Timeout of a claim. An undecided claim is abandoned, and the tick is left to other instances.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum pause before a request is retried.
const MAX_CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TickClaim {
    /// This instance owns the tick.
    Ours,
    /// Another instance owns the tick, or an earlier attempt of this instance does.
    Others,
    /// The owner is unknown, with the reason.
    Unknown(String),
}

/// Returns the key of a tick: milliseconds since the Unix epoch.
pub(super) fn millis(tick: StoreTime) -> u64 {
    u64::try_from(tick.micros() / 1_000).unwrap_or(0)
}

impl Engine {
    /// Lists the claimed ticks after a time, as far as one page shows them, so that they need no claim. Returns an
    /// empty set if the store does not answer; then the claims decide.
    pub(super) async fn claimed(&self, key: TriggerRef, after: StoreTime) -> BTreeSet<u64> {
        let prefix = Key::tick_prefix(key.database, key.trigger);
        let first = Key::Tick(key.database, key.trigger, millis(after)).to_string();
        let page = self.bucket.list(ListRequest {
            prefix: &prefix,
            start_after: Some(&first),
            page_token: None,
        });
        let Some(Ok(page)) = self.bucket.world().timeout(CLAIM_TIMEOUT, page).await else {
            return BTreeSet::new();
        };
        let keys = page.value.entries.iter().map(|entry| entry.key.parse());
        let ticks = keys.filter_map(|key| match key {
            Ok(Key::Tick(_, _, millis)) => Some(millis),
            _ => None,
        });
        ticks.collect()
    }

    pub(super) async fn claim(&self, key: TriggerRef, tick: StoreTime) -> TickClaim {
        let world = self.bucket.world();
        let claim = world
            .timeout(CLAIM_TIMEOUT, self.claim_until_decided(key, tick))
            .await
            .unwrap_or_else(|| TickClaim::Unknown("the store does not answer".to_owned()));
        if let TickClaim::Unknown(reason) = &claim {
            tracing::error!(database = %key.database, trigger = %key.trigger, reason, "a tick is skipped because its claim is undecided");
        }
        claim
    }

    async fn claim_until_decided(&self, key: TriggerRef, tick: StoreTime) -> TickClaim {
        let object = Key::Tick(key.database, key.trigger, millis(tick));
        let world = self.bucket.world();
        // The body is random for each attempt, so that a repeated event does not match its own earlier claim.
        let own = Bytes::from(format!("{:032x}", world.entropy.next_u128()));
        loop {
            let put = self.bucket.put(&object, own.clone(), PutMode::Create);
            match put.await {
                Ok(answer) if answer.value != Put::Refused => return TickClaim::Ours,
                Err(StoreError::Rejected { reason, .. }) => return TickClaim::Unknown(reason),
                // Neither a refusal nor a missing answer decides the claim.
                Ok(_) | Err(StoreError::Unavailable { .. }) => {}
            }
            let got = self.bucket.get(&object, GetOptions::default()).await;
            match got.map(|answer| answer.value) {
                Ok(Get::Found(found)) if found.bytes == own => return TickClaim::Ours,
                Ok(Get::Found(_)) => return TickClaim::Others,
                Err(StoreError::Rejected { reason, .. }) => return TickClaim::Unknown(reason),
                Ok(Get::Missing | Get::Unchanged) | Err(StoreError::Unavailable { .. }) => {}
            }
            world.clock.sleep(world.entropy.below(MAX_CLAIM_PAUSE)).await;
        }
    }
}
