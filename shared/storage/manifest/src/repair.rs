//! Corrects the metadata of sections and pages in a manifest, when it differs from the rows.
//!
//! ```text
//!   check                                        store
//!     |   read the rows of sections
//!     |-- PUT pages with corrected entries -------> |   crash after: an orphan
//!     |-- commit: entries corrected --------------> |   the same sections, in the same versions
//! ```

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use bytes::BytesMut;
use neap_bucket::{CommitOutcome, Key, PutMode, RegisterChange, VersionedValue};
use neap_schema::DatabaseId;

use crate::{
    Manifest, ManifestError, ManifestStore, ObjectName, PageRef, PendingObject, RecordedDelete,
    Section, SectionWithFooter, condemned::DroppedItem, deletes::DeleteSet, error::no_date,
};

/// Maximum number of attempts when concurrent commits replace the pages.
const MAX_ATTEMPTS: usize = 8;

/// The correct metadata of sections and pages.
#[derive(Clone, Debug, Default)]
pub struct Corrections {
    /// Sections with correct statistics: rows, times, tags, series, and length and checksum of the footer. Other fields
    /// are ignored.
    pub sections: Vec<Section>,
    /// Page references with correct metadata.
    pub pages: Vec<PageRef>,
}

impl Corrections {
    /// Returns whether there is nothing to correct.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty() && self.pages.is_empty()
    }

    fn of(&self, section: &Section) -> Option<Section> {
        let truth = self.sections.iter().find(|truth| truth.is_same(section))?;
        Some(Section {
            rows: truth.rows,
            min_time: truth.min_time,
            max_time: truth.max_time,
            tags: truth.tags.clone(),
            series: truth.series.clone(),
            footer_length: truth.footer_length,
            footer_crc32c: truth.footer_crc32c,
            ..section.clone()
        })
    }
}

/// The result of a correction.
#[derive(Clone, Debug)]
pub struct CorrectionOutcome {
    /// The newest known manifest.
    pub current: VersionedValue<Manifest>,
    /// The number of corrected inline sections.
    pub sections: usize,
    /// The number of corrected page references, including those of pages with corrected sections.
    pub pages: usize,
}

/// A page with sections to correct, and its replacement.
type CorrectedPage = (PageRef, PageRef);

/// Pages with corrections, prepared for one version of the manifest.
struct PreparedCorrections {
    version: u64,
    rewritten: Vec<CorrectedPage>,
    object: Option<PendingObject>,
}

/// The preparation is outdated: the manifest has changed, and sections are in other places.
struct StaleCorrection;

impl Corrections {
    fn apply(
        &self,
        base: &VersionedValue<Manifest>,
        prepared: &PreparedCorrections,
    ) -> Result<(Manifest, usize, usize), StaleCorrection> {
        let rewritten = &prepared.rewritten;
        let is_there = |(old, _): &CorrectedPage| base.value.pages.iter().any(|it| it.is_same(old));
        if !rewritten.iter().all(is_there)
            || prepared.object.is_some_and(|object| !object.may_be_named(base))
        {
            return Err(StaleCorrection);
        }
        let mut next = Manifest::successor(base);
        let mut sections = 0;
        let mut tables = BTreeSet::new();
        for section in &mut next.sections {
            if let Some(correct) = self.of(section) {
                tables.insert((section.table, section.table));
                *section = Arc::new(correct);
                sections += 1;
            }
        }
        if base.version != prepared.version && sections < self.sections.len() {
            return Err(StaleCorrection);
        }
        let mut pages = 0;
        let mut replaced = BTreeSet::new();
        for page in &mut next.pages {
            let new = rewritten.iter().find(|(old, _)| old.is_same(page));
            let truth = || self.pages.iter().find(|truth| truth.is_same(page));
            let Some(correct) = new.map(|(_, new)| new).or_else(truth) else {
                continue;
            };
            if !correct.is_same(page) {
                replaced.insert(ObjectName::Page(page.object));
            }
            let (first, last) = page.tables().into_inner();
            tables.insert((first, last));
            *page = correct.clone();
            pages += 1;
        }
        let version = base.version + 1;
        // Caches that were built with the wrong statistics may lack rows.
        for (first, last) in tables {
            next.distrust_caches_in(&(first..=last), version);
        }
        next.condemn(replaced.into_iter().map(DroppedItem::Object), version);
        Ok((next, sections, pages))
    }
}

