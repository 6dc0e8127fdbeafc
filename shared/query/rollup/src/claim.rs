//! Rule V2: the exclusive right to write the rows of a view, until a time. The results of rules are written with such a right,
//! too.
//!
//! ```text
//!   refresher                                      store
//!     |-- commit: claim of windows until T ----------> |   crash after: no process writes until T + 30 s
//!     |   time left?  no -> end                        |
//!     |-- PUT rows, stamp before T ------------------> |   crash after: the next claim replaces the windows: rule V3
//!     |-- commit: the windows are done, next claim --> |
//! ```
//!
//! A write is refused if its stamp is later than its arrival by more than rule W1 allows, and the arrival is at least
//! [`WRITE_MARGIN`] before the end of the claim. So a process that freezes at any point writes no later stamp.

use std::time::Duration;

use neap_bucket::{Bucket, ClockReading, Stamp, StoreTime, World};
use ulid::Ulid;

use crate::{RefreshError, ViewClaim};

/// The duration of a claim, for one range of windows.
pub(crate) const CLAIM_TIME: Duration = Duration::from_secs(120);

/// Minimum time from the arrival of a write to the end of the claim: more than rule W1 allows, and more than stamps may
/// be ahead of the store's clock.
const WRITE_MARGIN: Duration = Duration::from_secs(30);

/// Time after the end of a claim when another process may have the next one.
const TAKEOVER_MARGIN: Duration = Duration::from_secs(30);

impl ViewClaim {
    /// Returns whether its process may still write at this time.
    pub fn is_active(&self, now: StoreTime) -> bool {
        now < self.takeover_time()
    }

    /// Returns the time from which on another process may have the next claim.
    pub fn takeover_time(&self) -> StoreTime {
        self.until.plus(TAKEOVER_MARGIN)
    }
}

/// A claim of this process.
#[derive(Clone, Copy, Debug)]
pub struct HeldClaim {
    /// The claim.
    pub claim: ViewClaim,
    /// A time before the claim began, on this machine's clocks.
    started_at: ClockReading,
}

impl HeldClaim {
    /// Returns a claim that begins now, to be committed; `id`: that of the claim which it renews.
    ///
    /// # Errors
    /// `NoStoreTime`.
    pub fn begin(bucket: &Bucket, id: Option<Ulid>) -> Result<Self, RefreshError> {
        let started_at = bucket.world().clock_reading();
        let now = bucket.clock().now().ok_or(RefreshError::NoStoreTime)?;
        Ok(Self {
            claim: ViewClaim {
                id: id.unwrap_or_else(|| bucket.draw_ulid()),
                until: now.plus(CLAIM_TIME),
            },
            started_at,
        })
    }

    /// Returns whether a write may begin after this time.
    pub fn has_time_for(&self, world: &World, time: Duration) -> bool {
        let arrival = world.elapsed(&self.started_at).saturating_add(time);
        arrival.saturating_add(WRITE_MARGIN) < CLAIM_TIME
    }

    /// Returns the arrival time of a write that begins now, if there is enough time for it.
    ///
    /// # Errors
    /// `ClaimEnded`.
    pub fn arrival(&self, world: &World) -> Result<ClockReading, RefreshError> {
        // A freeze after this line does not make the arrival later.
        let arrived = world.clock_reading();
        if self.has_time_for(world, Duration::ZERO) {
            Ok(arrived)
        } else {
            Err(RefreshError::ClaimEnded)
        }
    }

    /// Checks that a write has a stamp before the end of the claim.
    ///
    /// # Errors
    /// `ClaimEnded`.
    pub fn check(&self, stamp: Option<Stamp>) -> Result<(), RefreshError> {
        if stamp.is_none_or(|stamp| stamp.time() <= self.claim.until) {
            Ok(())
        } else {
            Err(RefreshError::ClaimEnded)
        }
    }
}
