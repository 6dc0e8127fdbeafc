//! Checks which objects may be deleted, and when.

use std::time::Duration;

use neap_bucket::{Key, SegmentName, Stamp};
use neap_schema::DatabaseId;

use super::{Invariant, OracleDatabase, SimulationOracle};

/// The error of ages computed from store times, because hosts differ by up to 10 s and return whole seconds.
pub(super) const CLOCK_ERROR: Duration = Duration::from_secs(12);

/// How long a segment below a low-water mark is kept: longer than the span of a snapshot.
const SEGMENT_GRACE: Duration = Duration::from_secs(120);

impl OracleDatabase {
    /// Returns how long ago a version was superseded; `None` for the current one.
    fn superseded(&self, version: u64, now: Duration) -> Option<Duration> {
        let next = self.commits.get(&(version + 1))?;
        Some(now.saturating_sub(next.at))
    }

    /// Returns the reason why an object is still needed.
    fn need(&self, key: &str, kept: Duration, now: Duration) -> Option<String> {
        let current = self.current();
        let oldest = current.value.oldest_readable;
        for (version, commit) in &self.commits {
            if commit.bundles.contains(key) {
                if *version >= oldest {
                    return Some(format!("version {version} can be read"));
                }
                let pins = current.value.pins.iter();
                if let Some(pin) = pins.into_iter().find(|pin| pin.version == *version) {
                    return Some(format!("version {version} is pinned for {}", pin.database));
                }
            }
            let is_named = commit.bundles.contains(key) || commit.pages.contains(key);
            let superseded = self.superseded(*version, now);
            if is_named && superseded.is_none_or(|ago| ago + CLOCK_ERROR < kept) {
                return Some(format!("version {version} was current {superseded:?} ago"));
            }
        }
        None
    }
}

impl SimulationOracle {
    /// Checks the deletion of an existing object.
    pub(crate) fn object_deleted(&mut self, key: &str, now: Duration) {
        if let Ok(Key::Segment(database, name)) = key.parse() {
            return self.segment_deleted(database, name, now);
        }
        if key.starts_with("data/") {
            self.counts.objects_deleted += 1;
            self.deleted_objects.insert(key.to_owned());
        }
        let kept = self.time_travel;
        let needs = self.databases.iter().filter_map(|(id, database)| {
            let need = database.need(key, kept, now)?;
            Some(format!("{key} was deleted but is needed by database {id}: {need}"))
        });
        for need in needs.collect::<Vec<_>>() {
            self.fail(Invariant::ObjectsExist, need);
        }
    }

    /// Checks the deletion of an existing segment.
    fn segment_deleted(&mut self, database: DatabaseId, name: SegmentName, now: Duration) {
        // Nobody reads a hidden copy, whose backup deletes the segments itself.
        if self.removed.contains(&database) || !self.published.contains(&database) {
            return;
        }
        let known = self.databases.get(&database);
        let mut commits = known.into_iter().flat_map(|known| known.commits.values());
        let passed = commits
            .find(|commit| name.stamp <= commit.mark())
            .map(|commit| now.saturating_sub(commit.at));
        if passed.is_none_or(|ago| ago + CLOCK_ERROR < SEGMENT_GRACE) {
            let text = format!("{name:?} was deleted too early: a mark passed it {passed:?} ago");
            self.fail(Invariant::ObjectsExist, text);
        }
        self.check_deleted_delivery(database, name, now);
    }

    /// Checks that an object may be missing for a reader of a version.
    pub(crate) fn object_missed(
        &mut self,
        database: DatabaseId,
        version: u64,
        key: &str,
        now: Duration,
    ) {
        let known = self.databases.get(&database);
        let superseded = known.and_then(|known| known.superseded(version, now));
        let is_young = superseded.is_none_or(|ago| ago + CLOCK_ERROR < self.time_travel);
        if is_young && !self.removed.contains(&database) {
            let text = format!("version {version}, superseded {superseded:?} ago, lacks {key}");
            self.fail(Invariant::ObjectsExist, text);
        }
    }

    /// Checks that the state as of a stamp may be unreadable.
    pub(crate) fn past_refused(&mut self, database: DatabaseId, as_of: Stamp, now: Duration) {
        let Some(known) = self.databases.get(&database) else {
            return;
        };
        let current = known.current();
        let marks = current.value.marks.iter().rev();
        let record = marks.into_iter().find(|record| record.mark <= as_of);
        let version = record.map_or(Some(0), |record| record.last);
        let superseded = version.and_then(|version| known.superseded(version, now));
        let is_young = superseded.is_none_or(|ago| ago + CLOCK_ERROR < self.time_travel);
        // States before the first recorded low-water mark are unknown.
        if is_young && record.is_some() {
            let text = format!("{as_of} was refused: {version:?}, superseded {superseded:?} ago");
            self.fail(Invariant::HistoryIsRetained, text);
        }
    }

    /// Returns the garbage of a database: flushed and void segments, sections of removed tables, objects that the
    /// manifest does not reference, and its condemned entries. For a database from which others were restored, the
    /// oracle reports less, because one object or page may contain both needed and unneeded sections.
    pub(crate) fn garbage(&self, database: DatabaseId, there: &[String]) -> Vec<String> {
        let current = self.current(database);
        let is_source = !current.value.pins.is_empty();
        let is_needed = |key: &&String| match key.parse() {
            Ok(Key::Segment(_, name)) => name.stamp > current.mark(),
            _ => is_source || current.bundles.contains(*key) || current.pages.contains(*key),
        };
        let is_removed = self.removed.contains(&database);
        let objects = there.iter().filter(|key| is_removed && !is_source || !is_needed(key));
        let sections = current
            .sections
            .iter()
            .filter(|section| self.is_removed(database, section.table));
        let condemned = current.value.condemned.iter().filter(|_| !is_source);
        objects
            .cloned()
            .chain(sections.map(|section| format!("{section:?}")))
            .chain(condemned.map(|entry| format!("{entry:?}")))
            .collect()
    }
}
