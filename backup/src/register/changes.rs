//! The changes of the register.

use std::collections::BTreeSet;

use neap_bucket::StoreTime;
use ulid::Ulid;

use super::{
    Backup, BackupKind, BackupRegister, BackupRequest, DiscardedBackup, JobState, Lease,
    MAX_BACKUPS, MAX_ENDED_RESTORES, MAX_ERROR_BYTES, MAX_NAME_BYTES, MAX_RUNNING, Restore,
    RestoreSource,
};
use crate::BackupError;

impl BackupRegister {
    /// Adds a backup in progress, with a lease for `holder`.
    ///
    /// # Errors
    /// `Invalid` for a name or an unfit parent, `Conflict` if the name is taken or too many backups are in progress,
    /// `NotFound` without such a parent, and `Limit`.
    pub(crate) fn begin_backup(
        &mut self,
        id: Ulid,
        name: String,
        request: &BackupRequest,
        scheduled: bool,
        lease: Lease,
    ) -> Result<Backup, BackupError> {
        check_name(&name)?;
        let now = lease.renewed;
        self.end_expired(now);
        self.forget_failed(&name);
        let before = self.find(&name).map(|one| (one.id, one.state));
        let replaces = match before {
            None => None,
            Some((_, JobState::InProgress)) => {
                let text = format!("backup {name:?} is in progress");
                return Err(BackupError::Conflict(text));
            }
            Some((before, _)) if request.force => {
                self.check_childless(before)?;
                Some(before)
            }
            Some(_) => {
                let text = format!("backup {name:?} exists already");
                return Err(BackupError::Conflict(text));
            }
        };
        let parent = self.parent_of(request)?;
        let place = match &parent {
            Some(parent) => parent.place.clone(),
            None => request.place.clone(),
        };
        let running = self.backups.iter();
        let running = running.filter(|one| one.state == JobState::InProgress);
        if running.count() >= MAX_RUNNING {
            let text = format!("{MAX_RUNNING} backups are in progress");
            return Err(BackupError::Conflict(text));
        }
        if self.backups.len() >= MAX_BACKUPS {
            let text = format!("there are {MAX_BACKUPS} backups: delete one first");
            return Err(BackupError::Limit(text));
        }
        let backup = Backup {
            id,
            name,
            kind: match parent {
                Some(_) => BackupKind::Incremental,
                None => BackupKind::Full,
            },
            parent: parent.map(|parent| parent.id),
            state: JobState::InProgress,
            created: now,
            completed: None,
            database: request.database.clone(),
            place,
            scheduled,
            replaces,
            stamp: None,
            databases: Vec::new(),
            objects: 0,
            bytes: 0,
            error: None,
            lease: Some(lease),
        };
        self.backups.push(backup.clone());
        Ok(backup)
    }

    /// Returns the completed parent of a requested incremental backup.
    fn parent_of(&self, request: &BackupRequest) -> Result<Option<Backup>, BackupError> {
        let Some(name) = &request.parent else {
            return Ok(None);
        };
        let not_found = || BackupError::NotFound(format!("there is no completed backup {name:?}"));
        let parent = self.find_completed(name).ok_or_else(not_found)?;
        if request.place.is_some() && request.place != parent.place {
            let text = format!("backup {name:?} is not at that place");
            return Err(BackupError::Invalid(text));
        }
        if request.database != parent.database {
            let text = format!("backup {name:?} has other databases");
            return Err(BackupError::Invalid(text));
        }
        Ok(Some(parent.clone()))
    }

    /// Changes a backup in progress whose lease `holder` has. Renews the lease.
    ///
    /// # Errors
    /// `Cancelled`, or `LeaseLost` if the backup has ended or is gone.
    pub(crate) fn change_backup<R>(
        &mut self,
        id: Ulid,
        lease: Lease,
        change: impl FnOnce(&mut Backup) -> R,
    ) -> Result<R, BackupError> {
        let found = self.backups.iter_mut().find(|one| one.id == id);
        let backup = found.ok_or(lost_lease())?;
        check_lease(backup.state, backup.lease, lease)?;
        backup.lease = Some(lease);
        Ok(change(backup))
    }

