//! Sums and means that lose no small terms.

/// A sum with the rounding errors of its terms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KahanSum {
    sum: f64,
    compensation: f64,
}

impl KahanSum {
    pub(crate) fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    /// Adds a term, as Neumaier does: the error is that of the smaller one of the sum and the term.
    pub(crate) fn add(&mut self, term: f64) {
        let next = self.sum + term;
        if next.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= term.abs() {
            self.compensation += (self.sum - next) + term;
        } else {
            self.compensation += (term - next) + self.sum;
        }
        self.sum = next;
    }

    pub(crate) fn total(self) -> f64 {
        self.sum + self.compensation
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            sum: factor * self.sum,
            compensation: factor * self.compensation,
        }
    }
}

impl FromIterator<f64> for KahanSum {
    fn from_iter<T: IntoIterator<Item = f64>>(terms: T) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// A mean: the sum by the count, or an incremental mean once the sum would be infinite.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    /// The sum, or the mean.
    sum: KahanSum,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = KahanSum::new(value);
            return;
        }
        let previous = self.count - 1.0;
        if !self.is_incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_incremental = true;
            self.sum = KahanSum {
                sum: self.sum.sum / previous,
                compensation: self.sum.compensation / previous,
            };
        }
        self.sum = self.sum.scaled(previous / self.count);
        self.sum.add(value / self.count);
    }

    pub(crate) fn value(self) -> f64 {
        if self.is_incremental {
            self.sum.total()
        } else {
            self.sum.sum / self.count + self.sum.compensation / self.count
        }
    }
}

impl FromIterator<f64> for Mean {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        let mut mean = Self::default();
        values.into_iter().for_each(|value| mean.add(value));
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_are_not_lost() {
        let terms = [1e100, 1.0, -1e100, 1.0];
        assert_eq!(terms.into_iter().collect::<KahanSum>().total(), 2.0);
    }

    #[test]
    fn infinite_terms_have_an_infinite_sum() {
        let sum: KahanSum = [1.0, f64::INFINITY, 2.0].into_iter().collect();
        assert_eq!(sum.total(), f64::INFINITY);
    }

    #[test]
    fn means_of_values_with_an_infinite_sum_are_finite() {
        let mean: Mean = [1.5e308, 1.5e308, 1.5e308].into_iter().collect();
        assert!((mean.value() / 1.5e308 - 1.0).abs() < 1e-12);
        assert_eq!([1.0, 2.0, 6.0].into_iter().collect::<Mean>().value(), 3.0);
    }
}