impl ManifestStore {
    /// Commits corrections. Sections and pages that are gone are skipped.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::Inconsistent`] if the outcome is unknown or concurrent commits kept
    /// changing the pages.
    pub async fn correct(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        corrections: &Corrections,
    ) -> Result<CorrectionOutcome, ManifestError> {
        let mut base = self.read(database, Some(&base)).await?;
        for _ in 0..MAX_ATTEMPTS {
            let prepared = self.correct_pages(database, &base, corrections).await?;
            let change = |base: &VersionedValue<Manifest>| {
                let (next, sections, pages) = corrections.apply(base, &prepared)?;
                Ok(if sections + pages == 0 {
                    RegisterChange::Keep((0, 0))
                } else {
                    RegisterChange::Put(next, (sections, pages))
                })
            };
            let register = self.register(database);
            match register.commit(Some(base.clone()), change).await? {
                CommitOutcome::Committed { current, result: (sections, pages) } => {
                    return Ok(CorrectionOutcome { current, sections, pages });
                }
                CommitOutcome::Refused(StaleCorrection) => {
                    base = self.read(database, Some(&base)).await?
                }
                CommitOutcome::Unknown { reason } => {
                    return Err(ManifestError::OutcomeUnknown { reason });
                }
            }
        }
        let reason = "concurrent commits keep changing the pages".to_owned();
        Err(ManifestError::OutcomeUnknown { reason })
    }

    /// Reinstates row deletes that were dropped too early. Deletes that the manifest no longer records stay dropped.
    ///
    /// # Errors
    /// An error of the store, or [`ManifestError::Inconsistent`] if the outcome is unknown.
    pub async fn reinstate_deletes(
        &self,
        database: DatabaseId,
        base: VersionedValue<Manifest>,
        deletes: &[RecordedDelete],
    ) -> Result<VersionedValue<Manifest>, ManifestError> {
        let dropped: DeleteSet = deletes.iter().collect();
        let change = |base: &VersionedValue<Manifest>| {
            let mut next = Manifest::successor(base);
            let mut tables = BTreeSet::new();
            for recorded in &mut next.deletes {
                if recorded.dropped.is_some() && dropped.contains(recorded) {
                    recorded.dropped = None;
                    tables.insert(recorded.delete.table);
                }
            }
            for table in &tables {
                next.distrust_caches_of(*table, base.version + 1);
            }
            Ok::<_, Infallible>(if tables.is_empty() {
                RegisterChange::Keep(())
            } else {
                RegisterChange::Put(next, ())
            })
        };
        match self.register(database).commit(Some(base), change).await? {
            CommitOutcome::Committed { current, .. } => Ok(current),
            CommitOutcome::Refused(never) => match never {},
            CommitOutcome::Unknown { reason } => Err(ManifestError::OutcomeUnknown { reason }),
        }
    }

    /// Writes new pages that replace those with sections to correct.
    async fn correct_pages(
        &self,
        database: DatabaseId,
        base: &VersionedValue<Manifest>,
        corrections: &Corrections,
    ) -> Result<PreparedCorrections, ManifestError> {
        let mut rewritten = Vec::new();
        let mut body = BytesMut::new();
        let mut object = None;
        let tables: BTreeSet<_> = corrections.sections.iter().map(|it| it.table).collect();
        for page in base
            .value
            .pages
            .iter()
            .filter(|page| tables.range(page.tables()).next().is_some())
        {
            let sections = self.page(database, page).await?;
            if !sections.iter().any(|one| corrections.of(&one.section).is_some()) {
                continue;
            }
            let correct: Vec<_> = sections
                .iter()
                .map(|one| match corrections.of(&one.section) {
                    None => one.clone(),
                    // A footer that does not match is left out; queries read it from the bundle.
                    Some(section) => SectionWithFooter {
                        footer: one.footer.clone().filter(|footer| section.matches_footer(footer)),
                        section: Arc::new(section),
                    },
                })
                .collect();
            let drawn = match object {
                Some(drawn) => drawn,
                None => PendingObject::draw(&self.bucket).ok_or_else(no_date)?,
            };
            object = Some(drawn);
            let new = self.append_page(&mut body, drawn, &correct)?;
            rewritten.extend(new.map(|new| (page.clone(), new)));
        }
        if let Some(drawn) = object {
            let key = Key::Page(database, drawn.ulid);
            let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
            put.await?;
        }
        Ok(PreparedCorrections { version: base.version, rewritten, object })
    }
}
