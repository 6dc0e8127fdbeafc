//! Tables that keep the values of earlier rows.

use neap_schema::OnDuplicate;

use super::*;
use crate::deduplicate_with;

/// Adds the values that points lack.
fn add_missing(points: &mut Points, rows: &[Row]) {
    for (tags, time, values) in rows {
        let key = (tags.map(|tag| tag.map(text)), *time);
        let point = points.entry(key).or_default();
        let (a, b) = fields(*values);
        *point = (point.0.or(a), point.1.or(b));
    }
}

fn deduplicated(batches: Vec<RecordBatch>) -> RecordBatch {
    deduplicate_with(&tags(), &schema(), batches, OnDuplicate::Keep).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn an_image_and_deduplication_keep_the_first_value_of_each_field(
        steps in steps(),
        split in 0..12usize,
    ) {
        let mut builder =
            TailImageBuilder::new(&tags(), schema()).with_on_duplicate(OnDuplicate::Keep);
        let mut expected = Points::new();
        let mut history = Vec::new();
        let mut images = Vec::new();
        for step in &steps {
            match step {
                ModelStep::Write(rows) => {
                    builder.push(&batch(rows)).unwrap();
                    history.push(TableChange::Rows(batch(rows)));
                    add_missing(&mut expected, rows);
                }
                ModelStep::Delete(condition) => {
                    builder.delete(condition).unwrap();
                    history.push(TableChange::Delete(condition));
                    expected.retain(|(tags, time), _| !holds(condition, tags, *time));
                }
            }
            images.push((builder.image(), expected.clone()));
        }
        for (image, points) in images {
            if !image.chunks.is_empty() {
                check_image(&image, points)?;
            }
        }
        let left = apply_deletes(history).unwrap();
        let (older, newer) = left.split_at(split.min(left.len()));
        let halves = [older, newer].map(|half| deduplicated(half.to_vec()));
        let expected: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(&points(&deduplicated(halves.to_vec())), &expected);
        prop_assert_eq!(points(&deduplicated(left)), expected);
    }

    #[test]
    fn columns_that_are_loaded_later_have_the_first_values(portions in rows()) {
        let mut builder = TailImageBuilder::with_columns(&tags(), schema(), |_| false)
            .with_on_duplicate(OnDuplicate::Keep);
        let mut expected = Points::new();
        let mut batches = Vec::new();
        for rows in &portions {
            builder.push(&batch(rows)).unwrap();
            batches.push(batch(rows));
            add_missing(&mut expected, rows);
        }
        builder.load(&ALL_COLUMNS, &batches).unwrap();
        check_image(&builder.image(), expected)?;
    }
}
