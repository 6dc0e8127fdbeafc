//! Moves dropped sections from a manifest to pages when there are many, with the commit of a flush, as [`crate::spill`]
//! does for live sections.

use std::{collections::BTreeSet, sync::Arc};

use bytes::BytesMut;
use neap_bucket::{Key, PutMode, VersionedValue};
use neap_schema::{DatabaseId, TableId};

use crate::{
    CondemnedEntry, Manifest, ManifestError, ManifestStore, PageRef, PendingObject, Section,
    SectionWithFooter,
    condemned::{CondemnedKey, DroppedItem},
    packing::{MIN_PAGE_SECTIONS, PageEntry, PageLimits, count_tables, divide},
};

/// Maximum number of dropped sections in a page.
const MAX_PAGE_SECTIONS: usize = 1_024;

/// Returns the limits of pages of dropped sections.
pub(crate) fn limits<T: PageEntry>(entries: &[T], inline: usize) -> PageLimits {
    PageLimits {
        sections: MAX_PAGE_SECTIONS,
        ..PageLimits::new(count_tables(entries), inline)
    }
}

/// The dropped sections that have been written to pages, for a commit to move.
#[derive(Debug)]
pub(crate) struct DroppedSections {
    moved: BTreeSet<CondemnedKey>,
    pages: Vec<CondemnedEntry>,
    object: PendingObject,
}

impl DroppedSections {
    /// Moves the entries in `next`, the successor of `base`, if all of them are still in it.
    pub(crate) fn apply(&self, base: &VersionedValue<Manifest>, next: &mut Manifest) {
        let moves = |entry: &CondemnedEntry| !entry.doomed && self.moved.contains(&entry.key());
        let there = next.condemned.iter().filter(|entry| moves(entry));
        if !self.object.may_be_named(base) || there.count() != self.moved.len() {
            return;
        }
        next.condemned.retain(|entry| !moves(entry));
        next.condemned.extend(self.pages.iter().cloned());
    }
}

type DroppedPageEntries = Vec<(CondemnedEntry, Arc<Section>)>;

impl PageEntry for (CondemnedEntry, Arc<Section>) {
    fn table(&self) -> TableId {
        self.1.table
    }

    fn footer_bytes(&self) -> u64 {
        0
    }
}

/// Selects the entries to move, one list per page: the oldest ones, until half of `inline` are left. Entries that a
/// restored database needs have separate pages, so that nothing else is kept with them.
fn choose(manifest: &Manifest, inline: usize) -> Vec<DroppedPageEntries> {
    let sections = manifest.condemned.iter().filter_map(|entry| {
        let DroppedItem::Section(section) = &entry.what else {
            return None;
        };
        let is_settled = entry.committed.is_some() && !entry.doomed;
        is_settled.then(|| (entry.clone(), Arc::clone(section)))
    });
    let mut sections: DroppedPageEntries = sections.collect();
    if sections.len() <= inline {
        return Vec::new();
    }
    sections.truncate(sections.len() - inline / 2);
    sections.sort_by_key(|(_, section)| section.table);
    let (pinned, others): (DroppedPageEntries, DroppedPageEntries) =
        sections.into_iter().partition(|(entry, _)| manifest.is_pinned(entry));
    let pages = [pinned, others].into_iter().flat_map(|entries| {
        let limits = limits(&entries, inline);
        divide(entries, &limits)
    });
    pages.filter(|page| page.len() >= MIN_PAGE_SECTIONS).collect()
}

impl ManifestStore {
    /// Writes the pages for a commit on `base`, if it has too many condemned entries. If that fails, the entries stay
    /// in the manifest.
    pub(crate) async fn prepare_dropped_sections(
        &self,
        database: DatabaseId,
        base: &VersionedValue<Manifest>,
    ) -> Option<DroppedSections> {
        if base.value.condemned.len() <= self.settings.inline_sections {
            return None;
        }
        let successor = Manifest::successor(base);
        let chosen = choose(&successor, self.settings.inline_sections);
        if chosen.is_empty() {
            return None;
        }
        match self.write_dropped_pages(database, chosen).await {
            Ok(dropped_sections) => dropped_sections,
            Err(error) => {
                tracing::warn!(%database, %error, "writing pages of dropped sections failed; they stay in the manifest");
                None
            }
        }
    }

    async fn write_dropped_pages(
        &self,
        database: DatabaseId,
        pages: Vec<DroppedPageEntries>,
    ) -> Result<Option<DroppedSections>, ManifestError> {
        let Some(object) = PendingObject::draw(&self.bucket) else {
            return Ok(None);
        };
        let mut body = BytesMut::new();
        let mut dropped_sections =
            DroppedSections { moved: BTreeSet::new(), pages: Vec::new(), object };
        for entries in pages {
            let sections: Vec<_> = entries
                .iter()
                .map(|(entry, section)| SectionWithFooter {
                    section: Arc::new(Section {
                        dropped: Some(entry.version),
                        ..Section::clone(section)
                    }),
                    footer: None,
                })
                .collect();
            let page: Option<PageRef> = self.append_page(&mut body, object, &sections)?;
            let newest = entries.iter().map(|(entry, _)| entry).max_by_key(|entry| entry.version);
            if let Some((page, newest)) = page.zip(newest) {
                dropped_sections.pages.push(CondemnedEntry {
                    what: DroppedItem::Page(page),
                    first_version: entries.iter().map(|(entry, _)| entry.version).min(),
                    ..newest.clone()
                });
            }
            dropped_sections.moved.extend(entries.iter().map(|(entry, _)| entry.key()));
        }
        let key = Key::Page(database, object.ulid);
        let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await?;
        Ok(Some(dropped_sections))
    }
}
