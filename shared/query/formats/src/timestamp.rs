//! Formats timestamps faster than a general calendar library. It caches the date, because neighbouring rows are mostly
//! of one day, and the whole text, because many have the same time.

use arrow::datatypes::TimeUnit;

const SECONDS_PER_DAY: i64 = 86_400;

/// The two digits of the numbers below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    let mut tens = b'0';
    let mut ones = b'0';
    while number < 100 {
        pairs[number] = [tens, ones];
        if ones == b'9' {
            ones = b'0';
            tens += 1;
        } else {
            ones += 1;
        }
        number += 1;
    }
    pairs
};

/// Positions in the text `"YYYY-MM-DDTHH:MM:SS.fffffffff`, which starts with a quote.
const YEAR: usize = 1;
const MONTH: usize = 6;
const DAY: usize = 9;
const HOUR: usize = 12;
const MINUTE: usize = 15;
const SECOND: usize = 18;
const SECOND_END: usize = 20;
const FRACTION: usize = 21;

/// Formats UTC times as `2024-01-01T08:00:00`, with 3, 6 or 9 digits of a fraction that is not zero.
#[derive(Debug)]
pub(crate) struct TimestampFormatter {
    unit: TimeUnit,
    quoted: bool,
    /// The text after the seconds: `Z`, `"`, both or nothing.
    suffix: &'static [u8],
    /// The value of the cached `text`, and the day of its date.
    last: Option<(i64, i64)>,
    text: [u8; 32],
    end: usize,
}

impl TimestampFormatter {
    /// Creates a formatter of values counted in `unit`. `zulu` ends the text with `Z`, `quoted` puts it into quotes.
    pub(crate) fn new(unit: TimeUnit, zulu: bool, quoted: bool) -> Self {
        let suffix: &[u8] = match (zulu, quoted) {
            (true, true) => b"Z\"",
            (true, false) => b"Z",
            (false, true) => b"\"",
            (false, false) => b"",
        };
        Self {
            unit,
            quoted,
            suffix,
            last: None,
            text: *b"\"0000-00-00T00:00:00.000000000  ",
            end: 0,
        }
    }

    /// Appends `value` and returns true. Returns false if its year does not have four digits.
    pub(crate) fn push(&mut self, value: i64, out: &mut Vec<u8>) -> bool {
        if self.last.is_none_or(|(last, _)| last != value) && !self.render(value) {
            return false;
        }
        out.extend_from_slice(&self.text[usize::from(!self.quoted)..self.end]);
        true
    }

    fn render(&mut self, value: i64) -> bool {
        let (seconds, nanoseconds) = split(value, self.unit);
        let day = seconds.div_euclid(SECONDS_PER_DAY);
        if self.last.is_none_or(|(_, last)| last != day) {
            let Some((year, month, day_of_month)) = civil_from_days(day) else {
                self.last = None;
                return false;
            };
            self.put(YEAR, year / 100);
            self.put(YEAR + 2, year);
            self.put(MONTH, month);
            self.put(DAY, day_of_month);
        }
        let second_of_day = to_usize(seconds.rem_euclid(SECONDS_PER_DAY));
        self.put(HOUR, second_of_day / 3600);
        self.put(MINUTE, second_of_day / 60 % 60);
        self.put(SECOND, second_of_day % 60);
        let end = self.put_fraction(to_usize(nanoseconds));
        self.text[end..end + self.suffix.len()].copy_from_slice(self.suffix);
        self.end = end + self.suffix.len();
        self.last = Some((value, day));
        true
    }

    /// Writes the last two digits of `number` at `position`.
    fn put(&mut self, position: usize, number: usize) {
        self.text[position..position + 2].copy_from_slice(&PAIRS[number % 100]);
    }

    /// Writes the fraction, if any, and returns its end.
    fn put_fraction(&mut self, nanoseconds: usize) -> usize {
        if nanoseconds == 0 {
            return SECOND_END;
        }
        // Nine digits are four pairs and a first digit. The leading zero of the first pair is overwritten by the
        // decimal point.
        self.put(FRACTION - 1, nanoseconds / 100_000_000);
        self.put(FRACTION + 1, nanoseconds / 1_000_000);
        self.put(FRACTION + 3, nanoseconds / 10_000);
        self.put(FRACTION + 5, nanoseconds / 100);
        self.put(FRACTION + 7, nanoseconds);
        self.text[SECOND_END] = b'.';
        let digits = if nanoseconds.is_multiple_of(1_000_000) {
            3
        } else if nanoseconds.is_multiple_of(1_000) {
            6
        } else {
            9
        };
        FRACTION + digits
    }
}

