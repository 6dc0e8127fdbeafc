//! Queries without functions.

use super::instance;

#[tokio::test]
async fn fields_come_in_the_order_of_the_list() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT co, temp FROM home LIMIT 3", @"
    m,time,co,temp
    home,08:00:00,0,21.0
    home,08:00:00,0,20.0
    home,09:00:00,1,23.0
    ");
}

#[tokio::test]
async fn everything_comes_sorted_by_name() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT * FROM home LIMIT 2", @"
    m,time,co,hum,lit,note,room,temp
    home,08:00:00,0,35.5,,,Kitchen,21.0
    home,08:00:00,0,,,,Living Room,20.0
    ");
    assert_rows!(instance, "SELECT *::field FROM home LIMIT 1", @"
    m,time,co,hum,lit,note,temp
    home,08:00:00,0,35.5,,,21.0
    ");
    assert_rows!(instance, "SELECT *::tag, temp FROM home LIMIT 1", @"
    m,time,room,temp
    home,08:00:00,Kitchen,21.0
    ");
    assert_rows!(instance, "SELECT /^(temp|room)$/ FROM home LIMIT 1", @"
    m,time,room,temp
    home,08:00:00,Kitchen,21.0
    ");
}

#[tokio::test]
async fn tags_that_are_grouped_by_are_no_columns_of_a_wildcard() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT * FROM home GROUP BY room LIMIT 1", @"
    m,time,room,co,hum,lit,note,temp
    home,08:00:00,Kitchen,0,35.5,,,21.0
    home,08:00:00,Living Room,0,,,,20.0
    ");
}

#[tokio::test]
async fn rows_without_any_of_the_fields_are_left_out() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT hum FROM home", @"
    m,time,hum
    home,08:00:00,35.5
    home,11:00:00,36.5
    ");
    assert_rows!(instance, "SELECT hum, lit FROM home", @"
    m,time,hum,lit
    home,08:00:00,35.5,
    home,11:00:00,,true
    home,11:00:00,36.5,
    ");
    assert_rows!(instance, "SELECT hum, room FROM home", @"
    m,time,hum,room
    home,08:00:00,35.5,Kitchen
    home,11:00:00,36.5,Living Room
    ");
}

#[tokio::test]
async fn unknown_columns_and_tables_give_no_rows() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT nope FROM home", @"");
    assert_rows!(instance, "SELECT room FROM home", @"");
    assert_rows!(instance, "SELECT * FROM nowhere", @"");
    assert_rows!(instance, "SELECT temp, nope FROM home LIMIT 1", @"
    m,time,temp,nope
    home,08:00:00,21.0,
    ");
    assert_rows!(instance, "SELECT room::field FROM home", @"");
    assert_rows!(instance, "SELECT temp::tag FROM home", @"");
}

#[tokio::test]
async fn casts_read_numbers_as_other_numbers() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT co::float, temp::integer, temp::string FROM home LIMIT 1", @"
    m,time,co,temp,temp_1
    home,08:00:00,0.0,21,
    ");
}

#[tokio::test]
async fn arithmetic_follows_influxql() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT co / 2, co / 0, temp / 0, co % 2, co * 2 + 1 AS odd, temp + hum, temp + note, co & 1 FROM home WHERE room = 'Kitchen'", @"
    m,time,co,co_1,temp,co_2,odd,temp_hum,temp_note,co_3
    home,08:00:00,0.0,0.0,0.0,0,1,56.5,,0
    home,09:00:00,0.5,0.0,0.0,1,3,,,1
    home,10:00:00,1.5,0.0,0.0,1,7,,,1
    home,11:00:00,4.0,0.0,0.0,0,17,,,0
    ");
}

#[tokio::test]
async fn functions_of_numbers_work_on_each_row() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT abs(co - 2), round(temp), pow(co, 2), sqrt(co - 1), log(temp, 10), floor(co) FROM home WHERE room = 'Kitchen'", @"
    m,time,abs,round,pow,sqrt,log,floor
    home,08:00:00,2,21.0,0.0,,1.322219294733919,0
    home,09:00:00,1,23.0,1.0,0.0,1.3617278360175928,1
    home,10:00:00,1,22.0,9.0,1.4142135623730951,1.3424226808222062,3
    home,11:00:00,6,23.0,64.0,2.6457513110645907,1.3521825181113623,8
    ");
}

#[tokio::test]
async fn the_time_can_have_another_name() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT time AS at, temp FROM home LIMIT 1", @"
    m,at,temp
    home,08:00:00,21.0
    ");
    assert_rows!(instance, "SELECT time, temp FROM home LIMIT 1", @"
    m,time,temp
    home,08:00:00,21.0
    ");
}

#[tokio::test]
async fn equal_names_get_numbers() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp, temp, co AS temp FROM home LIMIT 1", @"
    m,time,temp_1,temp_2,temp
    home,08:00:00,21.0,21.0,0
    ");
}

#[tokio::test]
async fn limits_count_in_each_series() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home GROUP BY room LIMIT 1 OFFSET 1", @"
    m,time,room,temp
    home,09:00:00,Kitchen,23.0
    home,09:00:00,Living Room,21.0
    ");
    assert_rows!(instance, "SELECT temp FROM home LIMIT 2 OFFSET 5", @"
    m,time,temp
    home,11:00:00,22.5
    home,11:00:00,24.0
    ");
}

