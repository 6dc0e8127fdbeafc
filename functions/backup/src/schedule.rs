//! Scheduled backups.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use neap_bucket::StoreTime;

/// Returns the first time of a timetable after another time; `None` if there is none.
pub type NextTime = Arc<dyn Fn(StoreTime) -> Option<StoreTime> + Send + Sync>;

/// When backups are made without a request, and how long they are kept.
#[derive(Clone, derive_more::Debug)]
pub struct BackupSchedule {
    /// The times.
    #[debug(skip)]
    pub next: NextTime,
    /// Every backup of this number is a full one; the others continue the one before. 1: all are full ones.
    pub full_every: NonZeroU32,
    /// How long a scheduled backup is kept, together with the incremental backups that continue it; the newest one and
    /// its parents are always kept. `None`: until it is deleted.
    pub retention: Option<Duration>,
    /// The place to back up to; `None`: the bucket of the cluster.
    pub place: Option<String>,
}