/// Splits a value counted in `unit` into whole seconds and remaining nanoseconds (0 to 999,999,999).
fn split(value: i64, unit: TimeUnit) -> (i64, i64) {
    match unit {
        TimeUnit::Second => (value, 0),
        TimeUnit::Millisecond => (value.div_euclid(1_000), value.rem_euclid(1_000) * 1_000_000),
        TimeUnit::Microsecond => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000) * 1_000),
        TimeUnit::Nanosecond => (value.div_euclid(1_000_000_000), value.rem_euclid(1_000_000_000)),
    }
}

/// Converts a number known to be small and not negative.
fn to_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Returns year, month and day of the `days`-th day after 1970-01-01 in the proleptic Gregorian calendar; `None`
/// outside the years 0 to 9999.
///
/// Counts in years that begin with March, so that the leap day is their last day. The lengths of their months follow a
/// straight line with a slope of 30.6 days (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> Option<(usize, usize, usize)> {
    const DAYS_PER_ERA: i64 = 146_097; // 400 years
    const FIRST: i64 = -719_528; // 0000-01-01
    const LAST: i64 = 2_932_896; // 9999-12-31
    if !(FIRST..=LAST).contains(&days) {
        return None;
    }
    let days = days + 719_468; // since 0000-03-01
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    let year = era * 400 + year_of_era + next_year;
    Some((to_usize(year), to_usize(month), to_usize(day)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        ArrayRef, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };
    use arrow::util::display::array_value_to_string;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn text(unit: TimeUnit, value: i64) -> String {
        let mut out = Vec::new();
        assert!(TimestampFormatter::new(unit, false, false).push(value, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fractions_have_three_six_or_nine_digits() {
        let texts = [0, 123, 123_000, 123_000_000, -1, 3_000_000_000, 1_704_096_000_010_000_000]
            .map(|value| text(TimeUnit::Nanosecond, value))
            .join("\n");
        insta::assert_snapshot!(texts, @r"
        1970-01-01T00:00:00
        1970-01-01T00:00:00.000000123
        1970-01-01T00:00:00.000123
        1970-01-01T00:00:00.123
        1969-12-31T23:59:59.999999999
        1970-01-01T00:00:03
        2024-01-01T08:00:00.010
        ");
    }

    #[test]
    fn suffix_and_quotes_follow_the_last_digit() {
        let mut out = Vec::new();
        let mut writer = TimestampFormatter::new(TimeUnit::Millisecond, true, true);
        for value in [1, 1, 1000, 86_400_500] {
            assert!(writer.push(value, &mut out));
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""1970-01-01T00:00:00.001Z""1970-01-01T00:00:00.001Z""1970-01-01T00:00:01Z""1970-01-02T00:00:00.500Z""#
        );
    }

    #[test]
    fn years_without_four_digits_are_rejected() {
        let mut writer = TimestampFormatter::new(TimeUnit::Second, false, false);
        let mut out = Vec::new();
        for (value, written) in [
            (253_402_300_799, true),
            (253_402_300_800, false),
            (-62_167_219_200, true),
            (-62_167_219_201, false),
            (i64::MAX, false),
            (i64::MIN, false),
            (0, true),
        ] {
            assert_eq!(writer.push(value, &mut out), written, "{value}");
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "9999-12-31T23:59:590000-01-01T00:00:001970-01-01T00:00:00"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn texts_are_those_of_arrow(values in prop::collection::vec((any::<i64>(), -1_000_000_000_000i64..1_000_000_000_000), 1..20)) {
            let mut writers = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond]
                .map(|unit| TimestampFormatter::new(unit, false, false));
            for (wide, narrow) in values {
                let arrays: [(i64, ArrayRef); 4] = [
                    (narrow / 5, Arc::new(TimestampSecondArray::from(vec![narrow / 5]))),
                    (narrow, Arc::new(TimestampMillisecondArray::from(vec![narrow]))),
                    (narrow * 50, Arc::new(TimestampMicrosecondArray::from(vec![narrow * 50]))),
                    (wide, Arc::new(TimestampNanosecondArray::from(vec![wide]))),
                ];
                for (writer, (value, array)) in writers.iter_mut().zip(&arrays) {
                    let mut out = Vec::new();
                    if writer.push(*value, &mut out) {
                        prop_assert_eq!(String::from_utf8(out).unwrap(), array_value_to_string(array, 0).unwrap());
                    }
                }
            }
        }
    }
}
