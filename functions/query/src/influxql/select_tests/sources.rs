//! Several tables, and subqueries.

use super::instance;

#[tokio::test]
async fn measurements_come_one_after_the_other() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT v FROM ints, floats LIMIT 2", @"
    m,time,v
    floats,08:00:00,0.5
    ints,08:00:00,1.0
    ints,09:00:00,2.0
    ");
    assert_rows!(instance, "SELECT * FROM /s$/ LIMIT 1", @"
    m,time,big,src,v,w
    floats,08:00:00,18446744073709551615,a,0.5,
    ints,08:00:00,,a,1.0,7
    ");
    assert_rows!(instance, "SELECT count(v) FROM ints, floats, nowhere", @"
    m,time,count
    floats,1970-01-01T00:00:00,1
    ints,1970-01-01T00:00:00,3
    ");
}

#[tokio::test]
async fn mixed_number_types_become_floats_and_strings_give_way_to_numbers() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT v, w FROM ints, floats", @"
    m,time,v,w
    floats,08:00:00,0.5,
    ints,08:00:00,1.0,7
    ints,09:00:00,2.0,
    ints,10:00:00,4.0,
    ");
    assert_rows!(instance, "SELECT sum(v) FROM ints, floats", @"
    m,time,sum
    floats,1970-01-01T00:00:00,0.5
    ints,1970-01-01T00:00:00,7.0
    ");
}

#[tokio::test]
async fn conditions_use_the_types_of_each_table() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT v FROM ints, floats WHERE v < 1.5", @"
    m,time,v
    floats,08:00:00,0.5
    ints,08:00:00,1.0
    ");
    assert_rows!(instance, "SELECT v FROM ints, floats WHERE big > 0", @"
    m,time,v
    floats,08:00:00,0.5
    ");
}

#[tokio::test]
async fn subqueries_have_the_names_and_tags_of_their_answers() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(m) FROM (SELECT mean(temp) AS m FROM home GROUP BY room)", @"
    m,time,max
    home,1970-01-01T00:00:00,22.125
    ");
    assert_rows!(instance, "SELECT * FROM (SELECT mean(temp) AS m FROM home GROUP BY room)", @"
    m,time,m,room
    home,1970-01-01T00:00:00,22.125,Kitchen
    home,1970-01-01T00:00:00,21.666666666666668,Living Room
    ");
    assert_rows!(instance, "SELECT m, room FROM (SELECT mean(temp) AS m FROM home GROUP BY room) WHERE m > 22", @"
    m,time,m,room
    home,1970-01-01T00:00:00,22.125,Kitchen
    ");
    assert_rows!(instance, "SELECT count(v) FROM (SELECT v FROM ints, floats)", @"
    m,time,count
    floats,1970-01-01T00:00:00,1
    ints,1970-01-01T00:00:00,3
    ");
}

#[tokio::test]
async fn subqueries_inherit_range_tags_and_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(m) FROM (SELECT mean(temp) AS m FROM home) WHERE time >= '2023-11-14T09:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY room", @"
    m,time,room,max
    home,09:00:00,Kitchen,22.5
    home,09:00:00,Living Room,22.5
    ");
    assert_rows!(instance, "SELECT mean(m) FROM (SELECT max(temp) AS m FROM home GROUP BY room) WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,mean
    home,08:00:00,22.0
    home,10:00:00,23.25
    ");
    assert_rows!(instance, "SELECT mean(temp) FROM (SELECT temp FROM home WHERE co > 0) WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,mean
    home,08:00:00,23.0
    home,10:00:00,22.833333333333332
    ");
    assert_rows!(instance, "SELECT sum(v) FROM (SELECT v FROM ints), ints WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,sum
    ints,08:00:00,6
    ints,10:00:00,8
    ");
}

#[tokio::test]
async fn subqueries_of_subqueries() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT max(d) FROM (SELECT difference(m) AS d FROM (SELECT mean(temp) AS m FROM home WHERE time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h), room) GROUP BY room)", @"
    m,time,max
    home,11:00:00,3.0
    ");
}

#[tokio::test]
async fn windows_over_windows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT mean(m) FROM (SELECT max(temp) AS m FROM home GROUP BY time(1h), room) WHERE time < '2023-11-14T12:00:00Z' GROUP BY time(2h)", @"
    m,time,mean
    home,08:00:00,21.25
    home,10:00:00,22.833333333333332
    ");
    assert_rows!(instance, "SELECT mean(m) FROM (SELECT max(temp) AS m FROM home WHERE time >= '2023-11-14T07:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h), room FILL(0)) GROUP BY room", @"
    m,time,room,mean
    home,1970-01-01T00:00:00,Kitchen,17.7
    home,1970-01-01T00:00:00,Living Room,13.0
    ");
}
