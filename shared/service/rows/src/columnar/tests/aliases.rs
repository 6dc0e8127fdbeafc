//! Columns that a batch names by aliases.

use arrow_array::{Float64Array, cast::AsArray, types::Float64Type};

use super::*;

/// A table `m` with the field `usage`, which has the aliases `load` and `cpu`.
struct RenamedColumn;

impl SchemaView for RenamedColumn {
    fn table(&self, _: &str) -> Option<Arc<TableView>> {
        let mut view = TableView::new([("usage", ColumnType::Float)]);
        view.add_alias("load", "usage");
        view.add_alias("cpu", "usage");
        Some(Arc::new(view))
    }
}

/// The columns of a batch by name.
type NamedValues = Vec<(&'static str, Vec<Option<f64>>)>;

fn validate_aliases(batches: &[NamedValues]) -> ParsedBody {
    let of_batch = |columns: &NamedValues| {
        let mut arrays: Vec<(&str, ArrayRef)> = Vec::new();
        for (name, values) in columns {
            let values: ArrayRef = Arc::new(Float64Array::from(values.clone()));
            arrays.push((*name, values));
        }
        batch(arrays)
    };
    let by_type = mapping(TagColumns::ByType, TimeColumn::default());
    let rows = ColumnarRows::new(by_type, batches.iter().map(of_batch).collect()).unwrap();
    rows.validate(&RenamedColumn, &Options::default()).unwrap()
}

#[test]
fn an_alias_is_the_column_and_no_new_one() {
    let parsed = validate_aliases(&[
        vec![("load", vec![Some(1.0)])],
        vec![("usage", vec![Some(2.0)])],
        vec![("cpu", vec![Some(3.0)])],
    ]);
    assert_eq!(messages(&parsed), []);
    assert!(parsed.tables[0].new_columns.is_empty());
    let values = column(&parsed, "usage");
    assert_eq!(values.as_primitive::<Float64Type>().values(), &[1.0, 2.0, 3.0]);
    assert_eq!(parsed.tables[0].batch.num_columns(), 2);
}

#[test]
fn rows_with_a_value_under_two_names_are_refused() {
    let parsed = validate_aliases(&[vec![
        ("load", vec![Some(1.0), Some(2.0)]),
        ("usage", vec![None, Some(3.0)]),
    ]]);
    let refusal = "'usage' is named twice, by its name and by an alias";
    assert_eq!(messages(&parsed), [(2, refusal)]);
    let values = column(&parsed, "usage");
    assert_eq!(values.as_primitive::<Float64Type>().values(), &[1.0]);
}
