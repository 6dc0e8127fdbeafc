//! Queries over tables in memory.

mod columns;
mod limits;
mod matching;
mod properties;
mod source;

use std::sync::Arc;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use source::{Metric, TestSource};

use crate::{
    Evaluation, EvaluationLimits, EvaluationRange, FloatHistogram, PromqlError, QueryResult,
    QueryValue, evaluate, number::format_float, parse,
};

/// Returns an instant query at a second.
fn at(second: i64) -> Evaluation {
    evaluation(EvaluationRange::Instant { at_ms: second * 1_000 })
}

/// Returns a range query of seconds.
fn between(start: i64, end: i64, step: i64) -> Evaluation {
    evaluation(EvaluationRange::Range {
        start_ms: start * 1_000,
        end_ms: end * 1_000,
        step_ms: step * 1_000,
    })
}

pub(crate) fn evaluation(range: EvaluationRange) -> Evaluation {
    Evaluation {
        range,
        lookback_ms: 300_000,
        subquery_step_ms: 60_000,
        limits: EvaluationLimits::default(),
        counts_samples: false,
    }
}

async fn run(
    source: &TestSource,
    text: &str,
    evaluation: &Evaluation,
) -> Result<QueryResult, PromqlError> {
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 30));
    evaluate(&parse(text)?, evaluation, source, &memory).await
}

/// Returns the lines of a value: labels, and the samples with their seconds.
fn lines(value: &QueryValue) -> Vec<String> {
    match value {
        QueryValue::Scalar { value, .. } => vec![format_float(*value)],
        QueryValue::Text { value, .. } => vec![value.clone()],
        QueryValue::Vector(vector) => vector
            .iter()
            .map(|sample| format!("{} {}", sample.labels, sample.value))
            .collect(),
        QueryValue::Matrix(matrix) => matrix
            .iter()
            .map(|series| {
                let samples =
                    series.samples.iter().map(|(time, value)| format!(" {value}@{}", time / 1_000));
                format!("{}{}", series.labels, samples.collect::<String>())
            })
            .collect(),
    }
}

async fn query(source: &TestSource, text: &str, evaluation: Evaluation) -> Vec<String> {
    let result = run(source, text, &evaluation).await;
    lines(&result.unwrap_or_else(|error| panic!("{text}: {error}")).value)
}

async fn error(source: &TestSource, text: &str, evaluation: Evaluation) -> String {
    run(source, text, &evaluation).await.expect_err(text).to_string()
}

/// Counters of requests of two jobs with two instances each: a sample each 10 seconds, from 10 to 120 seconds.
fn requests() -> TestSource {
    let metric = |job: &str, instance: &str, per_second: i32| {
        let samples =
            (1..=12).map(|step| (step * 10, f64::from(per_second) * f64::from(step * 10)));
        Metric::new("requests_total", &[("job", job), ("instance", instance)]).floats(samples)
    };
    TestSource::new(&[
        metric("api", "a", 1),
        metric("api", "b", 2),
        metric("web", "a", 3),
        metric("web", "b", 4),
    ])
}

fn gauge(name: &str, labels: &[(&str, &str)], samples: &[(i32, f64)]) -> Metric {
    Metric::new(name, labels).floats(samples.iter().copied())
}

#[tokio::test]
async fn a_sample_is_the_value_of_its_series_until_the_look_back_ends() {
    let source = TestSource::new(&[gauge("x", &[("job", "a")], &[(100, 1.0)])]);
    let series = r#"{__name__="x", job="a"}"#;
    assert!(query(&source, "x", at(99)).await.is_empty());
    assert_eq!(query(&source, "x", at(100)).await, [format!("{series} 1")]);
    assert_eq!(query(&source, "x", at(399)).await, [format!("{series} 1")]);
    // The look-back excludes its start.
    assert!(query(&source, "x", at(400)).await.is_empty());
    assert_eq!(
        query(&source, "x", between(0, 500, 100)).await,
        [format!("{series} 1@100 1@200 1@300")]
    );
}

