//! Counters and histograms by label values.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::text::SampleWriter;

/// Maximum number of combinations of label values per metric. Further combinations are counted together, so that
/// clients that invent values can't exhaust the memory.
const MAX_SERIES: usize = 1_000;

/// The value of all labels of the combinations that are counted together.
const OTHER: &str = "other";

#[derive(Debug)]
struct LabeledSeries<V> {
    labels: &'static [&'static str],
    by_values: Mutex<BTreeMap<Vec<String>, Arc<V>>>,
}

impl<V> LabeledSeries<V> {
    fn new(labels: &'static [&'static str]) -> Self {
        Self { labels, by_values: Mutex::default() }
    }

    fn get(&self, values: &[&str], new: impl FnOnce() -> V) -> Arc<V> {
        debug_assert_eq!(values.len(), self.labels.len());
        let mut key: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        let mut series = self.by_values.lock().unwrap_or_else(PoisonError::into_inner);
        if series.len() >= MAX_SERIES && !series.contains_key(&key) {
            key = vec![OTHER.to_owned(); values.len()];
        }
        Arc::clone(series.entry(key).or_insert_with(|| Arc::new(new())))
    }

    fn for_each(&self, mut show: impl FnMut(&[(&str, &str)], &V)) {
        let series = self.by_values.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, value) in series.iter() {
            let values = values.iter().map(String::as_str);
            let labels: Vec<_> = self.labels.iter().copied().zip(values).collect();
            show(&labels, value);
        }
    }
}

/// Counters that differ by their label values. Clones share them.
#[derive(Clone, Debug)]
pub struct CounterFamily(Arc<LabeledSeries<AtomicU64>>);

impl CounterFamily {
    pub(super) fn new(labels: &'static [&'static str]) -> Self {
        Self(Arc::new(LabeledSeries::new(labels)))
    }

    /// Adds to the counter with these label values, given in the order of the labels.
    pub fn add(&self, values: &[&str], number: u64) {
        let counter = self.0.get(values, AtomicU64::default);
        counter.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn show(&self, samples: &mut SampleWriter<'_>) {
        self.0.for_each(|labels, counter| {
            samples.add(labels, counter.load(Ordering::Relaxed));
        });
    }
}

/// A histogram: the number of values in each bucket, and the sum of all values.
#[derive(Debug)]
struct Histogram {
    /// One count for each bucket, and one for values beyond the last bucket.
    counts: Vec<u64>,
    sum: f64,
}

/// Histograms that differ by their label values. Clones share them.
#[derive(Clone, Debug)]
pub struct HistogramFamily {
    series: Arc<LabeledSeries<Mutex<Histogram>>>,
    buckets: &'static [f64],
}

impl HistogramFamily {
    pub(super) fn new(labels: &'static [&'static str], buckets: &'static [f64]) -> Self {
        Self { series: Arc::new(LabeledSeries::new(labels)), buckets }
    }

    /// Records a value in the histogram with these label values, given in the order of the labels.
    pub fn observe(&self, values: &[&str], value: f64) {
        let bucket = self.buckets.partition_point(|end| *end < value);
        let empty = || Histogram { counts: vec![0; self.buckets.len() + 1], sum: 0.0 };
        let series = self.series.get(values, || Mutex::new(empty()));
        let mut histogram = series.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.sum += value;
        if let Some(count) = histogram.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    pub(super) fn show(&self, samples: &mut SampleWriter<'_>) {
        self.series.for_each(|labels, histogram| {
            let histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
            let ends = self.buckets.iter().map(f64::to_string);
            let mut total = 0;
            for (end, count) in ends.chain(["+Inf".to_owned()]).zip(&histogram.counts) {
                total += count;
                let labels: Vec<_> = labels.iter().copied().chain([("le", end.as_str())]).collect();
                samples.add_part("_bucket", &labels, total);
            }
            samples.add_part("_sum", labels, histogram.sum);
            samples.add_part("_count", labels, total);
        });
    }
}
