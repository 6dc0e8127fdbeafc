//! So many values that some of their hashes have the same part.

use super::*;

/// Of so many values, ten pairs have the same 32 bits of their hashes on average, and of the tag sets as well.
const VALUES: i32 = 300_000;

/// Returns rows with a value of each tag, in ascending or descending order.
fn rows(order: impl Iterator<Item = i32>) -> RecordBatch {
    let keys: Vec<i32> = order.collect();
    let values: StringArray = (0..VALUES).map(|value| Some(format!("{value:x}"))).collect();
    let values: ArrayRef = Arc::new(values);
    let tag = |offset: i32| -> ArrayRef {
        let keys = keys.iter().map(|key| (key + offset) % VALUES);
        let keys = Int32Array::from_iter_values(keys);
        Arc::new(DictionaryArray::try_new(keys, Arc::clone(&values)).unwrap())
    };
    let schema =
        Schema::new(vec![ColumnType::Tag.arrow_field("host"), ColumnType::Tag.arrow_field("zone")]);
    RecordBatch::try_new(Arc::new(schema), vec![tag(0), tag(7)]).unwrap()
}

#[test]
fn values_and_tag_sets_with_alike_hashes_have_their_own_numbers() {
    let mut index = SeriesIndex::new(&tags());
    let mut series = Vec::new();
    index.resolve(&rows(0..VALUES), &mut series).unwrap();
    index.resolve(&rows((0..VALUES).rev()), &mut series).unwrap();
    let count = u32::try_from(VALUES).unwrap();
    assert!(series.into_iter().eq((0..count).chain((0..count).rev())));
    let values = index.sorted_values(0).unwrap();
    assert_eq!(values.values().len(), index.len());
}
