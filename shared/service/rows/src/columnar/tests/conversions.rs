//! Types of columns, and values that do not fit them.

use arrow_array::{
    Array, BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int16Array,
    Int64Array, LargeStringArray, ListArray, NullArray, StringArray, UInt8Array, UInt64Array,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, UInt64Type},
};

use super::*;

#[test]
fn numbers_of_all_widths_are_stored_in_64_bits() {
    let parsed = validate(
        vec![
            ("i", Arc::new(Int16Array::from(vec![-1]))),
            ("u", Arc::new(UInt8Array::from(vec![255]))),
            ("f", Arc::new(Float32Array::from(vec![0.5]))),
            (
                "d",
                Arc::new(Decimal128Array::from(vec![125]).with_precision_and_scale(5, 2).unwrap()),
            ),
            ("b", Arc::new(BooleanArray::from(vec![true]))),
            ("s", Arc::new(LargeStringArray::from(vec!["x"]))),
            ("n", Arc::new(NullArray::new(1))),
        ],
        &TestDatabase::default(),
    );
    assert_eq!(messages(&parsed), []);
    let expected = [
        ("i", ColumnType::Integer),
        ("u", ColumnType::UInteger),
        ("f", ColumnType::Float),
        ("d", ColumnType::Float),
        ("b", ColumnType::Boolean),
        ("s", ColumnType::String),
    ];
    let new_columns = &parsed.tables[0].new_columns;
    assert!(new_columns.iter().map(|(name, kind)| (name.as_str(), *kind)).eq(expected));
    assert_eq!(column(&parsed, "d").as_primitive::<Float64Type>().value(0), 1.25);
}

#[test]
fn numbers_are_converted_to_the_type_of_the_table_if_they_are_exact() {
    let database = TestDatabase::with_table(
        "m",
        &[
            ("f", ColumnType::Float),
            ("i", ColumnType::Integer),
            ("u", ColumnType::UInteger),
            ("d", ColumnType::Integer),
        ],
    );
    let decimals = Decimal128Array::from(vec![900_719_925_474_099_300, 150, 100, 100, 100])
        .with_precision_and_scale(38, 2)
        .unwrap();
    let parsed = validate(
        vec![
            ("f", Arc::new(Int64Array::from(vec![1, 2, 9_007_199_254_740_993, 4, 5]))),
            ("i", Arc::new(UInt64Array::from(vec![1, 2, 3, u64::MAX, 5]))),
            ("u", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0, -1.0]))),
            ("d", Arc::new(decimals)),
        ],
        &database,
    );
    assert_eq!(
        messages(&parsed),
        [
            (
                2,
                "value `1.50` of column 'd' cannot be stored exactly as iox::column_type::field::integer"
            ),
            (
                3,
                "value `9007199254740993` of column 'f' cannot be stored exactly as iox::column_type::field::float"
            ),
            (
                4,
                "value `18446744073709551615` of column 'i' cannot be stored exactly as iox::column_type::field::integer"
            ),
            (
                5,
                "value `-1.0` of column 'u' cannot be stored exactly as iox::column_type::field::uinteger"
            ),
        ]
    );
    assert_eq!(parsed.rows, 1);
    assert_eq!(column(&parsed, "f").as_primitive::<Float64Type>().value(0), 1.0);
    assert_eq!(column(&parsed, "i").as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(column(&parsed, "u").as_primitive::<UInt64Type>().value(0), 1);
    assert_eq!(column(&parsed, "d").as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
}

#[test]
fn values_that_cannot_be_stored_refuse_their_row() {
    let long = "x".repeat((1 << 20) + 1);
    let parsed = validate(
        vec![
            (
                "f",
                Arc::new(Float64Array::from(vec![
                    Some(1.0),
                    Some(f64::NAN),
                    Some(f64::INFINITY),
                    None,
                    None,
                ])),
            ),
            ("s", Arc::new(StringArray::from(vec![None, None, None, Some(&*long), None]))),
        ],
        &TestDatabase::default(),
    );
    assert_eq!(
        messages(&parsed),
        [
            (2, "Unable to parse floating-point value `NaN` of column 'f'"),
            (3, "Unable to parse floating-point value `inf` of column 'f'"),
            (4, "String is greater than 1MB in column 's'"),
            (5, "No fields were provided"),
        ]
    );
    let rendered: Vec<_> = parsed.errors.iter().map(|error| error.original_line.len()).collect();
    assert_eq!(rendered, ["f=NaN".len(), "f=inf".len(), "s=...".len() + 64, 0]);
    assert_eq!(parsed.rows, 1);
    assert!(parsed.tables[0].batch.column_by_name("s").is_none());
}

#[test]
fn a_column_of_another_type_refuses_the_rows_with_a_value() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]);
    let parsed = validate(
        vec![("f", Arc::new(Float64Array::from(vec![1.0, 2.0]))), ("l", Arc::new(lists))],
        &TestDatabase::default(),
    );
    assert_eq!(parsed.rows, 1);
    let message = &parsed.errors[0].error_message;
    assert!(message.starts_with("column 'l' has the type List("), "{message}");
    assert!(message.ends_with("), which cannot be stored"), "{message}");
}

#[test]
fn a_dictionary_keeps_only_the_values_of_accepted_rows_without_duplicates() {
    let keys = arrow_array::Int8Array::from(vec![Some(3), Some(1), Some(0), None, Some(2)]);
    let values = StringArray::from(vec!["a", "", "a", "b", "unused"]);
    let tags = DictionaryArray::try_new(keys, Arc::new(values)).unwrap();
    let parsed = validate(
        vec![("t", Arc::new(tags)), ("v", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])))],
        &TestDatabase::default(),
    );
    let array = column(&parsed, "t");
    let tags = array.as_dictionary::<Int32Type>();
    assert_eq!(tags.values().as_string::<i32>(), &StringArray::from(vec!["b", "a"]));
    let keys: Vec<_> = tags.keys().iter().collect();
    assert_eq!(keys, [Some(0), None, Some(1), None, Some(1)]);
}

#[test]
fn the_size_counts_a_text_of_a_dictionary_once_for_each_row() {
    let text = "x".repeat(1000);
    let tags: DictionaryArray<Int32Type> = vec![&*text; 100].into_iter().collect();
    let array: ArrayRef = Arc::new(tags);
    assert!(array.get_array_memory_size() < 10_000);
    let mapping = mapping(TagColumns::ByType, TimeColumn::default());
    let rows = ColumnarRows::new(mapping, vec![batch(vec![("t", array)])]).unwrap();
    assert_eq!(rows.size_bytes(), 100 * (1000 + 4));
}
