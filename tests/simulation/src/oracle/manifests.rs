//! Checks each committed manifest, and determines the segments that it flushed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{ObjectFormat, RegisterValue, SegmentName};
use neap_manifest::{DroppedItem, JobKind, Manifest, PageRef, Section};
use neap_schema::DatabaseId;
use serde::Deserialize;

use super::{
    DecodedRegister, DecodedSection, Invariant, ManifestCommit, SegmentNames, SimulationOracle,
    StoredObjects, contents::VersionTransition, decode,
};
use crate::{
    rows::{Row, TAG, TableRows, plain, read_section, requests},
    simulated_store::cut,
};

const PAGE_FORMAT: ObjectFormat =
    ObjectFormat { magic: *b"NPAG", kind: "manifest page", version: 1 };

/// A section in a page.
#[derive(Deserialize)]
struct StoredPageEntry {
    section: Arc<Section>,
}

/// Decodes the sections of a page from the format in the bucket.
fn sections_of_page(page: &PageRef, bytes: &Bytes) -> Vec<Arc<Section>> {
    let body = cut(bytes, &page.range());
    let (_, payload) = PAGE_FORMAT.decode("a page", &body).unwrap();
    let (length, rest) = payload.split_at(4);
    let length = u32::from_le_bytes(length.try_into().unwrap());
    let json = zstd::decode_all(&rest[..usize::try_from(length).unwrap()]).unwrap();
    let entries: Vec<StoredPageEntry> = serde_json::from_slice(&json).unwrap();
    entries.into_iter().map(|entry| entry.section).collect()
}

/// Returns the first error in a page reference, compared with the sections of the page.
fn page_error(page: &PageRef, sections: &[Arc<Section>]) -> Option<String> {
    let rows: u64 = sections.iter().map(|section| section.rows).sum();
    if (page.rows, page.sections as usize) != (rows, sections.len()) {
        return Some(format!("{rows} rows in {} sections", sections.len()));
    }
    let outside = sections.iter().find(|section| {
        !page.may_hold(section.table)
            || section.first_day < page.first_day
            || section.last_day > page.last_day
            || section.min_time < page.min_time
            || section.max_time > page.max_time
            || section.above < page.above
            || section.upto > page.upto
            || section.clean_upto() < page.clean_upto
            || section.added < page.first_added
    });
    outside.map(|section| format!("{section:?}"))
}

/// Returns the first error in the manifest's statistics of a section.
fn section_error(section: &Section, file: &Bytes, rows: &[Row]) -> Option<String> {
    let times = || rows.iter().map(|((_, time), _)| *time);
    let (first, last) = (times().min(), times().max());
    if rows.len() as u64 != section.rows
        || (first, last) != (Some(section.min_time), Some(section.max_time))
    {
        return Some(format!("{} rows from {first:?} to {last:?}", rows.len()));
    }
    let points: BTreeSet<_> = rows.iter().map(|(point, _)| point).collect();
    if points.len() != rows.len() {
        return Some("a point has two rows".to_owned());
    }
    let range = section.tags.get(TAG);
    let is_in = |host: &str| {
        range.is_some_and(|range| {
            range.min.as_deref().is_none_or(|min| min <= host)
                && range.max.as_deref().is_none_or(|max| host <= max)
        })
    };
    if let Some(((host, _), _)) = rows.iter().find(|((host, _), _)| !is_in(host)) {
        return Some(format!("host {host} is not within {range:?}"));
    }
    let sum = crc32c::crc32c(file);
    (section.crc32c != sum).then(|| format!("checksum {sum}"))
}

