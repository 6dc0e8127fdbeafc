//! Moving old sections from a manifest to pages.
//!
//! ```text
//!   flush                                        store
//!     |-- GET the footers of the oldest sections -> |   neighbours in a bundle with one request
//!     |-- PUT their pages, in one object ---------> |   crash after: an orphan
//!     |-- commit: sections out, pages in ---------> |   together with the flush
//! ```
//!
//! The commit leaves the sections where they are if a rival has changed one of them. Spilling only saves
//! work: when it fails, the flush goes on without it.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::{Answer, Get, GetOptions, Key, PutMode, Versioned};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    DrawnObject, Manifest, ManifestError, ManifestStore, PageRef, Section, SectionWithFooter, page,
    store::PARALLEL_REQUESTS,
};

/// A page of fewer sections saves less in the manifest than its reference and its request cost.
const MIN_PAGE_SECTIONS: usize = 8;

/// The most sections in a page, so that a query of a short time doesn't read the list of a long one.
const MAX_PAGE_SECTIONS: usize = 256;

/// The most bytes of footers in a page.
const MAX_PAGE_FOOTERS: u64 = 4 << 20;

/// The most bytes of footers that one commit moves; more is moved by the next one.
const MAX_SPILL_FOOTERS: u64 = 32 << 20;

/// Footers of a bundle that are closer than this are read with one request.
const MAX_GAP: u64 = 256 << 10;

/// The most bytes of one such request.
const MAX_SPAN: u64 = 8 << 20;

/// Sections that are in pages now, for a commit to move.
#[derive(Debug)]
pub(crate) struct Spill {
    moved: Vec<Arc<Section>>,
    pages: Vec<PageRef>,
    object: DrawnObject,
}

impl Spill {
    /// Moves the sections in `next`, the successor of `base`, if all of them are there.
    pub(crate) fn apply(&self, base: &Versioned<Manifest>, next: &mut Manifest) {
        let there = |section: &Arc<Section>| next.sections.contains(section);
        if !self.object.is_young(base) || !self.moved.iter().all(there) {
            return;
        }
        next.sections
            .retain(|section| !self.moved.contains(section));
        next.pages.extend(self.pages.iter().cloned());
    }
}

/// The sections to move, a list for each page: the oldest, until half of `inline` are left.
fn choose(sections: &[Arc<Section>], arriving: usize, inline: usize) -> Vec<Vec<Arc<Section>>> {
    if sections.len() + arriving <= inline {
        return Vec::new();
    }
    let mut footers = 0;
    let surplus = sections.len().saturating_sub(inline / 2);
    let oldest = sections.iter().take(surplus).take_while(|section| {
        footers += u64::from(section.footer_length);
        footers <= MAX_SPILL_FOOTERS
    });
    let mut by_table: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for section in oldest {
        by_table
            .entry(section.table)
            .or_default()
            .push(Arc::clone(section));
    }
    let mut pages = Vec::new();
    for mut sections in by_table.into_values() {
        if sections.len() >= MIN_PAGE_SECTIONS {
            sections.sort_by_key(|section| (section.first_day, section.order()));
            divide(sections, &mut pages);
        }
    }
    pages
}

/// Divides the sections of a table, in order of time, into pages.
fn divide(sections: Vec<Arc<Section>>, pages: &mut Vec<Vec<Arc<Section>>>) {
    let mut page: Vec<Arc<Section>> = Vec::new();
    let mut footers = 0;
    for section in sections {
        let footer = u64::from(section.footer_length);
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
}

/// A part of a bundle that holds footers.
struct Span {
    object: Ulid,
    range: Range<u64>,
    footers: Vec<Range<u64>>,
}

/// The parts of bundles to read for the footers of these sections.
fn spans<'a>(sections: impl Iterator<Item = &'a Arc<Section>>) -> Vec<Span> {
    let mut footers: Vec<_> = sections
        .map(|section| (section.object, section.footer_range()))
        .collect();
    footers.sort_by_key(|(object, footer)| (*object, footer.start));
    let mut spans: Vec<Span> = Vec::new();
    for (object, footer) in footers {
        match spans.last_mut() {
            Some(span)
                if span.object == object
                    && footer.start.saturating_sub(span.range.end) <= MAX_GAP
                    && footer.end - span.range.start <= MAX_SPAN =>
            {
                span.range.end = span.range.end.max(footer.end);
                span.footers.push(footer);
            }
            _ => spans.push(Span {
                object,
                range: footer.clone(),
                footers: vec![footer],
            }),
        }
    }
    spans
}

