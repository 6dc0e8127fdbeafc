//! Fuzz targets: functions that decode bytes which Neap did not write itself, or wrote long ago.
//!
//! ```text
//!   corpus/TARGET/*  ─┐
//!                     ├─ neap-fuzz (libFuzzer) ── run_target ── a decoder of the product
//!   new inputs       ─┘                              ▲
//!   corpus/TARGET/*  ─── tests of `tests/inputs` ────┘  without libFuzzer
//! ```
//!
//! A target must not panic, run for more than 10 s, or allocate more than [`MAX_INPUT_MEMORY_BYTES`]. Many targets also assert
//! a property, for example that accepted text is parsed equally when it is written again. `scripts/fuzz` builds and
//! runs the targets.
//!
//! # A new target
//!
//! Write a function `fn(&[u8])` in a file of `targets`, add it to [`TARGETS`], and add inputs to `corpus/NAME`: by hand
//! if they are text, or in `src/bin/seeds` if the product encodes them.

mod corpus;
mod decoder_panics;
mod empty_schema;
mod ipc_memory;
mod memory_limit;
mod object_bytes;
mod stored_object;
mod targets;

pub use corpus::{CorpusError, replay_corpora};
pub use decoder_panics::abort_on_panic;
pub use memory_limit::{LimitedAllocator, MAX_INPUT_MEMORY_BYTES};
pub use object_bytes::LAYER_HEADER_BYTES;
pub use targets::{TARGETS, Target, cache_table, run_target};
