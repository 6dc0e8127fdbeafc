//! Points that are divided into several batches.

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;

use super::*;
use crate::{SortedPoints, times};

proptest! {
    #[test]
    fn parts_of_the_points_have_the_rows_that_all_points_have_in_one_batch(
        portions in rows(),
        assigned in proptest::collection::vec(0..4_usize, 1..20),
    ) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let whole = deduplicate(&tags(), &schema(), batches.clone()).unwrap();
        let sorted = SortedPoints::new(&tags(), batches).unwrap();
        prop_assert_eq!(sorted.len(), whole.num_rows());
        let expected = times(&whole).unwrap().values().to_vec();
        prop_assert_eq!(sorted.times().collect::<Vec<_>>(), expected);
        let mut parts = vec![Vec::new(); 4];
        for (point, part) in (0_u32..).zip(assigned.iter().cycle().take(sorted.len())) {
            parts[*part].push(point);
        }
        let divided = sorted.into_batches(&schema(), parts.clone()).unwrap();
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
