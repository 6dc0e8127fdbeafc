//! Functions over series.

use super::instance;

#[tokio::test]
async fn changes_from_row_to_row() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT difference(co), derivative(temp, 1h), non_negative_difference(temp) FROM home WHERE room = 'Kitchen'", @"
    m,time,difference,derivative,non_negative_difference
    home,09:00:00,1,2.0,2.0
    home,10:00:00,2,-1.0,
    home,11:00:00,5,0.5,0.5
    ");
    assert_rows!(instance, "SELECT difference(temp) FROM home GROUP BY room", @"
    m,time,room,difference
    home,09:00:00,Kitchen,2.0
    home,10:00:00,Kitchen,-1.0
    home,11:00:00,Kitchen,0.5
    home,09:00:00,Living Room,1.0
    home,11:00:00,Living Room,3.0
    ");
}

#[tokio::test]
async fn rows_without_a_value_are_skipped() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT difference(hum) FROM home", @"
    m,time,difference
    home,11:00:00,1.0
    ");
    assert_rows!(instance, "SELECT elapsed(hum, 1m) FROM home", @"
    m,time,elapsed
    home,08:00:00,0
    home,11:00:00,180
    ");
}

#[tokio::test]
async fn running_functions() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT cumulative_sum(co), moving_average(co, 2), elapsed(co, 1s) FROM home WHERE room = 'Kitchen'", @"
    m,time,cumulative_sum,moving_average,elapsed
    home,08:00:00,0,,0
    home,09:00:00,1,0.5,3600
    home,10:00:00,4,2.0,3600
    home,11:00:00,12,5.5,3600
    ");
    assert_rows!(instance, "SELECT moving_average(temp, 3) FROM home GROUP BY room LIMIT 1", @"
    m,time,room,moving_average
    home,10:00:00,Kitchen,22.0
    home,11:00:00,Living Room,21.666666666666668
    ");
}

#[tokio::test]
async fn calls_that_differ_only_in_a_default_have_the_same_values() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT derivative(temp), derivative(temp, 1s), elapsed(temp), elapsed(temp, 1ns) FROM home WHERE room = 'Kitchen' LIMIT 2", @"
    m,time,derivative,derivative_1,elapsed,elapsed_1
    home,08:00:00,,,0,0
    home,09:00:00,0.0005555555555555556,0.0005555555555555556,3600000000000,3600000000000
    ");
    assert_rows!(instance, "SELECT integral(temp), integral(temp, 1s) FROM home WHERE room = 'Kitchen'", @"
    m,time,integral,integral_1
    home,1970-01-01T00:00:00,240300.0,240300.0
    ");
    assert_rows!(instance, "SELECT derivative(mean(temp)), derivative(mean(temp), 1h) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T10:00:00Z' GROUP BY time(1h)", @"
    m,time,derivative,derivative_1
    home,09:00:00,2.0,2.0
    ");
}

#[tokio::test]
async fn series_functions_of_aggregates_in_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT derivative(mean(temp)) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)", @"
    m,time,derivative
    home,09:00:00,2.0
    home,10:00:00,-1.0
    home,11:00:00,0.5
    ");
    assert_rows!(instance, "SELECT derivative(mean(temp), 30m) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T09:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)", @"
    m,time,derivative
    home,09:00:00,1.0
    home,10:00:00,-0.5
    home,11:00:00,0.25
    ");
    assert_rows!(instance, "SELECT cumulative_sum(sum(co)), sum(co) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)", @"
    m,time,cumulative_sum,sum
    home,07:00:00,,
    home,08:00:00,0,0
    home,09:00:00,0,0
    home,10:00:00,,
    home,11:00:00,2,2
    ");
    assert_rows!(instance, "SELECT difference(count(temp)) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)", @"
    m,time,difference
    home,07:00:00,0
    home,08:00:00,1
    home,09:00:00,0
    home,10:00:00,-1
    home,11:00:00,1
    ");
    assert_rows!(instance, "SELECT moving_average(mean(temp), 2) FROM home WHERE time >= '2023-11-14T09:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h), room FILL(previous)", @"
    m,time,room,moving_average
    home,09:00:00,Kitchen,22.0
    home,10:00:00,Kitchen,22.5
    home,11:00:00,Kitchen,22.25
    home,09:00:00,Living Room,20.5
    home,10:00:00,Living Room,21.0
    home,11:00:00,Living Room,22.5
    ");
}

#[tokio::test]
async fn expressions_of_series_functions() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT abs(difference(temp)) * 2 FROM home WHERE room = 'Kitchen'", @"
    m,time,abs
    home,09:00:00,4.0
    home,10:00:00,2.0
    home,11:00:00,1.0
    ");
    assert_rows!(instance, "SELECT derivative(*) FROM home WHERE room = 'Kitchen' LIMIT 1", @"
    m,time,derivative_co,derivative_hum,derivative_temp
    home,09:00:00,0.0002777777777777778,,0.0005555555555555556
    ");
}
