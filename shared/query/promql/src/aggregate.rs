//! Aggregations that keep one accumulator for each group and step.

mod cell;
mod cells;

use std::{mem, vec};

use ahash::HashMap;
use async_trait::async_trait;
use promql_parser::parser::{
    LabelModifier,
    token::{
        T_AVG, T_COUNT, T_GROUP, T_MAX, T_MIN, T_QUANTILE, T_STDDEV, T_STDVAR, T_SUM, TokenId,
    },
};

use crate::{
    annotations::Annotations,
    budget::Budget,
    error::PromqlError,
    labels::{Labels, NAME_LABEL},
    series::{BoxStream, Series, SeriesStream},
    work_counter::WorkCounter,
};
use cell::{Cell, CellContext};
use cells::{Average, Count, Extreme, Group, Quantile, Sum, Variance};

/// The labels by which series are grouped.
#[derive(Clone, Debug)]
pub(crate) enum Grouping {
    /// Those of these names.
    By(Vec<String>),
    /// Those of other names, except the name of the metric.
    Without(Vec<String>),
}

impl Grouping {
    pub(crate) fn new(modifier: Option<&LabelModifier>) -> Self {
        match modifier {
            None => Self::By(Vec::new()),
            Some(LabelModifier::Include(labels)) => Self::By(labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => Self::Without(labels.labels.clone()),
        }
    }

    /// Returns the labels of the group of a series.
    pub(crate) fn group(&self, labels: &Labels) -> Labels {
        match self {
            Self::By(names) => labels.select(names),
            Self::Without(names) => labels.remove_with_name(names),
        }
    }
}

/// The groups of an aggregation.
struct Groups<C> {
    labels: Vec<Labels>,
    /// The cells of each group, one for each step.
    cells: Vec<Vec<C>>,
    positions: HashMap<Labels, usize>,
    budget: Budget,
}

impl<C: Cell> Groups<C> {
    fn new(budget: Budget) -> Self {
        Self {
            labels: Vec::new(),
            cells: Vec::new(),
            positions: HashMap::default(),
            budget,
        }
    }

    /// Returns the position of the group with these labels.
    fn position(&mut self, labels: Labels, steps: usize) -> Result<usize, PromqlError> {
        if let Some(position) = self.positions.get(&labels) {
            return Ok(*position);
        }
        let bytes = steps * size_of::<C>() + labels.memory_size() + 4 * size_of::<Labels>();
        self.budget.keep_series_of(steps, bytes)?;
        let position = self.labels.len();
        self.cells.push((0..steps).map(|_| C::default()).collect());
        self.labels.push(labels.clone());
        self.positions.insert(labels, position);
        Ok(position)
    }
}

/// An aggregation with what it needs.
pub(crate) struct Aggregation<'a> {
    pub(crate) operator: TokenId,
    pub(crate) grouping: Grouping,
    pub(crate) input: BoxStream<'a>,
    /// The parameter of each step; empty if the operator has none.
    pub(crate) parameters: Vec<f64>,
    pub(crate) steps: usize,
    pub(crate) annotations: &'a Annotations,
    pub(crate) budget: Budget,
}

/// The series of an aggregation: one for each group.
struct AggregatedSeries<'a, C> {
    grouping: Grouping,
    input: Option<BoxStream<'a>>,
    parameters: Vec<f64>,
    steps: usize,
    annotations: &'a Annotations,
    aggregation: &'static str,
    groups: Groups<C>,
    output: vec::IntoIter<(Labels, Vec<C>)>,
    work: WorkCounter,
}

impl<C: Cell> AggregatedSeries<'_, C> {
    fn add(&mut self, series: Series) -> Result<(), PromqlError> {
        let labels = self.grouping.group(&series.labels);
        let position = self.groups.position(labels, self.steps)?;
        let context = CellContext {
            annotations: self.annotations,
            aggregation: self.aggregation,
            metric: series.labels.get(NAME_LABEL),
        };
        let cells = self.groups.cells.get_mut(position).into_iter().flatten();
        let mut bytes = 0;
        for (cell, value) in cells.zip(series.values) {
            if let Some(value) = value {
                bytes += cell.add(value, context);
            }
        }
        self.groups.budget.keep_samples(0, bytes)
    }

    async fn finish(&mut self, labels: Labels, cells: Vec<C>) -> Series {
        let context = CellContext {
            annotations: self.annotations,
            aggregation: self.aggregation,
            metric: "",
        };
        let mut values = Vec::with_capacity(cells.len());
        for (step, cell) in cells.into_iter().enumerate() {
            self.work.count(cell.kept_values()).await;
            let parameter = self.parameters.get(step).copied().unwrap_or(f64::NAN);
            values.push(cell.finish(parameter, context));
        }
        Series { labels, values }
    }
}

#[async_trait]
impl<C: Cell> SeriesStream for AggregatedSeries<'_, C> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(mut input) = self.input.take() {
            while let Some(series) = input.next().await? {
                self.add(series)?;
            }
            let labels = mem::take(&mut self.groups.labels);
            let groups = labels.into_iter().zip(mem::take(&mut self.groups.cells));
            self.output = groups.collect::<Vec<_>>().into_iter();
        }
        while let Some((labels, cells)) = self.output.next() {
            let series = self.finish(labels, cells).await;
            if !series.is_empty() {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }
}

impl<'a> Aggregation<'a> {
    fn into_stream<C: Cell + 'a>(self, aggregation: &'static str) -> BoxStream<'a> {
        Box::new(AggregatedSeries::<C> {
            grouping: self.grouping,
            input: Some(self.input),
            parameters: self.parameters,
            steps: self.steps,
            annotations: self.annotations,
            aggregation,
            groups: Groups::new(self.budget),
            output: Vec::new().into_iter(),
            work: WorkCounter::default(),
        })
    }

    /// Returns the series of the groups; `None` if the operator is none of those that have an accumulator.
    pub(crate) fn aggregate(self) -> Option<BoxStream<'a>> {
        Some(match self.operator {
            T_SUM => self.into_stream::<Sum>("sum"),
            T_AVG => self.into_stream::<Average>("avg"),
            T_MIN => self.into_stream::<Extreme<false>>("min"),
            T_MAX => self.into_stream::<Extreme<true>>("max"),
            T_COUNT => self.into_stream::<Count>("count"),
            T_GROUP => self.into_stream::<Group>("group"),
            T_STDVAR => self.into_stream::<Variance<false>>("stdvar"),
            T_STDDEV => self.into_stream::<Variance<true>>("stddev"),
            T_QUANTILE => {
                let invalid = |quantile: &&f64| !(0.0..=1.0).contains(*quantile);
                if let Some(quantile) = self.parameters.iter().find(invalid) {
                    self.annotations.warn_quantile(*quantile);
                }
                self.into_stream::<Quantile>("quantile")
            }
            _ => return None,
        })
    }
}
