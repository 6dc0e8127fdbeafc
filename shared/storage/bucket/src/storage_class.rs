//! Storage classes for sections that are read seldom.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// A storage class, or an access tier of Azure, with cheap storage, whose objects are read at once but for a price.
///
/// # Examples
///
/// ```
/// use neap_bucket::StorageClass;
///
/// assert_eq!("glacier_ir".parse::<StorageClass>(), Ok(StorageClass::GlacierIr));
/// let error = "DEEP_ARCHIVE".parse::<StorageClass>().unwrap_err();
/// assert!(error.to_string().contains("restored"));
/// ```
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[serde(try_from = "String", into = "&'static str")]
pub enum StorageClass {
    /// S3 Standard-Infrequent Access.
    StandardIa,
    /// S3 One Zone-Infrequent Access: the objects are lost with their availability zone.
    OnezoneIa,
    /// S3 Intelligent-Tiering.
    IntelligentTiering,
    /// S3 Glacier Instant Retrieval.
    GlacierIr,
    /// Google Nearline.
    Nearline,
    /// Google Coldline.
    Coldline,
    /// Google Archive.
    Archive,
    /// Azure Cool.
    #[strum(serialize = "Cool")]
    Cool,
    /// Azure Cold.
    #[strum(serialize = "Cold")]
    Cold,
}

/// Classes whose objects must be restored before they are read.
const CLASSES_WITH_RESTORE: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Error of a name that is no usable storage class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageClassError {
    /// The objects can't be read at once.
    #[error(
        "objects of the class '{0}' must be restored for hours before they can be read, and queries read at once"
    )]
    NeedsRestore(String),
    /// There is no such class.
    #[error("'{0}' is not a storage class for cold data")]
    Unknown(String),
}

impl StorageClass {
    const ALL: &'static [Self] = Self::VARIANTS;

    /// The classes of Amazon S3. Compatible stores may refuse some of them.
    pub const S3: &'static [Self] =
        &[Self::StandardIa, Self::OnezoneIa, Self::IntelligentTiering, Self::GlacierIr];

    /// The classes of Google Cloud Storage.
    pub const GOOGLE: &'static [Self] = &[Self::Nearline, Self::Coldline, Self::Archive];

    /// The access tiers of Azure Blob Storage. `Archive` is missing, because its objects must be rehydrated before they
    /// are read.
    pub const AZURE: &'static [Self] = &[Self::Cool, Self::Cold];

    /// Returns the name in requests to the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FromStr for StorageClass {
    type Err = StorageClassError;

    /// Parses a name in upper or lower case.
    fn from_str(text: &str) -> Result<Self, StorageClassError> {
        let is_meant = |class: &Self| class.as_str().eq_ignore_ascii_case(text);
        if let Some(class) = Self::ALL.iter().copied().find(is_meant) {
            return Ok(class);
        }
        let needs_restore = CLASSES_WITH_RESTORE.iter().any(|it| it.eq_ignore_ascii_case(text));
        Err(if needs_restore {
            StorageClassError::NeedsRestore(text.to_owned())
        } else {
            StorageClassError::Unknown(text.to_owned())
        })
    }
}

impl TryFrom<String> for StorageClass {
    type Error = StorageClassError;

    fn try_from(text: String) -> Result<Self, StorageClassError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_parsed_from_its_name_in_any_case() {
        for &class in StorageClass::ALL {
            assert_eq!(class.as_str().parse::<StorageClass>(), Ok(class));
            assert_eq!(class.as_str().to_lowercase().parse::<StorageClass>(), Ok(class));
            let json = serde_json::to_string(&class).unwrap();
            assert_eq!(json, format!("{:?}", class.as_str()));
            assert_eq!(serde_json::from_str::<StorageClass>(&json).unwrap(), class);
        }
    }

    #[test]
    fn every_class_belongs_to_one_kind_of_store() {
        let kinds = [StorageClass::S3, StorageClass::GOOGLE, StorageClass::AZURE];
        for &class in StorageClass::ALL {
            assert_eq!(kinds.iter().filter(|it| it.contains(&class)).count(), 1);
        }
    }

    #[test]
    fn classes_that_need_a_restore_are_refused_as_such() {
        for name in ["GLACIER", "deep_archive"] {
            let error = StorageClassError::NeedsRestore(name.to_owned());
            assert_eq!(name.parse::<StorageClass>(), Err(error));
        }
        for name in ["STANDARD", "", "COLD_LINE"] {
            let error = StorageClassError::Unknown(name.to_owned());
            assert_eq!(name.parse::<StorageClass>(), Err(error));
        }
    }
}
