//! Databases whose flushes fail, with the reason, for `/metrics` and `/ready`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use neap_catalog::CatalogError;
use neap_compact::{CompactError, FlushResult, FlushSkipped};
use neap_schema::DatabaseId;
use neap_wal::TailError;

use super::readiness::{ConditionSource, ReadinessCondition};

/// Reason why flushes of a database fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BlockReason {
    /// The clocks of the store and of this machine differ.
    Clocks,
    /// The catalog lacks definitions that the segments need.
    Catalog,
    /// A segment or another object is damaged or lost.
    Damage,
    /// The store does not answer, or something else failed.
    Failure,
}

impl BlockReason {
    const ALL: [Self; 4] = [Self::Clocks, Self::Catalog, Self::Damage, Self::Failure];

    /// Returns the name in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Clocks => "clocks",
            Self::Catalog => "catalog",
            Self::Damage => "damage",
            Self::Failure => "failure",
        }
    }

    /// Returns the reason, if a flush failed for a cause that an operator must fix.
    fn from_result(flushed: &Result<FlushResult, CompactError>) -> Option<Self> {
        match flushed {
            Ok(
                FlushResult::Done { .. }
                | FlushResult::Skipped(FlushSkipped::NothingToFlush | FlushSkipped::Overtaken),
            ) => None,
            Ok(FlushResult::Skipped(FlushSkipped::Clock(_))) => Some(Self::Clocks),
            Ok(FlushResult::Skipped(FlushSkipped::CatalogOutdated { .. })) => Some(Self::Catalog),
            Ok(FlushResult::Skipped(
                FlushSkipped::Unreadable(_) | FlushSkipped::TooMuchDamage(_),
            ))
            | Err(
                CompactError::Segment(_)
                | CompactError::Format(_)
                | CompactError::Catalog(CatalogError::Missing(_))
                | CompactError::Tail(TailError::Segment(_)),
            ) => Some(Self::Damage),
            Ok(FlushResult::Skipped(_)) | Err(_) => Some(Self::Failure),
        }
    }
}

/// The last reason for each database whose flush failed, with a message for operators.
#[derive(Debug, Default)]
pub(super) struct BlockedFlushes(Mutex<BTreeMap<DatabaseId, (BlockReason, String)>>);

impl BlockedFlushes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseId, (BlockReason, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the outcome of a flush.
    pub(super) fn record(&self, database: DatabaseId, flushed: &Result<FlushResult, CompactError>) {
        let text = match flushed {
            Ok(FlushResult::Skipped(reason)) => reason.to_string(),
            Err(error) => error.to_string(),
            Ok(FlushResult::Done { .. }) => String::new(),
        };
        match BlockReason::from_result(flushed) {
            Some(reason) => self.lock().insert(database, (reason, text)),
            None => self.lock().remove(&database),
        };
    }

    /// Returns the number of databases per reason.
    pub(super) fn counts(&self) -> [(BlockReason, u64); 4] {
        let blocked = self.lock();
        BlockReason::ALL.map(|reason| {
            let of_reason = blocked.values().filter(|(known, _)| *known == reason);
            (reason, of_reason.count() as u64)
        })
    }
}

impl ConditionSource for BlockedFlushes {
    /// Returns one condition per reason, with the message of one of its databases.
    fn conditions(&self) -> Vec<ReadinessCondition> {
        let blocked = self.lock();
        let of = |reason: BlockReason| {
            let mut of_reason = blocked.iter().filter(|(_, (known, _))| *known == reason);
            let (database, (_, text)) = of_reason.next()?;
            let others = match of_reason.count() {
                0 => String::new(),
                others => format!(" (and {others} more)"),
            };
            Some(ReadinessCondition {
                name: "flush",
                text: format!("cannot flush database {database}{others}: {text}"),
            })
        };
        BlockReason::ALL.into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use neap_bucket::ClockDoubt;

    use super::*;

    #[test]
    fn a_failed_flush_is_reported_until_one_succeeds() {
        let blocked = BlockedFlushes::default();
        let clocks = || {
            let doubt = ClockDoubt::Difference(Duration::from_secs(400));
            Ok(FlushResult::Skipped(FlushSkipped::Clock(doubt)))
        };
        let nothing = Ok(FlushResult::Skipped(FlushSkipped::NothingToFlush));
        assert_eq!(blocked.conditions(), []);
        for database in [3, 5] {
            blocked.record(DatabaseId::new(database), &clocks());
        }
        assert_eq!(blocked.counts()[0], (BlockReason::Clocks, 2));
        let [condition] = blocked.conditions().try_into().unwrap();
        assert_eq!(
            condition.to_string(),
            "flush: cannot flush database 3 (and 1 more): the clocks of the store and of this machine differ by \
             400 s: set the one that is wrong (`neap fsck --clock` sets the time of a directory), or pass \
             --trust-store-clock if it is this machine's"
        );
        blocked.record(DatabaseId::new(3), &nothing);
        assert_eq!(blocked.counts()[0], (BlockReason::Clocks, 1));
        blocked.record(DatabaseId::new(5), &nothing);
        assert_eq!(blocked.conditions(), []);
    }
}
