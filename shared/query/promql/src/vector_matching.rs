//! Operators between the series of two vectors that have the same labels.

use std::collections::VecDeque;

use ahash::HashMap;
use async_trait::async_trait;

use crate::{
    annotations::Annotations,
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    number::from_bool,
    operators::{Operator, Outcome},
    series::{BoxStream, Series, SeriesStream},
    step_set::StepSet,
    value::SampleValue,
};

/// The labels that are equal in matching series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MatchedLabels {
    /// Those of these names.
    On(Vec<String>),
    /// Those of other names, except the name of the metric.
    Ignoring(Vec<String>),
}

impl MatchedLabels {
    /// Returns the labels of a series that are compared.
    pub(crate) fn signature(&self, labels: &Labels) -> Labels {
        match self {
            Self::On(names) => labels.select(names),
            Self::Ignoring(names) => labels.remove_with_name(names),
        }
    }
}

/// How many series match one of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cardinality {
    OneToOne,
    /// Many of the left side. The results have these labels of the right side.
    ManyToOne(Vec<String>),
    /// Many of the right side. The results have these labels of the left side.
    OneToMany(Vec<String>),
}

/// A binary operator with its matching rules.
#[derive(Clone, Debug)]
pub(crate) struct VectorMatching {
    pub(crate) operator: Operator,
    /// Whether a comparison returns 1 or 0, instead of the left value where it holds.
    pub(crate) returns_bool: bool,
    pub(crate) labels: MatchedLabels,
    pub(crate) cardinality: Cardinality,
}

impl VectorMatching {
    /// Returns the labels of one side that the results have.
    fn included(&self) -> &[String] {
        match &self.cardinality {
            Cardinality::OneToOne => &[],
            Cardinality::ManyToOne(included) | Cardinality::OneToMany(included) => included,
        }
    }

    /// Returns the labels of the result of two series.
    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let kept = if self.operator.is_arithmetic() {
            many.remove_metadata()
        } else {
            many.clone()
        };
        let mut labels = match (&self.cardinality, &self.labels) {
            (Cardinality::OneToOne, MatchedLabels::On(names)) => kept.select(names),
            (Cardinality::OneToOne, MatchedLabels::Ignoring(names)) => kept.remove(names),
            _ => kept,
        };
        for name in self.included() {
            labels = labels.set(name, one.get(name));
        }
        if self.returns_bool {
            labels.remove_metadata()
        } else {
            labels
        }
    }

    /// Returns the result of two values; `None` if they have none, or a comparison does not hold.
    fn apply(
        &self,
        many: &SampleValue,
        one: &SampleValue,
        annotations: &Annotations,
    ) -> Option<SampleValue> {
        let (left, right) = match self.cardinality {
            Cardinality::OneToMany(_) => (one, many),
            Cardinality::OneToOne | Cardinality::ManyToOne(_) => (many, one),
        };
        match self.operator.apply(left, right, annotations)? {
            Outcome::Value(value) => Some(value),
            Outcome::Holds(holds) if self.returns_bool => {
                Some(SampleValue::Float(from_bool(holds)))
            }
            Outcome::Holds(holds) => holds.then(|| left.clone()),
        }
    }
}

/// The series of the side of which one matches that have a signature.
#[derive(Debug)]
struct MatchGroup {
    series: Vec<Series>,
    /// The position after that of the series with a value at each step; 0 if there is none.
    owners: Vec<u32>,
}

/// Two series of a group with values at the same step, by their positions.
#[derive(Clone, Copy, Debug)]
struct Duplicate {
    group: usize,
    series: usize,
    other: usize,
}

impl MatchGroup {
    /// Adds a series. Returns the steps at which another series has a value, too, and the position of that series.
    fn add(&mut self, series: Series) -> Vec<(usize, usize)> {
        let owner = u32::try_from(self.series.len() + 1).unwrap_or(u32::MAX);
        let mut duplicates = Vec::new();
        for (step, (other, value)) in self.owners.iter_mut().zip(&series.values).enumerate() {
            if value.is_none() {
                continue;
            }
            match position_of_owner(*other) {
                Some(position) => duplicates.push((step, position)),
                None => *other = owner,
            }
        }
        self.series.push(series);
        duplicates
    }

    /// Returns the position and the series that has a value at a step.
    fn at(&self, step: usize) -> Option<(usize, &Series)> {
        let position = position_of_owner(*self.owners.get(step)?)?;
        Some((position, self.series.get(position)?))
    }
}

fn position_of_owner(owner: u32) -> Option<usize> {
    usize::try_from(owner).ok()?.checked_sub(1)
}

/// The series of the side of which one matches.
struct OneSide {
    groups: Vec<MatchGroup>,
    positions: HashMap<Labels, usize>,
    /// Two series of the same signature at each step that has such series.
    duplicates: HashMap<usize, Duplicate>,
}

