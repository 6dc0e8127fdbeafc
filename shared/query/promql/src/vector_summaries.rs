//! Functions of all series of a vector.

use std::cmp::Ordering;

use async_trait::async_trait;

use crate::{
    budget::Budget,
    error::PromqlError,
    labels::Labels,
    quantile::ascending,
    series::{BoxStream, Series, SeriesStream},
    step_set::StepSet,
    unique_series::collected,
    value::SampleValue,
};

/// The series that says at which steps a vector is empty.
pub(crate) struct AbsentSeries<'a> {
    pub(crate) input: Option<BoxStream<'a>>,
    pub(crate) labels: Labels,
    pub(crate) steps: usize,
}

#[async_trait]
impl SeriesStream for AbsentSeries<'_> {
    async fn next(&mut self) -> Result<Option<Series>, PromqlError> {
        let Some(mut input) = self.input.take() else {
            return Ok(None);
        };
        let mut present = StepSet::new(self.steps);
        while let Some(series) = input.next().await? {
            for (step, value) in series.values.iter().enumerate() {
                if value.is_some() {
                    present.insert(step);
                }
            }
        }
        let absent = (0..self.steps)
            .map(|step| (!present.contains(step)).then_some(SampleValue::Float(1.0)));
        let series = Series { labels: self.labels.clone(), values: absent.collect() };
        Ok(Some(series).filter(|series| !series.is_empty()))
    }
}

/// Returns the only number of a vector at each step, or not-a-number if there are none or several.
pub(crate) async fn scalars(
    mut input: BoxStream<'_>,
    steps: usize,
) -> Result<Vec<f64>, PromqlError> {
    let mut found = StepSet::new(steps);
    let mut scalars = vec![f64::NAN; steps];
    while let Some(series) = input.next().await? {
        let values = series.values.iter().map(|value| value.as_ref()?.float());
        for (step, (scalar, value)) in scalars.iter_mut().zip(values).enumerate() {
            if let Some(value) = value {
                *scalar = if found.insert(step) { value } else { f64::NAN };
            }
        }
    }
    Ok(scalars)
}

fn first_number(series: &Series) -> f64 {
    let numbers = series.values.iter().flatten();
    numbers.filter_map(SampleValue::float).next().unwrap_or(f64::NAN)
}

/// Compares series by their first number. Those that are no number come last.
pub(crate) fn number_order(one: &Series, other: &Series, descending: bool) -> Ordering {
    let (one, other) = (first_number(one), first_number(other));
    if one.is_nan() || other.is_nan() {
        return one.is_nan().cmp(&other.is_nan());
    }
    let order = ascending(one, other);
    if descending { order.reverse() } else { order }
}

/// Collects and sorts series.
pub(crate) async fn sorted<'a>(
    mut input: BoxStream<'_>,
    compare: impl FnMut(&Series, &Series) -> Ordering,
    mut budget: Budget,
) -> Result<BoxStream<'a>, PromqlError> {
    let mut kept = Vec::new();
    while let Some(series) = input.next().await? {
        budget.keep(&series)?;
        kept.push(series);
    }
    kept.sort_by(compare);
    Ok(collected(kept, budget))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::known;

    fn series(values: &[Option<f64>]) -> Series {
        Series {
            labels: Labels::default(),
            values: values.iter().map(|value| value.map(SampleValue::Float)).collect(),
        }
    }

    #[tokio::test]
    async fn a_vector_is_absent_where_no_series_has_samples() {
        let vector = vec![series(&[None, Some(1.0), None]), series(&[Some(2.0), None, None])];
        let mut absent = AbsentSeries {
            input: Some(known(vector.into_iter())),
            labels: Labels::default(),
            steps: 3,
        };
        let found = absent.next().await.unwrap().unwrap();
        assert_eq!(found, series(&[None, None, Some(1.0)]));
        assert!(absent.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_only_number_is_a_scalar() {
        let vector = vec![series(&[None, Some(1.0), Some(3.0)]), series(&[None, Some(2.0), None])];
        let found = scalars(known(vector.into_iter()), 3).await.unwrap();
        assert!(found[0].is_nan() && found[1].is_nan());
        assert_eq!(found[2], 3.0);
    }

    #[test]
    fn what_is_no_number_is_last_in_both_orders() {
        let (number, none) = (series(&[Some(1.0)]), series(&[Some(f64::NAN)]));
        for descending in [false, true] {
            assert_eq!(number_order(&number, &none, descending), Ordering::Less);
        }
        let two = series(&[Some(2.0)]);
        assert_eq!(number_order(&number, &two, true), Ordering::Greater);
    }
}
