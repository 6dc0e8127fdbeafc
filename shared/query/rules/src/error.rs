//! Errors of rules.

use neap_bucket::RegisterError;
use neap_catalog::CatalogError;
use neap_rollup::RefreshError;

/// The reason why rules are not valid, or were not evaluated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuleError {
    /// The definition is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The catalog can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The progress can't be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The claim has ended, or the time of the store is unknown.
    #[error(transparent)]
    Claim(#[from] RefreshError),
    /// It is unknown whether rows were stored, or whether the progress was.
    #[error("it is unknown whether the results were stored: {0}")]
    Unknown(String),
}
