//! Moves old sections from a manifest to pages.
//!
//! ```text
//!   flush                                        store
//!     |-- GET the footers of the oldest sections -> |   adjacent ones in a bundle with one request
//!     |-- PUT their pages, in one object ---------> |   crash after: an orphan
//!     |-- commit: remove sections, add pages -----> |   together with the flush
//! ```
//!
//! A table with many sections gets pages of its own. If the other tables are many, they share pages: tables with
//! adjacent ids form a region, and the region's sections are divided into pages in table order, so that a page spans
//! few tables.
//!
//! ```text
//!   table     1   2   3   4   5   6   7   8        one page per flush: a query of one table reads all of them
//!            |------------ d 1 --------------|
//!            |------------ d 1 --------------|
//!            |-- d 2 --------|-- d 2 --------|     absorbed by a later region: denser, and spanning fewer tables
//! ```
//!
//! When there are many pages, or many overlapping ones, new pages absorb older pages whose density is not much higher.
//! So a table has few pages, and a footer is rewritten only a few times.
//!
//! If a concurrent commit has changed one of the sections, the commit leaves all of them in place. Spilling is only an
//! optimization: if it fails, the flush continues without it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Key, PutMode, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    Manifest, ManifestError, ManifestStore, PageRef, PendingObject, Section, SectionWithFooter,
    coalesce::{CoalescedRead, coalesce},
    packing::{
        MAX_PAGE_FOOTERS, MAX_PAGE_SECTIONS, MIN_PAGE_SECTIONS, PageLimits, are_many, divide,
    },
    page::{self, PageLocation, span_of},
    section::SectionLocation,
    store::PARALLEL_REQUESTS,
};

/// Maximum number of sections that one commit moves, or twice the number of new sections if that is larger. The next
/// commit moves the rest.
const MAX_SPILL_SECTIONS: usize = 16_384;

/// Maximum bytes of footers that one commit reads, and of pages that it rewrites (32 MiB). Further sections are moved
/// without footers; queries then read these from the bundles.
const MAX_SPILL_FOOTERS: u64 = 32 << 20;

/// Maximum number of new sections of a region.
const REGION_SECTIONS: usize = 2_048;

/// Maximum average number of shared pages over a table of a region. If there are more, the region absorbs older pages.
const MAX_DEPTH: u64 = 8;

/// Fixed-point scale of densities and depths.
const PARTS: u64 = 1_024;

/// Sections that have been written to pages, for a commit to move.
#[derive(Debug)]
pub(crate) struct PageSpill {
    moved: BTreeSet<SectionLocation>,
    absorbed: Vec<PageRef>,
    pages: Vec<PageRef>,
    object: PendingObject,
}

impl PageSpill {
    /// Moves the sections in `next`, the successor of `base`, if all of them are still in it.
    pub(crate) fn apply(&self, base: &VersionedValue<Manifest>, next: &mut Manifest) {
        let moves = |section: &Arc<Section>| self.moved.contains(&section.place());
        let there = next.sections.iter().filter(|section| moves(section));
        if !self.object.may_be_named(base)
            || there.count() != self.moved.len()
            || !next.has_pages(&self.absorbed)
        {
            return;
        }
        next.sections.retain(|section| !moves(section));
        next.retire_pages(&self.absorbed, base.version + 1);
        next.pages.extend(self.pages.iter().cloned());
    }
}

/// Sections that are written to pages, and older pages that are rewritten with them.
#[derive(Debug, Default)]
struct SpillBatch {
    sections: Vec<Arc<Section>>,
    absorbed: Vec<PageRef>,
}

impl SpillBatch {
    fn count(&self) -> usize {
        let absorbed = self.absorbed.iter().map(|page| page.sections as usize);
        self.sections.len() + absorbed.sum::<usize>()
    }
}

/// The sections that one commit moves, with the limits of their pages.
#[derive(Debug)]
struct SpillPlan {
    batches: Vec<SpillBatch>,
    limits: PageLimits,
}

/// The older pages that can be absorbed.
struct AbsorbablePages<'a> {
    pages: &'a [PageRef],
    /// Whether there are so many pages that small ones should be merged.
    are_many: bool,
    taken: BTreeSet<PageLocation>,
    /// Remaining bytes of pages that may be rewritten.
    budget: u64,
}

