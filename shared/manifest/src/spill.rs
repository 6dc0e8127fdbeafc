//! Moving old sections from a manifest to pages.
//!
//! ```text
//!   flush                                        store
//!     |-- GET the footers of the oldest sections -> |   neighbours in a bundle with one request
//!     |-- PUT their pages, in one object ---------> |   crash after: an orphan
//!     |-- commit: sections out, pages in ---------> |   together with the flush
//! ```
//!
//! When the pages are many themselves, a new one takes in older ones of its table that are not larger than
//! itself by much, so that a table has few of them, and a footer is written again only a few times.
//!
//! The commit leaves the sections where they are if a rival has changed one of them. Spilling only saves
//! work: when it fails, the flush goes on without it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Key, PutMode, Versioned};
use neap_schema::{DatabaseId, TableId};

use crate::{
    DrawnObject, Manifest, ManifestError, ManifestStore, PageRef, Section, SectionWithFooter,
    page::{self, PagePlace},
    section::SectionPlace,
    span::{Span, coalesce},
    store::PARALLEL_REQUESTS,
};

/// A page of fewer sections saves less in the manifest than its reference and its request cost.
pub(crate) const MIN_PAGE_SECTIONS: usize = 8;

/// With so many times the sections that a manifest should hold, even a page of two is worth it: it has
/// sections of very many tables.
const FAR_TOO_MANY: usize = 4;

/// The most sections in a page, so that a query of a short time doesn't read the list of a long one.
const MAX_PAGE_SECTIONS: usize = 256;

/// The most bytes of footers in a page.
const MAX_PAGE_FOOTERS: u64 = 4 << 20;

/// The most sections that one commit moves; more are moved by the next one.
const MAX_SPILL_SECTIONS: usize = 2_048;

/// The most bytes of footers that one commit moves, and of pages that it writes anew.
const MAX_SPILL_FOOTERS: u64 = 32 << 20;

/// Sections that are in pages now, for a commit to move.
#[derive(Debug)]
pub(crate) struct Spill {
    moved: BTreeSet<SectionPlace>,
    absorbed: Vec<PageRef>,
    pages: Vec<PageRef>,
    object: DrawnObject,
}