    /// Marks a backup as completed, and removes the one that it replaces.
    ///
    /// # Errors
    /// As for [`change_backup`](Self::change_backup).
    pub(crate) fn complete_backup(&mut self, id: Ulid, lease: Lease) -> Result<(), BackupError> {
        let replaced = self.change_backup(id, lease, |backup| {
            backup.state = JobState::Completed;
            backup.completed = Some(lease.renewed);
            backup.lease = None;
            backup.replaces.take()
        })?;
        if let Some(replaced) = replaced.filter(|one| self.with_descendants(*one).len() == 1) {
            self.discard(&BTreeSet::from([replaced]), lease.renewed);
        }
        Ok(())
    }

    /// Adds a completed backup to the register of a place, which has the backups of one cluster.
    ///
    /// # Errors
    /// `Conflict` if the place has backups of another cluster.
    pub(crate) fn add_at_place(
        &mut self,
        backup: Backup,
        cluster: &str,
    ) -> Result<(), BackupError> {
        self.check_cluster(cluster)?;
        self.cluster = Some(cluster.to_owned());
        self.backups.retain(|one| one.id != backup.id);
        self.backups.push(backup);
        Ok(())
    }

    /// Refuses a place with backups of another cluster.
    pub(crate) fn check_cluster(&self, cluster: &str) -> Result<(), BackupError> {
        match &self.cluster {
            Some(other) if other != cluster => Err(BackupError::Conflict(format!(
                "the place has the backups of another cluster, {other}"
            ))),
            _ => Ok(()),
        }
    }

    /// Removes a backup from the register of a place.
    pub(crate) fn remove_at_place(&mut self, id: Ulid) {
        self.backups.retain(|one| one.id != id);
    }

    /// Removes backups. Records those at places, because their objects are to be deleted.
    fn discard(&mut self, ids: &BTreeSet<Ulid>, now: StoreTime) {
        let gone = self.backups.iter().filter(|one| ids.contains(&one.id));
        let at_places = gone.filter_map(|one| discarded(one, now));
        let at_places: Vec<_> = at_places.collect();
        self.add_discarded(at_places);
        self.backups.retain(|one| !ids.contains(&one.id));
    }

    fn add_discarded(&mut self, discarded: impl IntoIterator<Item = DiscardedBackup>) {
        for one in discarded {
            if !self
                .discarded
                .iter()
                .any(|known| known.backup == one.backup)
            {
                self.discarded.push(one);
            }
        }
    }

    /// Forgets a backup whose objects are deleted.
    pub(crate) fn forget_discarded(&mut self, id: Ulid) {
        self.discarded.retain(|one| one.backup != id);
    }

    /// Marks a backup in progress as failed.
    pub(crate) fn fail_backup(&mut self, id: Ulid, error: &BackupError, now: StoreTime) {
        let found = self.backups.iter_mut().find(|one| one.id == id);
        if let Some(backup) = found.filter(|one| one.state == JobState::InProgress) {
            backup.state = JobState::Failed;
            backup.error = Some(cut(&error.to_string()));
            backup.lease = None;
            let discarded = discarded(backup, now);
            self.add_discarded(discarded);
        }
    }

