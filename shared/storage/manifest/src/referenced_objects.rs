//! The objects that a manifest references, for the garbage collector.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use futures::{StreamExt, TryStreamExt, stream};
use neap_bucket::Stamp;
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    CondemnedEntry, DamagedPart, Manifest, ManifestError, ManifestStore, OBJECT_NAME_AGE,
    ObjectName, Section, SectionWithFooter,
    condemned::{CondemnedKey, DroppedItem},
    deletes::DeleteSet,
    page::PageLocation,
    store::{DecodedPage, PARALLEL_REQUESTS},
};

/// Totals of the known sections of a bundle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BundleSummary {
    /// The length of its live sections, in bytes.
    pub(crate) live_bytes: u64,
    /// Row deletes up to this stamp have been applied to all sections.
    pub(crate) clean_upto: Stamp,
}

/// The objects that a manifest references, by the state of their references.
#[derive(Clone, Debug, Default)]
pub struct ReferencedObjects {
    pub(crate) live: BTreeSet<ObjectName>,
    /// Objects of condemned entries that can still be read.
    pub(crate) readable: BTreeSet<ObjectName>,
    doomed: BTreeSet<ObjectName>,
    pub(crate) doomed_entries: BTreeSet<CondemnedKey>,
    /// The objects that each condemned page references.
    pages_of_dropped: BTreeMap<PageLocation, BTreeSet<ObjectName>>,
    /// The bundles of this database that contain live or condemned sections.
    pub(crate) bundles: BTreeMap<Ulid, BundleSummary>,
    /// The live pages that have been read.
    pub(crate) examined: BTreeSet<PageLocation>,
    /// Row deletes that apply to no live section.
    pub(crate) unmet: DeleteSet,
    /// The other databases whose objects are referenced.
    origins: BTreeSet<DatabaseId>,
    /// The newest page that can't be read. It may reference bundles that are older than itself.
    unreadable: Option<Ulid>,
}

impl ReferencedObjects {
    /// Returns whether the manifest references an object, including references by condemned entries.
    pub fn names(&self, object: ObjectName) -> bool {
        [&self.live, &self.readable, &self.doomed]
            .iter()
            .any(|named| named.contains(&object))
            || self.may_be_in_unreadable(&object)
    }

    /// Returns whether a damaged page may reference an object.
    fn may_be_in_unreadable(&self, object: &ObjectName) -> bool {
        match (object, &self.unreadable) {
            (ObjectName::Parquet(object) | ObjectName::Bundle(object), Some(page)) => {
                // An object may be referenced until this long after its name was drawn.
                let slack = u64::try_from(OBJECT_NAME_AGE.as_millis()).unwrap_or(u64::MAX);
                object.timestamp_ms() <= page.timestamp_ms().saturating_add(slack)
            }
            _ => false,
        }
    }

    /// Returns whether all pages could be read.
    pub fn is_complete(&self) -> bool {
        self.unreadable.is_none()
    }

    /// Records a page that can't be read.
    fn record_unreadable_page(&mut self, page: Ulid) {
        self.unreadable = self.unreadable.max(Some(page));
    }

    /// Returns whether an object contains live sections or pages.
    pub fn is_live(&self, object: ObjectName) -> bool {
        self.live.contains(&object)
    }

    /// Returns whether the current version or a readable earlier version may need an object.
    pub(crate) fn is_needed(&self, object: &ObjectName) -> bool {
        self.live.contains(object)
            || self.readable.contains(object)
            || self.may_be_in_unreadable(object)
    }

    /// Returns the objects that may be deleted: only doomed entries reference them.
    pub fn deletable(&self) -> BTreeSet<ObjectName> {
        let doomed = self.doomed.iter();
        doomed.filter(|name| !self.is_needed(name)).copied().collect()
    }

    /// Returns the other databases whose objects contain sections of this one, including condemned sections.
    pub fn origins(&self) -> &BTreeSet<DatabaseId> {
        &self.origins
    }

    /// Adds a section to the totals of its bundle, if it is in a bundle of this database.
    fn count_in_bundle(&mut self, section: &Section, live_bytes: u64) {
        if !section.in_bundle || section.origin.is_some() {
            return;
        }
        let clean_upto = section.clean_upto();
        let bundle = self
            .bundles
            .entry(section.object)
            .or_insert(BundleSummary { live_bytes: 0, clean_upto });
        bundle.live_bytes = bundle.live_bytes.saturating_add(live_bytes);
        bundle.clean_upto = bundle.clean_upto.min(clean_upto);
    }

