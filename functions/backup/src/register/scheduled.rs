//! Backups that the schedule makes: their chains, and how long they are kept.

use std::{collections::BTreeSet, num::NonZeroU32};

use neap_bucket::StoreTime;
use ulid::Ulid;

use super::{Backup, BackupRegister, JobState};

impl BackupRegister {
    fn scheduled(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.backups.iter().filter(|one| one.scheduled)
    }

    /// Returns when the newest scheduled backup was requested.
    pub(crate) fn last_scheduled(&self) -> Option<StoreTime> {
        self.scheduled().map(|one| one.job.created).max()
    }

    /// Returns whether a scheduled backup is in progress, or was interrupted.
    pub(crate) fn has_running_scheduled(&self) -> bool {
        self.scheduled().any(|one| one.job.is_running())
    }

    fn newest_scheduled(&self) -> Option<&Backup> {
        self.scheduled().rfind(|one| one.job.state == JobState::Completed)
    }

    /// Returns the name of the backup that the next scheduled one at a place continues. Every `full_every`th one is a
    /// full backup, which continues none.
    pub(crate) fn scheduled_parent(
        &self,
        place: Option<&str>,
        full_every: NonZeroU32,
    ) -> Option<String> {
        let newest = self.newest_scheduled()?;
        let chain = u32::try_from(self.ancestors(newest.id).count()).unwrap_or(u32::MAX);
        let is_fit = newest.place.as_deref() == place
            && newest.database.is_none()
            && chain < full_every.get();
        is_fit.then(|| newest.name.clone())
    }

    /// Removes scheduled backups from before a time, each full one together with all that continue it. Keeps the newest
    /// completed one with its chain, and chains that a request has continued. Returns their number.
    pub(crate) fn remove_scheduled(&mut self, before: StoreTime, now: StoreTime) -> usize {
        let newest = self.newest_scheduled().map(|one| one.id);
        let is_old = |id: &Ulid| {
            self.backup(*id).is_some_and(|one| {
                one.scheduled
                    && one.job.created < before
                    && !one.job.is_running()
                    && Some(one.id) != newest
                    && !self.is_being_restored(one.id)
            })
        };
        let roots = self.scheduled().filter(|one| {
            // A failed backup has no contents, so its parents do not need it to be deleted with them.
            one.parent.is_none() || one.job.state != JobState::Completed
        });
        let chains = roots.map(|root| self.with_descendants(root.id));
        let old: BTreeSet<_> = chains.filter(|chain| chain.iter().all(is_old)).flatten().collect();
        self.discard(&old, now);
        old.len()
    }
}
