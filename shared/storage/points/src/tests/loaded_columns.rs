//! Columns that are loaded when they are needed.

use super::*;
use crate::PointsError;

/// All columns but the time.
const OTHERS: [usize; 4] = [0, 1, 2, 4];

/// A tail with only the times.
fn of_times() -> TailImageBuilder {
    TailImageBuilder::with_columns(&tags(), schema(), |_| false)
}

/// Writes rows, or deletes some.
fn apply(builder: &mut TailImageBuilder, step: &ModelStep) {
    match step {
        ModelStep::Write(rows) => builder.push(&batch(rows)).unwrap(),
        ModelStep::Delete(condition) => builder.delete(condition).unwrap(),
    }
}

/// Returns the batches of the rows of some steps.
fn batches(steps: &[ModelStep]) -> Vec<RecordBatch> {
    let rows = steps.iter().filter_map(|step| match step {
        ModelStep::Write(rows) => Some(batch(rows)),
        ModelStep::Delete(_) => None,
    });
    rows.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn columns_that_are_loaded_later_have_the_same_values(
        steps in steps(),
        loaded_at in proptest::array::uniform4(0..12usize),
    ) {
        let mut all = TailImageBuilder::new(&tags(), schema());
        let mut few = of_times();
        let mut images = Vec::new();
        for at in 0..=12 {
            let others = OTHERS.into_iter().zip(loaded_at).filter(|(_, loaded)| *loaded == at);
            let columns: Vec<usize> = others.map(|(column, _)| column).chain([3]).collect();
            if columns.len() > 1 {
                let before = steps.get(..at).unwrap_or(&steps);
                few.load(&columns, &batches(before)).unwrap();
                prop_assert!(few.has_columns(&columns));
            }
            // Tags need not be loaded.
            if loaded_at[..2].iter().all(|loaded| *loaded <= at) {
                images.push((all.image(), few.image()));
            }
            if let Some(step) = steps.get(at) {
                apply(&mut all, step);
                apply(&mut few, step);
            }
        }
        for (all, few) in images {
            prop_assert_eq!(points_of(&few, None), points_of(&all, None));
            let rows = sorted(&few, None, &ALL_TIMES)?;
            prop_assert_eq!(rows, sorted(&all, None, &ALL_TIMES)?);
        }
    }
}

#[test]
fn an_image_has_the_columns_that_were_loaded_before() {
    let rows = batch(&[([Some(1), None], 7, [Some(2), Some(3)])]);
    let mut builder = of_times();
    builder.push(&rows).unwrap();
    let before = builder.image();
    builder.load(&[1], std::slice::from_ref(&rows)).unwrap();
    let after = builder.image();
    assert!(before.has_columns(&[3]));
    for column in OTHERS {
        assert!(!before.has_columns(&[column]));
        assert_eq!(after.has_columns(&[3, column]), column == 1);
    }
    assert!(!after.has_columns(&[5]));
    let loaded: Vec<String> = builder.loaded_columns().into_iter().collect();
    assert_eq!(loaded, ["b", "time"]);
    let among =
        |names: &[&str]| builder.loads_only(&names.iter().map(|name| (*name).to_owned()).collect());
    assert!(among(&["a", "b", "time"]) && among(&["b", "time"]));
    assert!(!among(&["a", "time"]) && !among(&[]));
    let project = |image: &TailImage, columns: &[usize]| {
        let schema = image.schema().project(columns).unwrap_or_else(|_| Schema::empty());
        first_rows(image, columns, &Arc::new(schema))
    };
    let refused = |image, column| project(image, &[3, column]).unwrap_err();
    let not_loaded = "the values of column 'b' are not in memory";
    assert_eq!(refused(&before, 1).to_string(), not_loaded);
    assert!(project(&after, &[3, 1]).is_ok());
    assert!(matches!(refused(&after, 5), PointsError::NotLoaded { .. }));
    let taken = builder.take(&[0], &schema());
    assert!(matches!(taken, Err(PointsError::NotLoaded { column }) if column == "a"));
}

