//! The parameters of the listing routes.

use neap_query::promql::TimeRange;

use crate::remote_read::{
    failure::{ReadFailure, ReadResult},
    params::{RequestParams, parse_integer, parse_limit, parse_time},
};

/// The parameters of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListParams {
    /// The selectors of series.
    pub(crate) selectors: Vec<String>,
    pub(crate) range: TimeRange,
    /// Maximum number of results; `None` is no limit.
    pub(crate) limit: Option<usize>,
}

/// The parameters of a list of descriptions of metrics. Other than those of other lists, its limits may be negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MetadataParams {
    /// The only metric.
    pub(crate) metric: Option<String>,
    /// Maximum number of metrics; `None` is no limit.
    pub(crate) limit: Option<usize>,
    /// Maximum number of descriptions of a metric; `None` is no limit.
    pub(crate) limit_per_metric: Option<usize>,
}

impl ListParams {
    /// Reads the parameters of a request. Unknown ones are ignored.
    pub(crate) fn parse(params: RequestParams) -> ReadResult<Self> {
        let mut list = Self { selectors: Vec::new(), range: TimeRange::ALL, limit: None };
        for (name, value) in params.pairs {
            match name.as_str() {
                "match[]" => list.selectors.push(value),
                "start" => list.range.start_ms = parse_time("start", &value)?,
                "end" => list.range.end_ms = parse_time("end", &value)?,
                "limit" => list.limit = parse_limit("limit", &value)?,
                _ => {}
            }
        }
        Ok(list)
    }
}

impl MetadataParams {
    /// Reads the parameters of a request. Unknown ones are ignored.
    pub(crate) fn parse(params: &RequestParams) -> ReadResult<Self> {
        let limit = |name: &'static str| {
            let number = params.get(name).map(|text| parse_integer(name, text)).transpose()?;
            Ok::<_, ReadFailure>(number.and_then(|number| usize::try_from(number).ok()))
        };
        Ok(Self {
            metric: params.get("metric").map(str::to_owned),
            limit: limit("limit")?,
            limit_per_metric: limit("limit_per_metric")?.filter(|limit| *limit > 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ListParams, String> {
        let params = RequestParams::of_query(query);
        ListParams::parse(params).map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let range = |query| {
            let range = parse(query).unwrap().range;
            (range.start_ms, range.end_ms)
        };
        assert_eq!(range("start=1.5&end=1970-01-01T00:00:02Z"), (1_500, 2_000));
        assert_eq!(range("start=-1"), (-1_000, i64::MAX));
        assert_eq!(range("start=1e300").0, i64::MAX);
        assert_eq!(
            parse("end=soon"),
            Err(
                r#"invalid parameter "end": "soon" is not a time: seconds since 1970, or RFC 3339"#
                    .to_owned()
            )
        );
        assert!(parse("start=NaN").is_err());
    }

    #[test]
    fn parameters_may_repeat() {
        let params = parse("match[]=up&match[]=down&limit=5&db=d&x=y").unwrap();
        assert_eq!(params.selectors, ["up", "down"]);
        assert_eq!(params.limit, Some(5));
        assert!(parse("limit=many").is_err());
    }

    #[test]
    fn only_limits_of_metadata_may_be_negative() {
        assert_eq!(parse("limit=0").unwrap().limit, None);
        assert_eq!(
            parse("limit=-1"),
            Err(r#"invalid parameter "limit": limit must be non-negative"#.to_owned())
        );
        let limits = |query| {
            let params = MetadataParams::parse(&RequestParams::of_query(query)).unwrap();
            (params.limit, params.limit_per_metric)
        };
        assert_eq!(limits("metric=up"), (None, None));
        assert_eq!(limits("limit=-1&limit_per_metric=-1"), (None, None));
        assert_eq!(limits("limit=0&limit_per_metric=0"), (Some(0), None));
        assert_eq!(limits("limit=2&limit_per_metric=1"), (Some(2), Some(1)));
        assert!(MetadataParams::parse(&RequestParams::of_query("limit=many")).is_err());
    }
}