#[tokio::test]
async fn order_can_be_descending() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home ORDER BY time DESC LIMIT 3", @"
    m,time,temp
    home,11:00:00,22.5
    home,11:00:00,24.0
    home,10:00:00,22.0
    ");
    assert_rows!(instance, "SELECT temp FROM home GROUP BY room ORDER BY time DESC LIMIT 1", @"
    m,time,room,temp
    home,11:00:00,Kitchen,22.5
    home,11:00:00,Living Room,24.0
    ");
}

#[tokio::test]
async fn slimit_counts_series() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home GROUP BY room LIMIT 1 SLIMIT 1", @"
    m,time,room,temp
    home,08:00:00,Kitchen,21.0
    ");
    assert_rows!(instance, "SELECT temp FROM home GROUP BY room LIMIT 1 SLIMIT 1 SOFFSET 1", @"
    m,time,room,temp
    home,08:00:00,Living Room,20.0
    ");
    assert_rows!(instance, "SELECT temp FROM home SOFFSET 1", @"");
}

#[tokio::test]
async fn rows_without_a_tag_come_last() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT v FROM ints GROUP BY src", @"
    m,time,src,v
    ints,08:00:00,a,1
    ints,09:00:00,b,2
    ints,10:00:00,,4
    ");
    assert_rows!(instance, "SELECT v FROM ints GROUP BY *", @"
    m,time,src,v
    ints,08:00:00,a,1
    ints,09:00:00,b,2
    ints,10:00:00,,4
    ");
    assert_rows!(instance, "SELECT v FROM ints GROUP BY nope LIMIT 1", @"
    m,time,nope,v
    ints,08:00:00,,1
    ");
}

#[tokio::test]
async fn a_time_zone_shows_times() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT temp FROM home LIMIT 1 TZ('America/New_York')", @"
    m,time,temp
    home,03:00:00-05:00,21.0
    ");
}

#[tokio::test]
async fn other_columns_can_not_take_the_name_of_the_time() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT time AS at, temp AS time FROM home LIMIT 1", @"
    m,at,time_1
    home,08:00:00,21.0
    ");
    assert_rows!(instance, "SELECT at, time_1 FROM (SELECT temp AS time, co AS at FROM home) LIMIT 1", @"
    m,time,at,time_1
    home,08:00:00,0,21.0
    ");
}

#[tokio::test]
async fn a_limit_of_0_means_no_limit() {
    let instance = instance().await;
    let pairs = "
        SELECT temp FROM home ==> LIMIT 0
        SELECT temp FROM home GROUP BY room ==> LIMIT 0 SLIMIT 0
        SELECT temp FROM home ==> LIMIT 18446744073709551615
        SELECT temp FROM home ==> LIMIT 18446744073709551615 OFFSET 0
        SELECT temp FROM home GROUP BY room ==> LIMIT 18446744073709551615
    ";
    for (all, limited) in neap_test_inputs::text_pairs(pairs) {
        let statement = format!("{all} {limited}");
        assert_eq!(
            instance.selected(&statement).await,
            instance.selected(all).await,
            "{statement}"
        );
    }
    assert_rows!(instance, "SELECT temp FROM home LIMIT 18446744073709551615 OFFSET 6", @"
    m,time,temp
    home,11:00:00,24.0
    ");
    assert_rows!(instance, "SELECT temp FROM home LIMIT 1 OFFSET 18446744073709551615", @"");
}

#[tokio::test]
async fn a_field_is_no_tag_to_group_by() {
    let instance = instance().await;
    let series = async |statement: &str| {
        let query = [("db", "db"), ("q", statement)];
        let query = serde_urlencoded::to_string(query).unwrap();
        let (status, body) = instance.get(&format!("/query?{query}")).await;
        assert_eq!(status, 200, "{statement}: {body}");
        body
    };
    let rows = series("SELECT co FROM home GROUP BY co LIMIT 2").await;
    insta::assert_snapshot!(rows, @r#"{"results":[{"statement_id":0,"series":[{"name":"home","tags":{"co":""},"columns":["time","co"],"values":[["2023-11-14T08:00:00Z",0],["2023-11-14T08:00:00Z",0]]}]}]}"#);
    let rows = series("SELECT co, room::field FROM home GROUP BY room LIMIT 1").await;
    insta::assert_snapshot!(rows, @r#"{"results":[{"statement_id":0,"series":[{"name":"home","tags":{"room":"Kitchen"},"columns":["time","co","room_1"],"values":[["2023-11-14T08:00:00Z",0,null]]},{"name":"home","tags":{"room":"Living Room"},"columns":["time","co","room_1"],"values":[["2023-11-14T08:00:00Z",0,null]]}]}]}"#);
    let rows = series("SELECT mean(co) FROM (SELECT co FROM home) GROUP BY co").await;
    insta::assert_snapshot!(rows, @r#"{"results":[{"statement_id":0,"series":[{"name":"home","tags":{"co":""},"columns":["time","mean"],"values":[["1970-01-01T00:00:00Z",2]]}]}]}"#);
    let rows = series("SELECT * FROM ints GROUP BY v LIMIT 1").await;
    insta::assert_snapshot!(rows, @r#"{"results":[{"statement_id":0,"series":[{"name":"ints","tags":{"v":""},"columns":["time","src","v","w"],"values":[["2023-11-14T08:00:00Z","a",1,7]]}]}]}"#);
}

#[tokio::test]
async fn unsigned_numbers_are_combined_exactly_with_negative_ones() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT big + -9223372036854775808, big * -1, -1 - big FROM floats", @"
    m,time,big,big_1,big_2
    floats,08:00:00,9223372036854775807,,
    ");
}