impl Spill {
    /// Moves the sections in `next`, the successor of `base`, if all of them are there.
    pub(crate) fn apply(&self, base: &Versioned<Manifest>, next: &mut Manifest) {
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

/// What is to become pages, of one table.
#[derive(Debug)]
struct Batch {
    sections: Vec<Arc<Section>>,
    absorbed: Vec<PageRef>,
}

impl Batch {
    /// The oldest sections of a table, and those of its pages that are written anew with them. `budget` is how
    /// many bytes of pages may be.
    fn new(sections: Vec<Arc<Section>>, pages: &[&PageRef], budget: &mut u64) -> Self {
        let mut count = sections.len();
        let footers = sections.iter().map(|one| u64::from(one.footer_length));
        let mut bytes: u64 = footers.sum();
        let mut absorbed = Vec::new();
        for page in pages {
            let of_page = page.sections as usize;
            let fits = count + of_page <= MAX_PAGE_SECTIONS
                && bytes.saturating_add(page.size_bytes) <= MAX_PAGE_FOOTERS
                && page.size_bytes <= *budget;
            if of_page <= 2 * count && fits {
                (count, bytes) = (count + of_page, bytes + page.size_bytes);
                *budget -= page.size_bytes;
                absorbed.push((*page).clone());
            }
        }
        Self { sections, absorbed }
    }

    fn count(&self) -> usize {
        let absorbed = self.absorbed.iter().map(|page| page.sections as usize);
        self.sections.len() + absorbed.sum::<usize>()
    }
}

/// The sections to move: the oldest, until half of `inline` are left.
fn choose(manifest: &Manifest, arriving: usize, inline: usize) -> Vec<Batch> {
    let sections = &manifest.sections;
    let count = sections.len() + arriving;
    if count <= inline {
        return Vec::new();
    }
    let min_page_sections = match count > inline.saturating_mul(FAR_TOO_MANY) {
        true => 2,
        false => MIN_PAGE_SECTIONS,
    };
    let surplus = sections.len().saturating_sub(inline / 2);
    let mut footers = 0;
    let oldest = sections
        .iter()
        .take(surplus.min(MAX_SPILL_SECTIONS))
        .take_while(|section| {
            footers += u64::from(section.footer_length);
            footers <= MAX_SPILL_FOOTERS
        });
    let mut by_table: BTreeMap<TableId, Vec<_>> = BTreeMap::new();
    for section in oldest {
        let of_table = by_table.entry(section.table).or_default();
        of_table.push(Arc::clone(section));
    }
    let mut pages: BTreeMap<TableId, Vec<&PageRef>> = BTreeMap::new();
    if manifest.pages.len() > inline / 2 {
        for page in &manifest.pages {
            pages.entry(page.table).or_default().push(page);
        }
    }
    for of_table in pages.values_mut() {
        of_table.sort_by_key(|page| Reverse(page.upto));
    }
    let mut budget = MAX_SPILL_FOOTERS;
    let batches = by_table.into_iter().map(|(table, sections)| {
        let pages = pages.get(&table).map_or(&[][..], Vec::as_slice);
        Batch::new(sections, pages, &mut budget)
    });
    batches
        .filter(|batch| batch.count() >= min_page_sections)
        .collect()
}

/// Divides the sections of a table, in order of time, into pages.
pub(crate) fn divide(sections: Vec<SectionWithFooter>) -> Vec<Vec<SectionWithFooter>> {
    let mut pages = Vec::new();
    let mut page: Vec<SectionWithFooter> = Vec::new();
    let mut footers = 0;
    for section in sections {
        let footer = u64::from(section.section.footer_length);
        if page.len() == MAX_PAGE_SECTIONS
            || !page.is_empty() && footers + footer > MAX_PAGE_FOOTERS
        {
            pages.push(std::mem::take(&mut page));
            footers = 0;
        }
        footers += footer;
        page.push(section);
    }
    pages.push(page);
    pages
}

/// Footers of an object, which may be another database's.
type FooterSpan = Span<Key, SectionPlace>;

type Footers = BTreeMap<SectionPlace, Bytes>;

impl ManifestStore {
    /// Writes the pages for a commit that adds `arriving` sections to `base`, if it has too many.
    pub(crate) async fn prepare_spill(
        &self,
        database: DatabaseId,
        base: &Versioned<Manifest>,
        arriving: usize,
    ) -> Option<Spill> {
        if base.value.sections.len() + arriving <= self.settings.inline_sections {
            return None;
        }
        let successor = Manifest::successor(base);
        let batches = choose(&successor, arriving, self.settings.inline_sections);
        if batches.is_empty() {
            return None;
        }
        let written = match self.write_pages(database, batches).await {
            // A damaged page stays as it is.
            Err(error) if error.is_damage() => {
                tracing::error!(%database, %error, "no page is written anew");
                let mut batches = choose(&successor, arriving, self.settings.inline_sections);
                for batch in &mut batches {
                    batch.absorbed.clear();
                }
                self.write_pages(database, batches).await
            }
            written => written,
        };
        match written {
            Ok(spill) => spill,
            Err(error) => {
                tracing::warn!(%database, %error, "sections stay in the manifest: no pages for them");
                None
            }
        }
    }

    /// Reads footers; none if the object is gone or too short.
    async fn fetch_footers(
        &self,
        span: FooterSpan,
    ) -> Result<Vec<(SectionPlace, Bytes)>, ManifestError> {
        let bytes = match self.fetch(&span.object, span.range.clone()).await {
            Err(ManifestError::PageGone { .. }) => return Ok(Vec::new()),
            found => found?,
        };
        let footers = span.parts.iter().filter_map(|(place, footer)| {
            // A copy, so that what lies between the footers is not kept with them.
            let footer = bytes.get(span.place_of(footer)?)?;
            Some((*place, Bytes::copy_from_slice(footer)))
        });
        Ok(footers.collect())
    }

    /// Reads whole pages, neighbours in an object with one request.
    async fn pages_together(
        &self,
        database: DatabaseId,
        pages: impl IntoIterator<Item = &PageRef>,
    ) -> Result<BTreeMap<PagePlace, Vec<SectionWithFooter>>, ManifestError> {
        let pages = pages.into_iter();
        let pages = pages.map(|page| (page.object, page.range(), page.place()));
        stream::iter(coalesce(pages.collect()))
            .map(|span| async move {
                let key = Key::Page(database, span.object);
                let bytes = self.fetch(&key, span.range.clone()).await?;
                let key = key.to_string();
                let pages = span.parts.iter().map(|(place, part)| {
                    let page = span.place_of(part).filter(|part| part.end <= bytes.len());
                    let page = page.map(|part| bytes.slice(part)).unwrap_or_default();
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
        batches: Vec<Batch>,
    ) -> Result<Option<Spill>, ManifestError> {
        let Some(object) = DrawnObject::draw(&self.bucket) else {
            return Ok(None);
        };
        let moved = || batches.iter().flat_map(|batch| &batch.sections);
        let footers = moved().map(|section| {
            (
                section.key(database),
                section.footer_range(),
                section.place(),
            )
        });
        let mut footers: Footers = stream::iter(coalesce(footers.collect()))
            .map(|span| self.fetch_footers(span))
            .buffered(PARALLEL_REQUESTS)
            .try_concat()
            .await?
            .into_iter()
            .collect();
        let mut spill = Spill {
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
                sections.extend(of_page.ok_or_else(|| ManifestError::PageGone {
                    key: page.key(database),
                })?);
            }
            sections.extend(batch.sections.into_iter().map(|section| {
                // A damaged footer is not made part of a page, whose checksum would be right.
                let footer = footers.remove(&section.place());
                let footer = footer.filter(|footer| section.matches_footer(footer));
                SectionWithFooter { section, footer }
            }));
            sections.sort_by_key(|one| (one.section.first_day, one.section.order()));
            for page in divide(sections) {
                spill
                    .pages
                    .extend(self.append_page(&mut body, object, &page)?);
            }
            spill.absorbed.extend(batch.absorbed);
        }
        let key = Key::Page(database, object.ulid);
        let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await?;
        Ok(Some(spill))
    }
}
