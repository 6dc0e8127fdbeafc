//! Instant vectors: the newest sample of each series at each step.

use async_trait::async_trait;

use crate::{
    error::PromqlError,
    labels::Labels,
    number::seconds,
    sample_stream::{ChunkStream, SampleChunk, SampleStream},
    series::{Series, SeriesStream, StepValues},
    steps::SelectorTimes,
    value::SampleValue,
    work_counter::WorkCounter,
};

/// What a selector returns of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SelectedPart {
    /// The value.
    Value,
    /// The time, in seconds.
    Time,
}

/// The rules by which a selector finds the newest sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SelectorRules {
    pub(crate) times: SelectorTimes,
    /// How long a sample is the value of its series.
    pub(crate) lookback_ms: i64,
    pub(crate) part: SelectedPart,
}

/// A series whose samples are being read.
struct PartialSeries {
    labels: Labels,
    /// The values of the steps whose newest sample is known.
    values: StepValues,
    newest: Option<(i64, SampleValue)>,
}

impl PartialSeries {
    fn new(labels: Labels) -> Self {
        Self {
            labels,
            values: Vec::new(),
            newest: None,
        }
    }

    /// Adds the value of the next step.
    fn evaluate(&mut self, rules: &SelectorRules) {
        let after_ms = rules.times.time(self.values.len()).saturating_sub(rules.lookback_ms);
        let fresh = self
            .newest
            .as_ref()
            .filter(|(time, value)| *time > after_ms && !value.is_stale());
        self.values.push(fresh.map(|(time, value)| match rules.part {
            SelectedPart::Value => value.clone(),
            SelectedPart::Time => SampleValue::Float(seconds(*time)),
        }));
    }

    fn add(&mut self, chunk: SampleChunk, rules: &SelectorRules) {
        for (time, value) in chunk.samples {
            while self.values.len() < rules.times.steps.count
                && rules.times.time(self.values.len()) < time
            {
                self.evaluate(rules);
            }
            self.newest = Some((time, value));
        }
    }

    /// Returns the series; `None` if it has no samples at the steps.
    fn finish(mut self, rules: &SelectorRules) -> Option<Series> {
        while self.values.len() < rules.times.steps.count {
            self.evaluate(rules);
        }
        let series = Series {
            labels: self.labels,
            values: self.values,
        };
        Some(series).filter(|series| !series.is_empty())
    }
}

/// The series of a selector at each step.
pub(crate) struct InstantSelection<'a> {
    samples: SampleStream<'a>,
    rules: SelectorRules,
    series: Option<PartialSeries>,
    work: WorkCounter,
}

impl<'a> InstantSelection<'a> {
    pub(crate) fn new(samples: SampleStream<'a>, rules: SelectorRules) -> Self {
        Self {
            samples,
            rules,
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
                return Ok(self.series.take().and_then(|series| series.finish(&self.rules)));
            };
            let finished = match &chunk.labels {
                Some(labels) => self.series.replace(PartialSeries::new(labels.clone())),
                None => None,
            };
            if let Some(series) = &mut self.series {
                series.add(chunk, &self.rules);
            }
            let Some(series) = finished else {
                continue;
            };
            self.work.count(self.rules.times.steps.count).await;
            let complete = series.finish(&self.rules);
            if complete.is_some() {
                return Ok(complete);
            }
        }
    }
}
