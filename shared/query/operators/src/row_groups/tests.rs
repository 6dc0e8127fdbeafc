//! Compares the groups with those of DataFusion.

use std::sync::Arc;

use arrow::{
    array::{
        AsArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampNanosecondArray,
    },
    datatypes::{Field, Int32Type, Schema},
};
use proptest::prelude::*;

use super::*;

type Key = (Option<u8>, Option<u8>, Option<i64>, Option<usize>, Option<bool>);

const FLOATS: [f64; 5] = [0.0, -0.0, f64::NAN, 1.5, f64::INFINITY];

fn batch(keys: &[Key]) -> RecordBatch {
    let texts = |values: Vec<Option<u8>>| -> Vec<Option<String>> {
        let texts = values.into_iter();
        let text = |value: u8| match value {
            0 => String::new(),
            other => format!("t{other}"),
        };
        texts.map(|value| value.map(text)).collect()
    };
    let hosts = texts(keys.iter().map(|key| key.0).collect());
    let zones = texts(keys.iter().map(|key| key.1).collect());
    let hosts = hosts.iter().map(Option::as_deref);
    let columns: [(&str, ArrayRef); 6] = [
        ("host", Arc::new(hosts.collect::<DictionaryArray<Int32Type>>())),
        ("zone", Arc::new(StringArray::from_iter(zones))),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter(keys.iter().map(|key| key.2))),
        ),
        ("number", Arc::new(Int64Array::from_iter(keys.iter().map(|key| key.2)))),
        (
            "float",
            Arc::new(Float64Array::from_iter(keys.iter().map(|key| key.3.map(|at| FLOATS[at])))),
        ),
        ("flag", Arc::new(BooleanArray::from_iter(keys.iter().map(|key| key.4)))),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.map(|(name, values)| (name, values, true)).to_vec(),
    )
    .unwrap()
}

fn keys_strategy() -> impl Strategy<Value = Vec<Key>> {
    let key = (
        prop::option::of(0..3u8),
        prop::option::of(0..2u8),
        prop::option::of(0..2i64),
        prop::option::of(0..FLOATS.len()),
        prop::option::of(any::<bool>()),
    );
    let run = (key, prop_oneof![1..3usize, 20..60usize]);
    prop::collection::vec(run, 1..6).prop_map(|runs| {
        let rows = runs.iter().flat_map(|(key, rows)| std::iter::repeat_n(*key, *rows));
        rows.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn groups_are_those_of_datafusion(
        batches in prop::collection::vec(keys_strategy(), 1..4),
        columns in prop::sample::subsequence(vec![0usize, 1, 2, 3, 4, 5], 1..4),
    ) {
        let schema = batch(&[]).schema();
        let schema = Arc::new(schema.project(&columns).unwrap());
        let mut groups = RowGroups::new(Arc::clone(&schema), &GroupOrdering::None).unwrap();
        let mut by_rows = new_group_values(schema, &GroupOrdering::None).unwrap();
        let mut expected = Vec::new();
        for keys in batches {
            let batch = batch(&keys).project(&columns).unwrap();
            groups.assign(batch.columns(), batch.num_rows()).unwrap();
            by_rows.intern(batch.columns(), &mut expected).unwrap();
            prop_assert_eq!(groups.assigned(), &expected);
            if let Some(runs) = groups.runs() {
                let of_runs = runs
                    .groups
                    .iter()
                    .zip(runs.ranges())
                    .flat_map(|(group, run)| run.map(|_| *group));
                prop_assert_eq!(&of_runs.collect::<Vec<_>>(), &expected);
            }
        }
        prop_assert_eq!(groups.len(), by_rows.len());
        let (found, expected) = (groups.take_keys().unwrap(), by_rows.emit(EmitTo::All).unwrap());
        prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        prop_assert_eq!(groups.len(), 0);
    }
}

#[test]
fn codes_are_those_of_their_dictionary() {
    let tags = |texts: &[&str]| -> ArrayRef {
        Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>())
    };
    let batches = [tags(&["a", "b", "a"]), tags(&["b", "c", "b"])];
    let schema = Schema::new(vec![Field::new("host", batches[0].data_type().clone(), true)]);
    let mut groups = RowGroups::new(Arc::new(schema), &GroupOrdering::None).unwrap();
    let [one, other] = batches.map(|tags| {
        groups.assign(&[tags], 3).unwrap();
        groups.assigned().to_vec()
    });
    assert_eq!(one, [0, 1, 0]);
    assert_eq!(other, [1, 2, 1]);
}

/// Returns batches of one dictionary, which have hosts in no order.
fn shuffled_batches(hosts: usize) -> Vec<ArrayRef> {
    let texts: Vec<String> = (0..3_000).map(|row| format!("h{}", row * 7 % hosts)).collect();
    let tags: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
    let tags: ArrayRef = Arc::new(tags);
    (0..3).map(|at| tags.slice(at * 1_000, 1_000)).collect()
}

/// Returns the groups of the rows. If `emits`, all groups are emitted before the last batch.
fn groups_of(batches: &[ArrayRef], emits: bool) -> Vec<Vec<usize>> {
    let data_type = batches[0].data_type().clone();
    let schema = Schema::new(vec![Field::new("host", data_type, true)]);
    let mut groups = RowGroups::new(Arc::new(schema), &GroupOrdering::None).unwrap();
    let mut found = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        if emits && at == 2 {
            groups.take_keys().unwrap();
        }
        groups.assign(&[Arc::clone(batch)], batch.len()).unwrap();
        found.push(groups.assigned().to_vec());
    }
    found
}

#[test]
fn codes_retain_their_groups_until_these_are_emitted() {
    let batches = shuffled_batches(51);
    let expected = |from: usize| -> Vec<Vec<usize>> {
        let mut known = Vec::new();
        let batches = batches[from..].iter().map(|batch| {
            let tags = batch.as_dictionary::<Int32Type>();
            let codes = tags.keys().values().iter();
            let groups = codes.map(|code| match known.iter().position(|it| it == code) {
                Some(group) => group,
                None => {
                    known.push(*code);
                    known.len() - 1
                }
            });
            groups.collect()
        });
        batches.collect()
    };
    assert_eq!(groups_of(&batches, false), expected(0));
    assert_eq!(groups_of(&batches, true)[..2], expected(0)[..2]);
    assert_eq!(groups_of(&batches, true)[2..], expected(2));
}

#[test]
fn a_run_begins_where_a_key_changes() {
    let key = |host, time| (Some(host), None, Some(time), None, None);
    let keys = [key(1, 0), key(1, 0), key(2, 0), key(2, 1), key(2, 1)];
    let batch = batch(&keys);
    assert_eq!(starts_of_runs(batch.columns(), 5), [0, 2, 3]);
    assert_eq!(starts_of_runs(&batch.columns()[..1], 5), [0, 2]);
    assert!(starts_of_runs(&batch.slice(0, 0).columns()[..1], 0).is_empty());
}
