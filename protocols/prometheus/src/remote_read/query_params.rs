//! The parameters of queries.

use std::time::Duration;

use neap_promql::{
    DEFAULT_LOOKBACK_MS, DEFAULT_SUBQUERY_STEP_MS, Evaluation, EvaluationLimits, EvaluationRange,
};

use crate::remote_read::{
    failure::{ReadFailure, ReadResult},
    params::{RequestParams, parse_duration, parse_limit, parse_time},
    result_stats::StatsDetail,
};

/// The parameters of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryParams {
    pub(crate) expression: String,
    pub(crate) evaluation: Evaluation,
    /// Maximum number of series; `None` is no limit.
    pub(crate) limit: Option<usize>,
    /// The time within which the client wants an answer.
    pub(crate) timeout: Option<Duration>,
    /// The statistics of the answer.
    pub(crate) stats: Option<StatsDetail>,
}

impl QueryParams {
    /// Reads the parameters of a query at one time, by default the present.
    pub(crate) fn instant(params: &RequestParams, now_ms: i64) -> ReadResult<Self> {
        let time = params.get("time").map(|text| parse_time("time", text));
        let at_ms = time.transpose()?.unwrap_or(now_ms);
        Self::parse(params, EvaluationRange::Instant { at_ms })
    }

    /// Reads the parameters of a query at several times.
    ///
    /// # Errors
    /// A parameter has no valid value, or the series would have too many points.
    pub(crate) fn range(params: &RequestParams) -> ReadResult<Self> {
        let required =
            |name: &'static str| params.get(name).ok_or(ReadFailure::MissingParameter(name));
        let start_ms = parse_time("start", required("start")?)?;
        let end_ms = parse_time("end", required("end")?)?;
        let step_ms = parse_duration("step", required("step")?)?;
        let range = EvaluationRange::Range { start_ms, end_ms, step_ms };
        let range_query = Self::parse(params, range)?;
        range_query.evaluation.check_range()?;
        Ok(range_query)
    }

    fn parse(params: &RequestParams, range: EvaluationRange) -> ReadResult<Self> {
        let duration = |name: &'static str| {
            let duration = params.get(name).map(|text| parse_duration(name, text));
            duration.transpose()
        };
        let stats = params.get("stats").map(|detail| match detail {
            "all" => StatsDetail::PerStep,
            _ => StatsDetail::Totals,
        });
        let limit = params.get("limit").map(|text| parse_limit("limit", text));
        let lookback = duration("lookback_delta")?.filter(|lookback_ms| *lookback_ms > 0);
        let timeout_ms = duration("timeout")?;
        Ok(Self {
            expression: params.get("query").unwrap_or_default().to_owned(),
            evaluation: Evaluation {
                range,
                lookback_ms: lookback.unwrap_or(DEFAULT_LOOKBACK_MS),
                subquery_step_ms: DEFAULT_SUBQUERY_STEP_MS,
                limits: EvaluationLimits::default(),
                counts_samples: stats.is_some(),
            },
            limit: limit.transpose()?.flatten(),
            timeout: timeout_ms
                .map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or_default())),
            stats,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(query: &str) -> Result<QueryParams, String> {
        let params = RequestParams::of_query(query);
        QueryParams::range(&params).map_err(|error| error.to_string())
    }

    #[test]
    fn an_instant_is_the_present_by_default() {
        let instant = |query| QueryParams::instant(&RequestParams::of_query(query), 5).unwrap();
        let params = instant("query=up");
        assert_eq!(params.expression, "up");
        assert_eq!(params.evaluation.range, EvaluationRange::Instant { at_ms: 5 });
        assert_eq!(params.evaluation.lookback_ms, 300_000);
        assert_eq!((params.limit, params.timeout, params.stats), (None, None, None));
        assert!(!params.evaluation.counts_samples);
        let params = instant("query=up&time=2.5&limit=3&timeout=2m&lookback_delta=1m&stats=all");
        assert_eq!(params.evaluation.range, EvaluationRange::Instant { at_ms: 2_500 });
        assert_eq!(params.evaluation.lookback_ms, 60_000);
        assert_eq!(params.limit, Some(3));
        assert_eq!(params.timeout, Some(Duration::from_secs(120)));
        assert_eq!(params.stats, Some(StatsDetail::PerStep));
        assert!(params.evaluation.counts_samples);
        let totals = instant("query=up&stats=1").stats;
        assert_eq!(totals, Some(StatsDetail::Totals));
    }

    #[test]
    fn a_range_has_a_start_an_end_and_a_step() {
        let params = range("query=up&start=0&end=1970-01-01T00:01:00Z&step=15").unwrap();
        let expected = EvaluationRange::Range { start_ms: 0, end_ms: 60_000, step_ms: 15_000 };
        assert_eq!(params.evaluation.range, expected);
        let pairs = r#"
            end=1&step=1 ==> invalid parameter "start": it is missing
            start=2&end=1&step=1 ==> invalid parameter "end": end timestamp must not be before start time
            start=0&end=1&step=0 ==> invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer
            start=0&end=11001&step=1 ==> exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)
        "#;
        for (query, error) in neap_test_inputs::text_pairs(pairs) {
            assert_eq!(range(query), Err(error.to_owned()), "{query}");
        }
        assert!(range("start=0&end=11000&step=1").is_ok());
    }
}