impl<'a> AbsorbablePages<'a> {
    fn new(manifest: &'a Manifest, inline: usize) -> Self {
        Self {
            pages: &manifest.pages,
            are_many: manifest.pages.len() > inline / 2,
            taken: BTreeSet::new(),
            budget: MAX_SPILL_FOOTERS,
        }
    }

    fn take(&mut self, page: &PageRef) -> PageRef {
        self.budget = self.budget.saturating_sub(page.size_bytes);
        self.taken.insert(page.place());
        page.clone()
    }

    /// Takes the newest pages of a table that fit into one page with these sections.
    fn absorb_for_table(&mut self, table: TableId, sections: &[Arc<Section>]) -> Vec<PageRef> {
        if !self.are_many {
            return Vec::new();
        }
        let is_own = |page: &&PageRef| page.table == table && page.last_table.is_none();
        let mut own: Vec<&PageRef> = self.pages.iter().filter(is_own).collect();
        own.sort_by_key(|page| Reverse(page.upto));
        let mut count = sections.len();
        let footers = sections.iter().map(|one| u64::from(one.footer_length));
        let mut bytes: u64 = footers.sum();
        let mut absorbed = Vec::new();
        for page in own {
            let of_page = page.sections as usize;
            let fits = count + of_page <= MAX_PAGE_SECTIONS
                && bytes.saturating_add(page.size_bytes) <= MAX_PAGE_FOOTERS
                && page.size_bytes <= self.budget;
            if of_page <= 2 * count && fits {
                (count, bytes) = (count + of_page, bytes + page.size_bytes);
                absorbed.push(self.take(page));
            }
        }
        absorbed
    }

    /// Takes the pages that a region absorbs, in ascending order of density.
    fn absorb_for_region(&mut self, region: &TableRegion) -> Vec<PageRef> {
        let is_deep = region.depth(self.pages) > MAX_DEPTH * PARTS;
        if !is_deep && !self.are_many {
            return Vec::new();
        }
        let is_candidate = |page: &&PageRef| {
            let is_small = page.sections as usize <= MAX_PAGE_SECTIONS / 2;
            let is_shared = page.last_table.is_some();
            !self.taken.contains(&page.place())
                && 2 * region.overlap(page) >= page.table_span()
                && (is_small || is_deep && is_shared)
                && (is_shared || region.has(page.table))
        };
        let mut candidates: Vec<&PageRef> = self.pages.iter().filter(is_candidate).collect();
        candidates.sort_by_key(|page| (density(page), Reverse(page.upto)));
        let span = span_of(&region.tables);
        let mut reached = region.sections.len() as u64 * PARTS / span;
        let mut absorbed = Vec::new();
        for page in candidates {
            if density(page) > 2 * reached || page.size_bytes > self.budget {
                break;
            }
            reached += density(page) * region.overlap(page) / span;
            absorbed.push(self.take(page));
        }
        absorbed
    }
}

/// Returns the number of sections per table id that a page spans, in units of 1/[`PARTS`].
fn density(page: &PageRef) -> u64 {
    u64::from(page.sections) * PARTS / page.table_span()
}

/// Tables with adjacent ids whose sections share pages.
struct TableRegion {
    tables: RangeInclusive<TableId>,
    /// The sections, sorted by table.
    sections: Vec<Arc<Section>>,
}

impl TableRegion {
    fn from_sections(sections: Vec<Arc<Section>>) -> Option<Self> {
        let first = sections.first()?.table;
        let last = sections.last()?.table;
        Some(Self { tables: first..=last, sections })
    }

    /// Returns the number of table ids that both the region and a page span.
    fn overlap(&self, page: &PageRef) -> u64 {
        let (first, last) = page.tables().into_inner();
        let first = first.max(*self.tables.start());
        let last = last.min(*self.tables.end());
        if first <= last {
            span_of(&(first..=last))
        } else {
            0
        }
    }

    /// Returns the average number of shared pages over a table of the region, in units of 1/[`PARTS`].
    fn depth(&self, pages: &[PageRef]) -> u64 {
        let shared = pages.iter().filter(|page| page.last_table.is_some());
        let overlap: u64 = shared.map(|page| self.overlap(page)).sum();
        overlap * PARTS / span_of(&self.tables)
    }

