//! The version of the program.

/// Version of Neap.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Source revision of the build, if set at build time.
pub(super) const REVISION: &str = match option_env!("NEAP_REVISION") {
    Some(revision) => revision,
    None => "0000000",
};