impl SimulationOracle {
    pub(super) fn manifest_put(
        &mut self,
        database: DatabaseId,
        body: &Bytes,
        all: &StoredObjects,
        now: Duration,
    ) {
        let DecodedRegister { version, value } = decode::<Manifest>(Manifest::FORMAT, body);
        if !value.damage.is_empty() {
            self.damaged.insert(database);
        }
        let before = self.predecessor(database, version, &value);
        self.check_manifest(version, &before, &value);
        let sections = self.sections_of(database, version, &value, all);
        self.check_sections(version, &before, &sections);
        let witnesses = self.witnesses(database, version, &sections, all);
        let step = VersionTransition {
            database,
            version,
            before: &before,
            value: &value,
            sections: &sections,
            witnesses: &witnesses,
            now,
        };
        let (taken, rows) = self.taken(&step);
        self.check_caches(database, version, &value, &rows);
        let commit = ManifestCommit {
            at: now,
            taken: Arc::new(taken),
            rows: Arc::new(rows),
            bundles: sections.iter().map(|section| section.key(database).to_string()).collect(),
            pages: value.pages.iter().map(|page| page.key(database).to_string()).collect(),
            sections: Arc::new(sections),
            value: Arc::new(value),
        };
        let acknowledged = self.acknowledged_of(database);
        let passed: Vec<_> =
            acknowledged.filter(|(_, name)| Self::is_passed(name, &commit)).collect();
        if !passed.is_empty() && !self.is_unchecked(database) {
            let text = format!("the mark passed {passed:?} in version {version}");
            self.fail(Invariant::AcknowledgedIsVisible, text);
        }
        self.count(&before, &commit);
        self.database(database).commits.insert(version, commit);
    }

    /// Returns the previous version; that of the first version of a copy is the version that was copied.
    fn predecessor(
        &mut self,
        database: DatabaseId,
        version: u64,
        value: &Manifest,
    ) -> ManifestCommit {
        if version > 1 {
            return self.database(database).commits[&(version - 1)].clone();
        }
        // If a flush makes the first version, also of a hidden copy, nothing was copied.
        if !value.jobs.is_empty() {
            return ManifestCommit::default();
        }
        let pinned = self.databases.iter().find_map(|(id, source)| {
            let current = source.current();
            let mut pins = current.value.pins.iter();
            let pin = pins.find(|pin| pin.database == database)?;
            Some((*id, source.commit(pin.version)?))
        });
        let Some((source, commit)) = pinned else {
            return self.backups.restored_contents(database);
        };
        self.counts.copies += 1;
        self.database(database).source = Some(source);
        commit
    }

    fn check_manifest(&mut self, version: u64, before: &ManifestCommit, value: &Manifest) {
        if let Err(contradiction) = value.check() {
            self.fail(Invariant::ManifestIsConsistent, contradiction);
        }
        if value.low_water_mark < before.mark() {
            let text = format!("from {} to {}", before.mark(), value.low_water_mark);
            self.fail(Invariant::MarkIsMonotonic, text);
        }
        if version > 1 && value.oldest_readable < before.value.oldest_readable {
            let text = format!("version {} can be read again", value.oldest_readable);
            self.fail(Invariant::HistoryIsRetained, text);
        }
    }

    /// Returns all sections of a manifest, including those in its pages.
    fn sections_of(
        &mut self,
        database: DatabaseId,
        version: u64,
        value: &Manifest,
        all: &StoredObjects,
    ) -> Vec<Arc<Section>> {
        let mut sections = value.sections.clone();
        for page in &value.pages {
            let Some(object) = all.get(&page.key(database).to_string()) else {
                let text = format!("version {version}: {page:?}");
                self.fail(Invariant::ObjectsExist, text);
                continue;
            };
            let found = sections_of_page(page, &object.bytes);
            if let Some(falsehood) = page_error(page, &found) {
                let text = format!("version {version}: {page:?} has {falsehood}");
                self.fail(Invariant::StatisticsAreCorrect, text);
            }
            sections.extend(found);
        }
        sections
    }

    fn check_sections(&mut self, version: u64, before: &ManifestCommit, sections: &[Arc<Section>]) {
        for (at, section) in sections.iter().enumerate() {
            let others = &sections[..at];
            if let Some(other) = others.iter().find(|other| section.collides(other)) {
                let text = format!("version {version}: {section:?} collides with {other:?}");
                self.fail(Invariant::ManifestIsConsistent, text);
            }
            let known = before.sections.iter().find(|known| known.is_same(section));
            let added = match known {
                Some(known) if version > 1 => known.added,
                _ => version,
            };
            if section.added != added || section.dropped.is_some() {
                let text = format!("version {version}: added in {added}: {section:?}");
                self.fail(Invariant::ManifestIsConsistent, text);
            }
        }
    }

