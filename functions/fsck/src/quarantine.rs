//! Quarantines damaged objects, so that queries run without their rows. The objects are kept.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use neap_bucket::{FormatError, Key, Register, RegisterError, SegmentName, VersionedValue};
use neap_catalog::DatabaseCatalog;
use neap_manifest::{
    DamageRecord, DamagedPart, DroppedItem, JobKind, LostRows, Manifest, PageRef, ReplaceOutcome,
    Replacement, Section,
};
use neap_schema::{DatabaseId, TableId};
use neap_wal::{Segment, SegmentError};

use crate::{
    FindingKind, Fsck, FsckError,
    fsck::{DatabaseTarget, entries, select_databases},
    lost_rows::{LostObject, LostTable},
    messages,
    missing_registers::lost_manifest,
    sections::read_all,
    store::fetch,
};

/// An object named by an operator: its key, and for a single section or page its first byte after `@` or `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPart {
    key: Key,
    offset: Option<u64>,
}

impl FromStr for ObjectPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, offset) = match text.split_once(['@', ':']) {
            None => (text, None),
            Some((key, offset)) => {
                let offset =
                    offset.parse().map_err(|_| "a byte is expected after '@'".to_owned())?;
                (key, Some(offset))
            }
        };
        let key: Option<Key> = key.parse().ok();
        match (key, offset) {
            (Some(key @ Key::Segment(..)), None) => Ok(Self { key, offset }),
            (Some(key @ (Key::Parquet(..) | Key::Bundle(..) | Key::Page(..))), _) => {
                Ok(Self { key, offset })
            }
            _ => Err("the key of a segment, a section, a bundle or a page is expected".to_owned()),
        }
    }
}

impl fmt::Display for ObjectPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            None => write!(f, "{}", self.key),
            Some(offset) => write!(f, "{}@{offset}", self.key),
        }
    }
}

impl ObjectPart {
    fn database(&self) -> Option<DatabaseId> {
        match self.key {
            Key::Segment(database, _)
            | Key::Parquet(database, _)
            | Key::Bundle(database, _)
            | Key::Page(database, _) => Some(database),
            _ => None,
        }
    }

    fn is_at(&self, key: &Key, offset: u64) -> bool {
        self.key == *key && self.offset.is_none_or(|wanted| wanted == offset)
    }

    fn names(&self, record: &DamageRecord, database: DatabaseId) -> bool {
        let key = record.key(database);
        match record.part {
            DamagedPart::Segment(_) => self.key == key,
            DamagedPart::Section(_, offset)
            | DamagedPart::BundledSection(_, offset)
            | DamagedPart::Page(_, offset) => self.is_at(&key, offset),
        }
    }
}

/// A damaged object that can be quarantined.
struct DamagedObject {
    record: DamageRecord,
    /// The section, if the object is a section in the manifest.
    section: Option<Arc<Section>>,
}

impl From<DamageRecord> for DamagedObject {
    fn from(record: DamageRecord) -> Self {
        Self { section: None, record }
    }
}

impl Fsck {
    /// Finds the rows that are lost with a damaged object, in its own database or in the database named `database`, and
    /// quarantines the object if `commit`. Reads the object first, and refuses one that is not damaged.
    ///
    /// # Errors
    /// `NotDamaged`; `NotReferenced`: no manifest references the object; or an error of the store.
    pub async fn quarantine(
        &self,
        part: &ObjectPart,
        database: Option<&str>,
        commit: bool,
    ) -> Result<Vec<LostObject>, FsckError> {
        let root = self.root().await?.map_err(|finding| FsckError::Aborted(finding.to_string()))?;
        let entries = entries(&root.value);
        let chosen = select_databases(&entries, database)?
            .into_iter()
            .filter(|entry| database.is_some() || Some(entry.id) == part.database());
        let mut lost = Vec::new();
        for entry in chosen {
            let target = DatabaseTarget {
                fsck: self,
                id: entry.id,
                name: &entry.name,
                is_hidden_copy: entry.is_hidden_copy,
                full: false,
            };
            lost.extend(target.quarantine(part, commit).await?);
        }
        if lost.is_empty() {
            Err(FsckError::NotReferenced(part.to_string()))
        } else {
            Ok(lost)
        }
    }
}

impl Fsck {
    /// Quarantines the damaged parts of an object in one database, which no other process changes.
    ///
    /// # Errors
    /// As for [`quarantine`](Self::quarantine).
    pub async fn set_aside(
        &self,
        database: DatabaseId,
        object: &ObjectPart,
    ) -> Result<Vec<LostObject>, FsckError> {
        let target = DatabaseTarget {
            fsck: self,
            id: database,
            name: "",
            is_hidden_copy: true,
            full: false,
        };
        target.quarantine(object, true).await
    }
}

