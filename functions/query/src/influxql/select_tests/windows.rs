//! `GROUP BY time`.

use super::instance;

#[tokio::test]
async fn empty_windows_are_filled_with_null() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(temp) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)", @"
    m,time,mean
    home,07:00:00,
    home,08:00:00,20.0
    home,09:00:00,21.0
    home,10:00:00,
    home,11:00:00,24.0
    ");
}

#[tokio::test]
async fn each_way_to_fill() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(temp), count(temp) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(none)", @"
    m,time,mean,count
    home,08:00:00,20.0,1
    home,09:00:00,21.0,1
    home,11:00:00,24.0,1
    ");
    assert_rows!(instance, "SELECT mean(temp), count(temp) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(previous)", @"
    m,time,mean,count
    home,07:00:00,,
    home,08:00:00,20.0,1
    home,09:00:00,21.0,1
    home,10:00:00,21.0,1
    home,11:00:00,24.0,1
    ");
    assert_rows!(instance, "SELECT mean(temp), count(temp), last(note) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(linear)", @"
    m,time,mean,count,last
    home,07:00:00,,,
    home,08:00:00,20.0,1,
    home,09:00:00,21.0,1,open
    home,10:00:00,22.5,1,
    home,11:00:00,24.0,1,
    ");
    assert_rows!(instance, "SELECT mean(temp), count(temp), sum(co) FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(7.5)", @"
    m,time,mean,count,sum
    home,07:00:00,7.5,7,7
    home,08:00:00,20.0,1,0
    home,09:00:00,21.0,1,0
    home,10:00:00,7.5,7,7
    home,11:00:00,24.0,1,2
    ");
}

#[tokio::test]
async fn series_begin_with_their_first_row_and_end_now() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE time < '2023-11-14T12:00:00Z' AND temp > 21 GROUP BY time(1h), room", @"
    m,time,room,count
    home,09:00:00,Kitchen,1
    home,10:00:00,Kitchen,1
    home,11:00:00,Kitchen,1
    home,11:00:00,Living Room,1
    ");
    assert_rows!(instance, "SELECT sum(co) FROM home GROUP BY time(4h)", @"
    m,time,sum
    home,08:00:00,14
    home,12:00:00,
    home,16:00:00,
    home,20:00:00,
    ");
}

#[tokio::test]
async fn a_range_without_rows_has_no_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(temp) FROM home WHERE time >= '2023-11-14T04:00:00Z' AND time < '2023-11-14T07:00:00Z' GROUP BY time(1h)", @"");
}

#[tokio::test]
async fn windows_can_be_shifted() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h, 1h)", @"
    m,time,count
    home,07:00:00,2
    home,09:00:00,3
    home,11:00:00,2
    ");
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h, -30m) FILL(none)", @"
    m,time,count
    home,07:30:00,4
    home,09:30:00,3
    ");
}

#[tokio::test]
async fn windows_align_to_the_local_time_of_a_zone() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE time >= '2023-11-14T00:00:00Z' AND time < '2023-11-15T00:00:00Z' GROUP BY time(1d) TZ('America/New_York')", @"
    m,time,count
    home,2023-11-13T00:00:00-05:00,0
    home,00:00:00-05:00,7
    ");
}

#[tokio::test]
async fn descending_windows_and_limits() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(temp) FROM home WHERE time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(none) ORDER BY time DESC LIMIT 2", @"
    m,time,max
    home,11:00:00,24.0
    home,10:00:00,22.0
    ");
    assert_rows!(instance, "SELECT count(temp) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h), room LIMIT 1 OFFSET 2", @"
    m,time,room,count
    home,10:00:00,Kitchen,1
    home,10:00:00,Living Room,0
    ");
}

