//! The files of a registry of plugins.

/// A manifest, an index and an archive are parsed or refused.
pub(crate) fn run(input: &[u8]) {
    neap_engine::decode_registry_files(input);
}
