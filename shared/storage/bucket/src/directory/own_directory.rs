//! The directory of the store in its root.

/// The store's own directory in the root.
pub(super) const OWN_DIRECTORY: &str = ".neap";
