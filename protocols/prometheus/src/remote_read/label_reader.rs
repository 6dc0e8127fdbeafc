//! Readers of the labels of series, within a limit of memory.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow_array::RecordBatch;
use neap_query::promql::{
    Matcher, Metric, MetricRowReader, MetricSelection, MetricStatements, TimeRange, values_sql,
};

use crate::{
    Label, NAME_LABEL,
    remote_read::{
        failure::{ReadFailure, ReadResult},
        list_texts::{ENTRY_BYTES, MAX_LIST_BYTES, TextSet, text_column},
        row_series::SeriesRows,
    },
};

/// What a reader has read, or the reason why it ended.
#[derive(Debug)]
struct Progress<T>(Mutex<ReadResult<T>>);

impl<T: Default> Progress<T> {
    fn new() -> Self {
        Self(Mutex::new(Ok(T::default())))
    }

    fn lock(&self) -> MutexGuard<'_, ReadResult<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew.
    fn begin<R: Default>(&self, work: impl FnOnce(&mut T) -> ReadResult<R>) -> R {
        let mut started = T::default();
        let (progress, outcome) = match work(&mut started) {
            Ok(outcome) => (Ok(started), outcome),
            Err(failure) => (Err(failure), R::default()),
        };
        *self.lock() = progress;
        outcome
    }

    /// Continues, unless the reader has ended.
    fn advance(&self, work: impl FnOnce(&mut T) -> ReadResult) -> ControlFlow<()> {
        let mut progress = self.lock();
        let Ok(read) = progress.as_mut() else {
            return ControlFlow::Break(());
        };
        match work(read) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                *progress = Err(failure);
                ControlFlow::Break(())
            }
        }
    }

    fn take(&self) -> ReadResult<T> {
        std::mem::replace(&mut *self.lock(), Ok(T::default()))
    }
}

/// The series that one of several selectors selects.
#[derive(Debug)]
struct Selectors {
    matchers: Vec<Arc<[Matcher]>>,
    range: TimeRange,
}

impl Selectors {
    fn select(&self, metrics: &[Arc<Metric>], matchers: &Arc<[Matcher]>) -> Vec<MetricSelection> {
        let selected = metrics.iter().filter_map(|metric| metric.select(matchers, self.range));
        selected.collect()
    }
}

/// Reads the values of a label.
#[derive(Debug)]
pub(crate) struct ValueReader {
    label: String,
    selectors: Selectors,
    progress: Progress<TextSet>,
}

impl ValueReader {
    pub(crate) fn new(label: &str, matchers: Vec<Arc<[Matcher]>>, range: TimeRange) -> Self {
        Self {
            label: label.to_owned(),
            selectors: Selectors { matchers, range },
            progress: Progress::new(),
        }
    }

    /// Takes the values.
    ///
    /// # Errors
    /// The values take too much memory, or they cannot be read.
    pub(crate) fn take(&self) -> ReadResult<BTreeSet<String>> {
        Ok(self.progress.take()?.into_texts())
    }

    /// Returns the statements that select values, after it adds those that need none: the names of metrics.
    fn select(&self, metrics: &[Arc<Metric>], values: &mut TextSet) -> ReadResult<Vec<String>> {
        let mut statements = Vec::new();
        for matchers in &self.selectors.matchers {
            let selected = self.selectors.select(metrics, matchers);
            let are_of_names = matchers.iter().all(|matcher| matcher.label == NAME_LABEL);
            if self.label == NAME_LABEL && are_of_names {
                for selection in selected {
                    values.insert(&selection.metric.name)?;
                }
            } else {
                statements.extend(values_sql(&selected, &self.label));
            }
        }
        Ok(statements)
    }
}

impl MetricRowReader for ValueReader {
    fn begin(&self, metrics: &[Arc<Metric>]) -> MetricStatements {
        let statements = self.progress.begin(|values| self.select(metrics, values));
        Box::new(statements.into_iter())
    }

    fn read(&self, _: usize, batch: &RecordBatch) -> ControlFlow<()> {
        self.progress.advance(|values| {
            let texts = text_column(batch, "v")?;
            texts.iter().flatten().try_for_each(|text| values.insert(text))
        })
    }
}

/// Reads the labels of series.
#[derive(Debug)]
pub(crate) struct SeriesReader {
    selectors: Selectors,
    progress: Progress<SeriesSet>,
}

impl SeriesReader {
    pub(crate) fn new(matchers: Vec<Arc<[Matcher]>>, range: TimeRange) -> Self {
        Self {
            selectors: Selectors { matchers, range },
            progress: Progress::new(),
        }
    }

    /// Takes the labels of each series.
    ///
    /// # Errors
    /// The labels take too much memory, or they cannot be read.
    pub(crate) fn take(&self) -> ReadResult<BTreeSet<Vec<Label>>> {
        Ok(self.progress.take()?.series)
    }
}

impl MetricRowReader for SeriesReader {
    fn begin(&self, metrics: &[Arc<Metric>]) -> MetricStatements {
        let selections = self.progress.begin(|found| {
            let matchers = self.selectors.matchers.iter();
            let selections: Vec<MetricSelection> =
                matchers.flat_map(|matchers| self.selectors.select(metrics, matchers)).collect();
            found.metrics = selections.iter().map(|one| Arc::clone(&one.metric)).collect();
            Ok(selections)
        });
        Box::new(selections.into_iter().map(|selection| selection.series_sql()))
    }

    fn read(&self, statement: usize, batch: &RecordBatch) -> ControlFlow<()> {
        self.progress.advance(|found| found.add(statement, batch))
    }
}

/// The labels of series within a limit of memory.
#[derive(Debug, Default)]
struct SeriesSet {
    /// The metric of each statement.
    metrics: Vec<Arc<Metric>>,
    series: BTreeSet<Vec<Label>>,
    bytes: usize,
}

impl SeriesSet {
    fn add(&mut self, statement: usize, batch: &RecordBatch) -> ReadResult {
        let Some(metric) = self.metrics.get(statement) else {
            return Ok(());
        };
        let rows = SeriesRows::new(metric, batch)?;
        for row in 0..rows.len() {
            let labels = rows.labels(row);
            let texts = labels.iter();
            let size = texts.map(|label| label.name.len() + label.value.len() + ENTRY_BYTES);
            self.bytes += size.sum::<usize>();
            if self.bytes > MAX_LIST_BYTES {
                return Err(ReadFailure::TooLarge(MAX_LIST_BYTES));
            }
            self.series.insert(labels);
        }
        Ok(())
    }
}
