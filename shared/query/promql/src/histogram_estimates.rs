//! Quantiles and fractions of classic and native histograms in a vector.

use std::vec;

use ahash::HashMap;
use async_trait::async_trait;

use crate::{
    annotations::Annotations,
    budget::Budget,
    classic_histogram::{ClassicBucket, bucket_fraction, bucket_quantile},
    error::PromqlError,
    histogram::FloatHistogram,
    labels::Labels,
    series::{BoxStream, Series, SeriesStream, StepValues},
    value::SampleValue,
    work_counter::WorkCounter,
};

/// The label with the upper bound of a classic bucket.
const BUCKET_LABEL: &str = "le";

/// What is estimated of a histogram, with the arguments of each step.
#[derive(Clone, Debug)]
pub(crate) enum Estimate {
    Quantile(Vec<f64>),
    /// The fraction of observations between two values.
    Fraction {
        lower: Vec<f64>,
        upper: Vec<f64>,
    },
}

fn argument(arguments: &[f64], step: usize) -> f64 {
    arguments.get(step).copied().unwrap_or(f64::NAN)
}

impl Estimate {
    fn of_native(&self, step: usize, native: &FloatHistogram, annotations: &Annotations) -> f64 {
        match self {
            Self::Quantile(quantiles) => native.quantile(argument(quantiles, step), annotations),
            Self::Fraction { lower, upper } => {
                native.fraction(argument(lower, step), argument(upper, step))
            }
        }
    }

    fn of_classic(&self, step: usize, buckets: &[ClassicBucket], annotations: &Annotations) -> f64 {
        match self {
            Self::Quantile(quantiles) => {
                bucket_quantile(argument(quantiles, step), buckets, annotations)
            }
            Self::Fraction { lower, upper } => {
                bucket_fraction(argument(lower, step), argument(upper, step), buckets)
            }
        }
    }
}

/// The buckets of a classic histogram, or the estimates of a native one with the same labels.
#[derive(Debug, Default)]
struct HistogramGroup {
    labels: Labels,
    /// The bounds of buckets, with their counts at each step.
    buckets: Vec<(f64, StepValues)>,
    /// The estimates of the native histogram at each step.
    native: Option<StepValues>,
}

impl HistogramGroup {
    fn at(&self, step: usize) -> Vec<ClassicBucket> {
        let buckets = self.buckets.iter().filter_map(|(upper, counts)| {
            let count = counts.get(step)?.as_ref()?.float()?;
            Some(ClassicBucket { upper: *upper, count })
        });
        buckets.collect()
    }
}

/// The series of estimates of the histograms in a vector.
pub(crate) struct EstimatedSeries<'a> {
    estimate: Estimate,
    input: Option<BoxStream<'a>>,
    steps: usize,
    /// The positions of groups by their labels, with the name of the metric.
    positions: HashMap<Labels, usize>,
    groups: Vec<HistogramGroup>,
    annotations: &'a Annotations,
    budget: Budget,
    output: vec::IntoIter<HistogramGroup>,
    work: WorkCounter,
}

impl<'a> EstimatedSeries<'a> {
    pub(crate) fn new(
        estimate: Estimate,
        input: BoxStream<'a>,
        steps: usize,
        annotations: &'a Annotations,
        budget: Budget,
    ) -> Self {
        if let Estimate::Quantile(quantiles) = &estimate {
            quantiles.iter().for_each(|quantile| annotations.warn_quantile(*quantile));
        }
        Self {
            estimate,
            input: Some(input),
            steps,
            positions: HashMap::default(),
            groups: Vec::new(),
            annotations,
            budget,
            output: Vec::new().into_iter(),
            work: WorkCounter::default(),
        }
    }

    fn group(&mut self, labels: Labels) -> Option<&mut HistogramGroup> {
        let next = self.groups.len();
        let position = *self.positions.entry(labels.clone()).or_insert(next);
        if position == next {
            self.groups.push(HistogramGroup { labels, ..HistogramGroup::default() });
        }
        self.groups.get_mut(position)
    }

    /// Adds the numbers of a series as the counts of a bucket.
    fn add_bucket(&mut self, labels: &Labels, counts: StepValues) {
        let bound = labels.get(BUCKET_LABEL);
        let Ok(upper) = bound.parse::<f64>() else {
            let text = "bucket label \"le\" is missing or has a malformed value of";
            self.annotations.warn(&format!("{text} {bound:?}"));
            return;
        };
        if let Some(group) = self.group(labels.remove(&[BUCKET_LABEL.to_owned()])) {
            group.buckets.push((upper, counts));
        }
    }

    fn add(&mut self, series: Series) -> Result<(), PromqlError> {
        self.budget.keep(&series)?;
        let annotations = self.annotations;
        let native = series.values.iter().enumerate().map(|(step, value)| match value {
            Some(SampleValue::Histogram(native)) => {
                let estimate = self.estimate.of_native(step, native, annotations);
                Some(SampleValue::Float(estimate))
            }
            _ => None,
        });
        let estimates: StepValues = native.collect();
        if estimates.iter().any(Option::is_some)
            && let Some(group) = self.group(series.labels.clone())
        {
            group.native = Some(estimates);
        }
        let Series { labels, values } =
            series.map(|_, value| value.float().map(SampleValue::Float));
        if values.iter().any(Option::is_some) {
            self.add_bucket(&labels, values);
        }
        Ok(())
    }

    /// Returns the estimate of a group at a step.
    fn estimate_at(&self, group: &HistogramGroup, step: usize) -> Option<SampleValue> {
        let buckets = group.at(step);
        let native = group.native.as_ref().and_then(|native| native.get(step)?.clone());
        match (buckets.is_empty(), native) {
            (true, native) => native,
            (false, Some(_)) => {
                let text = "vector contains a mix of classic and native histograms";
                self.annotations.warn(text);
                None
            }
            (false, None) => {
                let estimate = self.estimate.of_classic(step, &buckets, self.annotations);
                Some(SampleValue::Float(estimate))
            }
        }
    }
}

#[async_trait]
impl SeriesStream for EstimatedSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        if let Some(mut input) = self.input.take() {
            while let Some(series) = input.next().await? {
                self.add(series)?;
            }
            self.output = std::mem::take(&mut self.groups).into_iter();
        }
        while let Some(group) = self.output.next() {
            let mut values = Vec::with_capacity(self.steps);
            for step in 0..self.steps {
                self.work.count(1 + group.buckets.len()).await;
                values.push(self.estimate_at(&group, step));
            }
            let series = Series { labels: group.labels.remove_metadata(), values };
            if !series.is_empty() {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }
}

/// Returns the function of native histograms with a name.
pub(crate) fn histogram_function(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stddev" => |histogram| histogram.variance().sqrt(),
        "histogram_stdvar" => FloatHistogram::variance,
        _ => return None,
    })
}
