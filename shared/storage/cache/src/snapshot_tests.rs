//! Tests of the format of layers as objects, and of the detection of damage.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, Int64Array};
use neap_bucket::HEADER_BYTES;

use super::*;
use crate::{
    DistinctValuesBuilder, LastRowsBuilder,
    codes::tag_array,
    test_model::{ModelRow, batch, rendered, schema, tags},
};

const CACHE: CacheId = CacheId::new(7);

fn keys() -> Vec<String> {
    vec!["host".to_owned()]
}

fn last_shape(is_wide: bool) -> LastCacheShape {
    LastCacheShape::new(keys(), tags(is_wide), schema(is_wide), 2, Duration::from_secs(1)).unwrap()
}

fn distinct_shape() -> DistinctCacheShape {
    DistinctCacheShape::new(keys(), 10, Duration::from_secs(1))
}

fn rows() -> RecordBatch {
    let row = |host: &str, time| ModelRow {
        tags: [Some("z".to_owned()), Some(host.to_owned()), None],
        time,
        fields: [Some("1".to_owned()), None, None],
    };
    batch(&[row("b", 4), row("a", 5), row("a", 6), row("a", 7), row("c", 3)])
}

fn last() -> LastRows {
    let mut builder = LastRowsBuilder::new(&last_shape(false), 4, usize::MAX);
    builder.push(&rows()).unwrap();
    builder.finish().unwrap()
}

fn distinct() -> DistinctValues {
    let mut builder = DistinctValuesBuilder::new(&distinct_shape(), 4, usize::MAX);
    builder.push(&rows()).unwrap();
    builder.finish().unwrap()
}

fn decoded_last(object: &Bytes) -> Result<LastRows, CacheError> {
    decode_last(CACHE, "k", object, &last_shape(false))
}

fn decoded_distinct(object: &Bytes) -> Result<DistinctValues, CacheError> {
    decode_distinct(CACHE, "k", object, &distinct_shape())
}

/// An object of rows that need not be valid rows of a layer.
fn of_last(rows: &RecordBatch, complete_from: i64) -> Result<Bytes, CacheError> {
    let header = LayerHeader {
        kind: LayerKind::Last,
        cache: CACHE,
        definition: last_shape(false).definition(),
    };
    header.encode(1, rows, complete_from)
}

fn of_distinct(shape: &DistinctCacheShape, rows: &RecordBatch) -> Result<Bytes, CacheError> {
    let header = LayerHeader {
        kind: LayerKind::Distinct,
        cache: CACHE,
        definition: shape.definition(),
    };
    header.encode(1, rows, 4)
}

#[test]
fn a_layer_is_decoded_in_the_current_shape_of_the_table() {
    let object = encode_last(CACHE, 1, &last()).unwrap();
    let back = decoded_last(&object).unwrap();
    assert_eq!((back.batch(), back.complete_from()), (last().batch(), 4));
    assert_eq!((back.num_keys(), back.num_rows()), (2, 3));
    let wide = decode_last(CACHE, "k", &object, &last_shape(true)).unwrap();
    assert_eq!(wide.batch().schema(), schema(true));
    assert_eq!(wide.num_rows(), 3);
    let object = encode_distinct(CACHE, 1, &distinct()).unwrap();
    let back = decoded_distinct(&object).unwrap();
    assert_eq!((back.batch(), back.complete_from()), (distinct().batch(), 4));
}

#[test]
fn the_object_of_another_cache_or_kind_is_refused() {
    let object = encode_last(CACHE, 1, &last()).unwrap();
    let error = decode_last(CacheId::new(8), "k", &object, &last_shape(false)).unwrap_err();
    assert_eq!(error.to_string(), "'k' is damaged: it is of another cache");
    let error = decoded_distinct(&object).unwrap_err();
    assert_eq!(error.to_string(), "'k' is damaged: it is of another kind of cache");
}

