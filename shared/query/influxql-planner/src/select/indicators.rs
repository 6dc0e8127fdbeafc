//! Technical indicators: moving averages and oscillators of the values of a series, as InfluxDB 1.8 computes them.
//!
//! An indicator has a value for each value of the series. The first ones, as many as its hold period, are no results,
//! because they depend on too few values. Quirks of InfluxDB, such as a value before the first one that is 0, are kept.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use datafusion::common::{Result, plan_err};
use neap_influxql::{Call, Expr as Ast, Literal};

/// An indicator, and what its call says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Indicator {
    kind: IndicatorKind,
    period: usize,
    /// The number of values before the first result.
    hold: usize,
    warmup: Warmup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum IndicatorKind {
    Average,
    DoubleAverage,
    TripleAverage,
    TripleDerivative,
    RelativeStrength,
    EfficiencyRatio,
    AdaptiveAverage,
    MomentumOscillator,
}

/// How an exponential average begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Warmup {
    /// As an exponential average of the values so far.
    Exponential,
    /// As the mean of the values so far.
    Simple,
    /// Without an average.
    None,
}

impl IndicatorKind {
    const ALL: [Self; 8] = [
        Self::Average,
        Self::DoubleAverage,
        Self::TripleAverage,
        Self::TripleDerivative,
        Self::RelativeStrength,
        Self::EfficiencyRatio,
        Self::AdaptiveAverage,
        Self::MomentumOscillator,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Average => "exponential_moving_average",
            Self::DoubleAverage => "double_exponential_moving_average",
            Self::TripleAverage => "triple_exponential_moving_average",
            Self::TripleDerivative => "triple_exponential_derivative",
            Self::RelativeStrength => "relative_strength_index",
            Self::EfficiencyRatio => "kaufmans_efficiency_ratio",
            Self::AdaptiveAverage => "kaufmans_adaptive_moving_average",
            Self::MomentumOscillator => "chande_momentum_oscillator",
        }
    }

    /// The names of the ways to begin; none for indicators without a choice. The first one is the default.
    fn warmups(self) -> &'static [(&'static str, Warmup)] {
        const NONE: (&str, Warmup) = ("none", Warmup::None);
        const EXPONENTIAL: (&str, Warmup) = ("exponential", Warmup::Exponential);
        const SIMPLE: (&str, Warmup) = ("simple", Warmup::Simple);
        match self {
            Self::EfficiencyRatio | Self::AdaptiveAverage => &[],
            Self::MomentumOscillator => &[NONE, EXPONENTIAL, SIMPLE],
            _ => &[EXPONENTIAL, SIMPLE],
        }
    }

    /// The number of values before the first one that depends on a whole period.
    fn warm_count(self, period: usize, warmup: Warmup) -> usize {
        let before = period.saturating_sub(1);
        let averages = match (self, warmup) {
            (Self::DoubleAverage, Warmup::Simple) => 2,
            (Self::TripleAverage | Self::TripleDerivative, Warmup::Simple) => 3,
            _ => 1,
        };
        match self {
            Self::Average | Self::DoubleAverage | Self::TripleAverage => {
                before.saturating_mul(averages)
            }
            Self::TripleDerivative => before.saturating_mul(averages).saturating_add(1),
            Self::MomentumOscillator if warmup == Warmup::None => before,
            _ => period,
        }
    }
}

/// Whether there is an indicator with this name.
pub(super) fn is_indicator(name: &str) -> bool {
    IndicatorKind::ALL.iter().any(|kind| kind.name() == name)
}

impl Indicator {
    /// Returns the indicator of a call; `None` for other functions. The first argument is not checked.
    /// Fails with a planning error with the text of InfluxDB 1.8 for wrong arguments.
    pub(super) fn from_call(call: &Call) -> Result<Option<Self>> {
        let name = call.name.as_str();
        let Some(kind) = IndicatorKind::ALL.into_iter().find(|kind| kind.name() == name) else {
            return Ok(None);
        };
        let most = if kind.warmups().is_empty() { 3 } else { 4 };
        let argument_count = call.args.len();
        if !(2..=most).contains(&argument_count) {
            return plan_err!(
                "invalid number of arguments for {name}, expected at least 2 but no more than {most}, got {argument_count}"
            );
        }
        let integer = |index: usize| match call.args.get(index) {
            Some(Ast::Literal(Literal::Integer(value))) => Some(*value),
            _ => None,
        };
        let Some(values) = integer(1) else {
            return plan_err!("{name} period must be an integer");
        };
        let Some(period) = usize::try_from(values).ok().filter(|period| *period > 0) else {
            return plan_err!("{name} period must be greater than or equal to 1");
        };
        let warmup = kind.warmup(call.args.get(3))?;
        // InfluxDB fails at the first value.
        if (kind, warmup, period) == (IndicatorKind::MomentumOscillator, Warmup::None, 1) {
            return plan_err!("{name} period must be greater than 1 without a warmup");
        }
        let hold = match (call.args.get(2), integer(2)) {
            (None, _) | (_, Some(-1)) => kind.warm_count(period, warmup),
            (_, None) => return plan_err!("{name} hold period must be an integer"),
            (_, Some(hold)) => {
                let least = usize::from(kind == IndicatorKind::TripleDerivative);
                match usize::try_from(hold).ok().filter(|hold| *hold >= least) {
                    Some(hold) => hold,
                    None => {
                        return plan_err!(
                            "{name} hold period must be greater than or equal to {least}"
                        );
                    }
                }
            }
        };
        Ok(Some(Self { kind, period, hold, warmup }))
    }

