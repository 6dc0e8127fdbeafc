//! Reads sections again, each once in an interval, so that damage is found before a query needs the rows.
//!
//! ```text
//!   manifest --> pages --> sections that are due --> checksums match --> nothing to do
//!                  |                                    | they don't
//!                  +-- a page is damaged --> an intact copy elsewhere? -- yes --> put it, read again
//!                                                                      \- no ---> reported
//! ```
//!
//! The name of a section decides at which moment of each interval it is due. So a pass stores no progress, the load is
//! even, and each section is read once however often passes run.
//!
//! Objects of sections and pages never change. The part of a copy that is intact therefore has the bytes that the damaged
//! part should have. It replaces only these, because the copy may be damaged where the object is not, and other databases
//! and earlier versions may read the rest of the object. The put succeeds only if no other process has replaced the object.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use neap_bucket::{Bucket, Get, GetOptions, Key, Put, PutMode, StoreResponse};
use neap_manifest::{Manifest, ManifestError, PageRef, Section, SectionWithFooter};
use neap_schema::DatabaseId;

use crate::{
    Fsck, FsckError,
    fsck::{DatabaseInfo, DatabaseTarget, entries},
    referenced_contents::{verify_section, verify_section_of},
    store::fetch,
};

/// Maximum number of damaged parts that are remembered and read in each pass.
const MAX_DAMAGED: usize = 1_000;

/// Copies of objects outside the bucket, such as those of backups.
pub trait ObjectCopies: fmt::Debug + Send + Sync {
    /// Returns the bytes of an object from the first copy of which a part is intact, as `is_intact` decides; `None` if no
    /// copy is. The error is the reason why copies can't be read.
    fn read<'a>(
        &'a self,
        key: &'a Key,
        is_intact: &'a (dyn Fn(&Bytes) -> bool + Sync),
    ) -> BoxFuture<'a, Result<Option<Bytes>, String>>;
}

/// The result of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubTotals {
    /// Number of sections that were read.
    pub sections: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Number of damaged sections and pages that an intact copy has replaced.
    pub mended: u64,
}

/// Finds damaged sections and pages, and mends them where there are copies.
#[derive(Debug)]
pub struct Scrubber {
    fsck: Fsck,
    interval: Duration,
    copies: Option<Arc<dyn ObjectCopies>>,
    /// Damaged parts by name.
    damaged: Mutex<BTreeMap<String, DamageState>>,
}

/// Whether the current pass has seen a damaged part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DamageState {
    /// An earlier pass has. The part may be merged or mended by now.
    Before,
    /// It has.
    Now,
}