impl OneSide {
    async fn collect(
        matching: &VectorMatching,
        mut input: BoxStream<'_>,
        steps: usize,
        budget: &mut Budget,
    ) -> Result<Self, PromqlError> {
        let mut side = Self {
            groups: Vec::new(),
            positions: HashMap::default(),
            duplicates: HashMap::default(),
        };
        while let Some(series) = input.next().await? {
            budget.keep(&series)?;
            let signature = matching.labels.signature(&series.labels);
            let next = side.groups.len();
            let position = *side.positions.entry(signature).or_insert(next);
            if position == next {
                budget.keep_samples(0, steps * size_of::<u32>() + 4 * size_of::<Labels>())?;
                side.groups.push(MatchGroup { series: Vec::new(), owners: vec![0; steps] });
            }
            side.add(position, series);
        }
        Ok(side)
    }

    fn add(&mut self, group: usize, series: Series) {
        let Some(same) = self.groups.get_mut(group) else {
            return;
        };
        for (step, other) in same.add(series) {
            self.duplicates.entry(step).or_insert(Duplicate {
                group,
                series: same.series.len() - 1,
                other,
            });
        }
    }

    /// Returns the error of two series with the same signature.
    fn error(&self, duplicate: Duplicate, matching: &VectorMatching) -> PromqlError {
        let group = self.groups.get(duplicate.group);
        let labels = |position: usize| {
            let series = group.and_then(|group| group.series.get(position));
            series.map(|series| series.labels.clone()).unwrap_or_default()
        };
        let (series, other) = (labels(duplicate.series), labels(duplicate.other));
        let signature = matching.labels.signature(&series);
        let side = match matching.cardinality {
            Cardinality::OneToMany(_) => "left",
            Cardinality::OneToOne | Cardinality::ManyToOne(_) => "right",
        };
        PromqlError::Execution(format!(
            "found duplicate series for the match group {signature} on the {side} hand-side of the \
             operation: [{series}, {other}];many-to-many matching not allowed: matching labels must \
             be unique on one side"
        ))
    }
}

/// The results of a binary operator. The series of one side are collected, and those of the other one are streamed.
pub(crate) struct MatchedSeries<'a> {
    matching: VectorMatching,
    many: BoxStream<'a>,
    one: Option<BoxStream<'a>>,
    collected: Option<OneSide>,
    steps: usize,
    /// The steps that have a result, by the signature, and by the labels of the result if many series may match.
    matched: HashMap<(usize, Option<Labels>), StepSet>,
    annotations: &'a Annotations,
    budget: Budget,
    output: VecDeque<Series>,
    /// The memory of the output.
    output_budget: Budget,
}

impl<'a> MatchedSeries<'a> {
    pub(crate) fn new(
        matching: VectorMatching,
        (left, right): (BoxStream<'a>, BoxStream<'a>),
        steps: usize,
        annotations: &'a Annotations,
        budget: Budget,
    ) -> Self {
        let (many, one) = match matching.cardinality {
            Cardinality::OneToMany(_) => (right, left),
            Cardinality::OneToOne | Cardinality::ManyToOne(_) => (left, right),
        };
        Self {
            matching,
            many,
            one: Some(one),
            collected: None,
            steps,
            matched: HashMap::default(),
            annotations,
            output: VecDeque::new(),
            output_budget: budget.new_empty(),
            budget,
        }
    }

    /// Records the steps of a result. A result of another series of the same signature at one of them is an error.
    fn record(&mut self, signature: usize, result: &Series) -> Result<(), PromqlError> {
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let key = (signature, (!is_one_to_one).then(|| result.labels.clone()));
        if !self.matched.contains_key(&key) {
            let bytes = StepSet::memory_size(self.steps) + 4 * size_of::<Labels>();
            self.budget
                .keep_samples(0, bytes + key.1.as_ref().map_or(0, Labels::memory_size))?;
        }
        let steps = self.steps;
        let matched = self.matched.entry(key).or_insert_with(|| StepSet::new(steps));
        for (step, value) in result.values.iter().enumerate() {
            if value.is_some() && !matched.insert(step) {
                let text = if is_one_to_one {
                    "many-to-one matching must be explicit (group_left/group_right)"
                } else {
                    "grouping labels must ensure unique matches"
                };
                let error = format!("multiple matches for labels: {text}");
                return Err(PromqlError::Execution(error));
            }
        }
        Ok(())
    }

    /// Adds the results of a series of the side of which many match.
    fn add(&mut self, many: &Series, one_side: &OneSide) -> Result<(), PromqlError> {
        let with_values = many.values.iter().enumerate().filter(|(_, value)| value.is_some());
        let mut duplicates = with_values.filter_map(|(step, _)| one_side.duplicates.get(&step));
        if let Some(duplicate) = duplicates.next() {
            return Err(one_side.error(*duplicate, &self.matching));
        }
        let signature = self.matching.labels.signature(&many.labels);
        let Some(position) = one_side.positions.get(&signature).copied() else {
            return Ok(());
        };
        if let Some(group) = one_side.groups.get(position) {
            for result in self.results(many, group)? {
                self.record(position, &result)?;
                self.output.push_back(result);
            }
        }
        Ok(())
    }

