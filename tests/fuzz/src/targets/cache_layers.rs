//! Layers of last value and distinct value caches.

use bytes::Bytes;
use neap_bucket::{HEADER_BYTES, StoreTime};
use neap_cache::{
    CacheLayer, CacheQuery, CacheShape, DistinctValues, LastRows, decode_distinct, decode_last,
    encode_distinct, encode_last,
};
use neap_catalog::Table;
use neap_row_delete::Condition;
use neap_schema::CacheId;

use crate::{
    decoder_panics::catch_decoder_panic,
    ipc_memory::has_small_buffers,
    object_bytes::{LAYER_HEADER_BYTES, with_checksum},
};

const KEY: &str = "cache/1/1/layer";

/// The rows of a layer, as a stream of Arrow: in a last value cache, and in a distinct value cache.
pub(crate) fn run(input: &[u8]) {
    if !has_small_buffers(input) {
        return;
    }
    for (cache, shape) in CacheShape::all_of(&cache_table()) {
        let object = with_rows(&empty_layer(cache, &shape), input);
        let layer = catch_decoder_panic(|| decode(cache, &shape, &object));
        if let Some(layer) = layer.flatten() {
            use_layer(cache, &shape, &layer);
        }
    }
}

/// Returns a table with both kinds of cache.
pub fn cache_table() -> Table {
    serde_json::from_str(include_str!("cache_layers.json")).expect("a valid table")
}

/// Returns an object of a cache without rows.
fn empty_layer(cache: CacheId, shape: &CacheShape) -> Bytes {
    encode(cache, &CacheLayer::empty(shape, 0))
}

fn encode(cache: CacheId, layer: &CacheLayer) -> Bytes {
    let encoded = match layer {
        CacheLayer::Last(rows) => encode_last(cache, 7, rows),
        CacheLayer::Distinct(values) => encode_distinct(cache, 7, values),
    };
    encoded.expect("a layer can be encoded")
}

fn decode(cache: CacheId, shape: &CacheShape, object: &Bytes) -> Option<CacheLayer> {
    let last = |rows: LastRows| CacheLayer::Last(rows);
    let distinct = |values: DistinctValues| CacheLayer::Distinct(values);
    match shape {
        CacheShape::Last(shape) => decode_last(cache, KEY, object, shape).map(last).ok(),
        CacheShape::Distinct(shape) => {
            decode_distinct(cache, KEY, object, shape).map(distinct).ok()
        }
    }
}

/// Replaces the rows of an object.
fn with_rows(object: &Bytes, rows: &[u8]) -> Bytes {
    let header = &object[..HEADER_BYTES + LAYER_HEADER_BYTES];
    with_checksum(&[header, rows].concat())
}

/// Does what queries and flushes do with a layer.
fn use_layer(cache: CacheId, shape: &CacheShape, layer: &CacheLayer) {
    let again = decode(cache, shape, &encode(cache, layer)).expect("an encoded layer");
    assert_eq!(again.num_rows(), layer.num_rows());
    let projection: Vec<usize> = (0..shape.schema().fields().len()).collect();
    let query = CacheQuery {
        filters: &[],
        from: 0,
        count: None,
        limit: None,
        projection: &projection,
    };
    // Rows before 1970 are older than the layer states.
    let rows = layer.select(shape, None, &query);
    assert!(rows.expect("the rows of a layer").num_rows() <= layer.num_rows());
    shape.needed_from(StoreTime::from_micros(1));
    let merged = layer.merged(shape, layer, 0).expect("equal layers");
    assert!(merged.num_rows() <= layer.num_rows());
    let condition = Condition::Tag { name: "host".to_owned(), value: Some("a".to_owned()) };
    layer.without(shape, &[&condition], Some(1)).ok();
}
