//! The changes of the register.

use std::collections::BTreeSet;

use neap_bucket::StoreTime;
use ulid::Ulid;

use super::{
    Backup, BackupKind, BackupRegister, BackupRequest, DiscardedBackup, Job, JobId, JobState,
    Lease, MAX_BACKUPS, MAX_ENDED_RESTORES, MAX_NAME_BYTES, MAX_RUNNING, Restore, RestoreSource,
    jobs::lost_lease,
};
use crate::BackupError;

impl BackupRegister {
    /// Adds a backup in progress, with a lease for `holder`.
    /// Fails with `Invalid` for a name or an unfit parent, `Conflict` if the name is taken or too many backups are in
    /// progress, `NotFound` without such a parent, and `Limit`.
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
        self.end_abandoned(now);
        self.forget_failed(&name);
        let before = self.find(&name).map(|one| (one.id, one.job.state));
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
        let running = self.backups.iter().filter(|one| one.job.is_running());
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
            job: Job::new(lease),
            database: request.database.clone(),
            place,
            scheduled,
            replaces,
            stamp: None,
            databases: Vec::new(),
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
        let parent = self.find_restorable(name).ok_or_else(not_found)?;
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

    /// Returns a backup in progress after the renewal of its lease.
    /// Fails with `Cancelled`, or `LeaseLost` if the backup has ended or is gone, or another process has the lease.
    pub(crate) fn renewed_backup(
        &mut self,
        id: Ulid,
        lease: Lease,
    ) -> Result<&mut Backup, BackupError> {
        let found = self.backups.iter_mut().find(|one| one.id == id);
        let backup = found.ok_or_else(lost_lease)?;
        backup.job.renew(lease)?;
        Ok(backup)
    }

    /// Marks a backup as completed, and removes the one that it replaces. With an error about damaged objects, the backup
    /// is incomplete and replaces none.
    /// Errors: as for [`renewed_backup`](Self::renewed_backup).
    pub(crate) fn complete_backup(
        &mut self,
        id: Ulid,
        damaged: Option<&BackupError>,
        lease: Lease,
    ) -> Result<(), BackupError> {
        let backup = self.renewed_backup(id, lease)?;
        if let Some(error) = damaged {
            backup.job.complete_partly(error);
            return Ok(());
        }
        backup.job.complete(lease.renewed);
        let replaced = backup.replaces.take();
        if let Some(replaced) = replaced.filter(|one| self.with_descendants(*one).len() == 1) {
            self.discard(&BTreeSet::from([replaced]), lease.renewed);
        }
        Ok(())
    }

    /// Adds a completed backup to the register of a place, which has the backups of one cluster.
    /// Fails with `Conflict` if the place has backups of another cluster.
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
    pub(super) fn discard(&mut self, ids: &BTreeSet<Ulid>, now: StoreTime) {
        let gone = self.backups.iter().filter(|one| ids.contains(&one.id));
        let at_places: Vec<_> = gone.filter_map(|one| discarded(one, now)).collect();
        self.add_discarded(at_places);
        self.backups.retain(|one| !ids.contains(&one.id));
    }

    fn add_discarded(&mut self, discarded: impl IntoIterator<Item = DiscardedBackup>) {
        for one in discarded {
            if !self.discarded.iter().any(|known| known.backup == one.backup) {
                self.discarded.push(one);
            }
        }
    }

    /// Forgets a backup whose objects are deleted.
    pub(crate) fn forget_discarded(&mut self, id: Ulid) {
        self.discarded.retain(|one| one.backup != id);
    }

    /// Records that the objects of a backup at a place are to be deleted.
    pub(super) fn discard_objects(&mut self, id: Ulid, now: StoreTime) {
        let discarded = self.backup(id).and_then(|backup| discarded(backup, now));
        self.add_discarded(discarded);
    }

    /// Cancels the backup in progress with this name.
    /// Fails with `NotFound` if there is none.
    pub(crate) fn cancel_backup(&mut self, name: &str, now: StoreTime) -> Result<(), BackupError> {
        self.end_abandoned(now);
        let found = self.backups.iter_mut().find(|one| one.name == name && one.job.is_running());
        let not_found = || BackupError::NotFound(format!("no backup {name:?} is in progress"));
        let backup = found.ok_or_else(not_found)?;
        backup.job.cancel();
        let id = backup.id;
        self.discard_objects(id, now);
        Ok(())
    }