impl Scrubber {
    /// Creates a scrubber that reads each section once in an interval.
    pub fn new(bucket: Bucket, interval: Duration, copies: Option<Arc<dyn ObjectCopies>>) -> Self {
        Self {
            fsck: Fsck::new(bucket),
            interval: interval.max(Duration::from_millis(1)),
            copies,
            damaged: Mutex::default(),
        }
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<String, DamageState>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the names of damaged sections and pages that could not be mended: the key, and the first byte.
    pub fn damaged_parts(&self) -> Vec<String> {
        self.damaged().keys().cloned().collect()
    }

    /// Reads all pages, and the sections that are due in a period of the wall clock, in microseconds since the Unix
    /// epoch. Sections that were damaged at the last pass are due again. Mends what is damaged.
    ///
    /// # Errors
    /// The first error of a database, for example that the store does not answer. The other databases are read
    /// nevertheless.
    pub async fn scrub(&self, period: Range<i64>) -> Result<ScrubTotals, FsckError> {
        for state in self.damaged().values_mut() {
            *state = DamageState::Before;
        }
        let mut totals = ScrubTotals::default();
        // Each reader of the cluster reports a damaged root catalog.
        let Ok(root) = self.fsck.root().await? else {
            return Ok(totals);
        };
        let mut outcome = Ok(());
        for database in entries(&root.value).iter().filter(|one| one.has_data) {
            let read = self.scrub_database(database, &period, &mut totals).await;
            outcome = outcome.and(read);
        }
        outcome?;
        self.damaged().retain(|_, state| *state == DamageState::Now);
        Ok(totals)
    }

    async fn scrub_database(
        &self,
        database: &DatabaseInfo,
        period: &Range<i64>,
        totals: &mut ScrubTotals,
    ) -> Result<(), FsckError> {
        let manifest = match self.fsck.manifests.read(database.id, None).await {
            Ok(manifest) => manifest.value,
            // Each reader of the database reports a damaged manifest.
            Err(ManifestError::Format(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let inline: Vec<_> = manifest
            .sections
            .iter()
            .map(|section| SectionWithFooter { section: Arc::clone(section), footer: None })
            .collect();
        self.scrub_sections(database.id, &inline, period, totals).await?;
        for page in &manifest.pages {
            let sections = self.scrub_page(database, &manifest, page, totals).await?;
            self.scrub_sections(database.id, &sections, period, totals).await?;
        }
        Ok(())
    }

    /// Reads a page, and mends it if it is damaged. Returns its sections; none if it can't be read.
    async fn scrub_page(
        &self,
        database: &DatabaseInfo,
        manifest: &Manifest,
        page: &PageRef,
        totals: &mut ScrubTotals,
    ) -> Result<Vec<SectionWithFooter>, FsckError> {
        let target = DatabaseTarget {
            fsck: &self.fsck,
            id: database.id,
            name: &database.name,
            is_hidden_copy: database.is_hidden_copy,
            full: false,
        };
        let finding = match target.page(page).await? {
            Ok(sections) => return Ok(sections),
            Err(finding) => finding,
        };
        if !self.still_has_page(database.id, manifest, page).await? {
            return Ok(Vec::new());
        }
        let key = Key::Page(database.id, page.object);
        let is_intact = |object: &Bytes| page.verify(database.id, object).is_ok();
        let replaced = self.replace(&key, &page.range(), &is_intact).await?;
        // Another process may have replaced it.
        let Ok(sections) = target.page(page).await? else {
            self.report(&key, page.offset, &finding.message);
            return Ok(Vec::new());
        };
        if replaced {
            totals.mended += 1;
            tracing::warn!(object = %key, offset = page.offset, "a damaged page was mended");
        }
        Ok(sections)
    }

    /// Returns whether the newest manifest has a page, which a commit may have dropped.
    async fn still_has_page(
        &self,
        database: DatabaseId,
        known: &Manifest,
        page: &PageRef,
    ) -> Result<bool, FsckError> {
        match self.fsck.manifests.read(database, None).await {
            Ok(now) => Ok(now.value.pages.contains(page)),
            Err(ManifestError::Format(_)) => Ok(known.pages.contains(page)),
            Err(error) => Err(error.into()),
        }
    }

    async fn scrub_sections(
        &self,
        database: DatabaseId,
        sections: &[SectionWithFooter],
        period: &Range<i64>,
        totals: &mut ScrubTotals,
    ) -> Result<(), FsckError> {
        for one in sections {
            let section = one.section.as_ref();
            let key = section.key(database);
            let was_damaged = self.damaged().contains_key(&part_name(&key, section.offset));
            if !was_damaged && !is_due(&part_name(&key, section.offset), self.interval, period) {
                continue;
            }
            totals.sections += 1;
            totals.bytes += section.length;
            let Err(reason) = self.read(&key, section).await? else {
                continue;
            };
            self.mend_section(database, &key, section, &reason, totals).await?;
        }
        Ok(())
    }

    async fn mend_section(
        &self,
        database: DatabaseId,
        key: &Key,
        section: &Section,
        reason: &str,
        totals: &mut ScrubTotals,
    ) -> Result<(), FsckError> {
        // A commit may have dropped the section, and a collector its object.
        if !self.still_has_section(database, section).await? {
            return Ok(());
        }
        let is_intact = |object: &Bytes| verify_section_of(object, section).is_ok();
        let replaced = self.replace(key, &section.range(), &is_intact).await?;
        // Another process may have replaced it.
        if self.read(key, section).await?.is_err() {
            self.report(key, section.offset, reason);
        } else if replaced {
            totals.mended += 1;
            tracing::warn!(object = %key, offset = section.offset, reason, "a damaged section was mended");
        }
        Ok(())
    }

    async fn still_has_section(
        &self,
        database: DatabaseId,
        section: &Section,
    ) -> Result<bool, FsckError> {
        let now = self.fsck.manifests.read(database, None).await?.value;
        let sections = self.fsck.manifests.all_sections(database, &now).await;
        let is_same = |one: &SectionWithFooter| {
            let one = one.section.as_ref();
            (one.object_name(), one.offset, one.origin)
                == (section.object_name(), section.offset, section.origin)
        };
        match sections {
            Ok(sections) => Ok(sections.iter().any(is_same)),
            // A page is damaged, which is reported on its own.
            Err(_) => Ok(true),
        }
    }

    /// Reads a section, once more if it is damaged: the bytes may have been damaged on their way.
    async fn read(&self, key: &Key, section: &Section) -> Result<Result<(), String>, FsckError> {
        let mut outcome = Ok(());
        for _ in 0..2 {
            outcome = match fetch(&self.fsck.bucket, key, Some(section.range())).await? {
                Some(bytes) => verify_section(&bytes, section),
                None => Err("it is missing".to_owned()),
            };
            if outcome.is_ok() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Replaces a damaged part of an object by that of a copy in which this part is intact. Returns whether it did.
    async fn replace(
        &self,
        key: &Key,
        part: &Range<u64>,
        is_intact: &(dyn Fn(&Bytes) -> bool + Sync),
    ) -> Result<bool, FsckError> {
        let Some(copies) = &self.copies else {
            return Ok(false);
        };
        let copy = match copies.read(key, is_intact).await {
            Ok(Some(copy)) => copy,
            Ok(None) => return Ok(false),
            Err(reason) => {
                tracing::warn!(object = %key, reason, "the copies of a damaged object can't be read");
                return Ok(false);
            }
        };
        let bucket = &self.fsck.bucket;
        let (mended, mode) = match bucket.get(key, GetOptions::default()).await?.value {
            Get::Found(object) => {
                let again = bucket.get(key, GetOptions::default()).await?.value;
                let is_same = matches!(&again, Get::Found(again) if again.bytes == object.bytes);
                // Another process has mended it, or bytes were damaged on their way and must not get into the object.
                if !is_same || is_intact(&object.bytes) {
                    return Ok(false);
                }
                let mended = with_part(object.bytes, part, &copy);
                (mended, PutMode::Update(object.etag))
            }
            Get::Missing | Get::Unchanged => (copy, PutMode::Create),
        };
        let StoreResponse { value, .. } = bucket.put(key, mended, mode).await?;
        Ok(matches!(value, Put::Done(_)))
    }

    fn report(&self, key: &Key, offset: u64, reason: &str) {
        let mut damaged = self.damaged();
        let name = part_name(key, offset);
        if !damaged.contains_key(&name) {
            tracing::error!(object = %key, offset, reason, "damage was found");
            if damaged.len() >= MAX_DAMAGED {
                return;
            }
        }
        damaged.insert(name, DamageState::Now);
    }
}

/// Returns an object with a part of a copy, and with what the copy has beyond the end of the object.
fn with_part(object: Bytes, part: &Range<u64>, copy: &Bytes) -> Bytes {
    let mut mended = Vec::from(object);
    mended.extend_from_slice(copy.get(mended.len()..).unwrap_or_default());
    if let [Ok(start), Ok(end)] = [part.start, part.end].map(usize::try_from)
        && let (Some(damaged), Some(intact)) = (mended.get_mut(start..end), copy.get(start..end))
    {
        damaged.copy_from_slice(intact);
    }
    mended.into()
}

/// Returns the name of a part of an object, as `neap fsck --quarantine` takes it.
fn part_name(key: &Key, offset: u64) -> String {
    format!("{key}@{offset}")
}

/// Returns whether the moment at which a part is due lies in a period, in microseconds since the Unix epoch.
pub(crate) fn is_due(name: &str, interval: Duration, period: &Range<i64>) -> bool {
    let interval = i128::try_from(interval.as_micros().max(1)).unwrap_or(i128::MAX);
    // 32 bits give moments of an even distribution.
    let moment = (interval * i128::from(crc32c::crc32c(name.as_bytes()))) >> 32;
    let intervals = |time: i64| (i128::from(time) - moment).div_euclid(interval);
    intervals(period.end) > intervals(period.start)
}