    /// The name of the function.
    pub(super) fn name(self) -> &'static str {
        self.kind.name()
    }

    /// Returns the results for the values of a series; null for values that are null or have no result.
    pub(super) fn results(self, values: &ArrayRef) -> Result<ArrayRef> {
        let floats = cast(values, &DataType::Float64)?;
        let mut add = self.begin(floats.len());
        let mut count = 0;
        let results: Float64Array = floats
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| {
                let result = add(value?);
                count += 1;
                (count > self.hold && result.is_finite()).then_some(result)
            })
            .collect();
        Ok(Arc::new(results))
    }

    /// Returns the function that takes each of `count` values and returns that of the indicator.
    fn begin(self, count: usize) -> Box<dyn FnMut(f64) -> f64> {
        let mut averages = ChainedAverages::new(self.period, self.warmup);
        match self.kind {
            IndicatorKind::Average => Box::new(move |value| averages.add(value).0),
            IndicatorKind::DoubleAverage => Box::new(move |value| {
                let (one, two, _) = averages.add(value);
                2.0 * one - two
            }),
            IndicatorKind::TripleAverage => Box::new(move |value| {
                let (one, two, three) = averages.add(value);
                3.0 * one - 3.0 * two + three
            }),
            IndicatorKind::TripleDerivative => {
                let mut last = 0.0;
                Box::new(move |value| {
                    let (_, _, average) = averages.add(value);
                    (average / std::mem::replace(&mut last, average) - 1.0) * 100.0
                })
            }
            IndicatorKind::RelativeStrength => {
                let mut changes = AveragedChanges::new(self.period, self.warmup);
                Box::new(move |value| {
                    let (up, down) = changes.add(value);
                    100.0 - (100.0 / (1.0 + up / down))
                })
            }
            IndicatorKind::EfficiencyRatio => {
                let mut ratio = EfficiencyRatio::new(self.period, count);
                Box::new(move |value| ratio.add(value))
            }
            IndicatorKind::AdaptiveAverage => {
                let mut ratio = EfficiencyRatio::new(self.period, count);
                let mut last = 0.0;
                Box::new(move |value| {
                    if !ratio.is_warm() {
                        last = ratio.recent.newest().0;
                    }
                    let (fast, slow) = (2.0 / (2.0 + 1.0), 2.0 / (30.0 + 1.0));
                    let smoothing = ratio.add(value) * (fast - slow) + slow;
                    last += smoothing * smoothing * (value - last);
                    last
                })
            }
            IndicatorKind::MomentumOscillator if self.warmup == Warmup::None => {
                let mut oscillator = MomentumOscillator::new(self.period, count);
                Box::new(move |value| oscillator.add(value))
            }
            IndicatorKind::MomentumOscillator => {
                let mut changes = AveragedChanges::new(self.period, self.warmup);
                Box::new(move |value| {
                    let (up, down) = changes.add(value);
                    100.0 * ((up - down) / (up + down))
                })
            }
        }
    }
}

impl IndicatorKind {
    /// Returns the way to begin that the last argument names.
    fn warmup(self, named: Option<&Ast>) -> Result<Warmup> {
        let name = self.name();
        let warmups = self.warmups();
        let text = match named {
            None => return Ok(warmups.first().map_or(Warmup::None, |(_, warmup)| *warmup)),
            Some(Ast::Literal(Literal::String(text))) => text,
            Some(_) => return plan_err!("{name} warmup type must be a string"),
        };
        match warmups.iter().find(|(known, _)| known == text) {
            Some((_, warmup)) => Ok(*warmup),
            None => {
                let known: Vec<_> = warmups.iter().map(|(known, _)| format!("'{known}'")).collect();
                plan_err!("{name} warmup type must be one of: {}", known.join(" "))
            }
        }
    }
}

/// An exponential moving average.
#[derive(Clone, Copy)]
struct ExponentialAverage {
    period: usize,
    warmup: Warmup,
    /// The weight of a new value once the average is warm.
    weight: f64,
    count: usize,
    last: f64,
}

impl ExponentialAverage {
    fn new(period: usize, warmup: Warmup) -> Self {
        Self {
            period,
            warmup,
            weight: 2.0 / (period as f64 + 1.0),
            count: 0,
            last: 0.0,
        }
    }

    /// Whether an average of its values has started.
    fn feeds_next(&self) -> bool {
        self.count == self.period || self.warmup == Warmup::Exponential
    }

