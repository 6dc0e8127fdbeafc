//! Series whose labels may be equal after labels were removed or changed.

use std::{collections::hash_map::Entry, vec};

use ahash::{HashMap, HashSet};
use async_trait::async_trait;

use crate::{
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    series::{BoxStream, Series, SeriesStream, known},
};

/// Returns the error of two series with the same labels.
fn duplicate() -> PromqlError {
    let text = "vector cannot contain metrics with the same labelset";
    PromqlError::Execution(text.to_owned())
}

/// Series that may not have the same labels.
struct DistinctSeries<'a> {
    input: BoxStream<'a>,
    labels: HashSet<Labels>,
    budget: Budget,
}

#[async_trait]
impl SeriesStream for DistinctSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        let Some(series) = self.input.next().await? else {
            return Ok(None);
        };
        let bytes = series.labels.memory_size() + 2 * size_of::<Labels>();
        self.budget.keep_series_of(0, bytes)?;
        if !self.labels.insert(series.labels.clone()) {
            return Err(duplicate());
        }
        Ok(Some(series))
    }
}

/// Returns series one by one. Those with the labels of another one are an error.
pub(crate) fn distinct(input: BoxStream<'_>, budget: Budget) -> BoxStream<'_> {
    Box::new(DistinctSeries { input, labels: HashSet::default(), budget })
}

/// Series that are collected by their labels.
#[derive(Debug)]
struct SeriesByLabels {
    series: Vec<Series>,
    positions: HashMap<Labels, usize>,
    budget: Budget,
}

impl SeriesByLabels {
    fn new(budget: Budget) -> Self {
        Self { series: Vec::new(), positions: HashMap::default(), budget }
    }

    /// Adds a series. It is merged with one of the same labels; both may not have a sample at the same step.
    fn add(&mut self, series: Series) -> Result<(), PromqlError> {
        match self.positions.entry(series.labels.clone()) {
            Entry::Vacant(position) => {
                self.budget.keep(&series)?;
                position.insert(self.series.len());
                self.series.push(series);
            }
            Entry::Occupied(position) => {
                let values = self.series.get_mut(*position.get()).map(|one| &mut one.values);
                for (kept, value) in values.into_iter().flatten().zip(series.values) {
                    match value {
                        Some(_) if kept.is_some() => return Err(duplicate()),
                        Some(_) => *kept = value,
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// Collected series, with their memory.
struct CollectedSeries {
    series: vec::IntoIter<Series>,
    _budget: Budget,
}

impl Iterator for CollectedSeries {
    type Item = Series;

    fn next(&mut self) -> Option<Series> {
        self.series.next()
    }
}

/// Streams collected series. Their memory is given back with the stream.
pub(crate) fn collected<'a>(series: Vec<Series>, budget: Budget) -> BoxStream<'a> {
    known(CollectedSeries { series: series.into_iter(), _budget: budget })
}

/// Series of which those with the same labels are merged.
struct MergedSeries<'a> {
    input: Option<BoxStream<'a>>,
    collected: Option<SeriesByLabels>,
    output: Option<CollectedSeries>,
}

#[async_trait]
impl SeriesStream for MergedSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let (Some(mut input), Some(mut collected)) = (self.input.take(), self.collected.take()) {
            while let Some(series) = input.next().await? {
                collected.add(series)?;
            }
            self.output = Some(CollectedSeries {
                series: collected.series.into_iter(),
                _budget: collected.budget,
            });
        }
        Ok(self.output.as_mut().and_then(Iterator::next))
    }
}

/// Merges series with the same labels that have no sample at the same step. At one step there are none.
pub(crate) fn merged(input: BoxStream<'_>, steps: usize, budget: Budget) -> BoxStream<'_> {
    if steps == 1 {
        return distinct(input, budget);
    }
    Box::new(MergedSeries {
        input: Some(input),
        collected: Some(SeriesByLabels::new(budget)),
        output: None,
    })
}