#[test]
fn tags_that_are_not_loaded_come_from_the_index_of_series() {
    let rows = [
        ([Some(1), None], 7),
        ([Some(2), Some(3)], 7),
        ([Some(1), None], 8),
        ([None, Some(3)], 7),
    ];
    let rows = batch(&rows.map(|(tags, time)| (tags, time, [None; 2])));
    let mut builder = of_times();
    builder.push(&rows).unwrap();
    let image = builder.image();
    for columns in [&[3][..], &[4, 3], &[2], &[2, 4]] {
        let schema = Arc::new(schema().project(columns).unwrap());
        let scanned = first_rows(&image, columns, &schema).unwrap();
        for (field, values) in schema.fields().iter().zip(scanned.columns()) {
            assert_eq!(Some(values), rows.column_by_name(field.name()));
        }
    }
}

#[test]
fn a_scan_of_chunks_is_noted_for_later_images() {
    let mut builder = of_times();
    let unscanned =
        |builder: &TailImageBuilder| [0, 2, 3, 4, 5].map(|at| builder.is_unscanned_tag(at));
    assert_eq!(unscanned(&builder), [false, true, false, true, false]);
    let image = builder.image();
    builder.push(&batch(&[([Some(1), None], 7, [None; 2])])).unwrap();
    image.note_scan(&[3, 4, 9]);
    assert_eq!(unscanned(&builder), [false, true, false, false, false]);
}

#[test]
fn columns_of_other_rows_are_refused() {
    let row = ([Some(1), None], 7, [Some(2), Some(3)]);
    let (one, two) = (batch(&[row]), batch(&[row, row]));
    for other in [&[][..], std::slice::from_ref(&two), &[one.clone(), one.clone()]] {
        let mut builder = of_times();
        builder.push(&one).unwrap();
        let refused = builder.load(&[0], other);
        assert!(matches!(refused, Err(PointsError::OtherRows)));
    }
    // A batch without rows is not pushed.
    let mut builder = of_times();
    let empty = one.slice(0, 0);
    for rows in [&one, &empty] {
        builder.push(rows).unwrap();
    }
    builder.load(&[0], &[one, empty]).unwrap();
}

#[test]
fn columns_that_are_not_loaded_take_no_memory() {
    let rows = batch(&[([Some(1), None], 7, [Some(2), Some(3)]); 1_000]);
    let mut builder = of_times();
    builder.push(&rows).unwrap();
    let size = |builder: &TailImageBuilder| builder.size_bytes() - builder.index_bytes();
    let keys = size(&builder);
    // The floats take eight bytes, the integers four.
    for (column, bytes) in [(0, 8_000), (0, 8_000), (1, 12_000)] {
        builder.load(&[column], std::slice::from_ref(&rows)).unwrap();
        let values = keys + bytes;
        assert!((values..values + 1_000).contains(&size(&builder)), "{column}");
    }
    builder.load(&[2, 4], std::slice::from_ref(&rows)).unwrap();
    let mut all = TailImageBuilder::new(&tags(), schema());
    all.push(&rows).unwrap();
    assert_eq!(size(&all), size(&builder));
}

#[test]
fn a_delete_by_a_field_is_refused() {
    let rows = batch(&[([Some(1), None], 7, [Some(2), Some(3)])]);
    let mut builder = of_times();
    builder.push(&rows).unwrap();
    let condition = Condition::Tag { name: "a".to_owned(), value: None };
    assert!(builder.delete(&condition).is_err());
    builder.load(&[0], &[rows]).unwrap();
    assert!(builder.delete(&condition).is_err());
}

#[test]
fn rows_may_lack_tags_of_which_a_series_has_no_value() {
    let mut builder = of_times();
    let lacks = |builder: &mut TailImageBuilder| {
        let image = builder.image();
        ["host", "zone", "a"].map(|tag| image.lacks_tag(tag))
    };
    assert_eq!(lacks(&mut builder), [false, false, true]);
    builder.push(&batch(&[([Some(1), Some(2)], 7, [None; 2])])).unwrap();
    assert_eq!(lacks(&mut builder), [false, false, true]);
    builder.push(&batch(&[([None, Some(2)], 7, [None; 2])])).unwrap();
    assert_eq!(lacks(&mut builder), [true, false, true]);
}
