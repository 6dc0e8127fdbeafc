//! Contents of last value and distinct value caches over tags.
//!
//! The contents of a cache depend only on the rows of its table and on the time. They are stored in two layers of the
//! same form, which are merged when the cache is read:
//!
//! ```text
//!     sections up to a mark                      segments above the mark
//!  LastRowsBuilder, or the base layer               TailImageBuilder
//!  of the previous mark, merged                    LastTail (an index)
//!             │                                          │ rows
//!             ▼                                          ▼
//!   base layer: LastRows ── fitted, without ──┐   newer: LastRows
//!     ▲        │                              └─ select ─┘
//!     │        └─ encode_last ─┐                 │ filters, limit, columns
//!     └─ decode_last ── object of the bucket     ▼
//!                                            RecordBatch
//! ```
//!
//! [`DistinctValues`] has the same parts with the same names.
//!
//! A layer is exact: of all points written to it, it has the newest `count` points of each key. A point that is among
//! the newest of both layers together is among the newest of each layer that has a version of it, so merging layers
//! loses nothing. If both layers have a version of a point, each column takes the newer layer's value unless that is
//! null. Expiry removes the oldest points and needs no refill. A delete may need one: [`CacheError::Incomplete`] means
//! that the layer does not know which points replace the deleted ones and must be rebuilt.
//!
//! Layers are sorted, and so are the dictionaries of their tags. Therefore codes compare like values: a lookup is a
//! binary search over integers, and a filter is evaluated once for each value of a dictionary, never for rows.
//!
//! | file | purpose |
//! |---|---|
//! | `filter` | filters on the values of key columns |
//! | `codes`, `dictionary_union` | tags as integers; the union of two dictionaries |
//! | `select_rows` | the rows of a sorted layer that pass filters |
//! | `coverage` | whether a delete covers all, none or some of the points of a key |
//! | `key_groups` | the keys of a tail |
//! | `row_age` | removal of rows that are too old |
//! | `last`, `distinct` | the two kinds of cache |
//! | `cache_layer` | one interface to both kinds: [`CacheShape`], [`CacheLayer`], [`CacheLayerBuilder`], [`CacheTailIndex`] |
//! | `definition` | the checksum that ties a layer to the definition of its cache |
//! | `layer_codec` | the encoding of layers as objects |

mod cache_layer;
mod codes;
mod coverage;
mod definition;
mod dictionary_union;
mod distinct;
mod error;
mod filter;
mod key_groups;
mod last;
mod layer_codec;
mod layer_selection;
mod row_age;
#[cfg(test)]
mod test_model;

pub use cache_layer::{
    CLOCK_SLACK, CacheLayer, CacheLayerBuilder, CacheQuery, CacheShape, CacheTailIndex,
};
pub use distinct::{
    DistinctCacheQuery, DistinctCacheShape, DistinctTailIndex, DistinctValues,
    DistinctValuesBuilder,
};
pub use error::CacheError;
pub use filter::{KeyFilter, KeyPredicate, TagPredicate};
pub use last::{LastCacheQuery, LastCacheShape, LastRows, LastRowsBuilder, LastTailIndex};
pub use layer_codec::{decode_distinct, decode_last, encode_distinct, encode_last};
