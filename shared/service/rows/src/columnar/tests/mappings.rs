//! Tags, tables and mappings that do not fit their batches.

use arrow_array::{
    Array, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array,
    LargeBinaryArray, LargeStringArray, RunArray, StringArray, cast::AsArray, types::Int32Type,
};

use super::*;
use crate::columnar::{MappingError, NumberedBatch, TablePart};

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn named_tags_have_the_order_of_their_names_and_may_be_numbers() {
    let parsed = validate_with(
        mapping(named_tags(&["rack", "host", "up"]), TimeColumn::default()),
        vec![
            ("up", Arc::new(BooleanArray::from(vec![true]))),
            ("host", texts(&["a"])),
            ("rack", Arc::new(Int32Array::from(vec![7]))),
            ("v", integers(&[1])),
        ],
        &TestDatabase::default(),
    );
    let names: Vec<_> = parsed.tables[0]
        .new_columns
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    assert_eq!(
        names,
        [
            ("rack", ColumnType::Tag),
            ("host", ColumnType::Tag),
            ("up", ColumnType::Tag),
            ("v", ColumnType::Integer)
        ]
    );
    let rack = column(&parsed, "rack");
    let values = rack.as_dictionary::<Int32Type>().values();
    assert_eq!(values.as_string::<i32>().value(0), "7");
}

#[test]
fn the_table_decides_whether_a_text_without_a_role_is_a_tag() {
    let database =
        TestDatabase::with_table("m", &[("host", ColumnType::Tag), ("note", ColumnType::String)]);
    let notes: DictionaryArray<Int32Type> = vec!["x"].into_iter().collect();
    let columns = || -> Vec<(&str, ArrayRef)> {
        vec![("host", texts(&["a"])), ("note", Arc::new(notes.clone()))]
    };
    for tags in [TagColumns::ByType, named_tags(&[])] {
        let mapping = mapping(tags, TimeColumn::default());
        let parsed = validate_with(mapping, columns(), &database);
        assert_eq!(messages(&parsed), []);
        assert_eq!(parsed.tables[0].new_columns, []);
    }
    let mapping = mapping(named_tags(&["note"]), TimeColumn::default());
    let columns = [columns(), vec![("v", integers(&[1]))]].concat();
    let parsed = validate_with(mapping, columns, &database);
    assert_eq!(
        messages(&parsed),
        [(
            1,
            "invalid column type for column 'note', expected iox::column_type::field::string, got iox::column_type::tag"
        )]
    );
}

#[test]
fn mappings_that_do_not_fit_are_refused() {
    let new = |mapping: ColumnMapping, columns: Vec<(&str, ArrayRef)>| {
        ColumnarRows::new(mapping, vec![batch(columns)]).unwrap_err()
    };
    let time_column =
        |name: &str| TimeColumn { name: Some(name.to_owned()), ..TimeColumn::default() };
    assert_eq!(
        new(ColumnMapping::default(), vec![("a", integers(&[1]))]),
        MappingError::NoTable
    );
    let default = || mapping(TagColumns::ByType, TimeColumn::default());
    assert_eq!(
        new(default(), vec![("a", integers(&[1])), ("", integers(&[1]))]),
        MappingError::UnnamedColumn(2)
    );
    assert_eq!(
        new(default(), vec![("a", integers(&[1])), ("a", integers(&[1]))]),
        MappingError::DuplicateColumn("a".to_owned())
    );
    assert_eq!(
        new(mapping(TagColumns::ByType, time_column("ts")), vec![("a", integers(&[1]))]),
        MappingError::NoTimeColumn("ts".to_owned())
    );
    assert_eq!(
        new(default(), vec![("time", Arc::new(BooleanArray::from(vec![true])))]).to_string(),
        "the time column 'time' has the type Boolean, which holds no time"
    );
}

