//! Windows of months, years and weeks, and days when the clock changes.

use super::{QueryTestInstance, instance};

/// Amounts of a bill, the last two of which are of the next month in Berlin.
const BILL: &str = "\
bill kwh=1 1673740800000000000
bill kwh=2 1675207800000000000
bill kwh=4 1680301800000000000
";

async fn with_bill() -> QueryTestInstance {
    QueryTestInstance::with_rows(BILL).await
}

#[tokio::test]
async fn windows_are_months_and_years_of_the_calendar() {
    let instance = with_bill().await;
    assert_rows!(instance, "SELECT sum(kwh) FROM bill WHERE time >= '2023-01-01' AND time < '2023-05-01' GROUP BY time(1mo)", @"
    m,time,sum
    bill,2023-01-01T00:00:00,3.0
    bill,2023-02-01T00:00:00,
    bill,2023-03-01T00:00:00,4.0
    bill,2023-04-01T00:00:00,
    ");
    assert_rows!(instance, "SELECT sum(kwh), count(kwh) FROM bill WHERE time >= '2023-01-01' AND time < '2023-07-01' GROUP BY time(3mo)", @"
    m,time,sum,count
    bill,2023-01-01T00:00:00,7.0,3
    bill,2023-04-01T00:00:00,,0
    ");
    assert_rows!(instance, "SELECT sum(kwh) FROM bill WHERE time >= '2022-06-01' AND time < '2023-12-01' GROUP BY time(1y) FILL(0)", @"
    m,time,sum
    bill,2022-01-01T00:00:00,0.0
    bill,2023-01-01T00:00:00,7.0
    ");
    assert_rows!(instance, "SELECT last(kwh) FROM bill WHERE time >= '2023-01-01' AND time < '2023-05-01' GROUP BY time(1mo, 14d) FILL(previous)", @"
    m,time,last
    bill,2022-12-15T00:00:00,
    bill,2023-01-15T00:00:00,2.0
    bill,2023-02-15T00:00:00,2.0
    bill,2023-03-15T00:00:00,4.0
    bill,2023-04-15T00:00:00,4.0
    ");
}

#[tokio::test]
async fn months_are_those_of_the_zone() {
    let instance = with_bill().await;
    assert_rows!(instance, "SELECT sum(kwh) FROM bill WHERE time >= '2023-01-01' AND time < '2023-05-01' GROUP BY time(1mo) TZ('Europe/Berlin')", @"
    m,time,sum
    bill,2023-01-01T00:00:00+01:00,1.0
    bill,2023-02-01T00:00:00+01:00,2.0
    bill,2023-03-01T00:00:00+01:00,
    bill,2023-04-01T00:00:00+02:00,4.0
    ");
}

#[tokio::test]
async fn functions_of_series_read_the_month_before() {
    let instance = with_bill().await;
    assert_rows!(instance, "SELECT difference(sum(kwh)) FROM bill WHERE time >= '2023-02-01' AND time < '2023-05-01' GROUP BY time(1mo) FILL(0)", @"
    m,time,difference
    bill,2023-02-01T00:00:00,-3.0
    bill,2023-03-01T00:00:00,4.0
    bill,2023-04-01T00:00:00,-4.0
    ");
}

#[tokio::test]
async fn weeks_begin_on_thursdays_of_the_zone_unless_they_are_shifted() {
    let instance = with_bill().await;
    assert_rows!(instance, "SELECT count(kwh) FROM bill WHERE time >= '2023-03-20' AND time < '2023-04-07' GROUP BY time(1w) TZ('Europe/Berlin')", @"
    m,time,count
    bill,2023-03-16T00:00:00+01:00,0
    bill,2023-03-23T00:00:00+01:00,0
    bill,2023-03-30T00:00:00+02:00,1
    bill,2023-04-06T00:00:00+02:00,0
    ");
    assert_rows!(instance, "SELECT count(kwh) FROM bill WHERE time >= '2023-03-20' AND time < '2023-04-07' GROUP BY time(1w, 4d) TZ('Europe/Berlin')", @"
    m,time,count
    bill,2023-03-20T00:00:00+01:00,0
    bill,2023-03-27T00:00:00+02:00,1
    bill,2023-04-03T00:00:00+02:00,0
    ");
}

#[tokio::test]
async fn months_are_no_durations() {
    let instance = instance().await;
    let pairs = "
        SELECT temp FROM home WHERE time > now() - 1mo ==> mo and y are units of GROUP BY time(...) only
        SELECT derivative(temp, 1y) FROM home ==> mo and y are units of GROUP BY time(...) only
        SELECT derivative(mean(temp)) FROM home GROUP BY time(1mo) ==> derivative of months and years needs a unit
        SELECT mean(temp) FROM home GROUP BY time(0mo) ==> invalid TIME call, expected a duration above zero
    ";
    for (statement, refusal) in neap_test_inputs::text_pairs(pairs) {
        let refused = instance.refused(statement).await;
        assert!(
            refused.starts_with("400 ") && refused.contains(refusal),
            "{statement}: {refused}"
        );
    }
}

#[tokio::test]
async fn integrals_end_with_days_and_months_of_the_zone() {
    let instance = QueryTestInstance::alone().await;
    // Noon of the days around the one that has 23 hours in Berlin.
    instance
        .write("power kw=2 1679745600000000000\npower kw=2 1679832000000000000\npower kw=2 1679918400000000000\n")
        .await;
    assert_rows!(instance, "SELECT integral(kw, 1h) FROM power WHERE time >= '2023-03-25' AND time < '2023-03-28' GROUP BY time(1d) TZ('Europe/Berlin')", @"
    m,time,integral
    power,2023-03-25T00:00:00+01:00,22.0
    power,2023-03-26T00:00:00+01:00,46.0
    power,2023-03-27T00:00:00+02:00,28.0
    ");
    // The evenings before and after the end of a month in New York.
    instance
        .write("heat kw=1 1698793200000000000\nheat kw=1 1698879600000000000\n")
        .await;
    assert_rows!(instance, "SELECT integral(kw, 1h) FROM heat WHERE time >= '2023-10-01' AND time < '2023-11-14' GROUP BY time(1mo) TZ('America/New_York')", @"
    m,time,integral
    heat,2023-10-01T00:00:00-04:00,5.0
    heat,2023-11-01T00:00:00-04:00,19.0
    ");
}
