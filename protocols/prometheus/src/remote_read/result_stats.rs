//! The statistics of a query.

use std::time::Duration;

use neap_promql::SampleStats;
use serde_json::{Map, Value, json};

/// The detail of the statistics of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatsDetail {
    /// The numbers of the whole query.
    Totals,
    /// Those of each step, too: `stats=all`.
    PerStep,
}

impl StatsDetail {
    /// Returns the statistics of a query that has taken some time.
    pub(crate) fn json(self, samples: &SampleStats, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64();
        let mut numbers = Map::from_iter([
            ("totalQueryableSamples".to_owned(), json!(samples.total())),
            ("peakSamples".to_owned(), json!(samples.peak)),
        ]);
        if self == Self::PerStep {
            let steps = samples.per_step.iter();
            let numbers_of_steps = steps.map(|(at_ms, count)| json!([seconds_of(*at_ms), count]));
            let name = "totalQueryableSamplesPerStep".to_owned();
            numbers.insert(name, numbers_of_steps.collect());
        }
        json!({
            "timings": { "evalTotalTime": seconds, "execTotalTime": seconds },
            "samples": numbers,
        })
    }
}

/// Returns a time as a number of seconds, which is an integer if it has no milliseconds.
pub(crate) fn seconds_of(at_ms: i64) -> Value {
    if at_ms % 1_000 == 0 {
        json!(at_ms / 1_000)
    } else {
        let time = Duration::from_millis(at_ms.unsigned_abs()).as_secs_f64();
        json!(if at_ms < 0 { -time } else { time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_part_of_all_statistics() {
        let samples = SampleStats { per_step: vec![(-1_500, 2), (0, 0), (1_500, 3)], peak: 7 };
        let elapsed = Duration::from_millis(250);
        assert_eq!(
            StatsDetail::Totals.json(&samples, elapsed),
            json!({
                "timings": { "evalTotalTime": 0.25, "execTotalTime": 0.25 },
                "samples": { "totalQueryableSamples": 5, "peakSamples": 7 },
            })
        );
        let all = StatsDetail::PerStep.json(&samples, elapsed);
        assert_eq!(
            all["samples"]["totalQueryableSamplesPerStep"],
            json!([[-1.5, 2], [0, 0], [1.5, 3]])
        );
    }
}