    /// Cancels the backup in progress with this name.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) fn cancel_backup(&mut self, name: &str, now: StoreTime) -> Result<(), BackupError> {
        self.end_expired(now);
        let mut found = self.backups.iter_mut();
        let found = found.find(|one| one.name == name && one.state == JobState::InProgress);
        let not_found = || BackupError::NotFound(format!("no backup {name:?} is in progress"));
        let backup = found.ok_or_else(not_found)?;
        backup.state = JobState::Cancelled;
        backup.error = Some(BackupError::Cancelled.to_string());
        backup.lease = None;
        let discarded = discarded(backup, now);
        self.add_discarded(discarded);
        Ok(())
    }

    /// Removes the newest backup with this name; with `children`, also all that continue it. Returns the named one.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` if it is in progress, has children, or is being restored.
    pub(crate) fn remove_backup(
        &mut self,
        name: &str,
        children: bool,
        now: StoreTime,
    ) -> Result<Backup, BackupError> {
        self.end_expired(now);
        let not_found = || BackupError::NotFound(format!("there is no backup {name:?}"));
        let backup = self.find(name).cloned().ok_or_else(not_found)?;
        if !children {
            self.check_childless(backup.id)?;
        }
        let removed = self.with_descendants(backup.id);
        let is_removed = |one: &&Backup| removed.contains(&one.id);
        let mut running = self.backups.iter().filter(is_removed);
        if let Some(one) = running.find(|one| one.state == JobState::InProgress) {
            let text = format!("backup {:?} is in progress: cancel it first", one.name);
            return Err(BackupError::Conflict(text));
        }
        if removed.iter().any(|id| self.is_being_restored(*id)) {
            let text = format!("backup {name:?} is being restored");
            return Err(BackupError::Conflict(text));
        }
        self.discard(&removed, now);
        Ok(backup)
    }

    fn check_childless(&self, id: Ulid) -> Result<(), BackupError> {
        let mut children = self.backups.iter();
        let child = children.find(|one| one.parent == Some(id));
        match child {
            None => Ok(()),
            Some(child) => Err(BackupError::Conflict(format!(
                "backup {:?} continues it: delete its incremental backups, too (--incremental)",
                child.name
            ))),
        }
    }

    fn is_being_restored(&self, id: Ulid) -> bool {
        let mut running = self.restores.iter();
        running.any(|one| {
            // A backup at a place may need the objects of its parents.
            let needs = |source: Ulid| self.ancestors(source).any(|one| one == id);
            one.state == JobState::InProgress
                && matches!(one.source, RestoreSource::Backup(source) if needs(source))
        })
    }

    /// Returns a backup and the backups that it continues.
    fn ancestors(&self, id: Ulid) -> impl Iterator<Item = Ulid> {
        let parent = |id: &Ulid| self.backup(*id).and_then(|one| one.parent);
        std::iter::successors(Some(id), parent).take(MAX_BACKUPS)
    }

    /// Removes backups with this name that have no contents.
    fn forget_failed(&mut self, name: &str) {
        let ended = [JobState::Failed, JobState::Cancelled];
        self.backups
            .retain(|one| one.name != name || !ended.contains(&one.state));
    }

    /// Adds a restore in progress.
    ///
    /// # Errors
    /// `Conflict` if another restore is in progress.
    pub(crate) fn begin_restore(&mut self, restore: Restore) -> Result<(), BackupError> {
        self.end_expired(restore.created);
        let mut running = self.restores.iter();
        if let Some(one) = running.find(|one| one.state == JobState::InProgress) {
            let text = format!("restore {} is in progress", one.id);
            return Err(BackupError::Conflict(text));
        }
        let surplus = (self.restores.len() + 1).saturating_sub(MAX_ENDED_RESTORES);
        self.restores.drain(..surplus);
        self.restores.push(restore);
        Ok(())
    }

    /// Changes a restore in progress whose lease `holder` has. Renews the lease.
    ///
    /// # Errors
    /// `Cancelled`, or `LeaseLost` if the restore has ended or is gone.
    pub(crate) fn change_restore<R>(
        &mut self,
        id: Ulid,
        lease: Lease,
        change: impl FnOnce(&mut Restore) -> R,
    ) -> Result<R, BackupError> {
        let found = self.restores.iter_mut().find(|one| one.id == id);
        let restore = found.ok_or(lost_lease())?;
        check_lease(restore.state, restore.lease, lease)?;
        restore.lease = Some(lease);
        Ok(change(restore))
    }

    /// Ends a restore in progress. `error` is `None` if its databases are published.
    pub(crate) fn end_restore(&mut self, id: Ulid, error: Option<&BackupError>, now: StoreTime) {
        let found = self.restores.iter_mut().find(|one| one.id == id);
        let Some(restore) = found.filter(|one| one.state != JobState::Completed) else {
            return;
        };
        match error {
            None => {
                restore.state = JobState::Completed;
                restore.completed = Some(now);
                restore.error = None;
            }
            Some(error) if restore.state == JobState::InProgress => {
                restore.state = JobState::Failed;
                restore.error = Some(cut(&error.to_string()));
            }
            Some(_) => {}
        }
        restore.lease = None;
    }

    /// Cancels a restore in progress.
    ///
    /// # Errors
    /// `NotFound` if it does not exist or has ended.
    pub(crate) fn cancel_restore(&mut self, id: Ulid, now: StoreTime) -> Result<(), BackupError> {
        self.end_expired(now);
        let mut found = self.restores.iter_mut();
        let found = found.find(|one| one.id == id && one.state == JobState::InProgress);
        let not_found = || BackupError::NotFound(format!("no restore {id} is in progress"));
        let restore = found.ok_or_else(not_found)?;
        restore.state = JobState::Cancelled;
        restore.error = Some(BackupError::Cancelled.to_string());
        restore.lease = None;
        Ok(())
    }

    /// Marks jobs as failed whose leases have expired.
    pub(crate) fn end_expired(&mut self, now: StoreTime) {
        let error = || Some(cut(&lost_lease().to_string()));
        let mut ended = Vec::new();
        for one in &mut self.backups {
            if one.state == JobState::InProgress && one.state_at(now) == JobState::Failed {
                (one.state, one.error, one.lease) = (JobState::Failed, error(), None);
                ended.extend(discarded(one, now));
            }
        }
        self.add_discarded(ended);
        for one in &mut self.restores {
            if one.state == JobState::InProgress && one.state_at(now) == JobState::Failed {
                (one.state, one.error, one.lease) = (JobState::Failed, error(), None);
            }
        }
    }

    /// Removes scheduled backups from before a time, except the newest completed one and those with children.
    /// Returns their number.
    pub(crate) fn remove_scheduled(&mut self, before: StoreTime, now: StoreTime) -> usize {
        let scheduled = || self.backups.iter().filter(|one| one.scheduled);
        let newest = scheduled().rfind(|one| one.state == JobState::Completed);
        let newest = newest.map(|one| one.id);
        let old = scheduled().filter(|one| {
            one.created < before
                && one.state != JobState::InProgress
                && Some(one.id) != newest
                && self.check_childless(one.id).is_ok()
                && !self.is_being_restored(one.id)
        });
        let old: BTreeSet<_> = old.map(|one| one.id).collect();
        self.discard(&old, now);
        old.len()
    }
}