#[test]
fn rows_of_several_tables_share_numbers_limits_and_errors() {
    let part = |table: &str, first_row, values: &[i64]| TablePart {
        mapping: ColumnMapping::for_table(table),
        batches: vec![NumberedBatch {
            first_row,
            refused: Vec::new(),
            batch: batch(vec![("v", integers(values))]),
            has_tag_dictionaries: false,
        }],
    };
    let rows = ColumnarRows::from_parts(vec![
        part("a", 1, &[1, 2]),
        part("b", 3, &[3]),
        part("a", 4, &[4]),
    ])
    .unwrap();
    let options = Options {
        tables: Some(crate::TableLimit { count: 0, limit: 1 }),
        ..Options::default()
    };
    let parsed = rows.validate(&TestDatabase::default(), &options).unwrap();
    assert_eq!((parsed.lines, parsed.rows), (4, 3));
    assert_eq!(parsed.tables.len(), 1);
    assert_eq!(parsed.tables[0].batch.num_rows(), 3);
    assert_eq!(parsed.errors[0].line_number, 3);
}

#[test]
fn a_column_whose_type_changes_in_a_later_batch_refuses_only_the_rows_that_have_it() {
    let first = batch(vec![
        ("host", Arc::new(vec!["a"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("v", Arc::new(Float64Array::from(vec![1.5]))),
    ]);
    let second = batch(vec![
        ("host", Arc::new(Int64Array::from(vec![Some(1), None, None]))),
        ("v", Arc::new(StringArray::from(vec![None, Some("x"), None]))),
        ("w", integers(&[1, 2, 3])),
    ]);
    let mapping = mapping(TagColumns::ByType, TimeColumn::default());
    let rows = ColumnarRows::new(mapping, vec![first, second]).unwrap();
    let parsed = rows.validate(&TestDatabase::default(), &Options::default()).unwrap();
    assert_eq!((parsed.lines, parsed.rows), (4, 2));
    assert_eq!(parsed.errors.iter().map(|error| error.line_number).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(column(&parsed, "v").null_count(), 1);
    assert_eq!(column(&parsed, "host").logical_null_count(), 1);
}

#[test]
fn encodings_that_would_decode_to_much_memory_are_refused_before() {
    let text = "x".repeat(1 << 20);
    let values: ArrayRef = Arc::new(LargeStringArray::from(vec![text.as_str()]));
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![4_000_000]), &values).unwrap();
    let blobs: ArrayRef = Arc::new(LargeBinaryArray::from(vec![text.as_bytes()]));
    let keys = Int8Array::from(vec![0; 4_000_000]);
    let dictionary = DictionaryArray::new(keys, blobs);
    for column in [Arc::new(runs) as ArrayRef, Arc::new(dictionary)] {
        let whole = batch(vec![("v", Arc::clone(&column))]);
        let new = |batch| {
            ColumnarRows::new(mapping(TagColumns::ByType, TimeColumn::default()), vec![batch])
        };
        let error = new(whole.clone()).unwrap_err();
        assert!(matches!(error, MappingError::TooLarge { bytes, .. } if bytes >= 4_000_000 << 20));
        // A slice needs a part of it.
        let rows = new(whole.slice(1_000, 3)).unwrap();
        assert!((3 << 20..4 << 20).contains(&rows.size_bytes()), "{}", rows.size_bytes());
    }
}

#[test]
fn a_value_type_that_cannot_be_stored_is_not_decoded() {
    let blobs: ArrayRef = Arc::new(LargeBinaryArray::from(vec![&b"x"[..]]));
    let dictionary = DictionaryArray::new(Int8Array::from(vec![0, 0]), blobs);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("b", Arc::new(dictionary)), ("v", integers(&[1, 2]))];
    let parsed = validate(columns, &TestDatabase::default());
    assert_eq!((parsed.rows, parsed.errors.len()), (0, 2));
}

#[test]
fn a_named_tag_is_in_some_batch() {
    let new = |tags: &[&str]| {
        let batches = vec![
            batch(vec![("v", integers(&[1]))]),
            batch(vec![("v", integers(&[1])), ("host", texts(&["a"]))]),
        ];
        ColumnarRows::new(mapping(named_tags(tags), TimeColumn::default()), batches)
    };
    assert!(new(&["host"]).is_ok());
    assert_eq!(new(&["host", "hst"]).unwrap_err(), MappingError::NoTagColumn("hst".to_owned()));
}
