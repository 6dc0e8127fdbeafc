//! The values of flags, and the error of a value that cannot be used.

use std::{convert::Infallible, str::FromStr};

use super::ObjectStoreKind;

/// Text that `Debug` output redacts.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("***")]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Error of flags that cannot open a store. Messages name the flag.
#[derive(Debug, thiserror::Error)]
pub enum StoreConfigError {
    /// A flag is missing.
    #[error("--{flag} is needed with --object-store {kind}")]
    Missing {
        /// The flag without its dashes.
        flag: &'static str,
        /// The requested store.
        kind: ObjectStoreKind,
    },
    /// A flag's value can't be used.
    #[error("--{flag}: {reason}")]
    Invalid {
        /// The flag without its dashes.
        flag: &'static str,
        /// The cause, in a form for users.
        reason: String,
    },
}

pub(crate) fn invalid(flag: &'static str, reason: impl ToString) -> StoreConfigError {
    StoreConfigError::Invalid { flag, reason: reason.to_string() }
}

/// Returns a value unless it is empty, because environment variables may be empty.
pub(crate) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}
