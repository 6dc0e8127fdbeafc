//! The frames that the process of a plugin sends.

/// All frames are decoded or refused.
pub(crate) fn run(input: &[u8]) {
    neap_engine::fuzzing::decode_frames(input);
}
