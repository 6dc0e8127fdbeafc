//! Tests of the bin arithmetic: fixed cases around clock shifts, and properties.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use datafusion::common::arrow::datatypes::IntervalMonthDayNano;
use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn at(time: &str) -> i64 {
    DateTime::parse_from_rfc3339(time).unwrap().timestamp_nanos_opt().unwrap()
}

fn wall(stride: i64, zone: &str) -> Binning {
    Binning::wallclock(Stride::Nanos(stride), 0, zone.parse().unwrap())
}

fn show(bins: impl Iterator<Item = i64>, zone: &str) -> Vec<String> {
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    bins.map(|bin| utc(bin).with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true))
        .collect()
}

#[test]
fn days_follow_the_wall_clock_across_both_shifts() {
    let days = wall(24 * HOUR, "Europe/Paris");
    let bins = days.between(at("2024-03-30T12:00:00Z"), at("2024-04-01T12:00:00Z"));
    insta::assert_debug_snapshot!(show(bins, "Europe/Paris"), @r#"
    [
        "2024-03-30T00:00:00+01:00",
        "2024-03-31T00:00:00+01:00",
        "2024-04-01T00:00:00+02:00",
    ]
    "#);
    let bins = days.between(at("2024-10-26T12:00:00Z"), at("2024-10-28T12:00:00Z"));
    insta::assert_debug_snapshot!(show(bins, "Europe/Paris"), @r#"
    [
        "2024-10-26T00:00:00+02:00",
        "2024-10-27T00:00:00+02:00",
        "2024-10-28T00:00:00+01:00",
    ]
    "#);
}

#[test]
fn short_bins_in_a_repeated_hour_occur_twice() {
    let bins = wall(30 * MINUTE, "Europe/London")
        .between(at("2020-10-25T00:00:00Z"), at("2020-10-25T02:00:00Z"));
    insta::assert_debug_snapshot!(show(bins, "Europe/London"), @r#"
    [
        "2020-10-25T01:00:00+01:00",
        "2020-10-25T01:30:00+01:00",
        "2020-10-25T01:00:00Z",
        "2020-10-25T01:30:00Z",
        "2020-10-25T02:00:00Z",
    ]
    "#);
}

#[test]
fn long_bins_that_start_in_a_repeated_hour_start_at_its_first_occurrence() {
    let bins = wall(2 * HOUR, "America/New_York");
    // The local time 01:00 is both 05:00Z and 06:00Z; with this origin a bin starts there.
    let bins = Binning { origin: HOUR, ..bins };
    let first = at("2020-11-01T05:00:00Z");
    for time in ["2020-11-01T05:30:00Z", "2020-11-01T06:30:00Z", "2020-11-01T07:30:00Z"] {
        assert_eq!(bins.start(at(time)), Some(first), "{time}");
    }
}

#[test]
fn bin_that_starts_in_a_skipped_hour_is_counted_from_the_start_of_the_day() {
    // London skips 01:00 to 02:00 on 2020-03-29.
    let bins = wall(24 * HOUR, "Europe/London");
    let bins = Binning { origin: HOUR, ..bins };
    assert_eq!(bins.start(at("2020-03-29T12:00:00Z")), Some(at("2020-03-29T01:00:00Z")));
    let all = bins.between(at("2020-03-28T12:00:00Z"), at("2020-03-30T12:00:00Z"));
    insta::assert_debug_snapshot!(show(all, "Europe/London"), @r#"
    [
        "2020-03-28T01:00:00Z",
        "2020-03-29T02:00:00+01:00",
        "2020-03-30T01:00:00+01:00",
    ]
    "#);
}

#[test]
fn a_skipped_day_has_no_bin() {
    let bins = wall(24 * HOUR, "Pacific/Apia")
        .between(at("2011-12-29T12:00:00Z"), at("2012-01-01T00:00:00Z"));
    insta::assert_debug_snapshot!(show(bins, "Pacific/Apia"), @r#"
    [
        "2011-12-29T00:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2012-01-01T00:00:00+14:00",
    ]
    "#);
}

#[test]
fn months_keep_the_day_of_their_origin() {
    let bins = Binning::instants(Stride::Months(1), at("2023-01-31T00:00:00Z"));
    let all = bins.between(at("2023-12-31T00:00:00Z"), at("2024-04-30T00:00:00Z"));
    insta::assert_debug_snapshot!(show(all, "UTC"), @r#"
    [
        "2023-12-31T00:00:00Z",
        "2024-01-31T00:00:00Z",
        "2024-02-29T00:00:00Z",
        "2024-03-31T00:00:00Z",
        "2024-04-30T00:00:00Z",
    ]
    "#);
}

#[test]
fn months_and_years_start_at_local_midnight() {
    let months =
        |count, zone: &str| Binning::wallclock(Stride::Months(count), 0, zone.parse().unwrap());
    let bins = months(1, "Europe/Paris");
    let all = bins.between(at("2024-02-29T23:00:00Z"), at("2024-12-01T00:00:00Z"));
    let shown = show(all, "Europe/Paris");
    assert_eq!(shown.first().unwrap(), "2024-03-01T00:00:00+01:00");
    assert_eq!(shown[1], "2024-04-01T00:00:00+02:00");
    assert_eq!(shown.last().unwrap(), "2024-12-01T00:00:00+01:00");
    assert_eq!(shown.len(), 10);
    assert_eq!(bins.count_between(at("2024-02-29T23:00:00Z"), at("2024-12-01T00:00:00Z")), 10);
    for (time, start) in [
        ("2024-02-29T22:59:59Z", "2024-01-31T23:00:00Z"),
        ("2024-03-31T21:59:59Z", "2024-02-29T23:00:00Z"),
        ("2024-03-31T22:00:00Z", "2024-03-31T22:00:00Z"),
    ] {
        assert_eq!(bins.start(at(time)), Some(at(start)), "{time}");
    }
    let quarters = months(3, "America/New_York");
    let all = quarters.between(at("2024-01-01T04:59:59Z"), at("2024-07-01T04:00:00Z"));
    insta::assert_debug_snapshot!(show(all, "America/New_York"), @r#"
    [
        "2023-10-01T00:00:00-04:00",
        "2024-01-01T00:00:00-05:00",
        "2024-04-01T00:00:00-04:00",
        "2024-07-01T00:00:00-04:00",
    ]
    "#);
    let years = months(12, "Asia/Kathmandu");
    assert_eq!(years.start(at("2024-12-31T18:14:59Z")), Some(at("2023-12-31T18:15:00Z")));
    assert_eq!(years.start(at("2024-12-31T18:15:00Z")), Some(at("2024-12-31T18:15:00Z")));
}

#[test]
fn weeks_begin_on_the_local_day_of_their_origin() {
    // The local days have 23 hours on 2020-03-29, when Rome sets its clock forward.
    let weeks = wall(168 * HOUR, "Europe/Rome");
    let from_monday = Binning { origin: 96 * HOUR, ..weeks };
    let range = (at("2020-03-23T12:00:00Z"), at("2020-04-06T12:00:00Z"));
    insta::assert_debug_snapshot!(show(weeks.between(range.0, range.1), "Europe/Rome"), @r#"
    [
        "2020-03-19T00:00:00+01:00",
        "2020-03-26T00:00:00+01:00",
        "2020-04-02T00:00:00+02:00",
    ]
    "#);
    insta::assert_debug_snapshot!(show(from_monday.between(range.0, range.1), "Europe/Rome"), @r#"
    [
        "2020-03-23T00:00:00+01:00",
        "2020-03-30T00:00:00+02:00",
        "2020-04-06T00:00:00+02:00",
    ]
    "#);
}

#[test]
fn extreme_times_do_not_panic_or_loop() {
    for binning in [
        Binning::instants(Stride::Nanos(HOUR), 0),
        Binning::instants(Stride::Months(1), 0),
        Binning::wallclock(Stride::Months(1), 0, "Europe/Paris".parse().unwrap()),
        wall(HOUR, "Europe/Paris"),
    ] {
        assert!(binning.between(i64::MAX - 2 * HOUR, i64::MAX).count() <= 4);
        assert!(binning.between(i64::MIN, i64::MIN + 2 * HOUR).count() <= 4);
        assert_eq!(binning.between(10, 9).count(), 0);
    }
}

#[test]
fn unusable_intervals_are_refused() {
    let interval = |months, days, nanos| {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
    };
    assert_eq!(Stride::try_new(&interval(0, 1, 1), "f").unwrap(), Stride::Nanos(24 * HOUR + 1));
    assert_eq!(Stride::try_new(&interval(14, 0, 0), "f").unwrap(), Stride::Months(14));
    for bad in [
        interval(0, 0, 0),
        interval(0, 0, -1),
        interval(-1, 0, 0),
        interval(1, 1, 0),
        interval(0, i32::MAX, 0),
        ScalarValue::IntervalMonthDayNano(None),
        ScalarValue::Null,
    ] {
        assert!(Stride::try_new(&bad, "f").is_err(), "{bad:?}");
    }
}

#[test]
fn a_bin_list_longer_than_its_cache_can_be_restarted() {
    let count = i64::try_from(cursor_length()).unwrap();
    let list = BinList::new(Binning::instants(Stride::Nanos(1), 0).between(0, count - 1));
    let mut cursor = list.cursor();
    for _ in 0..2 {
        let mut seen = 0;
        while let Some(bin) = cursor.current() {
            assert_eq!(bin, seen);
            seen += 1;
            cursor.advance();
        }
        assert_eq!(seen, count);
        cursor.restart();
    }
}

fn cursor_length() -> usize {
    65_536 + 1000
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "UTC",
        "+05:30",
        "Europe/Paris",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kathmandu",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    /// The bins between two instants are exactly the bins of all instants in the range.
    #[test]
    fn bins_between_are_those_of_all_instants_between(
        zone in zones(),
        start in 0i64..(60 * 365 * 24),
        hours in 1i64..200,
        stride in prop::sample::select(vec![15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 24 * HOUR, 168 * HOUR]),
        origin in 0i64..24,
    ) {
        let binning = Binning { origin: origin * HOUR, ..wall(stride, zone) };
        let (lower, upper) = (start * HOUR, (start + hours) * HOUR);
        let expected: BTreeSet<i64> =
            (0..=hours * 12).filter_map(|step| binning.start(lower + step * 5 * MINUTE)).collect();
        let walked: Vec<i64> = binning.between(lower, upper).collect();
        prop_assert_eq!(walked, expected.into_iter().collect::<Vec<_>>());
    }

    /// Without shifts a bin holds its instants, and the next bin starts one stride later.
    #[test]
    fn bins_of_instants_tile_time(time in any::<i64>(), stride in 1i64..(400 * 24 * HOUR), origin in -HOUR..HOUR) {
        let binning = Binning::instants(Stride::Nanos(stride), origin);
        if let Some(bin) = binning.start(time) {
            prop_assert!(bin <= time && i128::from(time) < i128::from(bin) + i128::from(stride));
            prop_assert_eq!((bin - origin) % stride, 0);
        }
    }
}
