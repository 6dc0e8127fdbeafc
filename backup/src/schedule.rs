//! Scheduled backups.

use std::{fmt, sync::Arc, time::Duration};

use neap_bucket::StoreTime;

/// Returns the first time of a timetable after another time; `None` if there is none.
pub type NextTime = Arc<dyn Fn(StoreTime) -> Option<StoreTime> + Send + Sync>;

/// When backups are made without a request, and how long they are kept.
#[derive(Clone)]
pub struct BackupSchedule {
    /// The times.
    pub next: NextTime,
    /// How long a scheduled backup is kept; the newest one is always kept. `None`: until it is deleted.
    pub retention: Option<Duration>,
    /// The place to back up to; `None`: the bucket of the cluster.
    pub place: Option<String>,
}

impl fmt::Debug for BackupSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupSchedule")
            .field("retention", &self.retention)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
