//! The aggregation `count_values`: how many series of a group have a value.

use std::vec;

use ahash::HashMap;
use async_trait::async_trait;

use crate::{
    aggregate::Grouping,
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    series::{BoxStream, Series, SeriesStream},
    value::SampleValue,
};

/// The series of `count_values`: one for each group and value.
pub(crate) struct ValueCounts<'a> {
    input: Option<BoxStream<'a>>,
    grouping: Grouping,
    label: String,
    steps: usize,
    positions: HashMap<Labels, usize>,
    counts: Vec<(Labels, Vec<f64>)>,
    budget: Budget,
    output: vec::IntoIter<(Labels, Vec<f64>)>,
}

impl<'a> ValueCounts<'a> {
    pub(crate) fn new(
        input: BoxStream<'a>,
        grouping: Grouping,
        label: String,
        steps: usize,
        budget: Budget,
    ) -> Self {
        let with_label = match grouping {
            Grouping::By(mut names) => {
                names.push(label.clone());
                Grouping::By(names)
            }
            without @ Grouping::Without(_) => without,
        };
        Self {
            input: Some(input),
            grouping: with_label,
            label,
            steps,
            positions: HashMap::default(),
            counts: Vec::new(),
            budget,
            output: Vec::new().into_iter(),
        }
    }

    /// Returns the position of the counts of a value of a series.
    fn position(&mut self, labels: &Labels, value: &SampleValue) -> Result<usize, PromqlError> {
        let group = self.grouping.group(&labels.set(&self.label, &value.to_string()));
        if let Some(position) = self.positions.get(&group) {
            return Ok(*position);
        }
        let bytes = self.steps * size_of::<f64>() + group.memory_size() + 4 * size_of::<Labels>();
        self.budget.keep_series_of(self.steps, bytes)?;
        let position = self.counts.len();
        self.counts.push((group.clone(), vec![0.0; self.steps]));
        self.positions.insert(group, position);
        Ok(position)
    }

    fn add(&mut self, series: &Series) -> Result<(), PromqlError> {
        let mut previous: Option<(&SampleValue, usize)> = None;
        for (step, value) in series.values.iter().enumerate() {
            let Some(value) = value else {
                continue;
            };
            let position = match previous {
                Some((before, position)) if before == value => position,
                _ => self.position(&series.labels, value)?,
            };
            previous = Some((value, position));
            let counts = self.counts.get_mut(position).map(|(_, counts)| counts);
            if let Some(count) = counts.and_then(|counts| counts.get_mut(step)) {
                *count += 1.0;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SeriesStream for ValueCounts<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(mut input) = self.input.take() {
            while let Some(series) = input.next().await? {
                self.add(&series)?;
            }
            self.output = std::mem::take(&mut self.counts).into_iter();
        }
        Ok(self.output.next().map(|(labels, counts)| Series {
            labels,
            values: counts
                .into_iter()
                .map(|count| (count > 0.0).then_some(SampleValue::Float(count)))
                .collect(),
        }))
    }
}
