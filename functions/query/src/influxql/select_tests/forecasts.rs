//! `holt_winters` and the technical indicators.

use super::{QueryTestInstance, instance};

/// Values of two series, one of which lacks a value.
const LOAD: &str = "\
load,host=a v=1 1699948800000000000
load,host=a v=2 1699952400000000000
load,host=a v=4 1699956000000000000
load,host=b v=1 1699948800000000000
load,host=b v=3 1699956000000000000
";

const RANGE: &str = "time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T11:00:00Z'";

async fn with_load() -> QueryTestInstance {
    QueryTestInstance::with_rows(LOAD).await
}

#[tokio::test]
async fn forecasts_are_rows_after_the_windows() {
    let instance = with_load().await;
    assert_rows!(instance, &format!("SELECT round(holt_winters(sum(v), 3, 0)) FROM load WHERE {RANGE} AND host = 'a' GROUP BY time(1h)"), @"
    m,time,round
    load,11:00:00,8.0
    load,12:00:00,16.0
    load,13:00:00,37.0
    ");
}

#[tokio::test]
async fn each_series_has_its_forecast_with_its_fit() {
    let instance = with_load().await;
    assert_rows!(instance, &format!("SELECT round(holt_winters_with_fit(first(v), 2, 0) * 10) FROM load WHERE {RANGE} GROUP BY time(1h), host"), @"
    m,time,host,round
    load,08:00:00,a,10.0
    load,09:00:00,a,20.0
    load,10:00:00,a,40.0
    load,11:00:00,a,77.0
    load,12:00:00,a,160.0
    load,08:00:00,b,10.0
    load,09:00:00,b,19.0
    load,10:00:00,b,30.0
    load,11:00:00,b,46.0
    load,12:00:00,b,73.0
    ");
}

#[tokio::test]
async fn forecasts_are_merged_with_other_values_by_time() {
    let instance = with_load().await;
    assert_rows!(instance, &format!("SELECT sum(v), difference(sum(v)), round(holt_winters(sum(v), 1, 0)) AS next, round(holt_winters_with_fit(sum(v), 2, 0)) AS fit FROM load WHERE {RANGE} AND host = 'a' GROUP BY time(1h)"), @"
    m,time,sum,difference,next,fit
    load,08:00:00,1.0,,,1.0
    load,09:00:00,2.0,1.0,,2.0
    load,10:00:00,4.0,2.0,,4.0
    load,11:00:00,,,8.0,8.0
    load,12:00:00,,,,16.0
    ");
    assert_rows!(instance, &format!("SELECT difference(sum(v)), round(holt_winters(sum(v), 1, 0)) AS next FROM load WHERE {RANGE} AND host = 'a' GROUP BY time(1h)"), @"
    m,time,difference,next
    load,09:00:00,1.0,
    load,10:00:00,2.0,
    load,11:00:00,,8.0
    ");
}

#[tokio::test]
async fn forecasts_can_be_subqueries_and_limited() {
    let instance = with_load().await;
    assert_rows!(instance, &format!("SELECT max(next), count(next) FROM (SELECT round(holt_winters(sum(v), 3, 0)) AS next FROM load WHERE {RANGE} AND host = 'a' GROUP BY time(1h))"), @"
    m,time,max,count
    load,1970-01-01T00:00:00,37.0,3
    ");
    assert_rows!(instance, &format!("SELECT round(holt_winters(sum(v), 3, 0)) FROM load WHERE {RANGE} AND host = 'a' GROUP BY time(1h) ORDER BY time DESC LIMIT 2"), @"
    m,time,round
    load,13:00:00,37.0
    load,12:00:00,16.0
    ");
}

#[tokio::test]
async fn series_that_are_too_short_have_no_forecast() {
    let instance = with_load().await;
    for arguments in ["sum(v), 3, 4", "sum(unknown), 3, 0", "count(v), 3, 2"] {
        let rows = instance.selected(&format!("SELECT holt_winters({arguments}) FROM load WHERE time >= '2023-11-14T10:00:00Z' AND time < '2023-11-14T11:00:00Z' GROUP BY time(1h)")).await;
        assert_eq!(rows, "", "{arguments}");
    }
}

#[tokio::test]
async fn wrong_forecasts_are_refused_with_reasons() {
    let instance = instance().await;
    let pairs = "
        SELECT holt_winters(temp, 2, 0) FROM home GROUP BY time(1h) ==> must use aggregate function with holt_winters
        SELECT holt_winters(mean(temp), 2, 0) FROM home ==> holt_winters aggregate requires a GROUP BY interval
        SELECT holt_winters(mean(temp), 0, 0) FROM home GROUP BY time(1h) ==> second arg to holt_winters must be greater than 0, got 0
        SELECT holt_winters(difference(mean(temp)), 2, 0) FROM home GROUP BY time(1h) ==> expected aggregate argument in holt_winters()
        SELECT difference(holt_winters(mean(temp), 2, 0)) FROM home GROUP BY time(1h) ==> expected aggregate argument in difference()
        SELECT holt_winters(first(note), 2, 0) FROM home GROUP BY time(1h) ==> holt_winters() does not support fields of type string
        SELECT holt_winters(mean(temp), 2, 0) FROM home GROUP BY time(1mo) ==> holt_winters takes windows of a fixed length, without months and years
        SELECT holt_winters(mean(temp), 2, 0) FROM home WHERE time >= '2023-11-14T08:00:00Z' GROUP BY time(1ms) FILL(none) ==> a forecast takes at most 20000 windows
        SELECT holt_winters(mean(temp), 5000001, 0) FROM home WHERE time >= '2023-11-14T08:00:00Z' GROUP BY time(1h) ==> forecasts have more than 5000000 points
        SELECT kaufmans_efficiency_ratio(temp, 0) FROM home ==> kaufmans_efficiency_ratio period must be greater than or equal to 1
    ";
    for (statement, refusal) in neap_test_inputs::text_pairs(pairs) {
        let refused = instance.refused(statement).await;
        assert!(refused.contains(refusal), "{statement}: {refused}");
    }
}

#[tokio::test]
async fn indicators_are_functions_of_a_series() {
    let instance = instance().await;
    assert_rows!(instance, "SELECT exponential_moving_average(co, 3, -1, 'simple'), kaufmans_efficiency_ratio(temp, 2) FROM home WHERE room = 'Kitchen'", @"
    m,time,exponential_moving_average,kaufmans_efficiency_ratio
    home,10:00:00,1.3333333333333333,0.3333333333333333
    home,11:00:00,4.666666666666667,0.3333333333333333
    ");
    assert_rows!(instance, "SELECT chande_momentum_oscillator(temp, 2), relative_strength_index(co, 2, 3) FROM home GROUP BY room", @"
    m,time,room,chande_momentum_oscillator,relative_strength_index
    home,09:00:00,Kitchen,100.0,
    home,10:00:00,Kitchen,33.33333333333333,
    home,11:00:00,Kitchen,-33.33333333333333,100.0
    home,09:00:00,Living Room,100.0,
    home,11:00:00,Living Room,100.0,
    ");
}

#[tokio::test]
async fn indicators_of_windows_read_those_before_the_range() {
    let instance = instance().await;
    let whole = instance.selected("SELECT exponential_moving_average(mean(temp), 2) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T08:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)").await;
    let from_ten = instance.selected("SELECT exponential_moving_average(mean(temp), 2) FROM home WHERE room = 'Kitchen' AND time >= '2023-11-14T10:00:00Z' AND time < '2023-11-14T12:00:00Z' GROUP BY time(1h)").await;
    let hours = |rows: &str| -> Vec<String> {
        let times = rows.lines().skip(1).filter_map(|row| row.split(',').nth(1));
        times.map(str::to_owned).collect()
    };
    assert_eq!(hours(&whole), ["09:00:00", "10:00:00", "11:00:00"]);
    assert_eq!(hours(&from_ten), ["10:00:00", "11:00:00"]);
}