    fn has(&self, table: TableId) -> bool {
        let found = self.sections.binary_search_by_key(&table, |one| one.table);
        found.is_ok()
    }
}

/// Selects the sections to move: among the oldest ones, until half of `inline` are left, first those of the tables with
/// the most sections.
fn choose(manifest: &Manifest, arriving: usize, inline: usize) -> Option<SpillPlan> {
    let sections = &manifest.sections;
    if sections.len() + arriving <= inline {
        return None;
    }
    let surplus = sections.len().saturating_sub(inline / 2);
    let mut by_table: BTreeMap<TableId, Vec<Arc<Section>>> = BTreeMap::new();
    for section in sections.iter().take(surplus) {
        let of_table = by_table.entry(section.table).or_default();
        of_table.push(Arc::clone(section));
    }
    let mut tables: Vec<_> = by_table.into_values().collect();
    let is_shared = are_many(tables.len(), inline);
    let limits = PageLimits::new(tables.len(), inline);
    tables.sort_by_key(|table| (Reverse(table.len()), table.first().map(|one| one.order())));
    let mut left = MAX_SPILL_SECTIONS.max(2 * arriving);
    for table in &mut tables {
        table.truncate(left);
        left -= table.len();
    }
    let (own, sharing): (Vec<_>, Vec<_>) = tables
        .into_iter()
        .filter(|table| !table.is_empty())
        .partition(|table| table.len() >= limits.own);
    let mut old = AbsorbablePages::new(manifest, inline);
    let mut batches: Vec<_> = own
        .into_iter()
        .filter_map(|sections| {
            let table = sections.first()?.table;
            let absorbed = old.absorb_for_table(table, &sections);
            Some(SpillBatch { sections, absorbed })
        })
        .collect();
    let mut regions = regions(if is_shared { sharing } else { Vec::new() });
    regions.sort_by_cached_key(|region| Reverse(region.depth(&manifest.pages)));
    batches.extend(regions.into_iter().map(|region| SpillBatch {
        absorbed: old.absorb_for_region(&region),
        sections: region.sections,
    }));
    batches.retain(|batch| batch.count() >= MIN_PAGE_SECTIONS);
    (!batches.is_empty()).then_some(SpillPlan { batches, limits })
}

/// Divides tables into regions with about the same number of sections.
fn regions(tables: Vec<Vec<Arc<Section>>>) -> Vec<TableRegion> {
    let mut tables = tables;
    tables.sort_by_key(|table| table.first().map(|one| one.table));
    let count: usize = tables.iter().map(Vec::len).sum();
    let target = count.div_ceil(count.div_ceil(REGION_SECTIONS).max(1));
    let mut regions = Vec::new();
    let mut sections: Vec<Arc<Section>> = Vec::new();
    for table in tables {
        sections.extend(table);
        if sections.len() >= target {
            regions.extend(TableRegion::from_sections(std::mem::take(&mut sections)));
        }
    }
    regions.extend(TableRegion::from_sections(sections));
    regions
}

/// Footers to read from one object, which may belong to another database.
type FooterRead = CoalescedRead<Key, SectionLocation>;

type Footers = BTreeMap<SectionLocation, Bytes>;

impl ManifestStore {
    /// Writes the pages for a commit that adds `arriving` sections to `base`, if it then has too many.
    pub(crate) async fn prepare_spill(
        &self,
        database: DatabaseId,
        base: &VersionedValue<Manifest>,
        arriving: usize,
    ) -> Option<PageSpill> {
        if base.value.sections.len() + arriving <= self.settings.inline_sections {
            return None;
        }
        let successor = Manifest::successor(base);
        self.spill_of(database, &successor, arriving).await
    }

    /// Writes the pages for a commit that adds `arriving` sections to `manifest`, if it then has too many. If that
    /// fails, the sections stay in the manifest.
    pub(crate) async fn spill_of(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        arriving: usize,
    ) -> Option<PageSpill> {
        let choice = || choose(manifest, arriving, self.settings.inline_sections);
        let written = match self.write_pages(database, choice()?).await {
            // A damaged page can't be absorbed: retry without absorbing pages.
            Err(error) if error.is_damage() => {
                tracing::error!(%database, %error, "a damaged page can't be absorbed; sections are moved without it");
                let mut choice = choice()?;
                for batch in &mut choice.batches {
                    batch.absorbed.clear();
                }
                self.write_pages(database, choice).await
            }
            written => written,
        };
        match written {
            Ok(spill) => spill,
            Err(error) => {
                tracing::warn!(%database, %error, "writing pages failed; sections stay in the manifest");
                None
            }
        }
    }

