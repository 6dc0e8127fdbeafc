use neap_influxql::{Expr as Ast, Statement, parse};

use super::Forecast;

/// Visitor nights of tourists in Australia, by quarter.
const TOURISTS: [f64; 48] = [
    30.052513, 19.148496, 25.317692, 27.591437, 32.076456, 23.487961, 28.47594, 35.123753,
    36.838485, 25.007017, 30.72223, 28.693759, 36.640986, 23.824609, 29.311683, 31.770309,
    35.177877, 19.775244, 29.60175, 34.538842, 41.273599, 26.655862, 28.279859, 35.191153,
    41.727458, 24.04185, 32.328103, 37.328708, 46.213153, 29.346326, 36.48291, 42.977719,
    48.901525, 31.180221, 37.717881, 40.420211, 51.206863, 31.887228, 40.978263, 43.772491,
    55.558567, 33.850915, 42.076383, 45.642292, 59.76678, 35.191877, 44.319737, 47.913736,
];

/// The population of the United States by decade, in millions.
const POPULATION: [f64; 19] = [
    3.93, 5.31, 7.24, 9.64, 12.90, 17.10, 23.20, 31.40, 39.80, 50.20, 62.90, 76.00, 92.00, 105.70,
    122.80, 131.70, 151.30, 179.30, 203.20,
];

const SECOND: i64 = 1_000_000_000;

/// Returns values with the times 1, 2 and so on, without those of some times.
fn series(values: &[f64], missing: &[i64]) -> Vec<(i64, f64)> {
    let points = (1..).zip(values.iter().copied());
    points.filter(|(time, _)| !missing.contains(time)).collect()
}

fn every_nanosecond(count: usize, season: usize, has_fit: bool) -> Forecast {
    Forecast { interval: 1, count, season, has_fit }
}

#[track_caller]
fn assert_points(found: &[(i64, f64)], first: i64, numbers: &str) {
    let expected: Vec<f64> =
        numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let times: Vec<_> = found.iter().map(|(time, _)| *time).collect();
    let expected_times: Vec<_> = (first..).take(expected.len()).collect();
    assert_eq!(times, expected_times);
    for ((time, found), expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{time}: {found} is not {expected}");
    }
}

#[tokio::test]
async fn a_series_with_seasons_has_the_forecast_of_influxdb() {
    let forecast = every_nanosecond(10, 4, false);
    let found = forecast.of(&series(&TOURISTS, &[])).await.unwrap();
    let expected = "51.85064132137853 43.26055282315273 41.827258044814464 54.3990354591749 \
                    54.62334472770803 45.57155693625209 44.06051240252263 57.30029870759433 \
                    57.53591513519172 47.999008139396096";
    assert_points(&found, 49, expected);
}

#[tokio::test]
async fn missing_values_of_a_series_with_seasons_are_skipped() {
    let forecast = every_nanosecond(10, 4, false);
    let points = series(&TOURISTS, &[2, 8, 18, 29, 33, 39, 40]);
    let expected = "54.84533610387743 41.19329421863249 45.71673175112451 56.05759298805955 \
                    59.32337460282217 44.75280096850461 49.98865098113751 61.86084934967605 \
                    65.95805633454883 50.1502170480547";
    assert_points(&forecast.of(&points).await.unwrap(), 49, expected);
}

#[tokio::test]
async fn a_fit_begins_with_the_first_value() {
    let forecast = every_nanosecond(10, 0, true);
    let found = forecast.of(&series(&POPULATION, &[])).await.unwrap();
    let expected = "3.93 4.957405463559748 7.012210102535647 10.099589257439924 14.229926188104242 \
                    19.418878968703797 25.68749172281409 33.062351305731305 41.575791076125206 \
                    51.26614395589263 62.178047564264595 74.36280483872488 87.87880423073163 \
                    102.79200429905801 119.17648832929542 137.11509549747296 156.70013608313175 \
                    178.03419933863566 201.23106385518594 226.4167216525905 253.73052878285205 \
                    283.32649700397553 315.37474308085984 350.06311454009256 387.59901328556873 \
                    428.21144141893404 472.1532969569147 519.7039509590035 571.1721419458248";
    assert_points(&found, 1, expected);
}

