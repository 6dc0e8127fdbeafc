//! Points that are divided into several batches.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;

use super::*;
use crate::{DividedPoints, FieldColumns, PointSorter, PointsError, times};

/// Returns the rows of the parts, with columns that are loaded in two groups.
fn rows_of_parts(points: &DividedPoints, batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut columns = vec![Vec::new(); points.lengths().count()];
    let schema = schema();
    for group in schema.fields().chunks(schema.fields().len().div_ceil(2)) {
        let mut fields = FieldColumns::new(&tags());
        for batch in batches {
            let names = batch.schema();
            let wanted =
                |at: &usize| group.iter().any(|field| field.name() == names.field(*at).name());
            let wanted: Vec<usize> = (0..batch.num_columns()).filter(wanted).collect();
            fields.add(batch.project(&wanted).unwrap());
        }
        for field in group {
            let of_parts = points.columns(field, &mut fields).unwrap();
            for (columns, column) in columns.iter_mut().zip(of_parts) {
                columns.push(column);
            }
        }
    }
    let batches = columns.into_iter();
    batches
        .map(|columns| RecordBatch::try_new(Arc::clone(&schema), columns).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn parts_of_the_points_have_the_rows_that_all_points_have_in_one_batch(
        portions in rows(),
        assigned in proptest::collection::vec(0..4_usize, 1..20),
    ) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let whole = deduplicate(&tags(), &schema(), batches.clone()).unwrap();
        let mut sorter = PointSorter::new(&tags());
        for batch in &batches {
            sorter.add(batch).unwrap();
        }
        let sorted = sorter.sort();
        prop_assert_eq!(sorted.len(), whole.num_rows());
        let expected = times(&whole).unwrap().values().to_vec();
        prop_assert_eq!(sorted.times().collect::<Vec<_>>(), expected);
        let mut parts = vec![Vec::new(); 4];
        for (point, part) in (0_u32..).zip(assigned.iter().cycle().take(sorted.len())) {
            parts[*part].push(point);
        }
        let sorted = sorted.divide(parts.clone());
        let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
        prop_assert_eq!(sorted.lengths().collect::<Vec<_>>(), lengths);
        let divided = rows_of_parts(&sorted, &batches);
        for (part, rows) in parts.into_iter().zip(&divided) {
            let expected = take_record_batch(&whole, &UInt32Array::from(part)).unwrap();
            prop_assert_eq!(points(rows), points(&expected));
        }
        for tag in tags() {
            let [first, others @ ..] = divided.as_slice() else {
                unreachable!("there are four parts");
            };
            let values = |rows: &RecordBatch| {
                let column = rows.column_by_name(&tag).unwrap();
                Arc::clone(column.as_dictionary::<Int32Type>().values())
            };
            let is_shared = |rows| Arc::ptr_eq(&values(rows), &values(first));
            prop_assert!(others.iter().all(is_shared), "the values of '{}' are copied", tag);
        }
    }
}

#[test]
fn fields_of_other_rows_are_refused() {
    let rows =
        batch(&[([Some(1), None], 1, [Some(1), None]), ([Some(2), None], 1, [None, Some(2)])]);
    let mut sorter = PointSorter::new(&tags());
    sorter.add(&rows).unwrap();
    let points = sorter.sort().divide(vec![vec![0, 1]]);
    let schema = schema();
    let is_field = |name: &str| name != "time" && !tags().iter().any(|tag| tag == name);
    let field = schema.fields().iter().find(|field| is_field(field.name()));
    for others in [vec![], vec![rows.slice(0, 1)], vec![rows.clone(), rows.clone()]] {
        let mut fields = FieldColumns::new(&tags());
        others.into_iter().for_each(|rows| fields.add(rows));
        let error = points.columns(field.unwrap(), &mut fields).unwrap_err();
        assert!(matches!(error, PointsError::OtherRows), "{error}");
    }
}