#[test]
fn the_object_of_another_definition_with_the_id_of_this_one_is_refused() {
    let refusal = "'k' is damaged: it is of another definition of the cache";
    let object = encode_last(CACHE, 1, &last()).unwrap();
    let decoded = |keys: &[&str], count| {
        let keys = keys.iter().map(ToString::to_string).collect();
        let ttl = Duration::from_secs(60);
        let shape = LastCacheShape::new(keys, tags(false), schema(false), count, ttl).unwrap();
        decode_last(CACHE, "k", &object, &shape).map(|layer| layer.num_rows())
    };
    // The maximum age of rows does not matter, because a layer has the time from which it is complete.
    assert_eq!(decoded(&["host"], 2).unwrap(), 3);
    for (keys, count) in [
        (&["zone"][..], 2),
        (&[], 2),
        (&["host", "zone"], 2),
        (&["host"], 1),
        (&["host"], 3),
    ] {
        let error = decoded(keys, count).unwrap_err();
        assert_eq!(error.to_string(), refusal, "{keys:?} {count}");
    }

    let object = encode_distinct(CACHE, 1, &distinct()).unwrap();
    for (column, max_cardinality) in [("zone", 10), ("host", 9), ("host", 11)] {
        let columns = vec![column.to_owned()];
        let shape = DistinctCacheShape::new(columns, max_cardinality, Duration::from_secs(1));
        let error = decode_distinct(CACHE, "k", &object, &shape).unwrap_err();
        assert_eq!(error.to_string(), refusal, "{column} {max_cardinality}");
    }
}

#[test]
fn an_updated_layer_keeps_its_definition() {
    let shape = last_shape(true);
    let layer = last()
        .conform_to(&shape)
        .unwrap()
        .without(&shape, &[], Some(5))
        .unwrap()
        .merged(&shape, &last(), 6)
        .unwrap();
    let object = encode_last(CACHE, 1, &layer).unwrap();
    let back = decode_last(CACHE, "k", &object, &shape).unwrap();
    assert_eq!((back.num_rows(), back.complete_from()), (2, 6));

    let shape = distinct_shape();
    let layer = distinct()
        .without(&shape, &[], Some(5))
        .unwrap()
        .merged(&shape, &distinct(), 6)
        .unwrap();
    let object = encode_distinct(CACHE, 1, &layer).unwrap();
    let back = decoded_distinct(&object).unwrap();
    assert_eq!((back.len(), back.complete_from()), (1, 6));
}

#[test]
fn combinations_out_of_order_or_twice_are_refused() {
    let columns = vec!["zone".to_owned(), "host".to_owned()];
    let shape = DistinctCacheShape::new(columns, 10, Duration::from_secs(1));
    let texts = || arrow_array::StringArray::from(vec!["a", "b"]);
    let decoded = |zones: Vec<i32>, hosts: Vec<i32>| {
        let seen = arrow_array::TimestampNanosecondArray::from_value(9, zones.len());
        let columns = vec![
            tag_array(zones, texts()).unwrap(),
            tag_array(hosts, texts()).unwrap(),
            Arc::new(seen),
        ];
        let rows = RecordBatch::try_new(Arc::clone(shape.schema()), columns).unwrap();
        let object = of_distinct(&shape, &rows).unwrap();
        decode_distinct(CACHE, "k", &object, &shape).map(|layer| layer.len())
    };
    assert_eq!(decoded(vec![-1, 0, 0, 1], vec![1, 0, 1, -1]).unwrap(), 4);
    for (zones, hosts) in [
        (vec![0, 0], vec![1, 0]),
        (vec![0, 0], vec![1, 1]),
        (vec![1, 0], vec![0, 1]),
        (vec![0, -1], vec![0, 0]),
    ] {
        let error = decoded(zones, hosts).unwrap_err();
        assert_eq!(error.to_string(), "'k' is damaged: its values are not in order");
    }
}

