//! The objects of a database that a copy of the cluster needs, and the contents with which they are verified.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use neap_bucket::Key;
use neap_fsck::ReferencedContents;
use neap_manifest::{
    DamageRecord, DamagedPart, DroppedItem, Manifest, ManifestError, ManifestStore,
};
use neap_schema::DatabaseId;

/// The objects with sections and pages that a copied manifest references.
#[derive(Debug, Default)]
pub(crate) struct NeededObjects {
    /// The sections and pages of these objects.
    pub(crate) contents: ReferencedContents,
    /// Objects that are set aside because they are damaged.
    set_aside: BTreeSet<Key>,
    /// Whether no other object is needed. Otherwise, it is unknown which objects are.
    is_complete: bool,
}

impl NeededObjects {
    /// Returns those of a manifest that references no object.
    pub(crate) fn none() -> Self {
        Self { is_complete: true, ..Self::default() }
    }

    /// Returns those of a manifest, including objects that only earlier versions read. Reads its pages.
    /// Fails if the store does not answer.
    pub(crate) async fn read(
        pages: &ManifestStore,
        database: DatabaseId,
        manifest: &Manifest,
    ) -> Result<Self, ManifestError> {
        let set_aside: BTreeSet<_> =
            manifest.damaged_objects().map(|object| object.key(database)).collect();
        // A page that is set aside may have listed any object.
        let is_page = |record: &DamageRecord| matches!(record.part, DamagedPart::Page(..));
        let mut is_complete = !manifest.damage.iter().any(is_page);
        let readable = readable_parts(manifest);
        for parts in [&readable, manifest] {
            match ReferencedContents::read(pages, database, parts).await {
                Ok(contents) => {
                    return Ok(Self { contents, set_aside, is_complete });
                }
                // The source has dropped it by now, and the objects that it lists. A later run has a newer manifest.
                Err(ManifestError::PageGone { .. }) => {}
                // A page is damaged. Nothing tells which objects it lists.
                Err(ManifestError::Format(_)) => is_complete = false,
                Err(error) => return Err(error),
            }
        }
        let contents = if is_complete {
            ReferencedContents::default()
        } else {
            ReferencedContents::from_register(database, manifest)
        };
        Ok(Self { contents, set_aside, is_complete })
    }

    /// Returns whether the copy may need an object.
    pub(crate) fn may_be_needed(&self, key: &Key) -> bool {
        !self.is_complete || self.contents.contains(key) || self.set_aside.contains(key)
    }

    /// Returns a damaged object with another size than the intact one has, so that a later copy does not take it for a copy
    /// of that. No reader of sections or pages reads beyond them.
    pub(crate) fn with_other_size(&self, key: &Key, object: Bytes) -> Bytes {
        if !matches!(key, Key::Parquet(..) | Key::Bundle(..) | Key::Page(..)) {
            return object;
        }
        let mut longer = Vec::from(object);
        longer.push(0);
        // It was truncated by one byte.
        if longer.len() as u64 == self.contents.end(key) {
            longer.push(0);
        }
        longer.into()
    }
}

/// Returns the sections and pages of all versions of a manifest that can be read.
fn readable_parts(manifest: &Manifest) -> Manifest {
    let mut parts = Manifest {
        sections: manifest.sections.clone(),
        pages: manifest.pages.clone(),
        ..Manifest::default()
    };
    for entry in manifest.condemned.iter().filter(|entry| !entry.doomed) {
        match &entry.what {
            DroppedItem::Section(section) => parts.sections.push(Arc::clone(section)),
            DroppedItem::Page(page) => parts.pages.push(page.clone()),
            DroppedItem::Object(_) => {}
        }
    }
    parts
}
