//! Random series, compared with what does not depend on how they are read.

use proptest::prelude::*;

use super::{
    between, query,
    source::{Metric, TestSource},
};

const QUERIES: [&str; 14] = [
    "x_total",
    "rate(x_total[1m])",
    "increase(x_total[37s])",
    "irate(x_total[1m])",
    "sum by (job) (rate(x_total[1m]))",
    "avg without (instance) (x_total)",
    "topk(2, x_total)",
    "quantile_over_time(0.7, x_total[90s])",
    "max_over_time(rate(x_total[30s])[2m:15s])",
    "x_total / on (job, instance) group_left () x_total offset 30s",
    "x_total > 50 or x_total offset 1m",
    "count_values('value', x_total)",
    "last_over_time(x_total[25s] @ 100)",
    "stddev(x_total) + deriv(vector(0)[1m:20s])",
];

type Samples = Vec<(i32, f64)>;

/// Samples at increasing seconds.
fn samples() -> impl Strategy<Value = Samples> {
    prop::collection::vec((1_i32..20, 0_u8..100), 0..40).prop_map(|steps| {
        let mut time = 0;
        let samples = steps.into_iter().map(|(distance, value)| {
            time += distance;
            (time, f64::from(value))
        });
        samples.collect()
    })
}

fn metrics(series: &[Samples]) -> Vec<Metric> {
    let labels = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "3"), ("c", "1")];
    let pairs = labels.into_iter().zip(series);
    pairs
        .map(|((job, instance), samples)| {
            Metric::new("x_total", &[("job", job), ("instance", instance)])
                .floats(samples.iter().copied())
        })
        .collect()
}

fn answers(source: &TestSource, queries: &[&str]) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut answers = Vec::new();
        for text in queries {
            answers.push(query(source, text, between(30, 300, 30)).await);
        }
        answers
    })
}

/// Returns the value of a series in the lines of an answer, without its labels.
fn values(lines: &[String]) -> Vec<(i32, f64)> {
    let Some((_, samples)) = lines.first().and_then(|line| line.split_once("} ")) else {
        return Vec::new();
    };
    let pairs = samples.split(' ').filter_map(|sample| sample.split_once('@'));
    pairs
        .map(|(value, time)| (time.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// Returns a function of the samples in the minute before each step.
fn of_minutes(samples: &[(i32, f64)], function: impl Fn(&[(i32, f64)]) -> Option<f64>) -> Samples {
    let steps = (1..=10).map(|step| step * 30);
    let results = steps.filter_map(|step| {
        let in_range: Samples = samples
            .iter()
            .copied()
            .filter(|(time, _)| *time > step - 60 && *time <= step)
            .collect();
        Some((step, function(&in_range)?))
    });
    results.collect()
}

fn sum(samples: &[(i32, f64)]) -> Option<f64> {
    (!samples.is_empty()).then(|| samples.iter().map(|(_, value)| value).sum())
}

/// Returns the change from sample to sample, where a lower value follows 0.
fn total_increase(samples: &[(i32, f64)]) -> f64 {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let changes = pairs.map(|((_, before), (_, after))| {
        if after < before {
            *after
        } else {
            after - before
        }
    });
    changes.sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(64)))]

    #[test]
    fn answers_do_not_depend_on_the_batches(
        series in prop::collection::vec(samples(), 5),
        stored_rows in 1_usize..50,
        read_rows in 1_usize..20,
    ) {
        let metrics = metrics(&series);
        let whole = answers(&TestSource::new(&metrics), &QUERIES);
        let divided = TestSource::with_batches(&metrics, stored_rows, read_rows);
        prop_assert_eq!(whole, answers(&divided, &QUERIES));
    }

    #[test]
    fn ranges_contain_the_samples_after_their_start(samples in samples(), read_rows in 1_usize..20) {
        let series = [Metric::new("x_total", &[]).floats(samples.iter().copied())];
        let source = TestSource::with_batches(&series, 7, read_rows);
        let queries = ["sum_over_time(x_total[1m])", "count_over_time(x_total[1m])"];
        let found = answers(&source, &queries);
        prop_assert_eq!(values(&found[0]), of_minutes(&samples, sum));
        let counts = of_minutes(&samples, |samples| {
            (!samples.is_empty()).then_some(f64::from(u32::try_from(samples.len()).unwrap()))
        });
        prop_assert_eq!(values(&found[1]), counts);
    }

    #[test]
    fn increases_are_extrapolated_increments(samples in samples()) {
        let series = [Metric::new("x_total", &[]).floats(samples.iter().copied())];
        let source = TestSource::new(&series);
        let found = answers(&source, &["increase(x_total[1m])"]);
        let bounds = of_minutes(&samples, |samples| {
            (samples.len() > 1).then(|| total_increase(samples))
        });
        let found = values(&found[0]);
        prop_assert_eq!(found.len(), bounds.len());
        for ((step, value), (expected_step, increment)) in found.into_iter().zip(bounds) {
            prop_assert_eq!(step, expected_step);
            // It is extrapolated by at most 60 seconds, so it is not less, and not more than by this factor.
            prop_assert!(value >= increment * (1.0 - 1e-12), "{value} < {increment}");
            prop_assert!(increment > 0.0 || value == 0.0);
        }
    }
}
