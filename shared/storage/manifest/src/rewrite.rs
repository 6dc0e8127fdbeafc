//! Prepares a commit of replacements: writes new pages for the remaining sections of changed pages, and pages of
//! removed sections.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::BytesMut;
use futures::TryStreamExt;
use neap_bucket::{Key, PutMode, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    Manifest, ManifestError, ManifestStore, PageRef, PendingObject, ReplaceRefusal, Section,
    SectionWithFooter, dropped_sections,
    error::no_date,
    packing::{MIN_PAGE_SECTIONS, divide},
    page::{self, PageLocation},
    replacement::{ReplacementBatch, ValidatedReplacement},
    section::SectionLocation,
    spill::PageSpill,
    store::DecodedPage,
};

/// Maximum number of removed sections that a commit records in the manifest. More are listed in separate pages.
const MAX_LISTED: usize = 128;

/// Multiple of `inline_sections` above which any commit moves sections to pages. Below it, only flushes do.
const FAR_TOO_MANY: usize = 2;

/// A page from which sections are removed.
pub(crate) struct RewrittenPage {
    pub(crate) old: PageRef,
    pub(crate) new: Option<PageRef>,
    /// The remaining sections, if they are too few for a page.
    pub(crate) inline: Vec<Arc<Section>>,
    pub(crate) removed: Vec<Arc<Section>>,
}

impl RewrittenPage {
    /// Returns whether no section remains.
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_none() && self.inline.is_empty()
    }
}

/// The locations of the inputs, and the objects put for the commit.
pub(crate) struct PreparedReplacements {
    /// The sections to remove.
    pub(crate) inputs: BTreeSet<SectionLocation>,
    pub(crate) rewritten: Vec<RewrittenPage>,
    /// The pages that were read. None of their other sections lies between the inputs.
    pub(crate) examined: BTreeSet<PageLocation>,
    /// Pages of removed sections. If empty, each removed section is recorded separately or with its page.
    pub(crate) graves: Vec<PageRef>,
    pub(crate) object: Option<PendingObject>,
    pub(crate) spill: Option<PageSpill>,
}

/// The remaining and the removed sections of a page.
struct RemainingPage {
    old: PageRef,
    kept: Vec<SectionWithFooter>,
    removed: Vec<Arc<Section>>,
}

/// Refusals, by the index of the replacement.
pub(crate) type Refusals = BTreeMap<usize, ReplaceRefusal>;

/// Locates the inputs of replacements in one version of a manifest.
struct InputLocator<'a> {
    by_place: BTreeMap<SectionLocation, usize>,
    by_table: BTreeMap<TableId, Vec<(usize, &'a ValidatedReplacement<'a>)>>,
    found: BTreeMap<usize, usize>,
    refused: Refusals,
}

impl<'a> InputLocator<'a> {
    fn new(set: &'a ReplacementBatch<'a>, base: &VersionedValue<Manifest>) -> Self {
        let mut survey = Self {
            by_place: BTreeMap::new(),
            by_table: BTreeMap::new(),
            found: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        for (number, one) in set.pending() {
            survey.found.insert(number, 0);
            let places = one.inputs.iter().map(|place| (*place, number));
            survey.by_place.extend(places);
            let of_table = survey.by_table.entry(one.what.table).or_default();
            let overlaps = |(_, other): &(usize, &ValidatedReplacement<'_>)| {
                one.excludes_other_sections()
                    && other.excludes_other_sections()
                    && one.bounds.overlaps(&other.bounds)
            };
            if of_table.iter().any(overlaps) {
                // Treated as if the others had been committed first.
                survey.refused.insert(number, ReplaceRefusal::NotClosed);
            }
            of_table.push((number, one));
            if one.what.object.is_some_and(|object| !object.may_be_named(base)) {
                survey.refused.insert(number, ReplaceRefusal::ObjectTooOld);
            }
        }
        survey
    }

    /// Counts a section if it is an input. Otherwise, refuses replacements between whose inputs it lies. Returns
    /// whether it is removed.
    fn visit(&mut self, section: &Section) -> bool {
        if let Some(number) = self.by_place.get(&section.place()) {
            *self.found.entry(*number).or_default() += 1;
            return true;
        }
        let of_table = self.by_table.get(&section.table);
        for (number, one) in of_table.into_iter().flatten() {
            if one.excludes_other_sections() && one.overlaps(section) {
                let reason = ReplaceRefusal::NotClosed;
                self.refused.entry(*number).or_insert(reason);
            }
        }
        false
    }

    fn overlaps_page(&self, page: &PageRef) -> bool {
        let mut of_tables = self.by_table.range(page.tables()).flat_map(|(_, all)| all);
        of_tables.any(|(_, one)| one.overlaps_page(page))
    }

    /// Returns the refusals after all sections have been visited.
    fn refused(mut self) -> Refusals {
        for (number, one) in self.by_table.values().flatten() {
            if self.found.get(number).copied().unwrap_or(0) < one.inputs.len() {
                self.refused.insert(*number, ReplaceRefusal::InputsGone);
            }
        }
        self.refused
    }
}

impl ManifestStore {
    /// Locates the inputs, and puts the objects that the commit references. If replacements fail on this base, returns
    /// the refusals and puts nothing.
    pub(crate) async fn prepare(
        &self,
        database: DatabaseId,
        base: &VersionedValue<Manifest>,
        set: &ReplacementBatch<'_>,
    ) -> Result<Result<PreparedReplacements, Refusals>, ManifestError> {
        let manifest = Manifest::successor(base);
        let mut survey = InputLocator::new(set, base);
        let mut removed = Vec::new();
        for section in &manifest.sections {
            if survey.visit(section) {
                removed.push(Arc::clone(section));
            }
        }
        let overlapping: Vec<_> = manifest
            .pages
            .iter()
            .filter(|page| survey.overlaps_page(page))
            .cloned()
            .collect();
        let mut pages = self.stream_pages(database, overlapping.clone());
        let mut left = Vec::new();
        for old in &overlapping {
            let Some(sections) = pages.try_next().await? else {
                break;
            };
            left.extend(RemainingPage::new(old, &sections, &mut survey));
        }
        drop(pages);
        let inputs: BTreeSet<_> = survey.by_place.keys().copied().collect();
        let refused = survey.refused();
        if !refused.is_empty() {
            return Ok(Err(refused));
        }
        let mut prepared = PreparedReplacements {
            inputs,
            rewritten: Vec::new(),
            examined: overlapping.iter().map(PageRef::place).collect(),
            graves: Vec::new(),
            object: None,
            spill: None,
        };
        self.write_remaining(database, &manifest, left, removed, &mut prepared).await?;
        let adding = set.pending().map(|(_, one)| one.what.add.len());
        prepared.spill = self.spill_remaining(database, manifest, &prepared, adding.sum()).await;
        Ok(Ok(prepared))
    }

