//! Checks the contents of backups, of restored databases, and of copies of the cluster.
//!
//! A backup is a hidden copy of each database, whose manifests are checked as all others are. So it suffices to check which
//! segments they have. The register of backups says when they are complete.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use neap_backup::{Backup, BackupRegister, JobState, RestoreSource};
use neap_bucket::{Key, RegisterValue, SegmentName, Stamp};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;
use ulid::Ulid;

use super::{
    DecodedRegister, Invariant, ManifestCommit, SegmentNames, SimulationOracle, StoredObjects,
    decode,
};

/// A backup that has ended.
#[derive(Debug)]
struct EndedBackup {
    stamp: Stamp,
    /// Whether it claims to be complete.
    is_completed: bool,
    /// The names of the databases, their sources, and their contents.
    databases: Vec<(String, DatabaseId, ManifestCommit)>,
}

/// The backups and restores that were registered.
#[derive(Debug, Default)]
pub(super) struct BackupHistory {
    /// The requests that were acknowledged when each backup was registered.
    acknowledged: BTreeMap<Ulid, BTreeSet<u64>>,
    ended: BTreeMap<Ulid, EndedBackup>,
    /// The contents that databases must have when they are published.
    restored: BTreeMap<DatabaseId, ManifestCommit>,
}

impl BackupHistory {
    /// Returns the contents from which a database is restored; none if it is not restored from a backup.
    pub(super) fn restored_contents(&self, database: DatabaseId) -> ManifestCommit {
        self.restored.get(&database).cloned().unwrap_or_default()
    }
}

impl SimulationOracle {
    /// Processes a change of the register of backups.
    pub(super) fn backups_put(&mut self, body: &Bytes) {
        let DecodedRegister { value, .. } = decode::<BackupRegister>(BackupRegister::FORMAT, body);
        for backup in value.backups() {
            let acknowledged = &self.acknowledged;
            let known = self.backups.acknowledged.entry(backup.id);
            known.or_insert_with(|| acknowledged.clone());
            let is_new = !self.backups.ended.contains_key(&backup.id);
            if let Some(stamp) = backup.stamp.filter(|_| is_new && backup.job.state.has_contents())
            {
                self.backup_ended(backup, stamp);
            }
        }
        for restore in value.restores() {
            let [copy] = restore.copies[..] else {
                continue;
            };
            match &restore.source {
                RestoreSource::Moment(moment) => self.check_moment(copy, *moment),
                RestoreSource::Backup(id) | RestoreSource::AtPlace { backup: id, .. } => {
                    let ended = self.backups.ended.get(id);
                    let mut databases = ended.into_iter().flat_map(|backup| &backup.databases);
                    let of_name = |name: &String| Some(name) == restore.database.as_ref();
                    let found = databases.find(|(name, ..)| of_name(name));
                    if let Some((.., contents)) = found.cloned() {
                        self.backups.restored.entry(copy).or_insert(contents);
                    }
                }
            }
        }
    }

    /// Records the contents of a backup, and checks them if it is completed.
    fn backup_ended(&mut self, backup: &Backup, stamp: Stamp) {
        let is_completed = backup.job.state == JobState::Completed;
        let mut databases = Vec::new();
        for one in &backup.databases {
            let commit = self.current(one.copy);
            if is_completed {
                self.check_backup(backup.id, (one.source, one.copy), stamp, &commit);
            }
            databases.push((one.name.clone(), one.source, commit));
        }
        let ended = EndedBackup { stamp, is_completed, databases };
        self.backups.ended.insert(backup.id, ended);
        self.counts.backups += 1;
    }

    /// Checks that completed backups have a segment that is acknowledged after their end.
    pub(super) fn check_backups_of(&mut self, name: &SegmentName) {
        let database = self.segments[name].database;
        let lacks = |backup: &EndedBackup| {
            let mut databases = backup.databases.iter();
            backup.is_completed
                && name.stamp <= backup.stamp
                && databases
                    .any(|(_, source, commit)| *source == database && !commit.taken.contains(name))
        };
        let ended = self.backups.ended.iter().filter(|(_, backup)| lacks(backup));
        let lacking: Vec<_> = ended.map(|(id, _)| *id).collect();
        if !lacking.is_empty() && !self.removed.contains(&database) {
            let text = format!("{name:?} is acknowledged, but not in the backups {lacking:?}");
            self.fail(Invariant::BackupIsComplete, text);
        }
    }