    /// Returns the segments whose witnesses are in the sections.
    fn witnesses(
        &mut self,
        database: DatabaseId,
        version: u64,
        sections: &[Arc<Section>],
        all: &StoredObjects,
    ) -> SegmentNames {
        let mut requests = BTreeSet::new();
        for section in sections {
            let Some(decoded) = self.decode_section(database, section, all) else {
                let text = format!("version {version}: {section:?}");
                self.fail(Invariant::ObjectsExist, text);
                continue;
            };
            // A witness has one time, so it is in one section.
            let twice: Vec<_> = decoded.requests.intersection(&requests).collect();
            if !twice.is_empty() {
                let text = format!("requests {twice:?} in version {version}");
                self.fail(Invariant::SegmentFlushedOnce, text);
            }
            requests.extend(&decoded.requests);
        }
        let names = requests.iter().filter_map(|request| self.of_request.get(request));
        names.copied().collect()
    }

    /// Returns the segments that a manifest has flushed, and its rows.
    fn taken(&mut self, step: &VersionTransition<'_>) -> (SegmentNames, TableRows) {
        let (before, mark) = (step.before, step.value.low_water_mark);
        let has_witness = |name: &&SegmentName| {
            let segment = &self.segments[name];
            segment.deletes.is_empty() && segment.progress.is_empty()
        };
        let left: Vec<_> = before
            .taken
            .iter()
            .filter(has_witness)
            .filter(|name| !step.witnesses.contains(name))
            .copied()
            .collect();
        let mut taken: SegmentNames = before.taken.as_ref().clone();
        if self.is_unchecked(step.database) {
            taken.retain(|name| !left.contains(name));
        } else if !left.is_empty() {
            let text = format!("{left:?} disappeared in version {}", step.version);
            self.fail(Invariant::AcknowledgedIsVisible, text);
        }
        let new = self.apply_transition(step);
        for name in &new.names {
            let is_due = before.mark() < name.stamp && name.stamp <= mark;
            if taken.insert(*name) && !is_due {
                let text = format!(
                    "{name:?} in version {}, whose mark went from {} to {mark}",
                    step.version,
                    before.mark(),
                );
                self.fail(Invariant::SegmentFlushedOnce, text);
            }
        }
        (taken, new.rows)
    }

    /// Returns the rows of a section and the requests that wrote them.
    fn decode_section(
        &mut self,
        database: DatabaseId,
        section: &Section,
        all: &StoredObjects,
    ) -> Option<Arc<DecodedSection>> {
        let place = (section.key(database).to_string(), section.offset);
        let object = all.get(&place.0)?;
        if let Some(decoded) = self.sections.get(&place) {
            return Some(Arc::clone(decoded));
        }
        let file = cut(&object.bytes, &section.range());
        let batches = read_section(file.clone());
        let rows: Vec<Row> = batches.iter().flat_map(plain).collect();
        if let Some(falsehood) = section_error(section, &file, &rows) {
            let text = format!("{section:?} has {falsehood}");
            self.fail(Invariant::StatisticsAreCorrect, text);
        }
        let decoded = Arc::new(DecodedSection {
            table: section.table,
            requests: requests(rows.iter().map(|(point, _)| point)),
            rows,
            batches,
        });
        self.sections.insert(place, Arc::clone(&decoded));
        Some(decoded)
    }

    /// Counts the effects of a commit.
    fn count(&mut self, before: &ManifestCommit, commit: &ManifestCommit) {
        let counts = &mut self.counts;
        counts.commits += 1;
        let known: BTreeSet<_> = before.value.jobs.iter().map(|job| job.id).collect();
        let new = commit.value.jobs.iter().filter(|job| !known.contains(&job.id));
        let mut merged = 0;
        for job in new {
            match job.kind {
                JobKind::Merge => merged += 1,
                JobKind::Expire => counts.expired += 1,
                JobKind::Drop => counts.dropped += 1,
                JobKind::Flush | JobKind::Cache | JobKind::Quarantine => {}
            }
        }
        counts.merged += merged;
        counts.merged_together += usize::from(merged > 1);
        counts.deletes += usize::from(commit.value.deletes.len() > before.value.deletes.len());
        counts.pages += commit.pages.difference(&before.pages).count();
        let condemned = |commit: &ManifestCommit, is_wanted: fn(&DroppedItem) -> bool| {
            let all = commit.value.condemned.iter();
            all.filter(|entry| is_wanted(&entry.what)).count()
        };
        let is_grave = |what: &DroppedItem| matches!(what, DroppedItem::Page(_));
        let is_object = |what: &DroppedItem| matches!(what, DroppedItem::Object(_));
        counts.graves += condemned(commit, is_grave).saturating_sub(condemned(before, is_grave));
        counts.orphans += condemned(commit, is_object).saturating_sub(condemned(before, is_object));
    }
}
