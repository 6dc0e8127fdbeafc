//! Parsers for option values, shared by the server and the separate functions.
//!
//! | item | parses |
//! |---|---|
//! | [`parse_bytes`], [`parse_count`] | numbers |
//! | [`parse_duration`], [`parse_nonzero_duration`] | durations |
//! | [`MemoryAmount`] | bytes, or a percentage of the available memory |

mod error;
mod memory;
mod numbers;
mod times;

pub use error::OptionValueError;
pub use memory::MemoryAmount;
pub use numbers::{parse_bytes, parse_count};
pub use times::{parse_duration, parse_nonzero_duration};
