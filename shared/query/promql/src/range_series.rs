//! Functions over ranges, series by series.

use std::iter;

use async_trait::async_trait;

use crate::{
    annotations::Annotations,
    budget::Budget,
    error::PromqlError,
    labels::{Labels, NAME_LABEL},
    range_function::{RangeFunction, RangeInput},
    sample_counts::{SampleCounts, histogram_size},
    sample_stream::{ChunkStream, SampleChunk},
    series::{BoxStream, Series, SeriesStream, StepValues},
    steps::{SelectorTimes, Steps},
    value::SampleValue,
    window::Window,
    work_counter::WorkCounter,
};

/// A call of a function over ranges.
pub(crate) struct RangeCall<'a> {
    pub(crate) name: &'a str,
    pub(crate) function: RangeFunction,
    pub(crate) times: SelectorTimes,
    pub(crate) range_ms: i64,
    /// The scalar arguments of each step.
    pub(crate) arguments: Vec<Vec<f64>>,
    pub(crate) annotations: &'a Annotations,
    pub(crate) counts: &'a SampleCounts,
}

/// Returns whether a name ends as those of counters do.
fn is_counter_name(metric: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"]
        .iter()
        .any(|suffix| metric.ends_with(suffix))
}

impl RangeCall<'_> {
    /// Returns the range of a step: the time before it, and its last time.
    fn range(&self, step: usize) -> (i64, i64) {
        let end_ms = self.times.time(step);
        (end_ms.saturating_sub(self.range_ms), end_ms)
    }

    /// Adds a hint if the rate of a metric was computed that does not seem to be a counter.
    fn check_name(&self, series: &Series, metric: &str) {
        let is_rate = matches!(self.name, "rate" | "increase");
        let has_floats = || series.values.iter().flatten().any(|value| value.float().is_some());
        if is_rate && !metric.is_empty() && !is_counter_name(metric) && has_floats() {
            let text = "metric might not be a counter, name does not end in \
                        _total/_sum/_count/_bucket:";
            self.annotations.inform(&format!("{text} {metric:?}"));
        }
    }
}

/// A series whose samples are being read.
struct PartialSeries {
    labels: Labels,
    /// The results of the steps whose range is complete.
    values: StepValues,
    window: Window,
    /// The memory of the histograms of the results.
    budget: Budget,
}

impl PartialSeries {
    fn new(labels: Labels, budget: Budget) -> Self {
        Self {
            labels,
            values: Vec::new(),
            window: Window::default(),
            budget,
        }
    }

    /// Adds the result of the next step. Returns the number of visited samples.
    fn evaluate(&mut self, call: &RangeCall<'_>) -> Result<usize, PromqlError> {
        let step = self.values.len();
        let (start_ms, end_ms) = call.range(step);
        self.window.remove_until(start_ms);
        let (floats, histograms) = (self.window.floats(), self.window.histograms());
        let samples = floats.len() + histograms.len();
        if samples == 0 {
            self.values.push(None);
            return Ok(1);
        }
        call.counts.add(call.times.steps, step, || {
            let sizes = histograms.iter().map(|(_, histogram)| histogram_size(histogram));
            floats.len() + sizes.sum::<usize>()
        });
        let arguments: Vec<f64> = call
            .arguments
            .iter()
            .map(|values| values.get(step).copied().unwrap_or(f64::NAN))
            .collect();
        let value = (call.function)(&RangeInput {
            floats,
            histograms,
            at_ms: call.times.steps.time(step),
            start_ms,
            end_ms,
            arguments: &arguments,
            metric: self.labels.get(NAME_LABEL),
            annotations: call.annotations,
        })?;
        if let Some(histogram) = value.as_ref().filter(|value| value.float().is_none()) {
            self.budget.keep_samples(0, histogram.heap_size())?;
        }
        self.values.push(value);
        Ok(samples)
    }

    /// Returns the range of the next step; `None` if all steps have a result.
    fn next_range(&self, call: &RangeCall<'_>) -> Option<(i64, i64)> {
        let step = self.values.len();
        (step < call.times.steps.count).then(|| call.range(step))
    }

