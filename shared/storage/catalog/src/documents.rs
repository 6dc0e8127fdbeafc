//! Documents: saved queries and dashboards of a database, in a register of their own.
//!
//! ```text
//!   instance                                      store
//!     |-- GET db/<id>/documents -----------------> |
//!     |   the version of the document is the one that the client read?  no -> conflict
//!     |-- PUT if it is still that register ------> |   crash before: nothing happened; after: changed
//!     |-- PUT the catalog at the first change ---> |   crash before: the next change records that there are documents
//! ```
//!
//! The register is separate from the catalog, because each write and query reads the catalog. A document is text that
//! clients interpret. A dropped database keeps its documents until its data is deleted.

use std::collections::BTreeMap;

use neap_bucket::{
    CommitOutcome, Key, ObjectFormat, RECENT_PUT_IDS, Register, RegisterChange, RegisterError,
    RegisterValue, StoreTime, VersionedValue, formats,
};
use neap_schema::DatabaseId;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Catalog, CatalogError};

/// Maximum number of documents of a database.
pub const MAX_DOCUMENTS: usize = 256;
/// Maximum bytes of the content of a document (256 KiB).
pub const MAX_DOCUMENT_BYTES: usize = 256 << 10;
/// Maximum bytes of the contents of all documents of a database (8 MiB), because a change reads and writes all of them.
pub const MAX_DOCUMENTS_BYTES: usize = 8 << 20;
/// Maximum bytes of the name of a document.
pub const MAX_DOCUMENT_NAME_BYTES: usize = 256;

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// Cells with charts.
    Dashboard,
    /// A query.
    Query,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The kind.
    pub kind: DocumentKind,
    /// The name. Several documents may have the same name.
    pub name: String,
    /// The number of changes of the document, from 1.
    pub version: u64,
    /// When it was last changed, by the store's clock.
    pub updated: StoreTime,
    /// The name of the token that changed it; `None` if none was required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// The content: JSON text. It is text in the register, too, because the decoder limits the depth of values.
    pub content: String,
}

/// A document to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// The name.
    pub name: String,
    /// The content: JSON text.
    pub content: String,
    /// The name of the token of the request, if it has one.
    pub updated_by: Option<String>,
}

/// All documents of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseDocuments {
    documents: BTreeMap<Ulid, Document>,
}

impl RegisterValue for DatabaseDocuments {
    const FORMAT: ObjectFormat = formats::DOCUMENTS;
}

/// Error of a read or change of documents.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum DocumentError {
    #[error("there is no document '{id}' in the database")]
    NotFound { id: String },
    #[error("the document was changed: its version is {present}, not {expected}")]
    Conflict {
        /// The version that the client has read.
        expected: u64,
        present: u64,
    },
    /// The name is empty, too long, or has control characters.
    #[error(
        "the name of a document has 1 to {MAX_DOCUMENT_NAME_BYTES} bytes and no control characters"
    )]
    Name,
    /// The content is larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the document has {bytes} bytes, more than {MAX_DOCUMENT_BYTES}")]
    TooLarge { bytes: usize },
    /// The database has [`MAX_DOCUMENTS`] documents.
    #[error("the database has {MAX_DOCUMENTS} documents: delete one first")]
    TooMany,
    /// All documents together would exceed [`MAX_DOCUMENTS_BYTES`].
    #[error(
        "the documents of the database would exceed {MAX_DOCUMENTS_BYTES} bytes: delete one first"
    )]
    TooMuch,
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The register is lost, or the catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("it is unknown whether the document was changed: {reason}")]
    Unknown { reason: String },
    #[error("the store's time is unknown")]
    NoStoreTime,
}

impl DatabaseDocuments {
    /// Returns the documents by id, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Ulid, &Document)> {
        self.documents.iter().map(|(id, document)| (*id, document))
    }

    /// Returns a document.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, id: Ulid) -> Result<&Document, DocumentError> {
        let found = self.documents.get(&id);
        found.ok_or_else(|| DocumentError::NotFound { id: id.to_string() })
    }

    /// Adds a document.
    fn create(
        &mut self,
        id: Ulid,
        kind: DocumentKind,
        new: NewDocument,
        now: StoreTime,
    ) -> Result<Document, DocumentError> {
        if self.documents.len() >= MAX_DOCUMENTS {
            return Err(DocumentError::TooMany);
        }
        self.put(id, kind, new, 1, now)
    }

    /// Replaces a document whose version is `expected`.
    fn replace(
        &mut self,
        id: Ulid,
        expected: u64,
        new: NewDocument,
        now: StoreTime,
    ) -> Result<Document, DocumentError> {
        let kind = self.current(id, expected)?.kind;
        self.put(id, kind, new, expected.saturating_add(1), now)
    }

    fn put(
        &mut self,
        id: Ulid,
        kind: DocumentKind,
        new: NewDocument,
        version: u64,
        now: StoreTime,
    ) -> Result<Document, DocumentError> {
        check(&new)?;
        let others: usize = self
            .documents
            .iter()
            .filter(|(other, _)| **other != id)
            .map(|(_, document)| document.content.len())
            .sum();
        if others.saturating_add(new.content.len()) > MAX_DOCUMENTS_BYTES {
            return Err(DocumentError::TooMuch);
        }
        let document = Document {
            kind,
            name: new.name,
            version,
            updated: now,
            updated_by: new.updated_by,
            content: new.content,
        };
        self.documents.insert(id, document.clone());
        Ok(document)
    }

    /// Deletes a document whose version is `expected`.
    fn delete(&mut self, id: Ulid, expected: u64) -> Result<(), DocumentError> {
        self.current(id, expected)?;
        self.documents.remove(&id);
        Ok(())
    }

    /// Returns a document whose version is `expected`.
    fn current(&self, id: Ulid, expected: u64) -> Result<&Document, DocumentError> {
        let document = self.get(id)?;
        let present = document.version;
        if present == expected {
            Ok(document)
        } else {
            Err(DocumentError::Conflict { expected, present })
        }
    }
}

