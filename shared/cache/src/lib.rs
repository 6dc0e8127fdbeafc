//! Contents of last value and distinct value caches over tags.
//!
//! What a cache holds follows from the rows of its table and the time alone. It is kept in two layers of one
//! form, which are merged when it is read:
//!
//! ```text
//!     sections up to a mark                      segments above the mark
//!  LastRowsBuilder, or the layer                    TailImageBuilder
//!  of the mark before, merged                      LastTail (an index)
//!             │                                          │ rows
//!             ▼                                          ▼
//!   base: LastRows ── fitted, without ──┐       newer: LastRows
//!     ▲        │                        └── select ──────┘
//!     │        └─ encode_last ─┐               │ filters, limit, columns
//!     └─ decode_last ── object of the bucket   ▼
//!                                          RecordBatch
//! ```
//!
//! [`DistinctValues`] has the same parts by the same names.
//!
//! A layer is exact: it has the newest `count` points of each key, of all that were written to it. A point
//! that is among the newest of both layers together is among the newest of each layer that has a version of
//! it, so that merging layers loses nothing; where both have a version, each column takes the newer layer's
//! value if that is not null. Expiry takes away what is oldest, and needs no refill. A delete may need one:
//! [`CacheError::Incomplete`] says that a layer can't tell what moves up, and that it has to be built again.
//!
//! Layers are sorted, and the dictionaries of their tags too, so that codes compare like values: a look-up is
//! a binary search over integers, and a filter is asked once for each value of a dictionary, never for rows.
//!
//! | file | what it is for |
//! |---|---|
//! | `filter` | which values of a column are wanted |
//! | `codes`, `union` | tags as integers; two dictionaries as one |
//! | `narrow` | the rows of a sorted layer that filters leave |
//! | `coverage` | whether a delete hits all, none or some of the points of a key |
//! | `groups` | the keys of a tail |
//! | `time` | the rows that are young enough |
//! | `last`, `distinct` | the two kinds of cache |
//! | `either` | both behind one face: [`Shape`], [`Layer`], [`LayerBuilder`], [`TailIndex`] |
//! | `definition` | whether a layer is of a definition |
//! | `snapshot` | layers as objects |

mod codes;
mod coverage;
mod definition;
mod distinct;
mod either;
mod error;
mod filter;
mod groups;
mod last;
mod narrow;
mod snapshot;
#[cfg(test)]
mod test_rows;
mod time;
mod union;

pub use distinct::{
    DistinctShape, DistinctTail, DistinctValues, DistinctValuesBuilder, DistinctWanted,
};
pub use either::{CLOCK_SLACK, Layer, LayerBuilder, Shape, TailIndex, Wanted};
pub use error::CacheError;
pub use filter::{KeyFilter, KeyTest, TagTest};
pub use last::{LastRows, LastRowsBuilder, LastShape, LastTail, LastWanted};
pub use snapshot::{decode_distinct, decode_last, encode_distinct, encode_last};
