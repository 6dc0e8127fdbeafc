//! Limits of memory, samples, series and steps.

use std::sync::Arc;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};

use super::{
    at, between, error, query, requests, run,
    source::{Metric, TestSource},
};
use crate::{FloatHistogram, PromqlError, QueryValue, evaluate, parse};

#[tokio::test]
async fn aggregations_of_rates_keep_no_samples() {
    let metrics: Vec<Metric> = (0..200)
        .map(|instance: i32| {
            let id = instance.to_string();
            let samples = (0..300).map(|step| (step * 10, f64::from(step)));
            Metric::new("x_total", &[("job", "a"), ("instance", id.as_str())]).floats(samples)
        })
        .collect();
    let source = TestSource::new(&metrics);
    let expr = parse("sum by (job) (rate(x_total[5m]))").unwrap();
    // The samples take 960 kB, and the rates of all series 320 kB.
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(50_000));
    let evaluation = between(1_000, 2_000, 10);
    let result = evaluate(&expr, &evaluation, &source, &memory).await.unwrap();
    let QueryValue::Matrix(matrix) = &result.value else {
        panic!("no matrix");
    };
    assert_eq!(matrix[0].samples.len(), 101);
    assert!(memory.reserved() > 0);
    drop(result);
    assert_eq!(memory.reserved(), 0);

    let all = parse("rate(x_total[5m])").unwrap();
    let exhausted = evaluate(&all, &evaluation, &source, &memory).await.unwrap_err();
    assert!(matches!(exhausted, PromqlError::Storage(_)), "{exhausted}");
    assert_eq!(memory.reserved(), 0);
}

#[tokio::test]
async fn the_steps_of_all_operations_take_memory() {
    let source = TestSource::new(&[]);
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(8 << 20));
    let evaluate_text = async |text: &str| {
        let expr = parse(text).unwrap();
        evaluate(&expr, &at(1_000_000), &source, &memory).await
    };
    // 100,000 steps.
    let one = "max_over_time(vector(time())[100000s:1s])";
    evaluate_text(one).await.unwrap();
    let many = format!("max_over_time(vector({}1)[100000s:1s])", "time() + ".repeat(60));
    let exhausted = evaluate_text(&many).await.unwrap_err();
    assert!(matches!(exhausted, PromqlError::Storage(_)), "{exhausted}");
    assert_eq!(memory.reserved(), 0);
}

#[tokio::test]
async fn histograms_of_a_range_take_memory() {
    let histogram = FloatHistogram {
        count: 4.0,
        sum: 8.0,
        positive: vec![(1, 2.0), (2, 2.0)],
        ..FloatHistogram::default()
    };
    let series = (0..100).fold(Metric::new("x", &[]), |metric, second| {
        metric.histogram(second, histogram.clone())
    });
    let source = TestSource::new(&[series]);
    let result = run(&source, "x[100s]", &at(99)).await.unwrap();
    assert!(result.reservation.size() > 100 * size_of::<FloatHistogram>());
    assert_eq!(query(&source, "count_over_time(x[100s])", at(99)).await, ["{} 100"]);
    // The histograms of one series at all steps.
    let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10_000));
    for text in ["count(x)", "count(rate(x[10s]))"] {
        let expr = parse(text).unwrap();
        let few = between(89, 99, 1);
        evaluate(&expr, &few, &source, &memory).await.unwrap();
        let many = between(0, 99, 1);
        let exhausted = evaluate(&expr, &many, &source, &memory).await.unwrap_err();
        assert!(matches!(exhausted, PromqlError::Storage(_)), "{exhausted}");
    }
}

#[tokio::test]
async fn limits_of_samples_and_series_are_errors() {
    let source = requests();
    let mut few_samples = between(10, 120, 10);
    few_samples.limits.samples = 20;
    let text = error(&source, "requests_total", few_samples).await;
    assert!(text.contains("too many samples"), "{text}");
    let mut few_series = at(120);
    few_series.limits.series = 3;
    let text = error(&source, "requests_total", few_series).await;
    assert!(text.contains("the limit of 3 series"), "{text}");
    let mut few_steps = between(10, 120, 10);
    few_steps.limits.steps = 5;
    assert!(error(&source, "requests_total", few_steps).await.contains("maximum resolution"));
}