fn check(new: &NewDocument) -> Result<(), DocumentError> {
    let name = new.name.as_str();
    let is_length_right = (1..=MAX_DOCUMENT_NAME_BYTES).contains(&name.len());
    if !is_length_right || name.chars().any(char::is_control) || name.trim().is_empty() {
        return Err(DocumentError::Name);
    }
    match new.content.len() {
        bytes if bytes > MAX_DOCUMENT_BYTES => Err(DocumentError::TooLarge { bytes }),
        _ => Ok(()),
    }
}

/// The documents of a database in the bucket. A read costs 1 GET, a change 1 GET and 1 PUT. While there are no documents,
/// both cost 1 GET more, to see that they are not lost, and the first change 1 PUT, which records them in the catalog.
#[derive(Clone, Debug)]
pub struct DocumentStore<'a> {
    catalog: &'a Catalog,
    register: Register<DatabaseDocuments>,
}

impl<'a> DocumentStore<'a> {
    /// Returns the documents of a database.
    pub fn new(catalog: &'a Catalog, database: DatabaseId) -> Self {
        let (bucket, key) = (catalog.bucket().clone(), Key::Documents(database));
        Self {
            catalog,
            register: Register::new(bucket, key, RECENT_PUT_IDS),
        }
    }

    /// Reads all documents.
    ///
    /// # Errors
    /// `Register`, or `Catalog` if they are lost.
    pub async fn read(&self) -> Result<VersionedValue<DatabaseDocuments>, DocumentError> {
        let read = self.register.read(None).await?;
        Ok(self.catalog.verify_absence(&self.register, read).await?)
    }

    /// Adds a document, and returns it with its id.
    ///
    /// # Errors
    /// `Name`, `TooLarge`, `TooMany`, `TooMuch`, or an error of the commit.
    pub async fn create(
        &self,
        kind: DocumentKind,
        new: NewDocument,
    ) -> Result<(Ulid, Document), DocumentError> {
        check(&new)?;
        let id = self.catalog.bucket().draw_ulid();
        let change =
            |documents: &mut DatabaseDocuments, now| documents.create(id, kind, new.clone(), now);
        Ok((id, self.change(change).await?))
    }

    /// Replaces a document whose version is `expected`, and returns the new one.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Name`, `TooLarge`, `TooMuch`, or an error of the commit.
    pub async fn replace(
        &self,
        id: Ulid,
        expected: u64,
        new: NewDocument,
    ) -> Result<Document, DocumentError> {
        check(&new)?;
        let change = |documents: &mut DatabaseDocuments, now| {
            documents.replace(id, expected, new.clone(), now)
        };
        self.change(change).await
    }

    /// Deletes a document whose version is `expected`.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, or an error of the commit.
    pub async fn delete(&self, id: Ulid, expected: u64) -> Result<(), DocumentError> {
        let change = |documents: &mut DatabaseDocuments, _| documents.delete(id, expected);
        self.change(change).await
    }

    async fn change<R: Send>(
        &self,
        mut change: impl FnMut(&mut DatabaseDocuments, StoreTime) -> Result<R, DocumentError> + Send,
    ) -> Result<R, DocumentError> {
        let bucket = self.catalog.bucket();
        let commit = |base: &VersionedValue<DatabaseDocuments>| {
            let now = bucket.clock().now();
            let mut documents = DatabaseDocuments::clone(&base.value);
            let result = change(&mut documents, now.ok_or(DocumentError::NoStoreTime)?)?;
            Ok(RegisterChange::Put(documents, result))
        };
        let known = self.read().await?;
        match self.register.commit(Some(known), commit).await? {
            CommitOutcome::Committed { result, .. } => {
                let key = self.register.key();
                if let Err(error) = self.catalog.record_register(key).await {
                    tracing::warn!(%key, %error, "the catalog does not record the documents yet");
                }
                Ok(result)
            }
            CommitOutcome::Refused(error) => Err(error),
            CommitOutcome::Unknown { reason } => Err(DocumentError::Unknown { reason }),
        }
    }
}

#[cfg(test)]
mod tests;
