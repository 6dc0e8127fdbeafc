//! What a collector needs to know of a manifest: who names which object.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use futures::{StreamExt, TryStreamExt, stream};
use neap_schema::DatabaseId;
use ulid::Ulid;

use crate::{
    Condemned, DamagedPart, Manifest, ManifestError, ManifestStore, OBJECT_NAME_AGE, ObjectName,
    Section, SectionWithFooter,
    condemned::{Dropped, EntryKey},
    deletes::DeleteSet,
    page::PagePlace,
    store::{DecodedPage, PARALLEL_REQUESTS},
};

/// Which objects a manifest names, and by what.
#[derive(Clone, Debug, Default)]
pub struct Census {
    pub(crate) live: BTreeSet<ObjectName>,
    /// What condemned entries name that can still be read.
    pub(crate) readable: BTreeSet<ObjectName>,
    doomed: BTreeSet<ObjectName>,
    /// The entries that were doomed.
    pub(crate) doomed_entries: BTreeSet<EntryKey>,
    /// What is in the condemned pages.
    pages_of_dropped: BTreeMap<PagePlace, BTreeSet<ObjectName>>,
    /// The live pages that were read.
    pub(crate) examined: BTreeSet<PagePlace>,
    /// Deletes that apply to no live section.
    pub(crate) unmet: DeleteSet,
    /// Objects of other databases, by the database.
    origins: BTreeSet<DatabaseId>,
    /// The newest page of which it is not known which bundles it names. It can name those that are older.
    unreadable: Option<Ulid>,
}

impl Census {
    /// Whether the manifest names an object, be it as a condemned one.
    pub fn names(&self, object: ObjectName) -> bool {
        [&self.live, &self.readable, &self.doomed]
            .iter()
            .any(|named| named.contains(&object))
            || self.may_be_in_unreadable(&object)
    }

    /// Whether a damaged page may name an object.
    fn may_be_in_unreadable(&self, object: &ObjectName) -> bool {
        match (object, &self.unreadable) {
            (ObjectName::Parquet(object) | ObjectName::Bundle(object), Some(page)) => {
                // An object may be named for so long after its name was drawn.
                let slack = u64::try_from(OBJECT_NAME_AGE.as_millis()).unwrap_or(u64::MAX);
                object.timestamp_ms() <= page.timestamp_ms().saturating_add(slack)
            }
            _ => false,
        }
    }

    /// Whether all pages could be read.
    pub fn is_complete(&self) -> bool {
        self.unreadable.is_none()
    }

    /// Notes a page that is damaged.
    fn note_unreadable(&mut self, page: Ulid) {
        self.unreadable = self.unreadable.max(Some(page));
    }

    /// Whether live sections or pages lie in an object.
    pub fn is_live(&self, object: ObjectName) -> bool {
        self.live.contains(&object)
    }

    /// Whether something lies in an object that can be read, now or as of an earlier version.
    pub(crate) fn is_needed(&self, object: &ObjectName) -> bool {
        self.live.contains(object)
            || self.readable.contains(object)
            || self.may_be_in_unreadable(object)
    }

    /// The objects that may be deleted: only doomed entries name them.
    pub fn deletable(&self) -> BTreeSet<ObjectName> {
        let doomed = self.doomed.iter();
        doomed
            .filter(|name| !self.is_needed(name))
            .copied()
            .collect()
    }

    /// The databases in whose objects sections lie, condemned ones too.
    pub fn origins(&self) -> &BTreeSet<DatabaseId> {
        &self.origins
    }

    fn count_live(&mut self, section: &Section) {
        match section.origin {
            None => {
                self.live.insert(section.object_name());
            }
            Some(origin) => {
                self.origins.insert(origin);
            }
        }
    }

    fn count_condemned(&mut self, entry: &Condemned, of_page: &[SectionWithFooter]) {
        match &entry.what {
            Dropped::Page(page) => {
                let sections = || of_page.iter().map(|found| found.section.as_ref());
                let names = entry.names(sections());
                self.pages_of_dropped.insert(page.place(), names);
                self.origins
                    .extend(sections().filter_map(|section| section.origin));
            }
            Dropped::Section(section) => self.origins.extend(section.origin),
            Dropped::Object(_) => {}
        }
        let names = self.names_of(entry);
        if entry.doomed {
            self.doomed.extend(names);
            self.doomed_entries.insert(entry.key());
        } else {
            self.readable.extend(names);
        }
    }

    pub(crate) fn names_of(&self, condemned: &Condemned) -> BTreeSet<ObjectName> {
        match &condemned.what {
            Dropped::Page(page) => {
                let known = self.pages_of_dropped.get(&page.place()).cloned();
                known.unwrap_or_else(|| BTreeSet::from([ObjectName::Page(page.object)]))
            }
            _ => condemned.names([]),
        }
    }
}

impl ManifestStore {
    /// Finds out which objects a manifest names: reads the heads of all its pages. What damaged pages may name counts
    /// as named.
    ///
    /// # Errors
    /// `PageGone`: the manifest is too old; and what the store answers.
    pub async fn census(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<Census, ManifestError> {
        let mut census = Census::default();
        let mut pending: Vec<_> = manifest.pending_deletes().collect();
        let mut look = |census: &mut Census, section: &Section| {
            census.count_live(section);
            pending.retain(|recorded| !recorded.applies_to(section));
        };
        for section in &manifest.sections {
            look(&mut census, section);
        }
        let mut heads = self.heads_in_turn(database, manifest.pages.clone());
        for page in &manifest.pages {
            census.live.insert(ObjectName::Page(page.object));
            match heads.try_next().await {
                Ok(Some(found)) => {
                    for found in found.iter() {
                        look(&mut census, &found.section);
                    }
                    census.examined.insert(page.place());
                }
                Err(error) if error.is_damage() => {
                    tracing::warn!(%database, %error, "bundles that are older are kept");
                    census.note_unreadable(page.object);
                }
                Err(error) => return Err(error),
                Ok(None) => break,
            }
        }
        drop(heads);
        for record in &manifest.damage {
            let part = record.part;
            census.live.extend(part.object());
            // Another database keeps its damaged objects for as long as this one remembers them.
            census.origins.extend(record.origin);
            if let DamagedPart::Page(object, _) = part {
                census.note_unreadable(object);
            }
        }
        census.unmet = pending.into_iter().collect();
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
            if let (None, Dropped::Page(page)) = (&sections, &entry.what) {
                census.note_unreadable(page.object);
            }
            census.count_condemned(&entry, &sections.unwrap_or_default());
        }
        Ok(census)
    }

    /// The sections of a condemned page, `None` if it is damaged; none of anything else.
    async fn sections_of(
        &self,
        database: DatabaseId,
        entry: &Condemned,
    ) -> Result<Option<DecodedPage>, ManifestError> {
        let Dropped::Page(page) = &entry.what else {
            return Ok(Some(DecodedPage::default()));
        };
        match self.head(database, page).await {
            // Pages are deleted after what is in them.
            Err(ManifestError::PageGone { .. }) if entry.doomed => Ok(Some(DecodedPage::default())),
            Err(error) if error.is_damage() => Ok(None),
            found => found.map(Some),
        }
    }
}
