//! Columns of other types than those of the other tests.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, DictionaryArray, Int64Array, RecordBatch,
        TimestampNanosecondArray,
    },
    datatypes::{Field, Int32Type, Schema},
};
use datafusion::{
    datasource::{MemTable, provider_as_source},
    logical_expr::LogicalPlanBuilder,
};

use super::{at, query, source::TestSource};
use crate::{LabelColumn, SampleTable};

/// Returns a table of the rows of three columns: the label `job`, times in nanoseconds, and values.
fn table(name: &str, jobs: &[Option<&str>], times: &[i64], values: ArrayRef) -> SampleTable {
    let jobs: DictionaryArray<Int32Type> = jobs.iter().copied().collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("job", Arc::new(jobs)),
        ("time", Arc::new(TimestampNanosecondArray::from(times.to_vec()))),
        ("value", values),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let provider = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap());
    let scan = LogicalPlanBuilder::scan("samples", provider_as_source(provider), None).unwrap();
    SampleTable {
        plan: scan.build().unwrap(),
        constant_labels: vec![("__name__".to_owned(), name.to_owned())],
        labels: vec![LabelColumn { label: "job".to_owned(), column: "job".to_owned() }],
        time_column: "time".to_owned(),
        value_column: Some("value".to_owned()),
        special_value_column: None,
        histogram_column: None,
    }
}

#[tokio::test]
async fn tags_integers_and_booleans_are_read() {
    let jobs = [Some("a"), Some("a"), None, Some("")];
    // Of the samples of a millisecond, the last one counts. A time before 1970 is rounded down.
    let times = [1_000_000_001, 1_000_000_000, 1_000_000_000, 999_999_999];
    let integers = Arc::new(Int64Array::from(vec![2, 1, 3, 4]));
    let booleans = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]));
    let source = TestSource::of_tables(vec![
        table("integers", &jobs, &times, integers),
        table("booleans", &jobs, &times, booleans),
    ]);
    let mut found = query(&source, r#"{__name__=~"integers|booleans"}"#, at(1)).await;
    found.sort();
    assert_eq!(
        found,
        [
            r#"{__name__="booleans", job="a"} 1"#,
            r#"{__name__="booleans"} 0"#,
            r#"{__name__="integers", job="a"} 2"#,
            r#"{__name__="integers"} 3"#,
        ]
    );
    let times = [-1, 0, 0, 0];
    let before = Arc::new(Int64Array::from(vec![Some(7), None, None, None]));
    let source = TestSource::of_tables(vec![table("x", &jobs, &times, before)]);
    assert_eq!(query(&source, "timestamp(x)", at(0)).await, [r#"{job="a"} -0.001"#]);
}
