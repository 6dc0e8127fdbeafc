//! Reading manifests, and the sections that they name in their pages.

use std::{
    collections::hash_map::DefaultHasher, hash::BuildHasherDefault, sync::Arc, time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use moka::{future::Cache, policy::EvictionPolicy};
use neap_bucket::{
    Answer, Bucket, Get, GetOptions, Key, Operation, Register, Rules, StoreError, Versioned,
};
use neap_schema::{DatabaseId, TableId};
use ulid::Ulid;

use crate::{Manifest, ManifestError, PageRef, SectionWithFooter, TimeRange, page};

/// How many pages or footers are fetched at once.
pub(crate) const PARALLEL_REQUESTS: usize = 16;

/// After this time a read counts as unanswered: longer than a store's own patience.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// The settings of a [`ManifestStore`].
#[derive(Clone, Copy, Debug)]
pub struct ManifestSettings {
    /// The number of sections in a manifest above which old ones are moved to pages.
    pub inline_sections: usize,
    /// The memory for pages that were read, in bytes.
    pub page_cache_bytes: u64,
}

impl Default for ManifestSettings {
    fn default() -> Self {
        Self {
            // 512 sections with three tags each are about 30 kB, 240 kB as JSON: a flush writes, and a new
            // reader parses, no more than that in about the time of one request.
            inline_sections: 512,
            page_cache_bytes: 32 << 20,
        }
    }
}

type DecodedPage = Arc<Vec<SectionWithFooter>>;

/// Pages by object and offset, with their weight. The hasher has fixed keys, so that what is evicted depends
/// on nothing but what was asked for.
type PageCache = Cache<(Ulid, u64), (DecodedPage, u32), BuildHasherDefault<DefaultHasher>>;

/// The manifests in a bucket, with a cache of their pages. Cloning shares the cache.
#[derive(Clone, Debug)]
pub struct ManifestStore {
    pub(crate) bucket: Bucket,
    pub(crate) settings: ManifestSettings,
    recent_put_ids: usize,
    pages: PageCache,
}

impl ManifestStore {
    /// The manifests in `bucket`.
    pub fn new(bucket: Bucket, rules: &Rules, settings: ManifestSettings) -> Self {
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

    /// The register of a database's manifest. A change starts from [`Manifest::successor`].
    pub fn register(&self, database: DatabaseId) -> Register<Manifest> {
        let key = Key::Manifest(database);
        Register::new(self.bucket.clone(), key, self.recent_put_ids)
    }

    /// Reads a manifest; conditionally, if one is known.
    pub async fn read(
        &self,
        database: DatabaseId,
        known: Option<&Versioned<Manifest>>,
    ) -> Result<Versioned<Manifest>, ManifestError> {
        let register = self.register(database);
        self.in_time(register.key(), register.read(known)).await
    }

    /// The answer to a read, or an error after [`READ_LIMIT`].
    pub(crate) async fn in_time<T, E: Into<ManifestError>>(
        &self,
        key: &Key,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ManifestError> {
        match self.bucket.world().timeout(READ_LIMIT, read).await {
            Some(answer) => answer.map_err(Into::into),
            None => {
                let unanswered = StoreError::Unavailable {
                    operation: Operation::Get,
                    key: key.to_string(),
                    reason: format!("no answer within {} s", READ_LIMIT.as_secs()),
                };
                Err(unanswered.into())
            }
        }
    }

    /// The sections of a table whose times meet `times`, oldest first by stamp, with the footers that come
    /// from pages. Reads only pages whose times meet, each with one GET.
    ///
    /// # Errors
    /// `PageGone`: the manifest is too old; and what the store answers.
    pub async fn load_sections(
        &self,
        database: DatabaseId,
        manifest: &Manifest,
        table: TableId,
        times: TimeRange,
    ) -> Result<Vec<SectionWithFooter>, ManifestError> {
        // Owned, so that the future is `Send` whatever the lifetimes.
        let pages = manifest.pages.iter();
        let wanted: Vec<PageRef> = pages
            .filter(|page| page.table == table && page.meets(times))
            .cloned()
            .collect();
        let pages: Vec<_> = stream::iter(wanted)
            .map(|page| async move { self.page(database, &page).await })
            .buffered(PARALLEL_REQUESTS)
            .try_collect()
            .await?;
        let inline = manifest.sections.iter().map(|section| SectionWithFooter {
            section: Arc::clone(section),
            footer: None,
        });
        let paged = pages.iter().flat_map(|page| page.iter().cloned());
        let mut sections: Vec<_> = paged
            .chain(inline)
            .filter(|found| found.section.table == table && found.section.meets(times))
            .collect();
        sections.sort_by_key(|found| found.section.order());
        Ok(sections)
    }

    async fn page(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<DecodedPage, ManifestError> {
        let place = (page.object, page.offset);
        let fetch = self.fetch_page(database, page);
        match self.pages.try_get_with(place, fetch).await {
            Ok((page, _)) => Ok(page),
            Err(error) => Err(ManifestError::clone(&error)),
        }
    }

    async fn fetch_page(
        &self,
        database: DatabaseId,
        page: &PageRef,
    ) -> Result<(DecodedPage, u32), ManifestError> {
        let key = page.key(database);
        let options = GetOptions {
            range: Some(page.range()),
            if_none_match: None,
        };
        let get = self.bucket.get(&key, options);
        let Answer { value, .. } = self.in_time(&key, get).await?;
        let Get::Found(object) = value else {
            return Err(ManifestError::PageGone { key });
        };
        let sections = page::decode(&key.to_string(), &object.bytes)?;
        let size_bytes = page::size_bytes(&object.bytes, &sections);
        let size_bytes = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        Ok((Arc::new(sections), size_bytes))
    }
}
