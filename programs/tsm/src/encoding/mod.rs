//! Decoders of timestamps and values.
//!
//! Each decoder appends to a vector that the caller reuses. The first byte of the input has the encoding in its upper
//! half. A decoder never returns more values than its limit, so that a few damaged bytes cannot ask for much memory.

pub(crate) mod bits;
pub(crate) mod booleans;
pub(crate) mod floats;
pub(crate) mod integers;
pub(crate) mod simple8b;
pub(crate) mod text;
pub(crate) mod timestamps;
pub(crate) mod varint;
