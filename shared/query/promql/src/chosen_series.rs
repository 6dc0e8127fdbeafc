//! Aggregations that choose samples of each group: `topk`, `bottomk` and `limitk`.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    mem, vec,
};

use ahash::HashMap;
use async_trait::async_trait;

use crate::{
    aggregate::Grouping,
    annotations::Annotations,
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    number::format_float,
    series::{BoxStream, Series, SeriesStream},
    value::SampleValue,
};

/// The samples that are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The greatest numbers.
    Greatest,
    /// The least numbers.
    Least,
    /// Those of the first series.
    First,
}

/// A sample. The greatest candidate is the one that a better one replaces.
#[derive(Clone, Debug)]
struct Candidate {
    key: f64,
    /// The position of the series in the input.
    series: usize,
    value: SampleValue,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.series.cmp(&other.series))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Choice {
    fn name(self) -> &'static str {
        match self {
            Self::Greatest => "topk",
            Self::Least => "bottomk",
            Self::First => "limitk",
        }
    }

    /// Returns the key of a value; `None` if it cannot be chosen. What is no number is worse than all numbers.
    fn key(self, value: &SampleValue) -> Option<f64> {
        let key = match (self, value.float()) {
            (Self::First, _) => 0.0,
            (Self::Greatest, Some(value)) => -value,
            (Self::Least, Some(value)) => value,
            (_, None) => return None,
        };
        Some(if key.is_nan() {
            f64::NAN.copysign(1.0)
        } else {
            key
        })
    }
}

/// The bounds of 64-bit integers.
const INTEGER_BOUND: f64 = 9_223_372_036_854_775_808.0;

/// Returns how many samples of a group are chosen at each step.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion from f64 truncates and saturates, as it should"
)]
pub(crate) fn limits(parameters: &[f64]) -> Result<Vec<usize>, PromqlError> {
    if parameters.iter().all(|parameter| *parameter < 1.0) {
        return Ok(vec![0; parameters.len()]);
    }
    for parameter in parameters {
        let error = if parameter.is_nan() {
            "Parameter value is NaN".to_owned()
        } else if *parameter <= -INTEGER_BOUND {
            format!("Scalar value {} underflows int64", format_float(*parameter))
        } else if *parameter >= INTEGER_BOUND {
            format!("Scalar value {} overflows int64", format_float(*parameter))
        } else {
            continue;
        };
        return Err(PromqlError::Execution(error));
    }
    Ok(parameters.iter().map(|parameter| parameter.max(0.0) as usize).collect())
}

/// A choice with what it needs.
pub(crate) struct ChosenSeries<'a> {
    choice: Choice,
    grouping: Grouping,
    input: Option<BoxStream<'a>>,
    /// How many samples of a group are chosen at each step.
    limits: Vec<usize>,
    annotations: &'a Annotations,
    groups: HashMap<Labels, usize>,
    /// The candidates of each group and step.
    candidates: Vec<Vec<BinaryHeap<Candidate>>>,
    /// The labels of the series of candidates, and the number of candidates.
    series: BTreeMap<usize, (Labels, usize)>,
    budget: Budget,
    output: vec::IntoIter<Series>,
}

impl<'a> ChosenSeries<'a> {
    pub(crate) fn new(
        choice: Choice,
        grouping: Grouping,
        input: BoxStream<'a>,
        limits: Vec<usize>,
        annotations: &'a Annotations,
        budget: Budget,
    ) -> Self {
        Self {
            choice,
            grouping,
            input: Some(input),
            limits,
            annotations,
            groups: HashMap::default(),
            candidates: Vec::new(),
            series: BTreeMap::new(),
            budget,
            output: Vec::new().into_iter(),
        }
    }

    /// Returns the position of the group with these labels.
    fn group(&mut self, labels: Labels) -> Result<usize, PromqlError> {
        if let Some(position) = self.groups.get(&labels) {
            return Ok(*position);
        }
        let steps = self.limits.len();
        let bytes = steps * size_of::<BinaryHeap<Candidate>>() + labels.memory_size();
        self.budget.keep_samples(0, bytes)?;
        let position = self.candidates.len();
        self.candidates.push(vec![BinaryHeap::new(); steps]);
        self.groups.insert(labels, position);
        Ok(position)
    }

