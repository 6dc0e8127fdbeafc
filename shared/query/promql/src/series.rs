//! Streams of series.

use async_trait::async_trait;

use crate::{error::PromqlError, labels::Labels, value::SampleValue};

/// The values of a series at the steps of an evaluation.
pub(crate) type StepValues = Vec<Option<SampleValue>>;

/// A series at the steps of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// A value for each step; `None` where the series has no sample.
    pub(crate) values: StepValues,
}

impl Series {
    /// Returns whether the series has no samples.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// Returns the bytes that the series takes in memory.
    pub(crate) fn memory_size(&self) -> usize {
        let histograms = self.values.iter().flatten().map(SampleValue::heap_size);
        self.labels.memory_size()
            + self.values.len() * size_of::<Option<SampleValue>>()
            + size_of::<Self>()
            + histograms.sum::<usize>()
    }

    /// Replaces the values.
    pub(crate) fn map(
        self,
        mut map: impl FnMut(usize, SampleValue) -> Option<SampleValue>,
    ) -> Self {
        let values = self.values.into_iter().enumerate();
        Self {
            labels: self.labels,
            values: values.map(|(step, value)| map(step, value?)).collect(),
        }
    }

    /// Replaces the numbers, and leaves out the histograms.
    pub(crate) fn map_floats(self, mut map: impl FnMut(usize, f64) -> f64) -> Self {
        self.map(|step, value| Some(SampleValue::Float(map(step, value.float()?))))
    }

    /// Removes the labels that describe the metric.
    pub(crate) fn without_metadata(self) -> Self {
        Self { labels: self.labels.remove_metadata(), values: self.values }
    }
}

/// A stream of series with at least one sample each.
#[async_trait]
pub(crate) trait SeriesStream: Send {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError>;
}

pub(crate) type BoxStream<'a> = Box<dyn SeriesStream + 'a>;

/// Series that are already known.
pub(crate) struct KnownSeries<I>(I);

#[async_trait]
impl<I: Iterator<Item = Series> + Send> SeriesStream for KnownSeries<I> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        Ok(self.0.by_ref().find(|series| !series.is_empty()))
    }
}

/// Streams known series. The iterator owns what keeps their memory reserved.
pub(crate) fn known<'a>(series: impl Iterator<Item = Series> + Send + 'a) -> BoxStream<'a> {
    Box::new(KnownSeries(series))
}

/// Streams one series.
pub(crate) fn one<'a>(labels: Labels, values: StepValues) -> BoxStream<'a> {
    known(std::iter::once(Series { labels, values }))
}

struct MappedSeries<'a, F> {
    input: BoxStream<'a>,
    map: F,
}

#[async_trait]
impl<F> SeriesStream for MappedSeries<'_, F>
where
    F: FnMut(Series) -> Result<Series, PromqlError> + Send,
{
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        while let Some(series) = self.input.next().await? {
            let mapped = (self.map)(series)?;
            if !mapped.is_empty() {
                return Ok(Some(mapped));
            }
        }
        Ok(None)
    }
}

/// Maps each series. Those that have no samples any more are left out.
pub(crate) fn mapped<'a>(
    input: BoxStream<'a>,
    map: impl FnMut(Series) -> Result<Series, PromqlError> + Send + 'a,
) -> BoxStream<'a> {
    Box::new(MappedSeries { input, map })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn series_without_samples_are_left_out() {
        let values = vec![Some(SampleValue::Float(1.0)), None];
        let mut negative = mapped(one(Labels::default(), values), |series| {
            Ok(series.map_floats(|_, value| -value))
        });
        let series = negative.next().await.unwrap().unwrap();
        assert_eq!(series.values, [Some(SampleValue::Float(-1.0)), None]);
        assert!(negative.next().await.unwrap().is_none());

        let mut empty =
            mapped(one(Labels::default(), series.values), |series| Ok(series.map(|_, _| None)));
        assert!(empty.next().await.unwrap().is_none());
    }
}
