//! The options of backups.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use clap::Args;
use neap_assembly::options::parse_nonzero_duration;
use neap_backup::BackupSchedule;
use neap_catalog::TriggerSpecification;
use neap_engine::{Timetable, parse_specification};

/// The options of backups.
#[derive(Args, Clone, Debug)]
pub(crate) struct BackupArgs {
    /// The places that backups may go to beside the bucket itself, separated by commas: directories, or URLs such as
    /// s3://bucket/prefix. A bucket is reached with the settings of the store.
    #[arg(long, value_name = "URL|DIR", value_delimiter = ',')]
    pub(super) backup_to: Vec<String>,

    /// When backups are made without a request: an interval such as `24h`, or `cron:0 0 2 * * *` with seconds first.
    /// They go to the first place of --backup-to, otherwise they stay in the bucket.
    #[arg(long, value_name = "SCHEDULE", value_parser = parse_schedule)]
    backup_schedule: Option<ScheduledTimes>,

    /// Make every scheduled backup of this number a full one, and those between them incremental ones, which copy only the
    /// objects that the one before lacks. By default, all are full ones.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1",
        requires_all = ["backup_schedule", "backup_to"]
    )]
    backup_full_every: NonZeroU32,

    /// How long scheduled backups are kept, full ones together with the incremental ones that continue them. The newest
    /// one is always kept. Until they are deleted by default.
    #[arg(long, value_name = "DURATION", value_parser = parse_nonzero_duration, requires = "backup_schedule")]
    backup_retention: Option<Duration>,
}

/// The times of scheduled backups.
#[derive(Clone, Debug)]
struct ScheduledTimes(Arc<Timetable>);

/// Parses an interval, or a schedule of triggers (`every:…`, `cron:…`).
fn parse_schedule(text: &str) -> Result<ScheduledTimes, String> {
    let specification = match parse_nonzero_duration(text) {
        Ok(duration) => TriggerSpecification::Every { duration },
        Err(_) => parse_specification(text).map_err(|error| error.to_string())?,
    };
    let timetable =
        Timetable::from_specification(&specification).map_err(|error| error.to_string())?;
    let expected = "an interval such as 24h, or cron:0 0 2 * * * is expected";
    let timetable = timetable.ok_or_else(|| expected.to_owned())?;
    Ok(ScheduledTimes(Arc::new(timetable)))
}

impl BackupArgs {
    pub(super) fn schedule(&self) -> Option<BackupSchedule> {
        let times = self.backup_schedule.clone()?;
        Some(BackupSchedule {
            next: Arc::new(move |time| times.0.next_after(time)),
            full_every: self.backup_full_every,
            retention: self.backup_retention,
            place: self.backup_to.first().cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::StoreTime;

    use super::*;

    #[test]
    fn a_schedule_is_an_interval_or_a_cron_expression() {
        let next = |text: &str, seconds: i64| {
            let times = parse_schedule(text).unwrap();
            let next = times.0.next_after(StoreTime::from_micros(seconds * 1_000_000));
            next.unwrap().micros() / 1_000_000
        };
        assert_eq!(next("1h", 10), 3_600);
        assert_eq!(next("every:1h", 3_600), 7_200);
        assert_eq!(next("cron:0 0 2 * * *", 0), 7_200);
        for bad in ["", "0s", "table:cpu", "cron:x", "tomorrow"] {
            assert!(parse_schedule(bad).is_err(), "{bad}");
        }
    }
}