    fn check_backup(
        &mut self,
        id: Ulid,
        (source, copy): (DatabaseId, DatabaseId),
        stamp: Stamp,
        commit: &ManifestCommit,
    ) {
        if self.removed.contains(&source) || self.removed.contains(&copy) {
            return;
        }
        let before = &self.backups.acknowledged[&id];
        let missing: Vec<_> = self
            .acknowledged_of(source)
            .filter(|(request, name)| before.contains(request) || name.stamp <= stamp)
            .filter(|(_, name)| !commit.taken.contains(name))
            .collect();
        let later: Vec<_> = commit.taken.iter().filter(|name| name.stamp > stamp).collect();
        let damage = &commit.value.damage;
        if !missing.is_empty() || !later.is_empty() || !damage.is_empty() {
            let text = format!(
                "backup {id} of {source} at {stamp} lacks {missing:?}, has the later {later:?}, and the damage {damage:?}"
            );
            self.fail(Invariant::BackupIsComplete, text);
        }
    }

    /// Checks that a hidden database has no writes after the moment that it is restored to.
    fn check_moment(&mut self, copy: DatabaseId, moment: Stamp) {
        if self.published.contains(&copy) {
            return;
        }
        let commit = self.current(copy);
        let later: Vec<_> = commit.taken.iter().filter(|name| name.stamp > moment).collect();
        if !later.is_empty() {
            let text = format!("{copy}, which is restored to {moment}, has {later:?}");
            self.fail(Invariant::RestoreIsComplete, text);
        }
    }

    /// Checks that a restored database has its contents when it becomes visible.
    pub(super) fn check_published(&mut self, database: DatabaseId) {
        let Some(expected) = self.backups.restored.get(&database) else {
            return;
        };
        let current = self.current(database);
        let missing: Vec<_> = expected.taken.difference(&current.taken).collect();
        if !missing.is_empty() {
            let text = format!("database {database} was published without {missing:?}");
            self.fail(Invariant::RestoreIsComplete, text);
        }
        self.counts.restores += 1;
    }

    /// Returns the acknowledged segments of all databases.
    pub(crate) fn acknowledged_segments(&self) -> BTreeMap<DatabaseId, BTreeSet<SegmentName>> {
        let mut segments: BTreeMap<_, SegmentNames> = BTreeMap::new();
        for name in self.acknowledged.iter().filter_map(|request| self.of_request.get(request)) {
            let database = self.segments[name].database;
            segments.entry(database).or_default().insert(*name);
        }
        segments.retain(|database, _| !self.removed.contains(database));
        segments
    }

    /// Checks that the objects of a copy of the cluster have these segments, in sections or in the tail. Returns `None` if
    /// the copy lacks objects that its manifests reference, as the check of a copy reports.
    pub(crate) fn check_copy(
        &mut self,
        copy: &StoredObjects,
        segments: &BTreeMap<DatabaseId, BTreeSet<SegmentName>>,
    ) -> Option<()> {
        copy.get(&Key::RootCatalog.to_string())?;
        let mut lost = Vec::new();
        for (database, names) in segments {
            let manifest = copy.get(&Key::Manifest(*database).to_string());
            let version = manifest
                .map_or(0, |object| decode::<Manifest>(Manifest::FORMAT, &object.bytes).version);
            let commit = self.databases.get(database)?.commit(version)?;
            let mut needed = commit.bundles.iter().chain(&commit.pages);
            if !needed.all(|key| copy.contains_key(key)) {
                return None;
            }
            let is_there = |name: &SegmentName| {
                commit.taken.contains(name)
                    || name.stamp > commit.mark()
                        && copy.contains_key(&Key::Segment(*database, *name).to_string())
            };
            lost.extend(names.iter().filter(|name| !is_there(name)).copied());
        }
        self.counts.cluster_copies += 1;
        if !lost.is_empty() {
            self.fail(Invariant::CopyIsComplete, format!("the copy lacks {lost:?}"));
        }
        Some(())
    }

    /// Returns a byte of one of the live sections of a database: the key of its object, and its place in it.
    pub(crate) fn some_live_byte(
        &self,
        database: DatabaseId,
        number: usize,
    ) -> Option<(String, usize)> {
        let sections = self.current(database).sections;
        let section = sections.get(number % sections.len().max(1))?;
        let place = section.offset + number as u64 % section.length;
        let key = section.key(database).to_string();
        Some((key, usize::try_from(place).unwrap()))
    }

    /// Whether a byte of an object belongs to a live section of a database.
    pub(crate) fn is_live_byte(&self, key: &str, place: usize) -> bool {
        self.databases.iter().any(|(id, database)| {
            let current = database.current();
            let mut sections = current.sections.iter();
            let is_live = sections.any(|section| {
                section.key(*id).to_string() == key && section.range().contains(&(place as u64))
            });
            is_live && !self.removed.contains(id)
        })
    }
}
