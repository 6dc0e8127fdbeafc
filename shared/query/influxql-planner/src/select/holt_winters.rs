//! Forecasts of a series by the damped method of Holt and Winters, as InfluxDB 1 computes them.

use datafusion::common::{Result, exec_err, plan_err};
use neap_influxql::{Call, Expr as Ast, Literal};

use super::nelder_mead::{self, Objective};

/// The longest series, with the missing values in it.
const MAX_VALUES: i64 = 20_000;

/// The longest season. A step of the search takes time in proportion to its square.
const MAX_SEASON: usize = 1_000;

const EPSILON: f64 = 1e-4;

/// Whether a function is a forecast.
pub(super) fn is_forecast(name: &str) -> bool {
    matches!(name, "holt_winters" | "holt_winters_with_fit")
}

/// The extent of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Forecast {
    /// The time between two values, in nanoseconds, at least 1.
    pub(super) interval: i64,
    /// The number of values after the series.
    pub(super) count: usize,
    /// The number of values in a season. There are no seasons of fewer than 2.
    pub(super) season: usize,
    /// Whether the answer begins with the values that the method has for the series itself.
    pub(super) has_fit: bool,
}

impl Forecast {
    /// Returns the forecast of a call for windows of this length; `None` for other functions. The first argument is not
    /// checked.
    /// Fails with a planning error with the text of InfluxDB 1 for wrong arguments.
    pub(super) fn from_call(call: &Call, interval: i64) -> Result<Option<Self>> {
        let name = call.name.as_str();
        if !is_forecast(name) {
            return Ok(None);
        }
        let [_, second, third] = call.args.as_slice() else {
            let argument_count = call.args.len();
            return plan_err!(
                "invalid number of arguments for {name}, expected 3, got {argument_count}"
            );
        };
        let Ast::Literal(Literal::Integer(given_count)) = second else {
            return plan_err!("expected integer argument as second arg in {name}");
        };
        let Some(count) = usize::try_from(*given_count).ok().filter(|count| *count > 0) else {
            return plan_err!("second arg to {name} must be greater than 0, got {given_count}");
        };
        let Ast::Literal(Literal::Integer(given_season)) = third else {
            return plan_err!("expected integer argument as third arg in {name}");
        };
        let Ok(season) = usize::try_from(*given_season) else {
            return plan_err!("third arg to {name} cannot be negative, got {given_season}");
        };
        if season > MAX_SEASON {
            return plan_err!("third arg to {name} must be at most {MAX_SEASON}, got {season}");
        }
        Ok(Some(Self {
            interval,
            count,
            season,
            has_fit: name == "holt_winters_with_fit",
        }))
    }

    /// Returns times and values. `points` is the series in order.
    /// Fails with an execution error if the series is too long.
    pub(super) async fn of(&self, points: &[(i64, f64)]) -> Result<Vec<(i64, f64)>> {
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return Ok(Vec::new());
        };
        let values = self.values(points, *first, *last)?;
        let season = if self.season < 2 { 0 } else { self.season };
        if values.len() < 2 || points.len() < season || self.count == 0 {
            return Ok(Vec::new());
        }
        let series = Series { values };
        let mut parameters = series.best_parameters(season).await;
        let mut fitted = Vec::new();
        let length = series.values.len().saturating_add(self.count);
        series.fit(length, &mut parameters, |value| fitted.push(value));
        let (start, skipped) = if self.has_fit {
            (*first, 0)
        } else {
            let start = last.saturating_add(self.interval);
            (start, series.values.len())
        };
        let times =
            (0_i64..).map(|number| start.saturating_add(self.interval.saturating_mul(number)));
        let forecast = times.zip(fitted.into_iter().skip(skipped));
        Ok(forecast.filter(|(_, value)| value.is_finite()).collect())
    }

    /// Returns a value for each interval of the series, NaN if there is none.
    fn values(&self, points: &[(i64, f64)], first: i64, last: i64) -> Result<Vec<f64>> {
        let nearest = |time: i64| {
            let is_nearer_to_next = time % self.interval > self.interval / 2;
            time / self.interval + i64::from(is_nearer_to_next)
        };
        let length = nearest(last).saturating_sub(nearest(first));
        if length >= MAX_VALUES {
            return exec_err!("a forecast takes at most {MAX_VALUES} windows");
        }
        let mut values = vec![f64::NAN; usize::try_from(length + 1).unwrap_or_default()];
        for (time, value) in points {
            let index = usize::try_from(nearest(*time) - nearest(first)).ok();
            let slot = index.and_then(|index| values.get_mut(index));
            if let Some(slot) = slot.filter(|slot| slot.is_nan()) {
                *slot = *value;
            }
        }
        Ok(values)
    }
}

