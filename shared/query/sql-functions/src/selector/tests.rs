//! Tests of the selectors through SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampNanosecondType};
use datafusion::prelude::SessionConfig;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::Selector;
use crate::testing::{
    error, register_table, rows, session, session_with, table, time_column, time_field,
};

#[tokio::test]
async fn selectors_return_the_row_of_their_value() {
    let session = session();
    insta::assert_snapshot!(table(&session, "
        SELECT room, selector_first(temp, time)['value'] AS f, selector_first(temp, time)['time'] AS ft,
               selector_last(temp,time)['value'] AS l, selector_min(temp,time)['time'] AS mt,
               selector_max(temp,time)['value'] AS mv FROM home GROUP BY room ORDER BY room").await, @r"
    | room        | f    | ft                  | l    | mt                  | mv   |
    | Kitchen     | 21.0 | 2024-01-01T08:00:00 | 22.7 | 2024-01-01T08:00:00 | 23.3 |
    | Living Room | 21.1 | 2024-01-01T08:00:00 | 22.2 | 2024-01-01T08:00:00 | 22.8 |
    ");
    insta::assert_snapshot!(table(&session, "
        SELECT selector_first(temp, time) AS first, selector_last(temp, time) AS last,
               selector_min(temp, time) AS min, selector_max(temp, time) AS max FROM home").await, @r"
    | first                                    | last                                     | min                                      | max                                      |
    | {value: 21.0, time: 2024-01-01T08:00:00} | {value: 22.7, time: 2024-01-01T20:00:00} | {value: 21.0, time: 2024-01-01T08:00:00} | {value: 23.3, time: 2024-01-01T18:00:00} |
    ");
}

#[tokio::test]
async fn ties_are_broken_the_same_way_always() {
    insta::assert_snapshot!(table(&session(), "
        SELECT selector_first(v, t)['value'] AS first, selector_last(v, t)['value'] AS last,
               selector_min(w, t)['time'] AS min, selector_max(w, t)['time'] AS max
        FROM (VALUES (2, 5, TIMESTAMP '2024-01-01'), (1, 5, TIMESTAMP '2024-01-01'), (4, 5, TIMESTAMP '2024-01-02'),
                     (3, 5, TIMESTAMP '2024-01-02')) AS x(v, w, t)").await, @r"
    | first | last | min                 | max                 |
    | 1     | 4    | 2024-01-01T00:00:00 | 2024-01-01T00:00:00 |
    ");
}

#[tokio::test]
async fn values_of_any_type_are_selected() {
    let select = |value: &str| {
        format!("SELECT arrow_typeof(selector_last({value}, time)) AS type, selector_first({value}, time)['value'] AS f,
            selector_max({value}, time)['value'] AS m FROM home")
    };
    let session = session();
    for value in [
        "co",
        "arrow_cast(co, 'UInt64')",
        "temp > 22",
        "room",
        "room::varchar",
        "arrow_cast(room, 'Utf8View')",
        "arrow_cast(co, 'Int16')",
        "arrow_cast(temp, 'Decimal128(10, 2)')",
        "tz(time, 'Europe/Paris')",
        "[co, 2]",
        "NULL",
    ] {
        let grouped = format!("{} GROUP BY true", select(value));
        assert_eq!(
            table(&session, &select(value)).await,
            table(&session, &grouped).await,
            "{value}"
        );
    }
    insta::assert_snapshot!(table(&session, &select("room")).await, @r#"
    | type                                                            | f       | m           |
    | Struct("value": Dictionary(Int32, Utf8), "time": Timestamp(ns)) | Kitchen | Living Room |
    "#);
    insta::assert_snapshot!(table(&session, &select("temp > 22")).await, @r#"
    | type                                            | f     | m    |
    | Struct("value": Boolean, "time": Timestamp(ns)) | false | true |
    "#);
    insta::assert_snapshot!(table(&session, &select("[co, 2]")).await, @r#"
    | type                                                | f      | m       |
    | Struct("value": List(Int64), "time": Timestamp(ns)) | [0, 2] | [26, 2] |
    "#);
    insta::assert_snapshot!(table(&session, &select("arrow_cast(temp, 'Decimal128(10, 2)')")).await, @r#"
    | type                                                      | f     | m     |
    | Struct("value": Decimal128(10, 2), "time": Timestamp(ns)) | 21.00 | 23.30 |
    "#);
}

#[tokio::test]
async fn nulls_do_not_count_and_no_rows_give_null() {
    insta::assert_snapshot!(table(&session(), "
        SELECT g, selector_first(v, t) AS first, selector_max(v, t) FILTER (WHERE v < 3) AS filtered
        FROM (VALUES ('a', NULL, TIMESTAMP '2024-01-01'), ('a', 2, TIMESTAMP '2024-01-02'), ('a', 3, NULL),
                     ('b', NULL, TIMESTAMP '2024-01-01')) AS x(g, v, t) GROUP BY g ORDER BY g").await, @r"
    | g | first                                 | filtered                              |
    | a | {value: 2, time: 2024-01-02T00:00:00} | {value: 2, time: 2024-01-02T00:00:00} |
    | b |                                       |                                       |
    ");
    insta::assert_snapshot!(table(&session(), "SELECT selector_last(temp, time) AS s FROM home WHERE room = 'x'").await,
        @r"
    | s |
    |   |
    ");
}

#[tokio::test]
async fn windows_run_selectors() {
    insta::assert_snapshot!(table(&session(), "
        SELECT time, selector_max(temp, time) OVER (ORDER BY time)['time'] AS max FROM home
        WHERE room = 'Kitchen' ORDER BY time LIMIT 4").await, @r"
    | time                | max                 |
    | 2024-01-01T08:00:00 | 2024-01-01T08:00:00 |
    | 2024-01-01T09:00:00 | 2024-01-01T09:00:00 |
    | 2024-01-01T10:00:00 | 2024-01-01T09:00:00 |
    | 2024-01-01T11:00:00 | 2024-01-01T09:00:00 |
    ");
}

#[tokio::test]
async fn unusable_arguments_are_planning_errors() {
    let session = session();
    insta::assert_snapshot!(error(&session, "SELECT selector_first(temp) FROM home").await, @r"
    Error during planning: Execution error: Function 'selector_first' user-defined coercion failed with: Error during planning: selector_first takes a value and a timestamp. No function matches the given name and argument types 'selector_first(Float64)'. You might need to add explicit type casts.
    	Candidate functions:
    	selector_first(UserDefined)
    ");
    insta::assert_snapshot!(error(&session, "SELECT selector_last(time, temp) FROM home").await, @r"
    Error during planning: Execution error: Function 'selector_last' user-defined coercion failed with: Error during planning: the second argument of selector_last must be a timestamp, not Float64. No function matches the given name and argument types 'selector_last(Timestamp(ns), Float64)'. You might need to add explicit type casts.
    	Candidate functions:
    	selector_last(UserDefined)
    ");
}

fn expected(selector: Selector, rows: &[(i64, Option<i64>)]) -> Option<(i64, i64)> {
    let rows = rows.iter().filter_map(|(time, value)| Some(((*value)?, *time)));
    match selector {
        Selector::First => rows.min_by_key(|(value, time)| (*time, *value)),
        Selector::Last => rows.max_by_key(|(value, time)| (*time, *value)),
        Selector::Min => rows.min_by_key(|(value, time)| (*value, *time)),
        Selector::Max => rows.min_by_key(|(value, time)| (-*value, *time)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]
    /// The same row is selected regardless of how rows are spread over partitions and groups, and of whether the
    /// aggregation has one step or two.
    #[test]
    fn result_does_not_depend_on_order_or_partitions(
        rows_of_groups in prop::collection::vec((0i64..5, 0i64..8, prop::option::weighted(0.8, -3i64..3)), 0..80),
        skip_partial in any::<bool>(),
    ) {
        let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(4);
        if skip_partial {
            let execution = &mut config.options_mut().execution;
            execution.skip_partial_aggregation_probe_rows_threshold = 0;
            execution.skip_partial_aggregation_probe_ratio_threshold = 0.0;
        }
        let session = session_with(config);
        let schema = Arc::new(Schema::new(vec![
            Field::new("g", DataType::Int64, false),
            time_field(),
            Field::new("v", DataType::Int64, true),
        ]));
        let batch = |rows: &[(i64, i64, Option<i64>)]| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
                time_column(rows.iter().map(|row| row.1)),
                Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            ];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        };
        let (a, b) = rows_of_groups.split_at(rows_of_groups.len() / 3);
        register_table(&session, "points", &[batch(a), batch(b)]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for selector in Selector::ALL {
            let name = format!("{selector:?}").to_lowercase();
            let sql = format!("SELECT g, selector_{name}(v, time) AS s FROM points GROUP BY g");
            for batch in runtime.block_on(rows(&session, &sql)) {
                let selected = batch.column(1).as_struct();
                for row in 0..batch.num_rows() {
                    let group = batch.column(0).as_primitive::<Int64Type>().value(row);
                    let found = selected.is_valid(row).then(|| {
                        (selected.column(0).as_primitive::<Int64Type>().value(row),
                         selected.column(1).as_primitive::<TimestampNanosecondType>().value(row))
                    });
                    let of_group: Vec<_> =
                        rows_of_groups.iter().filter(|row| row.0 == group).map(|row| (row.1, row.2)).collect();
                    prop_assert_eq!(found, expected(selector, &of_group), "{} of group {}", name, group);
                }
            }
        }
    }
}
