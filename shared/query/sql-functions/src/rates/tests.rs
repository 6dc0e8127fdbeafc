//! Tests of `difference` and `derivative` through SQL.

use crate::testing::{error, session, table};

#[tokio::test]
async fn derivative_is_the_change_per_unit() {
    insta::assert_snapshot!(table(&session(), "
        SELECT time, derivative(temp, INTERVAL '1 hour', time) OVER (ORDER BY time) AS given,
               derivative(temp, INTERVAL '1 hour') OVER (ORDER BY time) AS ordered,
               derivative(temp, time) OVER (ORDER BY time) * 3600 AS second,
               derivative(temp, arrow_cast(1000000000, 'Duration(Nanosecond)')) OVER (ORDER BY time) * 3600 AS duration,
               non_negative_derivative(temp, '1 hour') OVER (ORDER BY time) AS rising
        FROM home WHERE room = 'Kitchen' ORDER BY time LIMIT 4").await, @r"
    | time                | given               | ordered             | second              | duration            | rising |
    | 2024-01-01T08:00:00 |                     |                     |                     |                     |        |
    | 2024-01-01T09:00:00 | 2.0                 | 2.0                 | 2.0                 | 2.0                 | 2.0    |
    | 2024-01-01T10:00:00 | -0.3000000000000007 | -0.3000000000000007 | -0.3000000000000007 | -0.3000000000000007 |        |
    | 2024-01-01T11:00:00 | -0.3000000000000007 | -0.3000000000000007 | -0.3000000000000007 | -0.3000000000000007 |        |
    ");
}

#[tokio::test]
async fn difference_is_the_change_from_row_to_row() {
    insta::assert_snapshot!(table(&session(), "
        SELECT room, time, difference(temp) OVER w AS float, difference(co) OVER w AS int,
               difference(arrow_cast(100 - co, 'UInt64')) OVER w AS uint,
               non_negative_difference(temp) OVER w AS rising
        FROM home WHERE time < '2024-01-01T10:30:00Z' OR time > '2024-01-01T19:00:00Z'
        WINDOW w AS (PARTITION BY room ORDER BY time) ORDER BY room, time").await, @r"
    | room        | time                | float               | int | uint | rising              |
    | Kitchen     | 2024-01-01T08:00:00 |                     |     |      |                     |
    | Kitchen     | 2024-01-01T09:00:00 | 2.0                 | 0   | 0    | 2.0                 |
    | Kitchen     | 2024-01-01T10:00:00 | -0.3000000000000007 | 0   | 0    |                     |
    | Kitchen     | 2024-01-01T20:00:00 | 0.0                 | 26  | -26  | 0.0                 |
    | Living Room | 2024-01-01T08:00:00 |                     |     |      |                     |
    | Living Room | 2024-01-01T09:00:00 | 0.29999999999999716 | 0   | 0    | 0.29999999999999716 |
    | Living Room | 2024-01-01T10:00:00 | 0.40000000000000213 | 0   | 0    | 0.40000000000000213 |
    | Living Room | 2024-01-01T20:00:00 | 0.3999999999999986  | 17  | -17  | 0.3999999999999986  |
    ");
}

#[tokio::test]
async fn nulls_are_skipped_and_equal_times_have_no_derivative() {
    insta::assert_snapshot!(table(&session(), "
        SELECT v, difference(v) OVER (ORDER BY n) AS d, derivative(v, '1 second', t) OVER (ORDER BY n) AS slope
        FROM (VALUES (1, 1.0, TIMESTAMP '2024-01-01T00:00:00'), (2, NULL, TIMESTAMP '2024-01-01T00:00:01'),
                     (3, 5.0, TIMESTAMP '2024-01-01T00:00:02'), (4, 6.0, TIMESTAMP '2024-01-01T00:00:02'),
                     (5, 4.0, NULL), (6, 5.0, TIMESTAMP '2024-01-01T00:00:03')) AS x(n, v, t) ORDER BY n").await, @r"
    | v   | d    | slope |
    | 1.0 |      |       |
    |     |      |       |
    | 5.0 | 4.0  | 2.0   |
    | 6.0 | 1.0  |       |
    | 4.0 | -2.0 |       |
    | 5.0 | 1.0  |       |
    ");
}

#[tokio::test]
async fn differences_too_large_for_an_integer_are_null() {
    insta::assert_snapshot!(table(&session(), "
        SELECT difference(i) OVER (ORDER BY n) AS int, difference(u) OVER (ORDER BY n) AS uint
        FROM (VALUES (1, -9223372036854775808, arrow_cast(18446744073709551615, 'UInt64')),
                     (2, 9223372036854775807, arrow_cast(0, 'UInt64'))) AS x(n, i, u) ORDER BY n").await, @r"
    | int | uint |
    |     |      |
    |     |      |
    ");
}

#[tokio::test]
async fn derivative_works_over_aggregates() {
    insta::assert_snapshot!(table(&session(), "
        SELECT date_bin(INTERVAL '4 hours', time) AS t,
               derivative(avg(temp), INTERVAL '1 hour') OVER (ORDER BY date_bin(INTERVAL '4 hours', time)) AS d
        FROM home GROUP BY t ORDER BY t").await, @r"
    | t                   | d                    |
    | 2024-01-01T08:00:00 |                      |
    | 2024-01-01T12:00:00 | 0.13750000000000018  |
    | 2024-01-01T16:00:00 | 0.056250000000000355 |
    | 2024-01-01T20:00:00 | -0.06875000000000053 |
    ");
}

#[tokio::test]
async fn unusable_arguments_are_errors() {
    let session = session();
    insta::assert_snapshot!(error(&session, "SELECT derivative(temp) OVER () FROM home").await, @"Error during planning: derivative needs a window that is ordered by time");
    insta::assert_snapshot!(error(&session, "SELECT derivative(temp, '1 hour', co) OVER () FROM home").await, @r"
    Error during planning: Execution error: Function 'derivative' user-defined coercion failed with: Error during planning: the time of derivative must be a timestamp, not Int64. No function matches the given name and argument types 'derivative(Float64, Utf8, Int64)'. You might need to add explicit type casts.
    	Candidate functions:
    	derivative(UserDefined)
    ");
    insta::assert_snapshot!(error(&session, "SELECT difference(time) OVER (ORDER BY time) FROM home").await, @r"
    Error during planning: Execution error: Function 'difference' user-defined coercion failed with: Error during planning: the first argument of difference must be a number, not Timestamp(ns). No function matches the given name and argument types 'difference(Timestamp(ns))'. You might need to add explicit type casts.
    	Candidate functions:
    	difference(UserDefined)
    ");
    insta::assert_snapshot!(error(&session, "SELECT difference(temp, temp) OVER (ORDER BY time) FROM home").await, @r"
    Error during planning: Execution error: Function 'difference' user-defined coercion failed with: Error during planning: difference takes a number. No function matches the given name and argument types 'difference(Float64, Float64)'. You might need to add explicit type casts.
    	Candidate functions:
    	difference(UserDefined)
    ");
    insta::assert_snapshot!(
        error(&session, "SELECT derivative(temp, INTERVAL '1 month') OVER (ORDER BY time) FROM home").await, @"Error during planning: the unit of a derivative cannot be months or years");
}
