//! Conversions of values, and selections of rows.

use neap_tsm::{FieldColumn, RowChunk, Strings, ValueType, Values};

/// Converts numbers to floats, or any values to strings.
pub(super) fn convert(values: &Values, to: ValueType) -> Values {
    match to {
        ValueType::String => Values::String(to_strings(values)),
        _ => Values::Float(to_floats(values)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the user has chosen to convert integers to floats"
)]
fn to_floats(values: &Values) -> Vec<f64> {
    match values {
        Values::Float(list) => list.clone(),
        Values::Integer(list) => list.iter().map(|value| *value as f64).collect(),
        Values::Unsigned(list) => list.iter().map(|value| *value as f64).collect(),
        Values::Boolean(list) => list.iter().map(|value| f64::from(u8::from(*value))).collect(),
        Values::String(list) => vec![0.0; list.len()],
    }
}

fn to_strings(values: &Values) -> Strings {
    let mut strings = Strings::default();
    match values {
        Values::Float(list) => list.iter().for_each(|value| strings.push(&value.to_string())),
        Values::Integer(list) => list.iter().for_each(|value| strings.push(&value.to_string())),
        Values::Unsigned(list) => list.iter().for_each(|value| strings.push(&value.to_string())),
        Values::Boolean(list) => list.iter().for_each(|value| strings.push(&value.to_string())),
        Values::String(list) => strings.clone_from(list),
    }
    strings
}

/// Returns the rows of a chunk in which some column has a value.
pub(super) fn with_values(chunk: RowChunk) -> RowChunk {
    if chunk.columns.iter().any(|column| column.present.is_none()) {
        return chunk;
    }
    let mut is_kept = vec![false; chunk.times.len()];
    for present in chunk.columns.iter().filter_map(|column| column.present.as_ref()) {
        for (kept, present) in is_kept.iter_mut().zip(present) {
            *kept |= *present;
        }
    }
    if is_kept.iter().all(|kept| *kept) {
        chunk
    } else {
        select(&chunk, &is_kept)
    }
}

/// Returns the rows of a chunk that are selected.
fn select(chunk: &RowChunk, is_selected: &[bool]) -> RowChunk {
    let runs = runs(is_selected);
    let mut times = Vec::new();
    for run in &runs {
        times.extend_from_slice(chunk.times.get(run.clone()).unwrap_or_default());
    }
    let columns = chunk.columns.iter().map(|column| {
        let mut values = Values::new(column.values.value_type());
        let mut present = column.present.as_ref().map(|_| Vec::new());
        for run in &runs {
            values.extend_from(&column.values, run.clone());
            if let (Some(selected), Some(all)) = (&mut present, &column.present) {
                selected.extend_from_slice(all.get(run.clone()).unwrap_or_default());
            }
        }
        FieldColumn { field: column.field, values, present }
    });
    RowChunk { columns: columns.collect(), times }
}

/// Returns the ranges of rows that are selected.
fn runs(is_selected: &[bool]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (row, _) in is_selected.iter().enumerate().filter(|(_, kept)| **kept) {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_values_are_left_out() {
        let column = |values: &[i64], present: &[bool]| FieldColumn {
            field: 0,
            values: Values::Integer(values.to_vec()),
            present: Some(present.to_vec()),
        };
        let chunk = RowChunk {
            times: vec![1, 2, 3, 4],
            columns: vec![
                column(&[10, 0, 30, 0], &[true, false, true, false]),
                column(&[11, 0, 0, 41], &[true, false, false, true]),
            ],
        };
        let kept = with_values(chunk);
        assert_eq!(kept.times, [1, 3, 4]);
        assert_eq!(kept.columns[0].values, Values::Integer(vec![10, 30, 0]));
        assert_eq!(kept.columns[1].present, Some(vec![true, false, true]));
    }

    #[test]
    fn values_are_converted_to_floats_or_strings() {
        let values = Values::Integer(vec![-1, 2]);
        assert_eq!(convert(&values, ValueType::Float), Values::Float(vec![-1.0, 2.0]));
        let Values::String(strings) = convert(&Values::Boolean(vec![true]), ValueType::String)
        else {
            panic!("strings");
        };
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["true"]);
    }
}
