//! Reads manifests, and the sections that their pages list.

use std::{
    collections::hash_map::DefaultHasher, hash::BuildHasherDefault, ops::Range, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use moka::{future::Cache, policy::EvictionPolicy};
use neap_bucket::{
    Bucket, Get, GetOptions, Key, Operation, ProtocolRules, Register, StoreResponse, VersionedValue,
};
use neap_schema::{DatabaseId, TableId};

use crate::{
    Manifest, ManifestError, PageRef, Section, SectionWithFooter, TimeRange,
    page::{self, PageLocation},
};

/// Maximum number of pages or footers fetched concurrently.
pub(crate) const PARALLEL_REQUESTS: usize = 16;

/// Time limit of a read (60 s), longer than the store's own timeout.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// The settings of a [`ManifestStore`].
#[derive(Clone, Copy, Debug)]
pub struct ManifestSettings {
    /// Maximum number of inline sections in a manifest; a flush moves older ones to pages.
    pub inline_sections: usize,
    /// Size of the page cache, in bytes.
    pub page_cache_bytes: u64,
}

impl ManifestSettings {
    /// Returns settings with this maximum number of inline sections.
    pub fn with_inline_sections(inline_sections: usize) -> Self {
        Self { inline_sections, ..Self::default() }
    }
}

impl Default for ManifestSettings {
    fn default() -> Self {
        Self {
            // 512 sections with three tags each take about 30 kB, or 240 kB as JSON. Writing them in a flush, or
            // parsing them in a new reader, takes about the time of one request.
            inline_sections: 512,
            page_cache_bytes: 32 << 20,
        }
    }
}

pub(crate) type DecodedPage = Arc<Vec<SectionWithFooter>>;

/// Pages by object and offset, with their size in bytes. The hasher has fixed keys, so that eviction depends only on
/// the sequence of requests.
type PageCache = Cache<PageLocation, (DecodedPage, u32), BuildHasherDefault<DefaultHasher>>;

/// Reads and commits the manifests of a bucket, with a cache of their pages. Clones share the cache.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use neap_bucket::{Bucket, MemoryStore, ProtocolMargins, ProtocolRules, World};
/// use neap_manifest::{ManifestSettings, ManifestStore};
/// use neap_schema::DatabaseId;
///
/// let world = World::system();
/// let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
/// let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
/// let settings = ManifestSettings::default();
/// let manifests = ManifestStore::new(Bucket::new(store, world), &rules, settings);
/// let manifest = manifests.read(DatabaseId::new(1), None).await?;
/// assert_eq!((manifest.version, manifest.value.section_count()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManifestStore {
    pub(crate) bucket: Bucket,
    pub(crate) settings: ManifestSettings,
    recent_put_ids: usize,
    pages: PageCache,
}

impl ManifestStore {
    /// Creates a store for the manifests in `bucket`.
    pub fn new(bucket: Bucket, rules: &ProtocolRules, settings: ManifestSettings) -> Self {
        let pages = Cache::builder()
            .max_capacity(settings.page_cache_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, (_, size_bytes): &(DecodedPage, u32)| *size_bytes)
            .build_with_hasher(BuildHasherDefault::default());
        Self {
            bucket,
            settings,
            recent_put_ids: rules.recent_put_ids,
            pages,
        }
    }

    /// Returns the register of a database's manifest. Every change starts from [`Manifest::successor`].
    pub fn register(&self, database: DatabaseId) -> Register<Manifest> {
        let key = Key::Manifest(database);
        Register::new(self.bucket.clone(), key, self.recent_put_ids)
    }

    /// Reads a manifest, with a conditional GET if a version is `known`.
    pub async fn read(
        &self,
        database: DatabaseId,
        known: Option<&VersionedValue<Manifest>>,
    ) -> Result<VersionedValue<Manifest>, ManifestError> {
        let register = self.register(database);
        let read = register.read(known);
        Ok(self.bucket.in_time(READ_LIMIT, Operation::Get, register.key(), read).await?)
    }