#[test]
fn rows_out_of_order_are_refused() {
    let layer = last();
    let columns: Vec<ArrayRef> = layer.batch().columns().to_vec();
    let indices = Int64Array::from(vec![2, 0, 1]);
    let columns = columns
        .iter()
        .map(|column| arrow_select::take::take(column, &indices, None).unwrap());
    let rows = RecordBatch::try_new(layer.batch().schema(), columns.collect()).unwrap();
    let object = of_last(&rows, 4).unwrap();
    let error = decoded_last(&object).unwrap_err();
    assert_eq!(error.to_string(), "'k' is damaged: its rows are not in order");

    let object = of_last(layer.batch(), 5).unwrap();
    assert!(decoded_last(&object).is_err(), "a row is older than it can be");

    let values = distinct();
    let unsorted = tag_array(vec![1, 0], arrow_array::StringArray::from(vec!["b", "a"])).unwrap();
    let columns = vec![unsorted, Arc::clone(values.batch().column(1))];
    let rows = RecordBatch::try_new(values.batch().schema(), columns).unwrap();
    assert_eq!(rendered(&rows), rendered(values.batch()));
    let object = of_distinct(&distinct_shape(), &rows).unwrap();
    let error = decoded_distinct(&object).unwrap_err();
    assert_eq!(error.to_string(), "'k' is damaged: its values are not in order");
}

#[test]
fn every_flipped_bit_and_every_truncation_is_detected() {
    for object in [
        encode_last(CACHE, 1, &last()).unwrap(),
        encode_distinct(CACHE, 1, &distinct()).unwrap(),
    ] {
        let is_damaged =
            |object: &Bytes| decoded_last(object).is_err() && decoded_distinct(object).is_err();
        for at in (0..6).chain(24..object.len()) {
            let mut bytes = object.to_vec();
            bytes[at] ^= 1 << (at % 8);
            assert!(is_damaged(&bytes.into()), "{at}");
        }
        for end in 0..object.len() {
            assert!(is_damaged(&object.slice(..end)), "{end}");
        }
    }
}

#[test]
fn damaged_bytes_are_refused_or_decode_to_the_written_rows() {
    let objects = [
        encode_last(CACHE, 1, &last()).unwrap(),
        encode_distinct(CACHE, 1, &distinct()).unwrap(),
    ];
    bolero::check!()
        .with_iterations(5_000)
        .with_type::<(bool, u16, u16, Vec<u8>)>()
        .for_each(|(kind, at, removed, inserted)| {
            let mut bytes = objects[usize::from(*kind)].to_vec();
            let start = usize::from(*at) % (bytes.len() + 1);
            let end = (start + usize::from(*removed) % 16).min(bytes.len());
            bytes.splice(start..end, inserted.iter().copied());
            let object = Bytes::from(bytes);
            if let Ok(rows) = decoded_last(&object) {
                assert_eq!(rows.batch(), last().batch());
            }
            if let Ok(values) = decoded_distinct(&object) {
                assert_eq!(values.batch(), distinct().batch());
            }
        });
}

#[test]
fn any_payload_with_its_checksum_that_has_no_stream_is_refused() {
    let object = encode_last(CACHE, 1, &last()).unwrap();
    let payload = object.slice(HEADER_BYTES..);
    for end in 0..PREFIX_BYTES + 16 {
        let cut = FORMAT.encode(1, &payload.slice(..end));
        assert!(decoded_last(&cut).is_err(), "{end}");
    }
}

#[test]
fn contents_of_a_later_version_are_refused_by_their_number() {
    let mut object = encode_last(CACHE, 1, &last()).unwrap().to_vec();
    object[4] += 1;
    let error = decoded_last(&object.into()).unwrap_err();
    let is_newer = matches!(error, CacheError::Format(FormatError::Newer { .. }));
    assert!(is_newer, "{error}");
}
