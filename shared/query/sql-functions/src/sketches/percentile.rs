//! Percentiles of numbers with a relative error of at most 1 %.
//!
//! The algorithm is DDSketch: values are counted in buckets whose bounds grow by a constant factor (Masson, Rim and Lee,
//! "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, internal_datafusion_err};
use prost::Message;

use super::{Sketch, SketchKind};

/// The maximum relative error of an estimate.
const RELATIVE_ERROR: f64 = 0.01;

/// The factor between the bounds of a bucket.
const GROWTH: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// The maximum number of buckets of positive and of negative numbers. Those of the smallest numbers become one, which are
/// smaller than the largest number by a factor of more than 10^17.
const MAX_BUCKETS: i32 = 2_048;

/// The number of values in each bucket. Infinite numbers and NaN are ignored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PercentileSketch {
    negative: Buckets,
    zero: u64,
    positive: Buckets,
}

/// The buckets of numbers with the same sign, by the logarithm of their upper bounds to the base [`GROWTH`].
#[derive(Clone, Debug, Default, PartialEq)]
struct Buckets(BTreeMap<i32, u64>);

/// The form in which states are stored.
#[derive(Clone, PartialEq, Message)]
struct StoredPercentiles {
    #[prost(uint64, tag = "1")]
    zero: u64,
    /// Strictly ascending.
    #[prost(sint32, repeated, tag = "2")]
    positive_keys: Vec<i32>,
    /// As many as keys.
    #[prost(uint64, repeated, tag = "3")]
    positive_counts: Vec<u64>,
    #[prost(sint32, repeated, tag = "4")]
    negative_keys: Vec<i32>,
    #[prost(uint64, repeated, tag = "5")]
    negative_counts: Vec<u64>,
}

impl Buckets {
    fn add(&mut self, key: i32, count: u64) {
        let counted = self.0.entry(key).or_default();
        *counted = counted.saturating_add(count);
        self.limit();
    }

    fn merge(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            let counted = self.0.entry(*key).or_default();
            *counted = counted.saturating_add(*count);
        }
        self.limit();
    }

    /// Combines the buckets of the smallest numbers. The result does not depend on when this is done, because the lowest
    /// key depends only on the highest one.
    fn limit(&mut self) {
        let Some((highest, _)) = self.0.last_key_value() else {
            return;
        };
        let lowest = highest.saturating_sub(MAX_BUCKETS - 1);
        let mut combined = 0_u64;
        while let Some(bucket) = self.0.first_entry().filter(|bucket| *bucket.key() < lowest) {
            combined = combined.saturating_add(bucket.remove());
        }
        if combined > 0 {
            let counted = self.0.entry(lowest).or_default();
            *counted = counted.saturating_add(combined);
        }
    }

    fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn decode(keys: &[i32], counts: &[u64]) -> Option<Self> {
        let is_ascending = keys.is_sorted_by(|one, two| one < two);
        let is_complete = keys.len() == counts.len() && !counts.contains(&0);
        let mut buckets = Self(keys.iter().copied().zip(counts.iter().copied()).collect());
        buckets.limit();
        (is_ascending && is_complete).then_some(buckets)
    }
}

/// Returns the key of the bucket of a positive number.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the logarithm of a finite number is at most 35,500"
)]
fn key_of(number: f64) -> i32 {
    (number.ln() / GROWTH.ln()).ceil() as i32
}

/// Returns the number that differs from all numbers of a bucket by at most the relative error.
fn number_of(key: i32) -> f64 {
    // The upper bound of the highest bucket is infinite, so the exponents are added first.
    let exponent = f64::from(key) * GROWTH.ln() + (2.0 / (1.0 + GROWTH)).ln();
    exponent.exp().min(f64::MAX)
}

impl PercentileSketch {
    fn add_number(&mut self, number: f64) {
        match number {
            number if !number.is_finite() => {}
            number if number >= f64::MIN_POSITIVE => self.positive.add(key_of(number), 1),
            number if number <= -f64::MIN_POSITIVE => self.negative.add(key_of(-number), 1),
            _ => self.zero = self.zero.saturating_add(1),
        }
    }

    /// Estimates the number below which a share of the numbers is, from 0 to 1; `None` if there are no numbers.
    pub(super) fn estimate(&self, share: f64) -> Option<f64> {
        let below_zero = self.negative.total();
        let total = below_zero.saturating_add(self.zero).saturating_add(self.positive.total());
        let last = total.checked_sub(1)?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a rank is an estimate beyond 2^53 numbers, and casts saturate"
        )]
        let rank = ((share * last as f64) as u64).min(last);
        let negative = self.negative.0.iter().rev().map(|(key, count)| (-number_of(*key), *count));
        let zero = std::iter::once((0.0, self.zero));
        let positive = self.positive.0.iter().map(|(key, count)| (number_of(*key), *count));
        let mut passed = 0_u64;
        let mut all = negative.chain(zero).chain(positive);
        let found = all.find(|(_, count)| {
            passed = passed.saturating_add(*count);
            passed > rank
        });
        found.map(|(number, _)| number)
    }
}

impl Sketch for PercentileSketch {
    const KIND: SketchKind = SketchKind::Percentile;

    fn value_type(data_type: &DataType) -> Option<DataType> {
        let is_number = data_type.is_numeric() || data_type.is_null();
        is_number.then_some(DataType::Float64)
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let numbers = values
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(|| internal_datafusion_err!("the values are not floats"))?;
        numbers.iter().flatten().for_each(|number| self.add_number(number));
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        self.zero = self.zero.saturating_add(other.zero);
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    fn is_empty(&self) -> bool {
        self.zero == 0 && self.positive.0.is_empty() && self.negative.0.is_empty()
    }

    fn encode(&self) -> Vec<u8> {
        let stored = StoredPercentiles {
            zero: self.zero,
            positive_keys: self.positive.0.keys().copied().collect(),
            positive_counts: self.positive.0.values().copied().collect(),
            negative_keys: self.negative.0.keys().copied().collect(),
            negative_counts: self.negative.0.values().copied().collect(),
        };
        stored.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let stored = StoredPercentiles::decode(bytes).ok()?;
        Some(Self {
            negative: Buckets::decode(&stored.negative_keys, &stored.negative_counts)?,
            zero: stored.zero,
            positive: Buckets::decode(&stored.positive_keys, &stored.positive_counts)?,
        })
    }

    fn allocated_bytes(&self) -> usize {
        // A node of a B-tree is at least half full.
        let buckets = self.positive.0.len() + self.negative.0.len();
        buckets * 2 * size_of::<(i32, u64)>()
    }
}