    /// Reads footers; empty if the object is gone or too short.
    async fn fetch_footers(
        &self,
        span: FooterRead,
    ) -> Result<Vec<(SectionLocation, Bytes)>, ManifestError> {
        let bytes = match self.fetch(&span.object, span.range.clone()).await {
            Err(ManifestError::PageGone { .. }) => return Ok(Vec::new()),
            found => found?,
        };
        let footers = span.parts.iter().filter_map(|(place, footer)| {
            // A copy, so that the bytes between the footers are not kept in memory.
            let footer = bytes.get(span.position_of(footer)?)?;
            Some((*place, Bytes::copy_from_slice(footer)))
        });
        Ok(footers.collect())
    }

    /// Reads whole pages, adjacent ones of an object with one request.
    async fn pages_together(
        &self,
        database: DatabaseId,
        pages: impl IntoIterator<Item = &PageRef>,
    ) -> Result<BTreeMap<PageLocation, Vec<SectionWithFooter>>, ManifestError> {
        let pages = pages.into_iter().map(|page| (page.object, page.range(), page.place()));
        stream::iter(coalesce(pages.collect()))
            .map(|span| async move {
                let key = Key::Page(database, span.object);
                let bytes = self.fetch(&key, span.range.clone()).await?;
                let key = key.to_string();
                let pages = span.parts.iter().map(|(place, part)| {
                    let page = span
                        .position_of(part)
                        .filter(|part| part.end <= bytes.len())
                        .map(|part| bytes.slice(part))
                        .unwrap_or_default();
                    Ok((*place, page::decode(&key, &page)?))
                });
                pages.collect::<Result<Vec<_>, ManifestError>>()
            })
            .buffered(PARALLEL_REQUESTS)
            .try_concat()
            .await
            .map(BTreeMap::from_iter)
    }

    async fn write_pages(
        &self,
        database: DatabaseId,
        choice: SpillPlan,
    ) -> Result<Option<PageSpill>, ManifestError> {
        let Some(object) = PendingObject::draw(&self.bucket) else {
            return Ok(None);
        };
        let SpillPlan { batches, limits } = choice;
        let moved = || batches.iter().flat_map(|batch| &batch.sections);
        let mut bytes = 0;
        let fitting = moved().take_while(|section| {
            bytes += u64::from(section.footer_length);
            bytes <= MAX_SPILL_FOOTERS
        });
        let ranges =
            fitting.map(|section| (section.key(database), section.footer_range(), section.place()));
        let mut footers: Footers = stream::iter(coalesce(ranges.collect()))
            .map(|span| self.fetch_footers(span))
            .buffered(PARALLEL_REQUESTS)
            .try_concat()
            .await?
            .into_iter()
            .collect();
        let mut spill = PageSpill {
            moved: moved().map(|section| section.place()).collect(),
            absorbed: Vec::new(),
            pages: Vec::new(),
            object,
        };
        let absorbed = batches.iter().flat_map(|batch| &batch.absorbed);
        let mut old = self.pages_together(database, absorbed).await?;
        let mut body = BytesMut::new();
        for batch in batches {
            let mut sections = Vec::new();
            for page in &batch.absorbed {
                let of_page = old.remove(&page.place());
                sections.extend(
                    of_page.ok_or_else(|| ManifestError::PageGone { key: page.key(database) })?,
                );
            }
            sections.extend(batch.sections.into_iter().map(|section| {
                // A damaged footer is not written to a page, because the page's checksum would then cover it as valid.
                let footer = footers
                    .remove(&section.place())
                    .filter(|footer| section.matches_footer(footer));
                SectionWithFooter { section, footer }
            }));
            sections.sort_by_key(SectionWithFooter::page_order);
            for page in divide(sections, &limits) {
                spill.pages.extend(self.append_page(&mut body, object, &page)?);
            }
            spill.absorbed.extend(batch.absorbed);
        }
        let key = Key::Page(database, object.ulid);
        let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await?;
        Ok(Some(spill))
    }
}
