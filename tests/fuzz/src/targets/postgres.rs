//! The messages of PostgreSQL's clients.

/// All messages are decoded or refused.
pub(crate) fn message(input: &[u8]) {
    neap_postgres::fuzzing::decode_message(input);
}
