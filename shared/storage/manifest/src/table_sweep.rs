//! Reads the sections of all tables, table by table, with each page read once.
//!
//! ```text
//!   tables        1    2    3    4    5    6      direction of the sweep -->
//!   pages        |----a----|   |---b----|
//!                     |---c---------|             read when a table needs them, dropped after their last table
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use futures::{StreamExt, stream};
use neap_schema::{DatabaseId, TableId};

use crate::{
    DroppedItem, Manifest, ManifestError, ManifestStore, PageRef, Section,
    store::{DecodedPage, PARALLEL_REQUESTS},
};

/// Reads the sections of tables in ascending order of table ids, without footers. It keeps the pages that span the
/// current table, and up to 16 following ones.
#[derive(Debug)]
pub struct TableSweep {
    store: ManifestStore,
    database: DatabaseId,
    inline: BTreeMap<TableId, Vec<Arc<Section>>>,
    /// The pages that span the current table.
    reached: Vec<SweptPage>,
    /// The pages after the current table, in the order of their first tables.
    following: VecDeque<SweptPage>,
}

#[derive(Debug)]
struct SweptPage {
    page: PageRef,
    /// The result of reading the page; `None` if it has not been read.
    head: Option<Result<DecodedPage, ManifestError>>,
}

impl SweptPage {
    /// Returns whether the days of the page overlap those of one of the sections.
    fn touches(&self, sections: &[Arc<Section>]) -> bool {
        let page = &self.page;
        sections
            .iter()
            .any(|section| section.first_day <= page.last_day && page.first_day <= section.last_day)
    }
}

impl TableSweep {
    /// Creates a sweep over the tables of a manifest.
    pub fn new(store: &ManifestStore, database: DatabaseId, manifest: &Manifest) -> Self {
        let mut inline: BTreeMap<TableId, Vec<Arc<Section>>> = BTreeMap::new();
        for section in &manifest.sections {
            let of_table = inline.entry(section.table).or_default();
            of_table.push(Arc::clone(section));
        }
        let mut pages: Vec<_> = manifest.pages.clone();
        pages.sort_by_key(|page| (page.table, page.place()));
        let swept = |page| SweptPage { page, head: None };
        Self {
            store: store.clone(),
            database,
            inline,
            reached: Vec::new(),
            following: pages.into_iter().map(swept).collect(),
        }
    }

    /// Returns all sections of a table. The table id must be above those of earlier calls.
    ///
    /// # Errors
    /// A page is damaged or gone, or the store failed.
    pub async fn all_of(&mut self, table: TableId) -> Result<Vec<Arc<Section>>, ManifestError> {
        let mut sections = self.move_to(table);
        if self.reached.iter().any(|swept| swept.head.is_none()) {
            // All pages will be needed, so following pages are read in the same batch.
            let all = self.reached.iter().chain(&self.following);
            let unread = all.filter(|swept| swept.head.is_none());
            let wanted = unread
                .take(PARALLEL_REQUESTS.max(self.reached.len()))
                .map(|swept| swept.page.clone())
                .collect();
            self.read(wanted).await;
        }
        for swept in &self.reached {
            extend(&mut sections, swept, table)?;
        }
        Ok(sections)
    }

