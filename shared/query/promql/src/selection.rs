//! Instant vectors: the newest sample of each series at each step.

use async_trait::async_trait;

use crate::{
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    number::seconds,
    sample_counts::{SampleCounts, sample_size},
    sample_stream::{ChunkStream, SampleChunk, SampleStream},
    series::{Series, SeriesStream, StepValues},
    steps::SelectorTimes,
    value::SampleValue,
    work_counter::WorkCounter,
};

/// What a selector returns of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SelectedPart {
    Value,
    /// The time, in seconds.
    Time,
}

/// The rules by which a selector finds the newest sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectorRules<'a> {
    pub(crate) times: SelectorTimes,
    /// How long a sample is the value of its series.
    pub(crate) lookback_ms: i64,
    pub(crate) part: SelectedPart,
    /// Counts the samples that are read.
    pub(crate) counts: &'a SampleCounts,
}

/// A series whose samples are being read.
struct PartialSeries {
    labels: Labels,
    /// The values of the steps whose newest sample is known.
    values: StepValues,
    newest: Option<(i64, SampleValue)>,
    /// Whether a step has the newest sample as its value.
    newest_is_value: bool,
    /// The memory of the histograms.
    budget: Budget,
}

impl PartialSeries {
    fn new(labels: Labels, budget: Budget) -> Self {
        Self {
            labels,
            values: Vec::new(),
            newest: None,
            newest_is_value: false,
            budget,
        }
    }

    /// Adds the value of the next step.
    fn evaluate(&mut self, rules: &SelectorRules<'_>) -> Result<(), PromqlError> {
        let step = self.values.len();
        let after_ms = rules.times.time(step).saturating_sub(rules.lookback_ms);
        let fresh = self
            .newest
            .as_ref()
            .filter(|(time, value)| *time > after_ms && !value.is_stale());
        if let Some((_, value)) = fresh.filter(|_| !self.newest_is_value) {
            self.newest_is_value = true;
            if value.float().is_none() {
                self.budget.keep_samples(0, value.heap_size())?;
            }
        }
        if let Some((_, value)) = fresh {
            rules.counts.add(rules.times.steps, step, || sample_size(value));
        }
        self.values.push(fresh.map(|(time, value)| match rules.part {
            SelectedPart::Value => value.clone(),
            SelectedPart::Time => SampleValue::Float(seconds(*time)),
        }));
        Ok(())
    }

    fn add(&mut self, chunk: SampleChunk, rules: &SelectorRules<'_>) -> Result<(), PromqlError> {
        for (time, value) in chunk.samples {
            while self.values.len() < rules.times.steps.count
                && rules.times.time(self.values.len()) < time
            {
                self.evaluate(rules)?;
            }
            self.newest = Some((time, value));
            self.newest_is_value = false;
        }
        Ok(())
    }

    /// Returns the series; `None` if it has no samples at the steps.
    fn finish(mut self, rules: &SelectorRules<'_>) -> Result<Option<Series>, PromqlError> {
        while self.values.len() < rules.times.steps.count {
            self.evaluate(rules)?;
        }
        let series = Series { labels: self.labels, values: self.values };
        Ok(Some(series).filter(|series| !series.is_empty()))
    }
}

/// The series of a selector at each step.
pub(crate) struct InstantSelection<'a> {
    samples: SampleStream<'a>,
    rules: SelectorRules<'a>,
    budget: Budget,
    series: Option<PartialSeries>,
    work: WorkCounter,
}

impl<'a> InstantSelection<'a> {
    pub(crate) fn new(samples: SampleStream<'a>, rules: SelectorRules<'a>, budget: Budget) -> Self {
        Self {
            samples,
            rules,
            budget,
            series: None,
            work: WorkCounter::default(),
        }
    }
}

#[async_trait]
impl SeriesStream for InstantSelection<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        loop {
            let Some(chunk) = self.samples.next().await? else {
                let last = self.series.take();
                return last.map_or(Ok(None), |series| series.finish(&self.rules));
            };
            let finished = match &chunk.labels {
                Some(labels) => {
                    let next = PartialSeries::new(labels.clone(), self.budget.new_empty());
                    self.series.replace(next)
                }
                None => None,
            };
            if let Some(series) = &mut self.series {
                series.add(chunk, &self.rules)?;
            }
            let Some(series) = finished else {
                continue;
            };
            self.work.count(self.rules.times.steps.count).await;
            let complete = series.finish(&self.rules)?;
            if complete.is_some() {
                return Ok(complete);
            }
        }
    }
}
