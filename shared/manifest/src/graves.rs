//! Moving what was dropped from a manifest to pages, when it is much: with the commit of a flush, as live
//! sections are moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::BytesMut;
use neap_bucket::{Key, PutMode, Versioned};
use neap_schema::DatabaseId;

use crate::{
    Condemned, DrawnObject, Manifest, ManifestError, ManifestStore, PageRef, Section,
    SectionWithFooter,
    condemned::{Dropped, EntryKey},
    spill::MIN_PAGE_SECTIONS,
};

/// The most dropped sections in a page.
const MAX_PAGE_SECTIONS: usize = 1_024;

/// Dropped sections that are in pages now, for a commit to move.
#[derive(Debug)]
pub(crate) struct Burial {
    moved: BTreeSet<EntryKey>,
    pages: Vec<Condemned>,
    object: DrawnObject,
}

impl Burial {
    /// Moves the entries in `next`, the successor of `base`, if all of them are there.
    pub(crate) fn apply(&self, base: &Versioned<Manifest>, next: &mut Manifest) {
        let moves = |entry: &Condemned| !entry.doomed && self.moved.contains(&entry.key());
        let there = next.condemned.iter().filter(|entry| moves(entry));
        if !self.object.may_be_named(base) || there.count() != self.moved.len() {
            return;
        }
        next.condemned.retain(|entry| !moves(entry));
        next.condemned.extend(self.pages.iter().cloned());
    }
}

type Grave = Vec<(Condemned, Arc<Section>)>;

/// The entries to move, a list for each page: the oldest, until half of `inline` are left. What a restored
/// database needs is kept apart, so that nothing else is kept with it.
fn choose(manifest: &Manifest, inline: usize) -> Vec<Grave> {
    let sections = manifest.condemned.iter().filter_map(|entry| {
        let Dropped::Section(section) = &entry.what else {
            return None;
        };
        let is_settled = entry.committed.is_some() && !entry.doomed;
        is_settled.then(|| (entry.clone(), Arc::clone(section)))
    });
    let sections: Grave = sections.collect();
    if sections.len() <= inline {
        return Vec::new();
    }
    let surplus = sections.len() - inline / 2;
    let mut groups: BTreeMap<_, Grave> = BTreeMap::new();
    for (entry, section) in sections.into_iter().take(surplus) {
        let group = (section.table, manifest.is_pinned(&entry));
        groups.entry(group).or_default().push((entry, section));
    }
    let many = groups
        .into_values()
        .filter(|group| group.len() >= MIN_PAGE_SECTIONS);
    many.flat_map(|group| {
        let pages = group.chunks(MAX_PAGE_SECTIONS);
        pages.map(<[_]>::to_vec).collect::<Vec<_>>()
    })
    .collect()
}

impl ManifestStore {
    /// Writes the pages for a commit on `base`, if it remembers too much. A failure only means that it goes on
    /// remembering.
    pub(crate) async fn prepare_burial(
        &self,
        database: DatabaseId,
        base: &Versioned<Manifest>,
    ) -> Option<Burial> {
        if base.value.condemned.len() <= self.settings.inline_sections {
            return None;
        }
        let successor = Manifest::successor(base);
        let chosen = choose(&successor, self.settings.inline_sections);
        if chosen.is_empty() {
            return None;
        }
        match self.write_graves(database, chosen).await {
            Ok(burial) => burial,
            Err(error) => {
                tracing::warn!(%database, %error, "dropped sections stay in the manifest");
                None
            }
        }
    }

    async fn write_graves(
        &self,
        database: DatabaseId,
        graves: Vec<Grave>,
    ) -> Result<Option<Burial>, ManifestError> {
        let Some(object) = DrawnObject::draw(&self.bucket) else {
            return Ok(None);
        };
        let mut body = BytesMut::new();
        let mut burial = Burial {
            moved: BTreeSet::new(),
            pages: Vec::new(),
            object,
        };
        for grave in graves {
            let sections: Vec<_> = grave
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
            let newest = grave.iter().map(|(entry, _)| entry);
            let newest = newest.max_by_key(|entry| entry.version);
            if let Some((page, newest)) = page.zip(newest) {
                burial.pages.push(Condemned {
                    what: Dropped::Page(page),
                    ..newest.clone()
                });
            }
            burial
                .moved
                .extend(grave.iter().map(|(entry, _)| entry.key()));
        }
        let key = Key::Page(database, object.ulid);
        let put = self.bucket.put(&key, body.freeze(), PutMode::Overwrite);
        put.await?;
        Ok(Some(burial))
    }
}