    /// Returns the results of a series with those of a group. Results with the same labels may be divided.
    fn results(&mut self, many: &Series, group: &MatchGroup) -> Result<Vec<Series>, PromqlError> {
        self.output_budget = self.budget.new_empty();
        let has_labels_of_one = !self.matching.included().is_empty();
        let mut results: Vec<Series> = Vec::new();
        let mut positions: HashMap<usize, usize> = HashMap::default();
        for (step, many_value) in many.values.iter().enumerate() {
            let (Some(many_value), Some((one_position, one))) = (many_value, group.at(step)) else {
                continue;
            };
            let one_value = one.values.get(step).and_then(Option::as_ref);
            let applied = one_value
                .and_then(|one_value| self.matching.apply(many_value, one_value, self.annotations));
            let Some(value) = applied else {
                continue;
            };
            let next = results.len();
            let key = if has_labels_of_one { one_position } else { 0 };
            let position = *positions.entry(key).or_insert(next);
            if position == next {
                let series = Series {
                    labels: self.matching.result_labels(&many.labels, &one.labels),
                    values: vec![None; self.steps],
                };
                self.output_budget.keep(&series)?;
                results.push(series);
            }
            let values = results.get_mut(position).map(|series| &mut series.values);
            if let Some(result) = values.and_then(|values| values.get_mut(step)) {
                *result = Some(value);
            }
        }
        Ok(results)
    }
}

#[async_trait]
impl SeriesStream for MatchedSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(one) = self.one.take() {
            let steps = self.steps;
            let side = OneSide::collect(&self.matching, one, steps, &mut self.budget).await?;
            self.collected = Some(side);
        }
        loop {
            if let Some(series) = self.output.pop_front() {
                return Ok(Some(series));
            }
            let Some(one_side) = self.collected.take().filter(|side| !side.groups.is_empty())
            else {
                return Ok(None);
            };
            let Some(many) = self.many.next().await? else {
                return Ok(None);
            };
            let added = self.add(&many, &one_side);
            self.collected = Some(one_side);
            added?;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetOperator {
    And,
    Or,
    Unless,
}

/// The series of a set operator, at the steps at which the other side has, or has not, the same labels.
pub(crate) struct SetSeries<'a> {
    operator: SetOperator,
    labels: MatchedLabels,
    left: BoxStream<'a>,
    right: BoxStream<'a>,
    steps: usize,
    /// The steps at which the side that is read first has each signature.
    present: HashMap<Labels, StepSet>,
    first_is_read: bool,
    budget: Budget,
}

impl<'a> SetSeries<'a> {
    pub(crate) fn new(
        operator: SetOperator,
        labels: MatchedLabels,
        (left, right): (BoxStream<'a>, BoxStream<'a>),
        steps: usize,
        budget: Budget,
    ) -> Self {
        Self {
            operator,
            labels,
            left,
            right,
            steps,
            present: HashMap::default(),
            first_is_read: false,
            budget,
        }
    }

    /// Records the steps of a series.
    fn record(&mut self, series: &Series) -> Result<(), PromqlError> {
        let signature = self.labels.signature(&series.labels);
        if !self.present.contains_key(&signature) {
            let bytes = StepSet::memory_size(self.steps) + signature.memory_size();
            self.budget.keep_series_of(0, bytes + 2 * size_of::<Labels>())?;
        }
        let steps = self.steps;
        let present = self.present.entry(signature).or_insert_with(|| StepSet::new(steps));
        for (step, value) in series.values.iter().enumerate() {
            if value.is_some() {
                present.insert(step);
            }
        }
        Ok(())
    }

    /// Keeps the values at the steps at which the other side has, or has not, the labels of the series.
    fn filter(&self, series: Series) -> Series {
        let present = self.present.get(&self.labels.signature(&series.labels));
        let keeps_present = self.operator == SetOperator::And;
        series.map(|step, value| {
            let is_present = present.is_some_and(|steps| steps.contains(step));
            (is_present == keeps_present).then_some(value)
        })
    }
}

#[async_trait]
impl SeriesStream for SetSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if !self.first_is_read {
            if self.operator == SetOperator::Or {
                if let Some(series) = self.left.next().await? {
                    self.record(&series)?;
                    return Ok(Some(series));
                }
            } else {
                while let Some(series) = self.right.next().await? {
                    self.record(&series)?;
                }
            }
            self.first_is_read = true;
        }
        loop {
            let second = if self.operator == SetOperator::Or {
                &mut self.right
            } else {
                &mut self.left
            };
            let Some(series) = second.next().await? else {
                return Ok(None);
            };
            let filtered = self.filter(series);
            if !filtered.is_empty() {
                return Ok(Some(filtered));
            }
        }
    }
}