    /// Returns the sections of a table on all days that its inline sections cover, extended transitively by overlapping
    /// sections; empty if the table has no inline section. The table id must be above those of earlier calls.
    ///
    /// # Errors
    /// A page is damaged or gone, or the store failed.
    pub async fn recent_of(&mut self, table: TableId) -> Result<Vec<Arc<Section>>, ManifestError> {
        let mut sections = self.move_to(table);
        // Sections of other days that have been read.
        let mut others = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let is_new = |swept: &&SweptPage| {
                !seen.contains(&swept.page.place()) && swept.touches(&sections)
            };
            let touched: Vec<_> = self.reached.iter().filter(is_new).collect();
            if touched.is_empty() {
                return Ok(sections);
            }
            let places: BTreeSet<_> = touched.iter().map(|swept| swept.page.place()).collect();
            let unread = touched
                .iter()
                .filter(|swept| swept.head.is_none())
                .map(|swept| swept.page.clone())
                .collect();
            self.read(unread).await;
            let is_touched = |swept: &&SweptPage| places.contains(&swept.page.place());
            for swept in self.reached.iter().filter(is_touched) {
                extend(&mut others, swept, table)?;
            }
            seen.extend(places);
            add_touched(&mut sections, &mut others);
        }
    }

    /// Advances to a table, drops pages below it, and returns the table's inline sections.
    fn move_to(&mut self, table: TableId) -> Vec<Arc<Section>> {
        let is_reached = |swept: &mut SweptPage| swept.page.table <= table;
        while let Some(swept) = self.following.pop_front_if(is_reached) {
            self.reached.push(swept);
        }
        self.reached.retain(|swept| table <= *swept.page.tables().end());
        self.inline.remove(&table).unwrap_or_default()
    }

    /// Reads pages that have not been read yet.
    async fn read(&mut self, unread: Vec<PageRef>) {
        let (store, database) = (self.store.clone(), self.database);
        let mut heads: BTreeMap<_, _> = stream::iter(unread)
            .map(|page| {
                let store = store.clone();
                async move { (page.place(), store.head(database, &page).await) }
            })
            .buffered(PARALLEL_REQUESTS)
            .collect()
            .await;
        for swept in self.reached.iter_mut().chain(&mut self.following) {
            if heads.is_empty() {
                return;
            }
            if let Some(head) = heads.remove(&swept.page.place()) {
                swept.head = Some(head);
            }
        }
    }
}

/// Moves sections from `others` to `sections` whose days overlap those of `sections`, until no more do.
fn add_touched(sections: &mut Vec<Arc<Section>>, others: &mut Vec<Arc<Section>>) {
    loop {
        let before = sections.len();
        let touches = |other: &Arc<Section>, sections: &[Arc<Section>]| {
            sections.iter().any(|section| {
                section.first_day <= other.last_day && other.first_day <= section.last_day
            })
        };
        let (touched, rest): (Vec<_>, Vec<_>) =
            std::mem::take(others).into_iter().partition(|other| touches(other, sections));
        *others = rest;
        sections.extend(touched);
        if sections.len() == before {
            return;
        }
    }
}

/// Adds the sections of a table that a page contains.
fn extend(
    sections: &mut Vec<Arc<Section>>,
    swept: &SweptPage,
    table: TableId,
) -> Result<(), ManifestError> {
    match &swept.head {
        None => Ok(()),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(found)) => {
            let of_table = found.iter().filter(|one| one.section.table == table);
            sections.extend(of_table.map(|one| Arc::clone(&one.section)));
            Ok(())
        }
    }
}

impl ManifestStore {
    /// Returns those of `tables` that neither the manifest nor its pages reference, including references that only
    /// earlier versions read. A damaged page counts as referencing every table in its range.
    ///
    /// # Errors
    /// A page is gone, or the store failed.
    pub async fn unnamed_tables(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        tables: impl IntoIterator<Item = TableId>,
    ) -> Result<BTreeSet<TableId>, ManifestError> {
        let tables = tables.into_iter();
        let mut unnamed: BTreeSet<_> = tables.filter(|it| !manifest.names_table(*it)).collect();
        let dropped = manifest.condemned.iter().filter_map(|entry| match &entry.what {
            DroppedItem::Page(page) => Some((page, entry.doomed)),
            DroppedItem::Section(_) | DroppedItem::Object(_) => None,
        });
        let live = manifest.pages.iter().map(|page| (page, false));
        // Collected, because the future must be `Send` for any lifetime.
        let pages: Vec<_> = live.chain(dropped).collect();
        for (page, is_doomed) in pages {
            if unnamed.range(page.tables()).next().is_none() {
                continue;
            }
            if page.last_table.is_none() {
                unnamed.remove(&page.table);
                continue;
            }
            match self.head(database, page).await {
                Ok(found) => found.iter().for_each(|one| {
                    unnamed.remove(&one.section.table);
                }),
                // A collector has deleted the page, and its entry is removed by the next commit.
                Err(ManifestError::PageGone { .. }) if is_doomed => {}
                Err(error) if error.is_damage() => {
                    unnamed.retain(|table| !page.may_hold(*table));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unnamed)
    }
}