/// Returns the record of a backup at a place whose objects are to be deleted.
fn discarded(backup: &Backup, now: StoreTime) -> Option<DiscardedBackup> {
    Some(DiscardedBackup {
        backup: backup.id,
        place: backup.place.clone()?,
        since: now,
    })
}

fn check_lease(state: JobState, held: Option<Lease>, lease: Lease) -> Result<(), BackupError> {
    match state {
        JobState::Cancelled => Err(BackupError::Cancelled),
        JobState::InProgress if held.is_some_and(|held| held.holder == lease.holder) => Ok(()),
        _ => Err(lost_lease()),
    }
}

fn lost_lease() -> BackupError {
    BackupError::LeaseLost(super::LEASE_TIME.as_secs())
}

fn check_name(name: &str) -> Result<(), BackupError> {
    let is_usual = |one: char| one.is_alphanumeric() || "-_.:+ ".contains(one);
    let is_valid = name.len() <= MAX_NAME_BYTES && name.chars().all(is_usual);
    if is_valid && !name.trim().is_empty() {
        return Ok(());
    }
    Err(BackupError::Invalid(format!(
        "the name of a backup has 1 to {MAX_NAME_BYTES} bytes: letters, digits, spaces and - _ . : +"
    )))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_ERROR_BYTES / 4).collect()
}