    fn add(&mut self, value: f64) -> f64 {
        let count = self.count as f64;
        self.last = if self.count == 0 {
            value
        } else if self.count == self.period {
            (value - self.last) * self.weight + self.last
        } else if self.warmup == Warmup::Simple {
            (self.last * count + value) / (count + 1.0)
        } else {
            (value - self.last) * (2.0 / (count + 2.0)) + self.last
        };
        self.count = self.period.min(self.count + 1);
        self.last
    }
}

/// Three averages, each of the values of the one before. An average that has not started has the value of the one before.
struct ChainedAverages(ExponentialAverage, ExponentialAverage, ExponentialAverage);

impl ChainedAverages {
    fn new(period: usize, warmup: Warmup) -> Self {
        let average = ExponentialAverage::new(period, warmup);
        Self(average, average, average)
    }

    fn add(&mut self, value: f64) -> (f64, f64, f64) {
        let Self(first, second, third) = self;
        let one = first.add(value);
        let two = if first.feeds_next() {
            second.add(one)
        } else {
            one
        };
        let three = if second.feeds_next() {
            third.add(two)
        } else {
            two
        };
        (one, two, three)
    }
}

/// The averages of rises and of falls. As in InfluxDB, the value before the first one is 0.
struct AveragedChanges {
    up: ExponentialAverage,
    down: ExponentialAverage,
    last: f64,
}

impl AveragedChanges {
    fn new(period: usize, warmup: Warmup) -> Self {
        let average = ExponentialAverage {
            weight: 1.0 / period as f64,
            ..ExponentialAverage::new(period.saturating_add(1), warmup)
        };
        Self { up: average, down: average, last: 0.0 }
    }

    fn add(&mut self, value: f64) -> (f64, f64) {
        let change = value - self.last;
        self.last = value;
        let up = self.up.add(if change > 0.0 { change } else { 0.0 });
        let down = self.down.add(if change < 0.0 { -change } else { 0.0 });
        (up, down)
    }
}

/// The latest values, each with its change from the value before. Before the first one, both are 0.
struct RecentValues {
    ring: Vec<(f64, f64)>,
    newest: usize,
}

impl RecentValues {
    /// Keeps `length` of `count` values.
    fn new(length: usize, count: usize) -> Self {
        // A longer ring is never full.
        let length = length.min(count.saturating_add(2)).max(1);
        Self { ring: vec![(0.0, 0.0); length], newest: 0 }
    }

    fn newest(&self) -> (f64, f64) {
        self.ring.get(self.newest).copied().unwrap_or_default()
    }

    /// Replaces the oldest value, and returns it.
    fn push(&mut self, value: f64, change: f64) -> (f64, f64) {
        self.newest = (self.newest + 1) % self.ring.len();
        let oldest = self.ring.get_mut(self.newest);
        oldest
            .map(|oldest| std::mem::replace(oldest, (value, change)))
            .unwrap_or_default()
    }
}

/// Kaufman's efficiency ratio: the change over the period in relation to the sum of its changes.
struct EfficiencyRatio {
    period: usize,
    recent: RecentValues,
    noise: f64,
    count: usize,
}

impl EfficiencyRatio {
    fn new(period: usize, count: usize) -> Self {
        Self {
            period,
            recent: RecentValues::new(period, count),
            noise: 0.0,
            count: 0,
        }
    }

    fn is_warm(&self) -> bool {
        self.count > self.period
    }

    fn add(&mut self, value: f64) -> f64 {
        let change = (value - self.recent.newest().0).abs();
        let (oldest, oldest_change) = self.recent.push(value, change);
        let signal = (value - oldest).abs();
        self.noise -= oldest_change;
        self.noise += change;
        self.count += 1;
        if signal == 0.0 || self.noise == 0.0 {
            0.0
        } else {
            signal / self.noise
        }
    }
}

/// Chande's momentum oscillator: the difference of rises and falls in relation to their sum.
struct MomentumOscillator {
    recent: RecentValues,
    is_first: bool,
    up: f64,
    down: f64,
}

impl MomentumOscillator {
    fn new(period: usize, count: usize) -> Self {
        Self {
            recent: RecentValues::new(period.saturating_sub(1), count),
            is_first: true,
            up: 0.0,
            down: 0.0,
        }
    }

    fn add(&mut self, value: f64) -> f64 {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let change = if is_first {
            0.0
        } else {
            value - self.recent.newest().0
        };
        self.count(change, 1.0);
        let result = if self.up != 0.0 || self.down != 0.0 {
            100.0 * ((self.up - self.down) / (self.up + self.down))
        } else {
            0.0
        };
        let (_, oldest) = self.recent.push(value, change);
        self.count(oldest, -1.0);
        result
    }

    /// Adds a change to the sums, or subtracts it.
    fn count(&mut self, change: f64, sign: f64) {
        if change > 0.0 {
            self.up += sign * change;
        } else if change < 0.0 {
            self.down -= sign * change;
        }
    }
}

#[cfg(test)]
mod tests;
