//! Verifies whole objects against the manifest that references them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use neap_bucket::Key;
use neap_manifest::{Manifest, ManifestError, ManifestStore, PageRef, Section};
use neap_schema::DatabaseId;

use crate::{Finding, FindingKind, messages};

/// The sections and pages that a manifest references, by the keys of their objects.
#[derive(Clone, Debug, Default)]
pub struct ReferencedContents {
    sections: BTreeMap<Key, Vec<Arc<Section>>>,
    pages: BTreeMap<Key, Vec<PageRef>>,
}

impl ReferencedContents {
    /// Returns the references of the register of a manifest, without those of its pages.
    pub fn from_register(database: DatabaseId, manifest: &Manifest) -> Self {
        let mut contents = Self::default();
        for section in &manifest.sections {
            let of_object = contents.sections.entry(section.key(database)).or_default();
            of_object.push(Arc::clone(section));
        }
        for page in &manifest.pages {
            let of_object = contents.pages.entry(page.key(database)).or_default();
            of_object.push(page.clone());
        }
        contents
    }

    /// Reads the references of a manifest and its pages.
    ///
    /// # Errors
    /// A page is damaged or gone, or the store does not answer.
    pub async fn read(
        manifests: &ManifestStore,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<Self, ManifestError> {
        let sections = manifests.sections_by_object(database, manifest).await?;
        let register = Self::from_register(database, manifest);
        Ok(Self { sections, ..register })
    }

    /// Returns the keys of the objects, with the bytes of them that the manifest references.
    pub fn keys(&self) -> impl Iterator<Item = (&Key, u64)> {
        let sections = self.sections.iter().map(|(key, sections)| {
            let bytes = sections.iter().map(|section| section.length).sum();
            (key, bytes)
        });
        let pages = self.pages.iter().map(|(key, pages)| {
            let bytes = pages.iter().map(|page| page.size_bytes).sum();
            (key, bytes)
        });
        sections.chain(pages)
    }

    /// Returns whether the manifest references an object.
    pub fn contains(&self, key: &Key) -> bool {
        self.sections.contains_key(key) || self.pages.contains_key(key)
    }

    /// Returns the first bytes of the referenced sections or pages of an object.
    pub fn offsets(&self, key: &Key) -> impl Iterator<Item = u64> {
        let sections = self.sections.get(key).into_iter().flatten();
        let pages = self.pages.get(key).into_iter().flatten();
        let sections = sections.map(|section| section.offset);
        sections.chain(pages.map(|page| page.offset))
    }

    /// Returns the end of the last referenced section or page of an object, in bytes.
    pub fn end(&self, key: &Key) -> u64 {
        let sections = self.sections.get(key).into_iter().flatten();
        let pages = self.pages.get(key).into_iter().flatten();
        let ends = sections.map(|section| section.range().end);
        ends.chain(pages.map(|page| page.range().end)).max().unwrap_or(0)
    }

    /// Verifies an object: the checksums of its referenced sections or pages, or its header.
    ///
    /// # Errors
    /// The finding describes the damage. Its kind is [`FindingKind::Newer`] if a later release wrote the object.
    pub fn verify(&self, key: &Key, object: &Bytes) -> Result<(), Finding> {
        match key {
            Key::Parquet(..) | Key::Bundle(..) => {
                for section in self.sections.get(key).into_iter().flatten() {
                    verify_section_of(object, section).map_err(|reason| {
                        let message = format!("its section at byte {}: {reason}", section.offset);
                        Finding::error(FindingKind::Damaged, message).at(key)
                    })?;
                }
                Ok(())
            }
            Key::Page(database, _) => {
                for page in self.pages.get(key).into_iter().flatten() {
                    page.verify(*database, object).map_err(|error| {
                        let finding = messages::format_finding(&error);
                        let message =
                            format!("its page at byte {}: {}", page.offset, finding.message);
                        Finding { message, ..finding }
                    })?;
                }
                Ok(())
            }
            // The manifest has its checksum, and compaction builds it again.
            Key::Cache(..) => Ok(()),
            _ => key.verify(object).map_err(|error| messages::format_finding(&error)),
        }
    }
}

/// Compares a section in the bytes of its object with its checksum. The error describes the damage.
pub(crate) fn verify_section_of(object: &Bytes, section: &Section) -> Result<(), String> {
    let range = section.range();
    let [start, end] = [range.start, range.end].map(usize::try_from);
    match (start, end) {
        (Ok(start), Ok(end)) if end <= object.len() => {
            verify_section(&object.slice(start..end), section)
        }
        _ => Err("it is truncated".to_owned()),
    }
}

/// Compares the bytes of a section with its checksum. The error describes the damage.
pub(crate) fn verify_section(bytes: &Bytes, section: &Section) -> Result<(), String> {
    if (bytes.len() as u64) < section.length {
        return Err("it is truncated".to_owned());
    }
    if section.crc32c == crc32c::crc32c(bytes) {
        Ok(())
    } else {
        Err("its checksum does not match".to_owned())
    }
}