impl ObjectPart {
    /// Names a whole object; `None` if it has no rows.
    pub fn whole(key: &Key) -> Option<Self> {
        key.to_string().parse().ok()
    }
}

/// Returns whether a segment can be decoded with another version number in its envelope.
fn is_of_known_version(
    database: DatabaseId,
    name: SegmentName,
    object: &Bytes,
    known: u16,
) -> bool {
    (1..=known).any(|version| {
        let mut bytes = object.to_vec();
        if let Some(place) = bytes.get_mut(4..6) {
            place.copy_from_slice(&u16::to_le_bytes(version));
        }
        Segment::decode(database, name, bytes.into()).is_ok()
    })
}

impl DatabaseTarget<'_> {
    async fn quarantine(
        &self,
        part: &ObjectPart,
        commit: bool,
    ) -> Result<Vec<LostObject>, FsckError> {
        let manifest = self.fsck.manifests.read(self.id, None).await?;
        let catalog = self.known_catalog().await?;
        let key = Key::Manifest(self.id);
        if let Some(missing) = lost_manifest(&key, &manifest, &catalog) {
            return Err(RegisterError::from(missing).into());
        }
        let mut recorded = manifest.value.damage.iter();
        let found = match recorded.find(|record| part.names(record, self.id)) {
            Some(record) => vec![DamagedObject::from(record.clone())],
            None => self.find_damage(part, &manifest.value, &catalog).await?,
        };
        if commit {
            self.commit(manifest, &found).await?;
        }
        let lost = found.iter().map(|one| {
            let tables = one.record.lost.iter();
            LostObject {
                database: self.name.to_owned(),
                id: self.id,
                object: one.record.name(self.id),
                tables: tables.map(|rows| LostTable::new(rows, &catalog)).collect(),
                is_claim: one.record.is_claim(),
                quarantined: commit || one.record.quarantine.is_some(),
            }
        });
        Ok(lost.collect())
    }

    /// Reads the catalog for the names of tables; returns an empty one if it is damaged.
    async fn known_catalog(&self) -> Result<Arc<DatabaseCatalog>, FsckError> {
        let key = Key::DatabaseCatalog(self.id);
        let register: Register<DatabaseCatalog> =
            Register::new(self.fsck.bucket.clone(), key, neap_bucket::RECENT_PUT_IDS);
        match register.read(None).await {
            Ok(catalog) => Ok(catalog.value),
            Err(RegisterError::Format(_)) => Ok(Arc::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an object that the manifest does not record as damaged yet.
    async fn find_damage(
        &self,
        part: &ObjectPart,
        manifest: &Manifest,
        catalog: &DatabaseCatalog,
    ) -> Result<Vec<DamagedObject>, FsckError> {
        let found = match part.key {
            Key::Segment(of, name) if of == self.id && name.stamp > manifest.low_water_mark => {
                self.damaged_segment(name).await?.into_iter().collect()
            }
            Key::Parquet(..) | Key::Bundle(..) => {
                self.damaged_sections(part, manifest, catalog).await?
            }
            Key::Page(..) => self.damaged_pages(part, manifest).await?,
            _ => return Err(FsckError::NotReferenced(part.to_string())),
        };
        if found.is_empty() {
            Err(FsckError::NotDamaged(part.to_string()))
        } else {
            Ok(found)
        }
    }

    async fn damaged_segment(&self, name: SegmentName) -> Result<Option<DamagedObject>, FsckError> {
        let key = Key::Segment(self.id, name);
        let Some(object) = fetch(&self.fsck.bucket, &key, None).await? else {
            return Err(FsckError::NotReferenced(key.to_string()));
        };
        match Segment::decode(self.id, name, object.clone()) {
            Ok(segment) if segment.is_damaged() => {
                Ok(Some(DamageRecord::of_streams(&segment).into()))
            }
            Ok(_) => Ok(None),
            // The segment is of a newer release, unless only its version number is damaged.
            Err(SegmentError::Format(ref error @ FormatError::Newer { known, .. }))
                if !is_of_known_version(self.id, name, &object, known) =>
            {
                Err(FsckError::Aborted(error.to_string()))
            }
            Err(_) => {
                let claimed = Segment::unverified_tables(&object);
                let lost = claimed.into_iter().map(LostRows::from).collect();
                let part = DamagedPart::Segment(name);
                Ok(Some(DamageRecord::of_object(part, lost, 0).into()))
            }
        }
    }

    async fn damaged_sections(
        &self,
        part: &ObjectPart,
        manifest: &Manifest,
        catalog: &DatabaseCatalog,
    ) -> Result<Vec<DamagedObject>, FsckError> {
        let named = self.load(manifest, &mut Vec::new()).await?;
        let mut is_named = false;
        let mut found = Vec::new();
        for one in named.live {
            let section = Arc::clone(&one.section);
            if !part.is_at(&section.key(self.id), section.offset) {
                continue;
            }
            is_named = true;
            let is_damaged = match catalog.table_by_id(section.table) {
                Some(table) => {
                    let wanted = vec![(one, table.stored())];
                    let read = read_all(&self.fsck.bucket, self.id, wanted, &|_| {}).await?;
                    let mut findings = read.iter().flat_map(|read| &read.findings);
                    findings.any(messages::is_damage)
                }
                None => !self.is_whole(&section).await?,
            };
            if is_damaged {
                let part = DamagedPart::of_section(&section);
                let lost = vec![LostRows::of_section(&section)];
                found.push(DamagedObject {
                    section: Some(section),
                    ..DamageRecord::of_object(part, lost, 0).into()
                });
            }
        }
        if is_named {
            Ok(found)
        } else {
            Err(FsckError::NotReferenced(part.to_string()))
        }
    }

    /// Returns whether the bytes of a section match its length and checksum.
    async fn is_whole(&self, section: &Section) -> Result<bool, FsckError> {
        let key = section.key(self.id);
        let bytes = fetch(&self.fsck.bucket, &key, Some(section.range())).await?;
        Ok(bytes.is_some_and(|bytes| {
            bytes.len() as u64 == section.length && crc32c::crc32c(&bytes) == section.crc32c
        }))
    }

    async fn damaged_pages(
        &self,
        part: &ObjectPart,
        manifest: &Manifest,
    ) -> Result<Vec<DamagedObject>, FsckError> {
        let dropped = manifest.condemned.iter().filter_map(|entry| match &entry.what {
            DroppedItem::Page(page) => Some(page),
            DroppedItem::Section(_) | DroppedItem::Object(_) => None,
        });
        let pages = manifest.pages.iter().chain(dropped);
        let named: Vec<&PageRef> =
            pages.filter(|page| part.is_at(&page.key(self.id), page.offset)).collect();
        if named.is_empty() {
            return Err(FsckError::NotReferenced(part.to_string()));
        }
        let mut found = Vec::new();
        for page in named {
            let Err(finding) = self.page(page).await? else {
                continue;
            };
            if finding.kind == FindingKind::Newer && self.is_of_later_release(page).await? {
                return Err(FsckError::Aborted(finding.to_string()));
            }
            let part = DamagedPart::Page(page.object, page.offset);
            let lost = vec![LostRows::of_page(page)];
            found.push(DamageRecord::of_object(part, lost, page.first_added).into());
        }
        Ok(found)
    }

    /// Returns whether a later release wrote a page. Otherwise, its version number is damaged.
    async fn is_of_later_release(&self, page: &PageRef) -> Result<bool, FsckError> {
        let key = page.key(self.id);
        let head = fetch(&self.fsck.bucket, &key, Some(page.head_range())).await?;
        let verified = head.map(|head| page.verify_head(self.id, &head));
        Ok(matches!(verified, Some(Err(FormatError::Newer { .. }))))
    }

    /// Quarantines the objects that are not quarantined yet.
    async fn commit(
        &self,
        mut base: VersionedValue<Manifest>,
        found: &[DamagedObject],
    ) -> Result<(), FsckError> {
        let manifests = &self.fsck.manifests;
        let mut sections: BTreeMap<TableId, Vec<Arc<Section>>> = BTreeMap::new();
        for one in found {
            match &one.section {
                Some(section) => {
                    let of_table = sections.entry(section.table).or_default();
                    of_table.push(Arc::clone(section));
                }
                None if one.record.quarantine.is_some() => {}
                None => base = manifests.quarantine(self.id, base, &one.record).await?,
            }
        }
        let bucket = &self.fsck.bucket;
        let removals = sections
            .into_values()
            .filter_map(|remove| Replacement::removal(bucket, JobKind::Quarantine, remove));
        for replacement in removals {
            let outcome = manifests.quarantine_sections(self.id, base.clone(), &replacement);
            base = match outcome.await? {
                ReplaceOutcome::Committed(current) => current,
                ReplaceOutcome::GivenUp(reason) => {
                    return Err(FsckError::Aborted(reason.to_string()));
                }
                ReplaceOutcome::Unknown { reason } => return Err(FsckError::Aborted(reason)),
            };
        }
        Ok(())
    }
}