/// The values of a series, NaN if there is none. There are at least two.
struct Series {
    values: Vec<f64>,
}

impl Objective for Series {
    /// The sum of the squared errors.
    fn value(&self, parameters: &mut [f64]) -> f64 {
        let mut values = self.values.iter();
        let mut sum = 0.0;
        let mut has_nan = false;
        self.fit(self.values.len(), parameters, |fitted| {
            if let Some(value) = values.next().filter(|value| !value.is_nan()) {
                has_nan |= fitted.is_nan();
                sum += (fitted - value) * (fitted - value);
            }
        });
        if has_nan { f64::INFINITY } else { sum }
    }
}

impl Series {
    fn first(&self) -> f64 {
        self.values.first().copied().unwrap_or(f64::NAN)
    }

    /// Returns the parameters of [`Self::fit`] with the least error that a search finds from each of some starts.
    async fn best_parameters(&self, season: usize) -> Vec<f64> {
        let mut best: Option<(f64, Vec<f64>)> = None;
        for start in 0..16_u8 {
            let parameters = self.first_parameters(start, season);
            let minimum = nelder_mead::minimum(self, &parameters, EPSILON).await;
            if best.as_ref().is_none_or(|(least, _)| minimum.0 < *least) {
                best = Some(minimum);
            }
        }
        best.map(|(_, parameters)| parameters).unwrap_or_default()
    }

    /// Returns the parameters where a search starts. Each of the first four has one of two values.
    fn first_parameters(&self, start: u8, season: usize) -> Vec<f64> {
        let chosen = [8, 4, 2, 1].map(|bit| if start & bit == 0 { 0.3 } else { 0.3 + 0.4 });
        let known = |value: &&f64| !value.is_nan();
        let changes = self.values.iter().zip(self.values.iter().skip(season.max(1)));
        let known_changes = |(before, after): (&f64, &f64)| {
            let change = after - before;
            (!change.is_nan()).then_some(change)
        };
        let (level, trend) = if season == 0 {
            let change = changes.map(known_changes).next().flatten();
            (0.5 * self.first(), 0.5 * change.unwrap_or_default())
        } else {
            let share = 1.0 / season as f64;
            let share_of_changes = 1.0 / (season as f64 * season as f64);
            let level = self.values.iter().take(season).filter(known);
            let trend = changes.take(season).filter_map(known_changes);
            (
                level.map(|value| share * value).sum(),
                trend.map(|change| share_of_changes * change).sum(),
            )
        };
        let seasons = (0..season).map(|index| {
            let value = self.values.get(index).filter(known);
            value.map_or(0.0, |value| value / level)
        });
        chosen.into_iter().chain([level, trend]).chain(seasons).collect()
    }

    /// Computes values like those of the series, of which only the first one is given. Parameters that are weights are moved
    /// into their range, and seasons are those after the last value.
    fn fit(&self, length: usize, parameters: &mut [f64], mut each: impl FnMut(f64)) {
        let [w0, w1, w2, w3, first_level, first_trend, seasons @ ..] = parameters else {
            return;
        };
        let [alpha, beta, gamma, phi] = [w0, w1, w2, w3].map(|weight| {
            *weight = weight.clamp(0.0, 1.0);
            *weight
        });
        let (mut value, mut level, mut trend) = (self.first(), *first_level, *first_trend);
        let mut damping = phi;
        each(value);
        for step in 1..length {
            let slot = (2 * step - 2).checked_rem(seasons.len()).unwrap_or_default();
            let ahead = (slot + step).checked_rem(seasons.len()).unwrap_or_default();
            let season = seasons.get(slot).copied().unwrap_or(1.0);
            let season_ahead = seasons.get(ahead).copied().unwrap_or(1.0);
            let expected = level + phi * trend;
            let new_level = alpha * (value / season) + (1.0 - alpha) * expected;
            let new_trend = beta * (new_level - level) + (1.0 - beta) * phi * trend;
            if let Some(oldest) = seasons.get_mut(slot) {
                *oldest = gamma * (value / expected) + (1.0 - gamma) * season;
            }
            value = (new_level + damping * new_trend) * season_ahead;
            (level, trend) = (new_level, new_trend);
            damping += phi.powi(i32::try_from(step).unwrap_or(i32::MAX));
            each(value);
        }
    }
}

#[cfg(test)]
mod tests;
