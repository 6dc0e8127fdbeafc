//! Selectors that pick rows.

use super::instance;

#[tokio::test]
async fn other_columns_are_those_of_the_picked_row() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT last(temp), room, co FROM home", @"
    m,time,last,room,co
    home,11:00:00,24.0,Living Room,2
    ");
    assert_rows!(instance, "SELECT max(co), room FROM home", @"
    m,time,max,room
    home,11:00:00,8,Kitchen
    ");
    assert_rows!(instance, "SELECT first(temp), hum FROM home GROUP BY room", @"
    m,time,room,first,hum
    home,08:00:00,Kitchen,21.0,35.5
    home,08:00:00,Living Room,20.0,
    ");
    assert_rows!(instance, "SELECT min(temp), co + 1 FROM home", @"
    m,time,min,co
    home,08:00:00,20.0,1
    ");
}

#[tokio::test]
async fn top_and_bottom_come_in_order_of_time() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT top(co, 3) FROM home", @"
    m,time,top
    home,10:00:00,3
    home,11:00:00,8
    home,11:00:00,2
    ");
    assert_rows!(instance, "SELECT bottom(temp, 2), room FROM home", @"
    m,time,bottom,room
    home,08:00:00,21.0,Kitchen
    home,08:00:00,20.0,Living Room
    ");
    assert_rows!(instance, "SELECT bottom(temp, 2) FROM home GROUP BY room", @"
    m,time,room,bottom
    home,08:00:00,Kitchen,21.0
    home,10:00:00,Kitchen,22.0
    home,08:00:00,Living Room,20.0
    home,09:00:00,Living Room,21.0
    ");
}

#[tokio::test]
async fn top_of_tags_has_one_row_for_each_value() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT top(co, room, 2) FROM home", @"
    m,time,top,room
    home,11:00:00,8,Kitchen
    home,11:00:00,2,Living Room
    ");
    assert_rows!(instance, "SELECT top(temp, room, 1), co FROM home", @"
    m,time,top,room,co
    home,11:00:00,24.0,Living Room,2
    ");
}

#[tokio::test]
async fn top_in_windows_keeps_the_times_of_rows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT top(temp, 1) FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,top
    home,09:00:00,23.0
    home,11:00:00,24.0
    ");
}

#[tokio::test]
async fn percentile_is_a_row() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT percentile(temp, 50) FROM home", @"
    m,time,percentile
    home,10:00:00,22.0
    ");
    assert_rows!(instance, "SELECT percentile(temp, 50), room FROM home", @"
    m,time,percentile,room
    home,10:00:00,22.0,Kitchen
    ");
    assert_rows!(instance, "SELECT percentile(temp, 1) FROM home", @"");
    assert_rows!(instance, "SELECT percentile(co, 100) FROM home GROUP BY room", @"
    m,time,room,percentile
    home,11:00:00,Kitchen,8
    home,11:00:00,Living Room,2
    ");
}

#[tokio::test]
async fn samples_are_rows_of_the_table() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT count(sample) FROM (SELECT sample(temp, 3) FROM home)", @"
    m,time,count
    home,1970-01-01T00:00:00,3
    ");
    assert_rows!(instance, "SELECT count(sample) FROM (SELECT sample(temp, 2) FROM home GROUP BY room)", @"
    m,time,count
    home,1970-01-01T00:00:00,4
    ");
}

#[tokio::test]
async fn top_by_an_unknown_column_has_one_row() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT top(temp, nosuch, 2) FROM home", @"
    m,time,top,nosuch
    home,11:00:00,24.0,
    ");
}

#[tokio::test]
async fn columns_next_to_a_selector_are_never_filled() {
    let instance = instance().await;
    let fill = async |fill: &str| {
        let statement = format!(
            "SELECT first(temp), hum, co FROM home WHERE room = 'Living Room' AND time >= '2023-11-14T09:00:00Z' AND time < '2023-11-14T13:00:00Z' GROUP BY time(1h) FILL({fill})"
        );
        instance.selected(&statement).await
    };
    insta::assert_snapshot!(fill("previous").await, @"
    m,time,first,hum,co
    home,09:00:00,21.0,,0
    home,10:00:00,21.0,,
    home,11:00:00,24.0,36.5,2
    home,12:00:00,24.0,,
    ");
    insta::assert_snapshot!(fill("linear").await, @"
    m,time,first,hum,co
    home,09:00:00,21.0,,0
    home,10:00:00,22.5,,
    home,11:00:00,24.0,36.5,2
    home,12:00:00,,,
    ");
    insta::assert_snapshot!(fill("7").await, @"
    m,time,first,hum,co
    home,09:00:00,21.0,,0
    home,10:00:00,7.0,,
    home,11:00:00,24.0,36.5,2
    home,12:00:00,7.0,,
    ");
}