#[tokio::test]
async fn a_fit_has_values_for_missing_ones() {
    let forecast = every_nanosecond(1, 0, true);
    let found = forecast.of(&series(&POPULATION, &[9, 14, 18])).await.unwrap();
    assert_eq!(found.len(), 20);
    assert_points(&found[8..10], 9, "41.442230043017204 51.09223428526052");
    assert_points(&found[19..], 20, "225.58474737097785");
}

#[tokio::test]
async fn times_near_a_multiple_of_the_interval_count_as_it() {
    let end = i64::MAX / SECOND * SECOND;
    let milliseconds = |milliseconds: i64| end - milliseconds * 1_000_000;
    let points = [
        (milliseconds(5_000), 1.0),
        (milliseconds(4_103), 10.0),
        (milliseconds(3_223), 2.0),
        (milliseconds(2_481), 11.0),
    ];
    let forecast = Forecast { interval: SECOND, ..every_nanosecond(2, 2, true) };
    let found = forecast.of(&points).await.unwrap();
    let times: Vec<_> = found.iter().map(|(time, _)| (end - time) / SECOND).collect();
    assert_eq!(times, [5, 4, 3, 2, 1, 0]);
    let expected = [
        1.0,
        10.006729104838234,
        1.998341814469269,
        10.997858830631172,
        4.085860238030013,
        11.35713604403339,
    ];
    for ((_, found), expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }
}

#[tokio::test]
async fn only_the_first_value_of_an_interval_counts() {
    let once = [(0, 1.0), (10, 2.0), (20, 4.0)];
    let twice = [(0, 1.0), (1, 9.0), (10, 2.0), (11, 9.0), (20, 4.0)];
    let forecast = Forecast { interval: 10, ..every_nanosecond(3, 0, false) };
    assert_eq!(forecast.of(&once).await.unwrap(), forecast.of(&twice).await.unwrap());
}

#[tokio::test]
async fn a_series_at_the_end_of_time_has_a_forecast() {
    let forecast = every_nanosecond(1, 0, true);
    let points = [(i64::MAX - 3, 1.0), (i64::MAX - 2, 2.0)];
    let expected = "1.0 2.001516944066403 2.5365248972488343";
    assert_points(&forecast.of(&points).await.unwrap(), i64::MAX - 3, expected);
}

#[tokio::test]
async fn too_short_series_have_no_forecast() {
    for (points, season) in [
        (vec![], 0),
        (vec![(1, 1.0)], 0),
        (vec![(1, 1.0), (1, 2.0)], 0),
        (vec![(1, 1.0), (2, 2.0), (3, 1.0)], 4),
    ] {
        let forecast = every_nanosecond(5, season, true);
        assert!(forecast.of(&points).await.unwrap().is_empty(), "{points:?}");
    }
}

#[tokio::test]
async fn a_series_of_zeros_has_no_forecast_with_seasons() {
    let points = series(&[0.0; 6], &[]);
    let found = every_nanosecond(2, 2, false).of(&points).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn too_long_series_are_refused() {
    let forecast = every_nanosecond(1, 0, false);
    for last in [20_001, i64::MAX] {
        let error = forecast.of(&[(1, 1.0), (last, 2.0)]).await.unwrap_err();
        assert_eq!(
            error.strip_backtrace(),
            "Execution error: a forecast takes at most 20000 windows"
        );
    }
}

#[test]
fn wrong_arguments_are_refused_with_the_texts_of_influxdb() {
    let pairs = "
        mean(x), 1 ==> invalid number of arguments for holt_winters, expected 3, got 2
        mean(x), 'a', 1 ==> expected integer argument as second arg in holt_winters
        mean(x), 0, 1 ==> second arg to holt_winters must be greater than 0, got 0
        mean(x), 1, 1.5 ==> expected integer argument as third arg in holt_winters
        mean(x), 1, -1 ==> third arg to holt_winters cannot be negative, got -1
        mean(x), 1, 1001 ==> third arg to holt_winters must be at most 1000, got 1001
    ";
    for (arguments, refused) in neap_test_inputs::text_pairs(pairs) {
        let statement =
            parse(&format!("SELECT holt_winters({arguments}) FROM m")).unwrap().remove(0);
        let Statement::Select(select) = statement else {
            panic!("{arguments} is no SELECT");
        };
        let Ast::Call(call) = &select.fields[0].expr else {
            panic!("{arguments} is no call");
        };
        let error = Forecast::from_call(call, 1).unwrap_err();
        assert_eq!(error.strip_backtrace(), format!("Error during planning: {refused}"));
    }
}
