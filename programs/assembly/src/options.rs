//! Parsers for option values, shared by the server and the separate functions.
//!
//! | item | parses |
//! |---|---|
//! | [`parse_bytes`], [`parse_count`] | numbers |
//! | [`parse_duration`], [`parse_nonzero_duration`] | durations |
//! | [`MemoryAmount`] | bytes, or a percentage of the available memory |

mod durations;
mod error;
mod memory;
mod numbers;

pub use durations::{parse_duration, parse_nonzero_duration};
pub use error::OptionValueError;
pub use memory::MemoryAmount;
pub use numbers::{parse_bytes, parse_count};