    /// Moves remaining sections to pages, if they exceed [`FAR_TOO_MANY`] times the limit.
    async fn spill_remaining(
        &self,
        database: DatabaseId,
        manifest: Manifest,
        prepared: &PreparedReplacements,
        adding: usize,
    ) -> Option<PageSpill> {
        let mut rest = manifest;
        if rest.sections.len() + adding <= FAR_TOO_MANY * self.settings.inline_sections {
            return None;
        }
        let rewritten: BTreeSet<_> =
            prepared.rewritten.iter().map(|page| page.old.place()).collect();
        rest.pages.retain(|page| !rewritten.contains(&page.place()));
        rest.sections.retain(|section| !prepared.inputs.contains(&section.place()));
        self.spill_of(database, &rest, adding).await
    }

    /// Writes new pages of the remaining sections, and pages of removed sections if there are many.
    async fn write_remaining(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        left: Vec<RemainingPage>,
        removed: Vec<Arc<Section>>,
        prepared: &mut PreparedReplacements,
    ) -> Result<(), ManifestError> {
        let is_page = |kept: &[SectionWithFooter]| kept.len() >= MIN_PAGE_SECTIONS;
        let graves = self.divide_removed(manifest, removed, &left);
        if !graves.is_empty() || left.iter().any(|page| is_page(&page.kept)) {
            prepared.object = Some(PendingObject::draw(&self.bucket).ok_or_else(no_date)?);
        }
        let mut body = BytesMut::new();
        for RemainingPage { old, kept, removed } in left {
            let mut page = RewrittenPage { old, new: None, inline: Vec::new(), removed };
            match prepared.object.filter(|_| is_page(&kept)) {
                Some(object) => {
                    page.new = self.append_page(&mut body, object, &kept)?;
                }
                None => page.inline = kept.into_iter().map(|one| one.section).collect(),
            }
            prepared.rewritten.push(page);
        }
        if let Some(object) = prepared.object {
            for grave in graves {
                let page = self.append_page(&mut body, object, &grave)?;
                prepared.graves.extend(page);
            }
            let key = Key::Page(database, object.ulid);
            let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
            put.await?;
        }
        Ok(())
    }

    /// Divides removed sections into pages, except those removed with their whole page; empty if there are few.
    /// Sections that a restored database needs have separate pages, so that nothing else is kept with them.
    fn divide_removed(
        &self,
        manifest: &Manifest,
        removed: Vec<Arc<Section>>,
        left: &[RemainingPage],
    ) -> Vec<Vec<SectionWithFooter>> {
        let of_pages = left
            .iter()
            .filter(|page| !page.kept.is_empty())
            .flat_map(|page| &page.removed)
            .cloned();
        let mut listed: Vec<_> = removed.into_iter().chain(of_pages).collect();
        if listed.len() <= MAX_LISTED {
            return Vec::new();
        }
        listed.sort_by_key(|section| section.table);
        let is_pinned = |section: &Section| {
            let mut pins = manifest.pins.iter();
            pins.any(|pin| section.added <= pin.version)
        };
        let (pinned, others): (Vec<_>, Vec<_>) = listed
            .iter()
            .map(SectionWithFooter::inline)
            .partition(|one| is_pinned(&one.section));
        let pages = [pinned, others].into_iter().flat_map(|sections| {
            let limits = dropped_sections::limits(&sections, self.settings.inline_sections);
            divide(sections, &limits)
        });
        pages.collect()
    }

    /// Appends a page to the body of a new object.
    pub(crate) fn append_page(
        &self,
        body: &mut BytesMut,
        object: PendingObject,
        sections: &[SectionWithFooter],
    ) -> Result<Option<PageRef>, ManifestError> {
        let put_id = self.bucket.world().entropy.next_u128();
        let page = page::encode(sections, put_id)
            .map_err(|error| ManifestError::InvalidCommit { reason: error.to_string() })?;
        let start = body.len() as u64;
        body.extend_from_slice(&page.bytes);
        Ok(PageRef::new(sections, object.ulid, start, &page))
    }
}

impl RemainingPage {
    /// Splits the sections of a page; `None` if all sections remain.
    fn new(old: &PageRef, sections: &DecodedPage, survey: &mut InputLocator<'_>) -> Option<Self> {
        let (removed, kept): (Vec<_>, Vec<_>) =
            sections.iter().cloned().partition(|one| survey.visit(&one.section));
        (!removed.is_empty()).then(|| Self {
            old: old.clone(),
            kept,
            removed: removed.into_iter().map(|one| one.section).collect(),
        })
    }
}
