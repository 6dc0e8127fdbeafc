//! What values of options mean, for the server and for functions on their own.
//!
//! | piece | what it reads |
//! |---|---|
//! | [`parse_bytes`], [`parse_count`] | numbers |
//! | [`parse_duration`], [`parse_time`] | spans of time |
//! | [`MemoryAmount`] | bytes, or a share of the memory there is |

mod error;
mod memory;
mod numbers;
mod times;

pub use error::ValueError;
pub use memory::MemoryAmount;
pub use numbers::{parse_bytes, parse_count};
pub use times::{parse_duration, parse_time};