    /// Returns the sections of a table whose times overlap `times`, ordered by stamp, with the footers stored in pages.
    /// Reads only pages that overlap `times`, with one GET each.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn load_sections(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        table: TableId,
        times: TimeRange,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        let wanted = wanted_pages(manifest, table, times);
        let pages = self.read_pages(database, wanted).await?;
        Ok(sections_of(manifest, table, times, &pages))
    }

    /// Returns the sections of a table as [`load_sections`](Self::load_sections) does, if all pages that it reads are in the
    /// cache. Sends no request and never waits.
    pub fn sections_at_hand(
        &self,
        manifest: &Manifest,
        table: TableId,
        times: TimeRange,
    ) -> Option<Vec<SectionWithFooter>> {
        let pages = wanted_pages(manifest, table, times).map(|page| {
            let cached = self.pages.get(&page.place()).now_or_never();
            cached.flatten().map(|(page, _)| page)
        });
        let pages: Vec<DecodedPage> = pages.collect::<Option<_>>()?;
        Some(sections_of(manifest, table, times, &pages))
    }

    /// Returns all sections of all tables, ordered by stamp, with the footers stored in pages. Reads all pages.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn all_sections(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        let pages = self.read_pages(database, &manifest.pages).await?;
        let inline = manifest.sections.iter().map(SectionWithFooter::inline);
        let paged = pages.iter().flat_map(|page| page.iter().cloned());
        let mut sections: Vec<_> =
            paged.chain(inline).filter(|found| manifest.has(&found.section)).collect();
        sections.sort_by_key(|found| found.section.order());
        Ok(sections)
    }

    /// Reads pages concurrently.
    pub(crate) async fn read_pages(
        &self,
        database: DatabaseId,
        pages: impl IntoIterator<Item = &PageRef>,
    ) -> Result<Vec<DecodedPage>, ManifestError> {
        // Owned, because the future must be `Send` for any lifetime.
        let pages: Vec<PageRef> = pages.into_iter().cloned().collect();
        self.stream_pages(database, pages).try_collect().await
    }

    /// Streams pages in order, with read-ahead.
    pub(crate) fn stream_pages(
        &self,
        database: DatabaseId,
        pages: Vec<PageRef>,
    ) -> impl Stream<Item = Result<DecodedPage, ManifestError>> + Send + Unpin {
        let pages = stream::iter(pages)
            .map(move |page| async move { self.page(database, &page).await })
            .buffered(PARALLEL_REQUESTS);
        Box::pin(pages)
    }

    /// Returns the sections of one page, with their footers.
    ///
    /// # Errors
    /// [`ManifestError::PageGone`] if the manifest is outdated, or an error of the store.
    pub async fn sections_of_page(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        Ok(self.page(database, page).await?.to_vec())
    }

    pub(crate) async fn page(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<DecodedPage, ManifestError> {
        let fetch = self.fetch_page(database, page);
        match self.pages.try_get_with(page.place(), fetch).await {
            Ok((page, _)) => Ok(page),
            Err(error) => Err(ManifestError::clone(&error)),
        }
    }

    /// Streams the sections of pages in order, with read-ahead and without footers.
    pub(crate) fn stream_heads(
        &self,
        database: DatabaseId,
        pages: Vec<PageRef>,
    ) -> impl Stream<Item = Result<DecodedPage, ManifestError>> + Send + Unpin {
        let pages = stream::iter(pages)
            .map(move |page| async move { self.head(database, &page).await })
            .buffered(PARALLEL_REQUESTS);
        Box::pin(pages)
    }

    /// Returns the sections of a page without footers. Reads only the head of the page.
    pub(crate) async fn head(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<DecodedPage, ManifestError> {
        if let Some((known, _)) = self.pages.get(&page.place()).await {
            return Ok(known);
        }
        let key = page.key(database);
        let head = self.fetch(&key, page.head_range()).await?;
        Ok(Arc::new(page::decode_head(&key.to_string(), page, &head)?))
    }

    async fn fetch_page(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<(DecodedPage, u32), ManifestError> {
        let key = page.key(database);
        let bytes = self.fetch(&key, page.range()).await?;
        let sections = page::decode(&key.to_string(), &bytes)?;
        let size = page::size_bytes(&bytes, &sections);
        let size_bytes = u32::try_from(size).unwrap_or(u32::MAX);
        Ok((Arc::new(sections), size_bytes))
    }

    /// Reads a byte range of an object.
    /// Fails with [`ManifestError::PageGone`] if the object does not exist.
    pub(crate) async fn fetch(&self, key: &Key, range: Range<u64>) -> Result<Bytes, ManifestError> {
        let options = GetOptions { range: Some(range), if_none_match: None };
        let get = self.bucket.get(key, options);
        let read = self.bucket.in_time(READ_LIMIT, Operation::Get, key, get);
        let StoreResponse { value, .. } = read.await?;
        match value {
            Get::Found(object) => Ok(object.bytes),
            _ => Err(ManifestError::PageGone { key: key.clone() }),
        }
    }
}

/// The pages that may have sections of a table and of these times.
fn wanted_pages(
    manifest: &Manifest,
    table: TableId,
    times: TimeRange,
) -> impl Iterator<Item = &PageRef> {
    let pages = manifest.pages.iter();
    pages.filter(move |page| page.may_hold(table) && page.meets(times))
}

/// Returns the sections of a table whose times overlap `times`, from the manifest and its pages, ordered by stamp.
fn sections_of(
    manifest: &Manifest,
    table: TableId,
    times: TimeRange,
    pages: &[DecodedPage],
) -> Vec<SectionWithFooter> {
    let is_wanted =
        |section: &Section| section.table == table && section.meets(times) && manifest.has(section);
    let inline = manifest
        .sections
        .iter()
        .filter(|section| is_wanted(section))
        .map(SectionWithFooter::inline);
    let paged = pages
        .iter()
        .flat_map(|page| page.iter())
        .filter(|found| is_wanted(&found.section))
        .cloned();
    let mut sections: Vec<_> = paged.chain(inline).collect();
    sections.sort_by_key(|found| found.section.order());
    sections
}
