//! Names of the metadata objects of published tables.

use std::str::FromStr;

/// The name of a metadata object of a published table, below `published/iceberg/<database>/<table>/metadata/`.
///
/// A publication has a number, which is part of the names of its objects. The names are those that readers of Iceberg
/// tables without a catalog expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, derive_more::Display)]
pub enum PublishedObject {
    /// The object with the number of the current metadata.
    #[display("version-hint.text")]
    VersionHint,
    /// The metadata of the table: schema, properties and the snapshot.
    #[display("v{_0}.metadata.json")]
    Metadata(u64),
    /// The list of the manifests of the snapshot.
    #[display("snap-{_0}.avro")]
    ManifestList(u64),
    /// The list of the data files of the snapshot.
    #[display("files-{_0}.avro")]
    Manifest(u64),
}

impl PublishedObject {
    /// The number of the publication to which the object belongs; `None` for the version hint.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::VersionHint => None,
            Self::Metadata(number) | Self::ManifestList(number) | Self::Manifest(number) => {
                Some(number)
            }
        }
    }

    /// Returns the number of the current publication in the bytes of a version hint.
    pub fn hinted_number(hint: &[u8]) -> Option<u64> {
        str::from_utf8(hint).ok()?.trim().parse().ok()
    }
}

/// Error for text that is not the name of a metadata object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not the name of an object of a published table")]
pub struct PublishedObjectError(String);

impl FromStr for PublishedObject {
    type Err = PublishedObjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| PublishedObjectError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<PublishedObject> {
    if text == "version-hint.text" {
        return Some(PublishedObject::VersionHint);
    }
    if let Some(number) = text.strip_suffix(".metadata.json") {
        let number = number.strip_prefix('v')?.parse().ok()?;
        return Some(PublishedObject::Metadata(number));
    }
    let (kind, number) = text.strip_suffix(".avro")?.split_once('-')?;
    let number = number.parse().ok()?;
    match kind {
        "snap" => Some(PublishedObject::ManifestList(number)),
        "files" => Some(PublishedObject::Manifest(number)),
        _ => None,
    }
}
