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
    /// Returns the labels of the result of two series.
    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let mut labels = if self.operator.is_arithmetic() || self.returns_bool {
            many.remove_metadata()
        } else {
            many.clone()
        };
        let included = match (&self.cardinality, &self.labels) {
            (Cardinality::OneToOne, MatchedLabels::On(names)) => return labels.select(names),
            (Cardinality::OneToOne, MatchedLabels::Ignoring(names)) => return labels.remove(names),
            (Cardinality::ManyToOne(included) | Cardinality::OneToMany(included), _) => included,
        };
        for name in included {
            labels = labels.set(name, one.get(name));
        }
        labels
    }

    /// Returns the result of two values; `None` if they have none.
    fn apply(
        &self,
        many: &SampleValue,
        one: &SampleValue,
        annotations: &Annotations,
    ) -> Option<Option<SampleValue>> {
        let (left, right) = match self.cardinality {
            Cardinality::OneToMany(_) => (one, many),
            Cardinality::OneToOne | Cardinality::ManyToOne(_) => (many, one),
        };
        Some(match self.operator.apply(left, right, annotations)? {
            Outcome::Value(value) => Some(value),
            Outcome::Holds(holds) if self.returns_bool => {
                Some(SampleValue::Float(from_bool(holds)))
            }
            Outcome::Holds(holds) => holds.then(|| left.clone()),
        })
    }
}

/// The series of the side of which one matches.
struct OneSide {
    /// The series of each signature.
    series: Vec<Vec<Series>>,
    positions: HashMap<Labels, usize>,
    /// The error at steps at which two series have the same signature.
    duplicates: HashMap<usize, String>,
}

impl OneSide {
    async fn collect(
        matching: &VectorMatching,
        mut input: BoxStream<'_>,
        budget: &mut Budget,
    ) -> Result<Self, PromqlError> {
        let mut side = Self {
            series: Vec::new(),
            positions: HashMap::default(),
            duplicates: HashMap::default(),
        };
        while let Some(series) = input.next().await? {
            budget.keep(&series)?;
            let signature = matching.labels.signature(&series.labels);
            let next = side.series.len();
            let position = *side.positions.entry(signature).or_insert(next);
            if position == next {
                side.series.push(Vec::new());
            }
            side.find_duplicates(matching, position, &series);
            if let Some(same) = side.series.get_mut(position) {
                same.push(series);
            }
        }
        Ok(side)
    }

    /// Records the steps at which a series and another one of the same signature have values.
    fn find_duplicates(&mut self, matching: &VectorMatching, position: usize, series: &Series) {
        for other in self.series.get(position).into_iter().flatten() {
            let values = other.values.iter().zip(&series.values).enumerate();
            let both = values.filter(|(_, (one, two))| one.is_some() && two.is_some());
            for (step, _) in both {
                self.duplicates.entry(step).or_insert_with(|| {
                    let group = matching.labels.signature(&series.labels);
                    let side = match matching.cardinality {
                        Cardinality::OneToMany(_) => "left",
                        Cardinality::OneToOne | Cardinality::ManyToOne(_) => "right",
                    };
                    format!(
                        "found duplicate series for the match group {group} on the {side} \
                         hand-side of the operation: [{}, {}];many-to-many matching not allowed: \
                         matching labels must be unique on one side",
                        series.labels, other.labels
                    )
                });
            }
        }
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
            budget,
            output: VecDeque::new(),
        }
    }

    /// Returns the steps with results of a signature and labels.
    fn matched(
        &mut self,
        signature: usize,
        labels: &Labels,
    ) -> Result<(&mut StepSet, bool), PromqlError> {
        let is_one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let key = (signature, (!is_one_to_one).then(|| labels.clone()));
        if !self.matched.contains_key(&key) {
            let bytes = StepSet::memory_size(self.steps) + 4 * size_of::<Labels>();
            self.budget
                .keep_samples(0, bytes + key.1.as_ref().map_or(0, Labels::memory_size))?;
        }
        let steps = self.steps;
        let set = self.matched.entry(key).or_insert_with(|| StepSet::new(steps));
        Ok((set, is_one_to_one))
    }

    /// Adds the results of a series of the side of which many match.
    fn add(&mut self, many: &Series, one_side: &OneSide) -> Result<(), PromqlError> {
        let with_values = many.values.iter().enumerate().filter(|(_, value)| value.is_some());
        let mut duplicates = with_values.filter_map(|(step, _)| one_side.duplicates.get(&step));
        if let Some(duplicate) = duplicates.next() {
            return Err(PromqlError::Execution(duplicate.clone()));
        }
        let signature = self.matching.labels.signature(&many.labels);
        let Some(position) = one_side.positions.get(&signature).copied() else {
            return Ok(());
        };
        let mut results: Vec<Series> = Vec::new();
        for one in one_side.series.get(position).into_iter().flatten() {
            let labels = self.matching.result_labels(&many.labels, &one.labels);
            let values = self.results(many, one, position, &labels)?;
            // Series of one signature have no samples at the same step.
            match results.iter_mut().find(|series| series.labels == labels) {
                Some(series) => {
                    for (kept, value) in series.values.iter_mut().zip(values) {
                        *kept = kept.take().or(value);
                    }
                }
                None => results.push(Series { labels, values }),
            }
        }
        self.output.extend(results.into_iter().filter(|series| !series.is_empty()));
        Ok(())
    }

    /// Returns the results of two series.
    fn results(
        &mut self,
        many: &Series,
        one: &Series,
        signature: usize,
        labels: &Labels,
    ) -> Result<Vec<Option<SampleValue>>, PromqlError> {
        let mut results = vec![None; self.steps];
        let matching = self.matching.clone();
        let annotations = self.annotations;
        let (matched, is_one_to_one) = self.matched(signature, labels)?;
        let values = many.values.iter().zip(&one.values).zip(&mut results).enumerate();
        for (step, ((many, one), result)) in values {
            let (Some(many), Some(one)) = (many, one) else {
                continue;
            };
            let Some(value) = matching.apply(many, one, annotations) else {
                continue;
            };
            if !matched.insert(step) {
                let text = if is_one_to_one {
                    "many-to-one matching must be explicit (group_left/group_right)"
                } else {
                    "grouping labels must ensure unique matches"
                };
                let error = format!("multiple matches for labels: {text}");
                return Err(PromqlError::Execution(error));
            }
            *result = value;
        }
        Ok(results)
    }
}

#[async_trait]
impl SeriesStream for MatchedSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(one) = self.one.take() {
            let side = OneSide::collect(&self.matching, one, &mut self.budget).await?;
            self.collected = Some(side);
        }
        loop {
            if let Some(series) = self.output.pop_front() {
                return Ok(Some(series));
            }
            let Some(one_side) = self.collected.take().filter(|side| !side.series.is_empty())
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

/// A set operator.
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