#[tokio::test]
async fn a_stale_marker_ends_a_series() {
    let source = TestSource::new(&[gauge("x", &[], &[(10, 1.0), (30, 3.0)])
        .stale_at(20)
        .float(25, f64::NAN)]);
    assert_eq!(
        query(&source, "x", between(10, 30, 5)).await,
        [r#"{__name__="x"} 1@10 1@15 NaN@25 3@30"#]
    );
    // A marker is no sample of a range.
    assert_eq!(query(&source, "count_over_time(x[30s])", at(30)).await, ["{} 3"]);
    assert_eq!(query(&source, "x[10s]", at(30)).await, [r#"{__name__="x"} NaN@25 3@30"#]);
}

#[tokio::test]
async fn ranges_exclude_their_start() {
    let source = requests();
    let sum = "sum_over_time(requests_total{job='api',instance='a'}[20s])";
    assert_eq!(query(&source, sum, at(40)).await, [r#"{instance="a", job="api"} 70"#]);
    let rates = query(&source, "rate(requests_total[1m])", between(60, 120, 30)).await;
    assert_eq!(
        rates,
        [
            r#"{instance="a", job="api"} 1@60 1@90 1@120"#,
            r#"{instance="a", job="web"} 3@60 3@90 3@120"#,
            r#"{instance="b", job="api"} 2@60 2@90 2@120"#,
            r#"{instance="b", job="web"} 4@60 4@90 4@120"#,
        ]
    );
}

#[tokio::test]
async fn ranges_may_leave_out_samples_or_share_them() {
    let source = requests();
    let counts =
        |range: &str| format!("count_over_time(requests_total{{job='api',instance='a'}}[{range}])");
    assert_eq!(
        query(&source, &counts("20s"), between(0, 150, 50)).await,
        [r#"{instance="a", job="api"} 2@50 2@100"#]
    );
    assert_eq!(
        query(&source, &counts("15s"), between(116, 128, 4)).await,
        [r#"{instance="a", job="api"} 1@116 2@120 2@124 1@128"#]
    );
}

#[tokio::test]
async fn a_series_has_all_its_samples_if_its_first_batch_is_before_the_range() {
    let series = |job: &str| {
        let samples = (1..=4).map(|step| (step * 10, f64::from(step)));
        Metric::new("x", &[("job", job)]).floats(samples)
    };
    let source = TestSource::with_batches(&[series("a"), series("b")], 8, 2);
    assert_eq!(
        query(&source, "x[15s]", at(40)).await,
        [r#"{__name__="x", job="a"} 3@30 4@40"#, r#"{__name__="x", job="b"} 3@30 4@40"#,]
    );
}

#[tokio::test]
async fn aggregations_group_by_labels() {
    let source = requests();
    for (text, expected) in [
        (
            "sum by (job) (rate(requests_total[1m]))",
            vec![r#"{job="api"} 3"#, r#"{job="web"} 7"#],
        ),
        ("sum(rate(requests_total[1m]))", vec!["{} 10"]),
        (
            "max without (instance) (requests_total)",
            vec![r#"{job="api"} 240"#, r#"{job="web"} 480"#],
        ),
        (
            "avg by (instance) (rate(requests_total[1m]))",
            vec![r#"{instance="a"} 2"#, r#"{instance="b"} 3"#],
        ),
        ("count(requests_total)", vec!["{} 4"]),
        ("group by (zone) (requests_total)", vec!["{} 1"]),
        ("quantile(0.5, rate(requests_total[1m]))", vec!["{} 2.5"]),
        ("stdvar(rate(requests_total[1m]))", vec!["{} 1.25"]),
        (
            "topk(2, rate(requests_total[1m]))",
            vec![r#"{instance="b", job="web"} 4"#, r#"{instance="a", job="web"} 3"#],
        ),
        (
            "bottomk by (job) (1, rate(requests_total[1m]))",
            vec![r#"{instance="a", job="api"} 1"#, r#"{instance="a", job="web"} 3"#],
        ),
        (
            "count_values by (job) (\"rate\", rate(requests_total[1m]) > bool 1)",
            vec![
                r#"{job="api", rate="0"} 1"#,
                r#"{job="api", rate="1"} 1"#,
                r#"{job="web", rate="1"} 2"#,
            ],
        ),
    ] {
        let mut found = query(&source, text, at(120)).await;
        if !text.starts_with("topk") {
            found.sort();
        }
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(query(&source, "count(limitk(3, requests_total))", at(120)).await, ["{} 3"]);
    assert!(query(&source, "topk(0, requests_total)", at(120)).await.is_empty());
    let all = query(&source, "count(requests_total)", at(120)).await;
    for text in [
        "count(limit_ratio(1, requests_total))",
        "count(limit_ratio(0.4, requests_total) or limit_ratio(-0.6, requests_total))",
    ] {
        assert_eq!(query(&source, text, at(120)).await, all, "{text}");
    }
    let both = "limit_ratio(0.4, requests_total) and limit_ratio(-0.6, requests_total)";
    assert!(query(&source, both, at(120)).await.is_empty());
}

#[tokio::test]
async fn the_greatest_series_are_chosen_at_each_step() {
    let source = TestSource::new(&[
        gauge("x", &[("job", "a")], &[(10, 3.0), (20, 1.0)]),
        gauge("x", &[("job", "b")], &[(10, 2.0), (20, 2.0)]),
    ]);
    assert_eq!(
        query(&source, "topk(1, x)", between(10, 20, 10)).await,
        [r#"{__name__="x", job="a"} 3@10"#, r#"{__name__="x", job="b"} 2@20"#]
    );
}

#[tokio::test]
async fn selectors_read_other_times() {
    let source = requests();
    let selector = "requests_total{job='api',instance='a'}";
    let name = r#"{__name__="requests_total", instance="a", job="api"}"#;
    for (text, expected) in [
        (format!("{selector} offset 30s"), "70"),
        (format!("{selector} offset -10s"), "110"),
        (format!("{selector} @ 50"), "50"),
        (format!("{selector} @ 50 offset 20s"), "30"),
        (format!("{selector} @ start()"), "100"),
    ] {
        assert_eq!(query(&source, &text, at(100)).await, [format!("{name} {expected}")]);
    }
    let fixed = format!("{selector} @ end()");
    assert_eq!(
        query(&source, &fixed, between(60, 100, 20)).await,
        [format!("{name} 100@60 100@80 100@100")]
    );
    let sum = format!("sum_over_time({selector}[20s] @ 40)");
    assert_eq!(
        query(&source, &sum, between(60, 80, 20)).await,
        [r#"{instance="a", job="api"} 70@60 70@80"#]
    );
    // The prediction depends on the step: the line through (30, 30) and (40, 40) at the step.
    let prediction = format!("predict_linear({selector}[20s] @ 40, 0)");
    assert_eq!(
        query(&source, &prediction, between(60, 80, 20)).await,
        [r#"{instance="a", job="api"} 60@60 80@80"#]
    );
}

#[tokio::test]
async fn subqueries_evaluate_at_multiples_of_their_step() {
    let source = requests();
    let rate = "rate(requests_total{job='web',instance='b'}[30s])";
    assert_eq!(
        query(&source, &format!("max_over_time({rate}[1m:20s])"), at(110)).await,
        [r#"{instance="b", job="web"} 4"#]
    );
    let matrix = "requests_total{job='api',instance='a'}[1m:20s]";
    assert_eq!(
        query(&source, matrix, at(110)).await,
        [r#"{__name__="requests_total", instance="a", job="api"} 60@60 80@80 100@100"#]
    );
    let counts = "count_over_time(requests_total{job='api',instance='a'}[1m:])";
    assert_eq!(
        query(&source, counts, between(60, 120, 60)).await,
        [r#"{instance="a", job="api"} 1@60 1@120"#]
    );
    let fixed = "sum_over_time(requests_total{job='api',instance='a'}[40s:20s] @ 80 offset 20s)";
    assert_eq!(
        query(&source, fixed, between(100, 120, 20)).await,
        [r#"{instance="a", job="api"} 100@100 100@120"#]
    );
}

#[tokio::test]
async fn series_with_equal_labels_at_different_steps_are_merged() {
    let source = TestSource::new(&[
        gauge("x", &[], &[(10, -1.0)]).stale_at(20),
        gauge("y", &[], &[(20, -2.0)]),
    ]);
    for text in [r#"abs({__name__=~"x|y"})"#, "-x or -y"] {
        assert_eq!(query(&source, text, between(10, 20, 10)).await, ["{} 1@10 2@20"], "{text}");
    }
    // These functions compare the labels of all steps.
    for text in [
        r#"-{__name__=~"x|y"}"#,
        r#"label_replace({__name__=~"x|y"}, "__name__", "z", "", "")"#,
        r#"label_join({__name__=~"x|y"}, "__name__", "", "job")"#,
    ] {
        assert_eq!(
            error(&source, text, between(10, 20, 10)).await,
            "vector cannot contain metrics with the same labelset",
            "{text}"
        );
    }
}

#[tokio::test]
async fn patterns_have_the_meaning_of_re2() {
    let source = TestSource::new(&[
        gauge("x", &[("job", "é")], &[(10, 1.0)]),
        gauge("x", &[("job", "a{b}")], &[(10, 2.0)]),
    ]);
    for (text, expected) in [
        (r#"x{job=~"\\W"}"#, r#"{__name__="x", job="é"} 1"#),
        (r#"x{job!~"\\w.*"}"#, r#"{__name__="x", job="é"} 1"#),
        (r#"x{job=~"a{b}"}"#, r#"{__name__="x", job="a{b}"} 2"#),
        (
            r#"label_replace(x{job="é"}, "kind", "no word", "job", "\\W")"#,
            r#"{__name__="x", job="é", kind="no word"} 1"#,
        ),
    ] {
        assert_eq!(query(&source, text, at(10)).await, [expected], "{text}");
    }
}

#[tokio::test]
async fn functions_of_vectors_have_their_values() {
    let source = TestSource::new(&[
        gauge("x", &[("node", "n9")], &[(10, 4.0)]),
        gauge("x", &[("node", "n10")], &[(12, -1.5)]),
    ]);
    for (text, expected) in [
        ("abs(x)", vec![r#"{node="n10"} 1.5"#, r#"{node="n9"} 4"#]),
        ("clamp(x, 0, 3)", vec![r#"{node="n10"} 0"#, r#"{node="n9"} 3"#]),
        ("round(x)", vec![r#"{node="n10"} -1"#, r#"{node="n9"} 4"#]),
        ("timestamp(x)", vec![r#"{node="n10"} 12"#, r#"{node="n9"} 10"#]),
        ("timestamp(x + 0)", vec![r#"{node="n10"} 20"#, r#"{node="n9"} 20"#]),
        ("scalar(x)", vec!["NaN"]),
        ("scalar(x{node='n9'}) * 2", vec!["8"]),
        ("vector(time())", vec!["{} 20"]),
        ("absent(x)", vec![]),
        ("absent(x{node='n1', zone=~'.'})", vec![r#"{node="n1"} 1"#]),
        ("absent_over_time(x{node='n1'}[5s])", vec![r#"{node="n1"} 1"#]),
        ("minute(vector(90))", vec!["{} 1"]),
        ("hour()", vec!["{} 0"]),
        (
            "sort(x)",
            vec![r#"{__name__="x", node="n10"} -1.5"#, r#"{__name__="x", node="n9"} 4"#],
        ),
        (
            "sort_desc(x)",
            vec![r#"{__name__="x", node="n9"} 4"#, r#"{__name__="x", node="n10"} -1.5"#],
        ),
        (
            "sort_by_label(x, 'node')",
            vec![r#"{__name__="x", node="n9"} 4"#, r#"{__name__="x", node="n10"} -1.5"#],
        ),
        (
            "label_replace(x{node='n9'}, 'id', '$1', 'node', 'n(.*)')",
            vec![r#"{__name__="x", id="9", node="n9"} 4"#],
        ),
        (
            "label_join(x{node='n9'}, 'id', '-', 'node', 'node')",
            vec![r#"{__name__="x", id="n9-n9", node="n9"} 4"#],
        ),
        ("'text'", vec!["text"]),
        ("2 ^ 3 ^ 2 - -1", vec!["513"]),
        ("1 > bool 2", vec!["0"]),
        ("pi() > bool 3", vec!["1"]),
    ] {
        let mut found = query(&source, text, at(20)).await;
        if !text.starts_with("sort") {
            found.sort();
        }
        assert_eq!(found, expected, "{text}");
    }
}

#[tokio::test]
async fn quantiles_of_classic_histograms_are_estimated() {
    let bucket = |le: &str, job: &str, count: f64| {
        gauge("latency_bucket", &[("le", le), ("job", job)], &[(10, count)])
    };
    let source = TestSource::new(&[
        bucket("1", "a", 2.0),
        bucket("2", "a", 4.0),
        bucket("+Inf", "a", 5.0),
        bucket("1", "b", 0.0),
        bucket("+Inf", "b", 0.0),
        gauge("latency_bucket", &[("job", "c")], &[(10, 1.0)]),
    ]);
    let result = run(&source, "histogram_quantile(0.6, latency_bucket)", &at(10)).await.unwrap();
    let mut found = lines(&result.value);
    found.sort();
    assert_eq!(found, [r#"{job="a"} 1.5"#, r#"{job="b"} NaN"#]);
    assert_eq!(
        result.warnings,
        [r#"PromQL warning: bucket label "le" is missing or has a malformed value of """#]
    );
    let fraction = "histogram_fraction(0, 1, latency_bucket{job='a'})";
    assert_eq!(query(&source, fraction, at(10)).await, [r#"{job="a"} 0.4"#]);
    let invalid = run(&source, "histogram_quantile(2, latency_bucket{job='a'})", &at(10)).await;
    assert_eq!(
        invalid.unwrap().warnings,
        ["PromQL warning: quantile value should be between 0 and 1, got 2"]
    );
}

#[tokio::test]
async fn native_histograms_are_computed_with() {
    let histogram = |factor: f64| FloatHistogram {
        count: 4.0 * factor,
        sum: 8.0 * factor,
        positive: vec![(1, 2.0 * factor), (2, 2.0 * factor)],
        ..FloatHistogram::default()
    };
    let source = TestSource::new(&[
        Metric::new("x", &[("job", "a")]).histogram(10, histogram(1.0)),
        Metric::new("x", &[("job", "b")]).histogram(10, histogram(2.0)),
    ]);
    for (text, expected) in [
        ("histogram_count(sum(x))", vec!["{} 12"]),
        ("histogram_avg(x{job='a'})", vec![r#"{job="a"} 2"#]),
        ("histogram_quantile(1, x{job='a'})", vec![r#"{job="a"} 4"#]),
        ("histogram_fraction(0, 2, x{job='b'})", vec![r#"{job="b"} 0.5"#]),
        ("x{job='a'} * 2", vec![r#"{job="a"} {count:8, sum:16, (1,2]:4, (2,4]:4}"#]),
        ("x{job='a'} == ignoring (job) x{job='b'}", vec![]),
        ("count(x)", vec!["{} 2"]),
        ("abs(x)", vec![]),
        ("max(x)", vec![]),
    ] {
        assert_eq!(query(&source, text, at(10)).await, expected, "{text}");
    }
}

#[tokio::test]
async fn range_queries_need_a_scalar_or_a_vector() {
    let source = requests();
    assert_eq!(query(&source, "1 + 1", between(10, 20, 10)).await, ["{} 2@10 2@20"]);
    for text in ["requests_total[1m]", "'text'"] {
        let found = run(&source, text, &between(10, 20, 10)).await.unwrap_err();
        assert_eq!(found.kind(), "bad_data", "{text}");
    }
}

#[tokio::test]
async fn metrics_that_seem_to_be_no_counters_add_a_hint() {
    let source = TestSource::new(&[gauge("x", &[], &[(10, 1.0), (20, 2.0)])]);
    let result = run(&source, "rate(x[1m])", &at(20)).await.unwrap();
    assert_eq!(
        result.infos,
        ["PromQL info: metric might not be a counter, name does not end in \
             _total/_sum/_count/_bucket: \"x\""]
    );
}

#[tokio::test]
async fn series_have_the_labels_of_info_series_of_their_target() {
    let target = [("instance", "1"), ("job", "a")];
    let info = |name: &str, more: &[(&str, &str)], at: i32| {
        gauge(name, &[&target[..], more].concat(), &[(at, 1.0)])
    };
    let source = TestSource::new(&[
        gauge("x", &target, &[(0, 1.0), (60, 2.0)]),
        gauge("x", &[("instance", "2"), ("job", "a")], &[(0, 3.0)]),
        gauge("x", &[("zone", "b")], &[(0, 4.0)]),
        info("target_info", &[("version", "1"), ("cloud", "c")], 0),
        info("target_info", &[("version", "2"), ("cloud", "c")], 60),
        info("build_info", &[("revision", "r")], 0),
    ]);
    for (text, expected) in [
        (
            r#"info(x{instance="1"})"#,
            r#"cloud="c", instance="1", job="a", version="1"} 1"#,
        ),
        (
            r#"info(x{instance="1"}, {version=~".+"})"#,
            r#"instance="1", job="a", version="1"} 1"#,
        ),
        (
            r#"info(x{instance="1"}, {__name__="build_info"})"#,
            r#"instance="1", job="a", revision="r"} 1"#,
        ),
        (r#"info(x{job="a"}, {version="1"})"#, r#"instance="1", job="a", version="1"} 1"#),
        (r#"info(x{instance="2"})"#, r#"instance="2", job="a"} 3"#),
        (r#"info(x{zone="b"})"#, r#"zone="b"} 4"#),
    ] {
        let series = format!(r#"{{__name__="x", {expected}"#);
        assert_eq!(query(&source, text, at(0)).await, [series], "{text}");
    }
    assert!(query(&source, "info(target_info)", at(0)).await[0].contains("version"));
    // The labels of the newest info series count at each step.
    let mut changing =
        query(&source, r#"count by (version) (info(x{instance="1"}))"#, between(0, 60, 60)).await;
    changing.sort();
    let expected = [r#"{version="1"} 1@0"#, r#"{version="2"} 1@60"#];
    assert_eq!(changing, expected);
    let conflict = TestSource::new(&[
        gauge("x", &target, &[(0, 1.0)]),
        info("a_info", &[("zone", "1")], 0),
        info("b_info", &[("zone", "2")], 0),
        info("target_info", &[("zone", "1")], 0),
        info("target_info", &[("zone", "2")], 0),
    ]);
    let names = r#"info(x, {__name__=~"a_info|b_info"})"#;
    assert_eq!(error(&conflict, names, at(0)).await, "conflicting label: zone");
    let duplicates = error(&conflict, "info(x)", at(0)).await;
    assert!(duplicates.starts_with("found duplicate series for info metric"), "{duplicates}");
}

#[tokio::test]
async fn series_whose_added_labels_change_take_memory() {
    let steps = 0..64;
    let all: Vec<(i32, f64)> = steps.clone().map(|step| (step, 1.0)).collect();
    let target = [("instance", "1"), ("job", "a")];
    // The labels at a step are the bits of its number.
    let infos = (0..6_i32).flat_map(|bit| [(bit, 0, "0"), (bit, 1, "1")]);
    let mut metrics = vec![gauge("x", &target, &all)];
    for (bit, number, value) in infos {
        let name = format!("b{bit}");
        let labels = [&target[..], &[(name.as_str(), value)]].concat();
        let is_set = |step: &i32| (*step >> bit) & 1 == number;
        let samples: Vec<(i32, f64)> = steps.clone().filter(is_set).map(|it| (it, 1.0)).collect();
        metrics.push(gauge(&format!("{name}_info"), &labels, &samples));
    }
    let source = TestSource::new(&metrics);
    let text = r#"count(info(x, {__name__=~"b._info"}))"#;
    let few_samples = |end: i64| {
        let mut few = between(0, end, 1);
        few.limits.samples = 3_000;
        few
    };
    let counts = (0..10).map(|step| format!(" 1@{step}"));
    let expected = format!("{{}}{}", counts.collect::<String>());
    assert_eq!(query(&source, text, few_samples(9)).await, [expected]);
    let exhausted = error(&source, text, few_samples(63)).await;
    assert!(exhausted.contains("too many samples"), "{exhausted}");
}

#[tokio::test]
async fn samples_are_counted_at_each_step_that_reads_them() {
    let source = requests();
    let counts = async |text: &str| {
        let counted = Evaluation { counts_samples: true, ..between(100, 120, 10) };
        let samples = run(&source, text, &counted).await.unwrap().samples;
        assert!(samples.peak > 0, "{text}");
        let numbers: Vec<usize> = samples.per_step.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers.iter().sum::<usize>(), samples.total());
        numbers
    };
    for (text, expected) in [
        ("1", [0, 0, 0]),
        ("requests_total", [4, 4, 4]),
        ("sum(rate(requests_total[30s]))", [12, 12, 12]),
        // Evaluated once, for all steps.
        ("sum(rate(requests_total[30s] @ 120))", [12, 12, 12]),
        // Only the results of the subquery count.
        ("sum_over_time(sum(requests_total)[30s:10s])", [3, 3, 3]),
    ] {
        assert_eq!(counts(text).await, expected, "{text}");
    }
    let uncounted = run(&source, "requests_total", &at(120)).await.unwrap().samples;
    assert!(uncounted.per_step.is_empty());
}