#[tokio::test]
async fn selectors_have_the_time_of_the_window() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(temp) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,max
    home,08:00:00,23.0
    home,10:00:00,24.0
    ");
    assert_rows!(instance, "SELECT last(temp), room FROM home WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,last,room
    home,06:00:00,,
    home,08:00:00,23.0,Kitchen
    home,10:00:00,24.0,Living Room
    ");
    assert_rows!(instance, "SELECT last(temp), hum FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h) FILL(previous)", @"
    m,time,last,hum
    home,07:00:00,,
    home,08:00:00,20.0,
    home,09:00:00,21.0,
    home,10:00:00,21.0,
    home,11:00:00,24.0,36.5
    ");
    assert_rows!(instance, "SELECT percentile(temp, 90) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h) FILL(none)", @"
    m,time,percentile
    home,08:00:00,23.0
    home,10:00:00,24.0
    ");
}

#[tokio::test]
async fn integrals_are_cut_where_windows_end() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT integral(temp, 1h) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T07:30:00Z' AND time < '2023-11-14T11:30:00Z' GROUP BY time(2h, 30m)", @"
    m,time,integral
    home,06:30:00,10.75
    home,08:30:00,44.8125
    home,10:30:00,11.1875
    ");
}

#[tokio::test]
async fn distinct_values_of_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT distinct(co) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,distinct
    home,08:00:00,0
    home,08:00:00,1
    home,10:00:00,2
    home,10:00:00,3
    home,10:00:00,8
    ");
}

#[tokio::test]
async fn points_after_now_are_not_in_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(v) FROM ints GROUP BY time(2h) FILL(none)", @"
    m,time,count
    ints,08:00:00,2
    ints,10:00:00,1
    ");
}

#[tokio::test]
async fn selectors_are_filled_like_aggregates() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT first(temp), last(note), max(co) FROM home WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' AND room = 'Living Room' GROUP BY time(1h) FILL(previous)", @"
    m,time,first,last,max
    home,07:00:00,,,
    home,08:00:00,20.0,,0
    home,09:00:00,21.0,open,0
    home,10:00:00,21.0,open,0
    home,11:00:00,24.0,open,2
    ");
    assert_rows!(instance, "SELECT first(temp), max(co), mean(temp) + 1 FROM home WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' AND room = 'Living Room' GROUP BY time(1h) FILL(0)", @"
    m,time,first,max,mean
    home,07:00:00,0.0,0,1.0
    home,08:00:00,20.0,0,21.0
    home,09:00:00,21.0,0,22.0
    home,10:00:00,0.0,0,1.0
    home,11:00:00,24.0,2,25.0
    ");
}

#[tokio::test]
async fn each_measurement_has_its_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(v) FROM ints, floats WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,count
    floats,06:00:00,0
    floats,08:00:00,1
    floats,10:00:00,0
    ints,06:00:00,0
    ints,08:00:00,2
    ints,10:00:00,1
    ");
    assert_rows!(instance, "SELECT sum(v) FROM ints, floats WHERE time < '2023-11-14T12:00:00Z' GROUP BY time(2h), src", @"
    m,time,src,sum
    floats,08:00:00,a,0.5
    floats,10:00:00,a,
    ints,08:00:00,a,1.0
    ints,10:00:00,a,
    ints,08:00:00,b,2.0
    ints,10:00:00,b,
    ints,10:00:00,,4.0
    ");
}

#[tokio::test]
async fn counts_of_different_values_are_zero_in_empty_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(distinct(co)), sum(co) FROM home WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,count,sum
    home,06:00:00,0,
    home,08:00:00,2,1
    home,10:00:00,3,13
    ");
}

#[tokio::test]
async fn a_window_without_values_of_a_field_is_filled_for_it() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(hum), mean(temp) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T11:00:00Z' GROUP BY time(1h) FILL(previous)", @"
    m,time,count,mean
    home,07:00:00,,
    home,08:00:00,1,21.0
    home,09:00:00,1,23.0
    home,10:00:00,1,22.0
    ");
}

#[tokio::test]
async fn a_bound_before_all_times_is_ignored() {
    let instance = instance().await;
    for bound in ["> -9223372036854775808", ">= -9223372036854775808", ">= -9223372036854775807"] {
        let rows = instance
            .selected(&format!("SELECT sum(co) FROM home WHERE time {bound} GROUP BY time(4h)"))
            .await;
        let all = instance.selected("SELECT sum(co) FROM home GROUP BY time(4h)").await;
        assert_eq!(rows, all, "{bound}");
    }
}