    fn add(&mut self, position: usize, series: Series) -> Result<(), PromqlError> {
        let group = self.group(self.grouping.group(&series.labels))?;
        let mut chosen = 0;
        let heaps = self.candidates.get_mut(group).into_iter().flatten();
        for ((heap, value), limit) in heaps.zip(series.values).zip(&self.limits) {
            let Some(value) = value else {
                continue;
            };
            let Some(key) = self.choice.key(&value) else {
                self.annotations.inform_ignored_histogram(self.choice.name());
                continue;
            };
            let candidate = Candidate { key, series: position, value };
            if heap.len() < *limit {
                let bytes = 2 * size_of::<Candidate>() + candidate.value.heap_size();
                self.budget.keep_samples(1, bytes)?;
                heap.push(candidate);
                chosen += 1;
            } else if let Some(mut worst) = heap.peek_mut()
                && candidate < *worst
            {
                let replaced = mem::replace(&mut *worst, candidate).series;
                chosen += 1;
                if replaced == position {
                    chosen -= 1;
                } else if let Some(removed) = release(&mut self.series, replaced) {
                    self.budget.release_series(removed.memory_size());
                }
            }
        }
        if chosen > 0 {
            let bytes = series.labels.memory_size();
            self.budget.keep_series_of(0, bytes)?;
            self.series.insert(position, (series.labels, chosen));
        }
        Ok(())
    }

    /// Returns the samples of the groups one after the other, the best ones first.
    fn in_groups(&mut self) -> Vec<Series> {
        let heaps = mem::take(&mut self.candidates).into_iter().flatten();
        let candidates = heaps.flat_map(BinaryHeap::into_sorted_vec);
        let series = candidates.filter_map(|candidate| {
            let (labels, _) = self.series.get(&candidate.series)?;
            Some(Series { labels: labels.clone(), values: vec![Some(candidate.value)] })
        });
        series.collect()
    }

    /// Returns the chosen samples of each series.
    fn by_series(&mut self) -> Result<Vec<Series>, PromqlError> {
        let steps = self.limits.len();
        let mut chosen = BTreeMap::new();
        for (position, (labels, _)) in mem::take(&mut self.series) {
            let values = vec![None; steps];
            let series = Series { labels, values };
            self.budget.keep(&series)?;
            chosen.insert(position, series);
        }
        for heaps in mem::take(&mut self.candidates) {
            for (step, heap) in heaps.into_iter().enumerate() {
                for candidate in heap {
                    let series = chosen.get_mut(&candidate.series);
                    if let Some(value) = series.and_then(|series| series.values.get_mut(step)) {
                        *value = Some(candidate.value);
                    }
                }
            }
        }
        Ok(chosen.into_values().collect())
    }
}

/// Counts a candidate of a series less. Returns the labels of the series if it has none any more.
fn release(kept: &mut BTreeMap<usize, (Labels, usize)>, series: usize) -> Option<Labels> {
    let (_, candidates) = kept.get_mut(&series)?;
    *candidates -= 1;
    if *candidates > 0 {
        return None;
    }
    kept.remove(&series).map(|(labels, _)| labels)
}

#[async_trait]
impl SeriesStream for ChosenSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(mut input) = self.input.take()
            && self.limits.iter().any(|limit| *limit > 0)
        {
            let mut position = 0;
            while let Some(series) = input.next().await? {
                self.add(position, series)?;
                position += 1;
            }
            let output = if self.limits.len() == 1 {
                self.in_groups()
            } else {
                self.by_series()?
            };
            self.output = output.into_iter();
        }
        Ok(self.output.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_numbers() {
        assert_eq!(limits(&[2.9, 0.5, -3.0]).unwrap(), [2, 0, 0]);
        assert_eq!(limits(&[0.5]).unwrap(), [0]);
        let error = limits(&[f64::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "Parameter value is NaN");
        assert!(limits(&[f64::INFINITY]).is_err());
    }

    #[test]
    fn better_candidates_are_less() {
        let candidate = |choice: Choice, value: f64, series| {
            let value = SampleValue::Float(value);
            Candidate { key: choice.key(&value).unwrap(), series, value }
        };
        let greatest = |value, series| candidate(Choice::Greatest, value, series);
        assert!(greatest(2.0, 1) < greatest(1.0, 0));
        assert!(greatest(f64::NEG_INFINITY, 1) < greatest(f64::NAN, 0));
        assert!(greatest(1.0, 0) < greatest(1.0, 1));
        assert!(candidate(Choice::Least, 1.0, 1) < candidate(Choice::Least, 2.0, 0));
    }
}