    /// Adds the samples of the next step, whose range begins after a time.
    fn push(&mut self, start_ms: i64, samples: impl Iterator<Item = (i64, SampleValue)>) {
        for (time, value) in samples {
            if time > start_ms && !value.is_stale() {
                self.window.push(time, value);
            }
        }
    }
}

/// The series of the results of a function over ranges.
pub(crate) struct RangeSeries<'a> {
    samples: Box<dyn ChunkStream + 'a>,
    call: RangeCall<'a>,
    series: Option<PartialSeries>,
    budget: Budget,
    /// The samples and bytes of the budget.
    window_usage: (usize, usize),
    work: WorkCounter,
}

impl<'a> RangeSeries<'a> {
    pub(crate) fn new(
        samples: Box<dyn ChunkStream + 'a>,
        call: RangeCall<'a>,
        budget: Budget,
    ) -> Self {
        Self {
            samples,
            call,
            series: None,
            budget,
            window_usage: (0, 0),
            work: WorkCounter::default(),
        }
    }

    /// Reserves the memory of the window.
    fn reserve_window(&mut self) -> Result<(), PromqlError> {
        let usage = self.series.as_ref().map_or((0, 0), |series| series.window.usage());
        let (samples, bytes) = self.window_usage;
        self.budget.release_samples(samples, bytes);
        self.window_usage = (0, 0);
        self.budget.keep_samples(usage.0, usage.1)?;
        self.window_usage = usage;
        Ok(())
    }

    async fn add(&mut self, chunk: SampleChunk) -> Result<(), PromqlError> {
        let Some(series) = &mut self.series else {
            return Ok(());
        };
        let mut samples = chunk.samples.into_iter().peekable();
        while let Some((start_ms, end_ms)) = series.next_range(&self.call) {
            let of_step = iter::from_fn(|| samples.next_if(|(time, _)| *time <= end_ms));
            series.push(start_ms, of_step);
            if samples.peek().is_none() {
                break;
            }
            self.work.count(series.evaluate(&self.call)?).await;
        }
        self.reserve_window()
    }

    /// Returns the results of a series; `None` if there are none.
    async fn finish(&mut self, mut series: PartialSeries) -> Result<Option<Series>, PromqlError> {
        while series.next_range(&self.call).is_some() {
            self.work.count(series.evaluate(&self.call)?).await;
        }
        let complete = Series { labels: series.labels, values: series.values };
        self.call.check_name(&complete, complete.labels.get(NAME_LABEL));
        Ok(Some(complete).filter(|series| !series.is_empty()))
    }
}

#[async_trait]
impl SeriesStream for RangeSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        loop {
            let Some(chunk) = self.samples.next().await? else {
                let Some(series) = self.series.take() else {
                    return Ok(None);
                };
                return self.finish(series).await;
            };
            let finished = match &chunk.labels {
                Some(labels) => {
                    let next = PartialSeries::new(labels.clone(), self.budget.new_empty());
                    self.series.replace(next)
                }
                None => None,
            };
            self.add(chunk).await?;
            let Some(series) = finished else {
                continue;
            };
            let complete = self.finish(series).await?;
            if complete.is_some() {
                return Ok(complete);
            }
        }
    }
}

/// The results of the inner expression of a subquery as samples.
pub(crate) struct SubquerySamples<'a> {
    pub(crate) series: BoxStream<'a>,
    pub(crate) steps: Steps,
    /// The memory of a series of each inner operation.
    pub(crate) _budget: Budget,
}

#[async_trait]
impl ChunkStream for SubquerySamples<'_> {
    async fn next(&mut self) -> Result<Option<SampleChunk>, PromqlError> {
        let Some(series) = self.series.next().await? else {
            return Ok(None);
        };
        let at_steps = self.steps.times().zip(series.values);
        let samples =
            at_steps.filter_map(|(time, value)| Some((time, value?.without_reset_hint())));
        Ok(Some(SampleChunk { labels: Some(series.labels), samples: samples.collect() }))
    }
}