    /// Removes the newest backup with this name; with `children`, also all that continue it. Returns the named one.
    /// Fails with `NotFound`, and `Conflict` if it is in progress, has children, or is being restored.
    pub(crate) fn remove_backup(
        &mut self,
        name: &str,
        children: bool,
        now: StoreTime,
    ) -> Result<Backup, BackupError> {
        self.end_abandoned(now);
        let not_found = || BackupError::NotFound(format!("there is no backup {name:?}"));
        let backup = self.find(name).cloned().ok_or_else(not_found)?;
        if !children {
            self.check_childless(backup.id)?;
        }
        let removed = self.with_descendants(backup.id);
        let is_removed = |one: &&Backup| removed.contains(&one.id);
        let mut running = self.backups.iter().filter(is_removed);
        if let Some(one) = running.find(|one| one.job.is_running()) {
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

    pub(super) fn check_childless(&self, id: Ulid) -> Result<(), BackupError> {
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

    pub(super) fn is_being_restored(&self, id: Ulid) -> bool {
        let mut running = self.restores.iter();
        running.any(|one| {
            // A backup at a place may need the objects of its parents.
            let needs = |source: Ulid| self.ancestors(source).any(|one| one == id);
            one.job.is_running()
                && matches!(one.source, RestoreSource::Backup(source) if needs(source))
        })
    }

    /// Returns a backup and the backups that it continues.
    pub(super) fn ancestors(&self, id: Ulid) -> impl Iterator<Item = Ulid> {
        let parent = |id: &Ulid| self.backup(*id).and_then(|one| one.parent);
        std::iter::successors(Some(id), parent).take(MAX_BACKUPS)
    }

    /// Removes backups with this name that have no contents.
    fn forget_failed(&mut self, name: &str) {
        let ended = [JobState::Failed, JobState::Cancelled];
        self.backups.retain(|one| one.name != name || !ended.contains(&one.job.state));
    }

    /// Adds a restore in progress.
    /// Fails with `Conflict` if another restore is in progress.
    pub(crate) fn begin_restore(&mut self, restore: Restore) -> Result<(), BackupError> {
        self.end_abandoned(restore.job.created);
        let mut running = self.restores.iter();
        if let Some(one) = running.find(|one| one.job.is_running()) {
            let text = format!("restore {} is in progress", one.id);
            return Err(BackupError::Conflict(text));
        }
        let surplus = (self.restores.len() + 1).saturating_sub(MAX_ENDED_RESTORES);
        self.restores.drain(..surplus);
        self.restores.push(restore);
        Ok(())
    }

    /// Returns a restore in progress after the renewal of its lease.
    /// Fails with `Cancelled`, or `LeaseLost` if the restore has ended or is gone, or another process has the lease.
    pub(crate) fn renewed_restore(
        &mut self,
        id: Ulid,
        lease: Lease,
    ) -> Result<&mut Restore, BackupError> {
        let found = self.restores.iter_mut().find(|one| one.id == id);
        let restore = found.ok_or_else(lost_lease)?;
        restore.job.renew(lease)?;
        Ok(restore)
    }

    /// Marks a restore as completed, because its databases are published.
    pub(crate) fn complete_restore(&mut self, id: Ulid, now: StoreTime) {
        let job = self.job_mut(JobId::Restore(id));
        if let Some(job) = job.filter(|job| job.state != JobState::Completed) {
            job.complete(now);
        }
    }

    /// Cancels a restore in progress.
    /// Fails with `NotFound` if it does not exist or has ended.
    pub(crate) fn cancel_restore(&mut self, id: Ulid, now: StoreTime) -> Result<(), BackupError> {
        self.end_abandoned(now);
        let found = self.restores.iter_mut().find(|one| one.id == id && one.job.is_running());
        let not_found = || BackupError::NotFound(format!("no restore {id} is in progress"));
        found.ok_or_else(not_found)?.job.cancel();
        Ok(())
    }
}

/// Returns the record of a backup at a place whose objects are to be deleted.
fn discarded(backup: &Backup, now: StoreTime) -> Option<DiscardedBackup> {
    Some(DiscardedBackup { backup: backup.id, place: backup.place.clone()?, since: now })
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