    fn count_live(&mut self, section: &Section) {
        self.count_in_bundle(section, section.length);
        match section.origin {
            None => {
                self.live.insert(section.object_name());
            }
            Some(origin) => {
                self.origins.insert(origin);
            }
        }
    }

    fn count_condemned(&mut self, entry: &CondemnedEntry, of_page: &[SectionWithFooter]) {
        match &entry.what {
            DroppedItem::Page(page) => {
                let sections = || of_page.iter().map(|found| found.section.as_ref());
                let names = entry.names(sections());
                self.pages_of_dropped.insert(page.place(), names);
                self.origins.extend(sections().filter_map(|section| section.origin));
                sections().for_each(|section| self.count_in_bundle(section, 0));
            }
            DroppedItem::Section(section) => {
                self.origins.extend(section.origin);
                self.count_in_bundle(section, 0);
            }
            DroppedItem::Object(_) => {}
        }
        let names = self.names_of(entry);
        if entry.doomed {
            self.doomed.extend(names);
            self.doomed_entries.insert(entry.key());
        } else {
            self.readable.extend(names);
        }
    }

    pub(crate) fn names_of(&self, condemned: &CondemnedEntry) -> BTreeSet<ObjectName> {
        match &condemned.what {
            DroppedItem::Page(page) => {
                let known = self.pages_of_dropped.get(&page.place()).cloned();
                known.unwrap_or_else(|| BTreeSet::from([ObjectName::Page(page.object)]))
            }
            _ => condemned.names([]),
        }
    }
}

impl ManifestStore {
    /// Finds the objects that a manifest references. Reads the heads of all its pages. Objects that damaged pages may
    /// reference count as referenced.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn referenced_objects(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<ReferencedObjects, ManifestError> {
        let mut referenced = ReferencedObjects::default();
        let mut pending: Vec<_> = manifest.pending_deletes().collect();
        let mut look = |referenced: &mut ReferencedObjects, section: &Section| {
            referenced.count_live(section);
            pending.retain(|recorded| !recorded.applies_to(section));
        };
        for section in &manifest.sections {
            look(&mut referenced, section);
        }
        let mut heads = self.stream_heads(database, manifest.pages.clone());
        for page in &manifest.pages {
            referenced.live.insert(ObjectName::Page(page.object));
            match heads.try_next().await {
                Ok(Some(found)) => {
                    for found in found.iter() {
                        look(&mut referenced, &found.section);
                    }
                    referenced.examined.insert(page.place());
                }
                Err(error) if error.is_damage() => {
                    tracing::warn!(%database, %error, "a page is damaged; older bundles are kept");
                    referenced.record_unreadable_page(page.object);
                }
                Err(error) => return Err(error),
                Ok(None) => break,
            }
        }
        drop(heads);
        for record in &manifest.damage {
            let part = record.part;
            referenced.live.extend(part.object());
            // Another database keeps its damaged objects as long as this manifest records them.
            referenced.origins.extend(record.origin);
            if let DamagedPart::Page(object, _) = part {
                referenced.record_unreadable_page(object);
            }
        }
        referenced.unmet = pending.into_iter().collect();
        let condemned = manifest.condemned.clone();
        let mut condemned = pin!(
            stream::iter(condemned)
                .map(|entry| async move {
                    let sections = self.sections_of(database, &entry).await;
                    sections.map(|sections| (entry, sections))
                })
                .buffered(PARALLEL_REQUESTS)
        );
        while let Some((entry, sections)) = condemned.try_next().await? {
            if let (None, DroppedItem::Page(page)) = (&sections, &entry.what) {
                referenced.record_unreadable_page(page.object);
            }
            referenced.count_condemned(&entry, &sections.unwrap_or_default());
        }
        Ok(referenced)
    }

    /// Returns the sections of a condemned page, or `None` if it is damaged. The list is empty for other entries.
    async fn sections_of(
        &self,
        database: DatabaseId,
        entry: &CondemnedEntry,
    ) -> Result<Option<DecodedPage>, ManifestError> {
        let DroppedItem::Page(page) = &entry.what else {
            return Ok(Some(DecodedPage::default()));
        };
        match self.head(database, page).await {
            // A page is deleted after the objects that it references.
            Err(ManifestError::PageGone { .. }) if entry.doomed => Ok(Some(DecodedPage::default())),
            Err(error) if error.is_damage() => Ok(None),
            found => found.map(Some),
        }
    }
}