type Footers = BTreeMap<(Ulid, u64), Bytes>;

impl ManifestStore {
    /// Writes the pages for a commit that adds `arriving` sections to `base`, if it has too many.
    pub(crate) async fn prepare_spill(
        &self,
        database: DatabaseId,
        base: &Versioned<Manifest>,
        arriving: usize,
    ) -> Option<Spill> {
        let pages = choose(
            &base.value.sections,
            arriving,
            self.settings.inline_sections,
        );
        if pages.is_empty() {
            return None;
        }
        match self.write_pages(database, pages).await {
            Ok(spill) => spill,
            Err(error) => {
                tracing::warn!(%database, %error, "sections stay in the manifest: no pages for them");
                None
            }
        }
    }

    /// Reads the footers of a span; none if the bundle is gone or too short.
    async fn fetch_footers(
        &self,
        database: DatabaseId,
        span: Span,
    ) -> Result<Vec<((Ulid, u64), Bytes)>, ManifestError> {
        let options = GetOptions {
            range: Some(span.range.clone()),
            if_none_match: None,
        };
        let key = Key::Bundle(database, span.object);
        let get = self.bucket.get(&key, options);
        let Answer { value, .. } = self.in_time(&key, get).await?;
        let Get::Found(found) = value else {
            return Ok(Vec::new());
        };
        let start = span.range.start;
        let footers = span.footers.into_iter().filter_map(|footer| {
            let from = usize::try_from(footer.start - start).ok()?;
            let to = usize::try_from(footer.end - start).ok()?;
            // A copy, so that what lies between the footers is not kept with them.
            let bytes = Bytes::copy_from_slice(found.bytes.get(from..to)?);
            Some(((span.object, footer.start), bytes))
        });
        Ok(footers.collect())
    }

    async fn write_pages(
        &self,
        database: DatabaseId,
        chosen: Vec<Vec<Arc<Section>>>,
    ) -> Result<Option<Spill>, ManifestError> {
        let Some(object) = DrawnObject::draw(&self.bucket) else {
            return Ok(None);
        };
        let footers: Footers = stream::iter(spans(chosen.iter().flatten()))
            .map(|span| self.fetch_footers(database, span))
            .buffered(PARALLEL_REQUESTS)
            .try_concat()
            .await?
            .into_iter()
            .collect();
        let mut body = BytesMut::new();
        let mut pages = Vec::new();
        for sections in &chosen {
            let with_footers: Vec<_> = sections
                .iter()
                .map(|section| SectionWithFooter {
                    section: Arc::clone(section),
                    footer: footers
                        .get(&(section.object, section.footer_range().start))
                        .cloned(),
                })
                .collect();
            let put_id = self.bucket.world().entropy.next_u128();
            let page = page::encode(&with_footers, put_id).map_err(|error| {
                let reason = error.to_string();
                ManifestError::Impossible { reason }
            })?;
            let start = body.len() as u64;
            body.extend_from_slice(&page);
            pages.extend(PageRef::of(
                &with_footers,
                object.ulid,
                start..body.len() as u64,
            ));
        }
        let key = Key::Page(database, object.ulid);
        let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await?;
        let moved = chosen.into_iter().flatten().collect();
        Ok(Some(Spill {
            moved,
            pages,
            object,
        }))
    }
}
