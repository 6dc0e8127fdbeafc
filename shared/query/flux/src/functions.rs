//! The names of functions: those of the subset, and others with the SQL that does the same.

use crate::{FluxError, Span, value::BuiltinName};

/// The package of functions that list measurements, tags and fields.
const SCHEMA: &str = "influxdata/influxdb/schema";

/// Its former name.
const FORMER_SCHEMA: &str = "influxdata/influxdb/v1";

/// The functions of the subset that take no tables.
const SOURCES: [&str; 5] = ["buckets", "from", "now", "time", "today"];

/// The functions of the subset that take tables.
const TRANSFORMATIONS: [&str; 23] = [
    "aggregateWindow",
    "bottom",
    "count",
    "distinct",
    "drop",
    "filter",
    "first",
    "group",
    "keep",
    "last",
    "limit",
    "map",
    "max",
    "mean",
    "min",
    "pivot",
    "range",
    "rename",
    "sort",
    "sum",
    "tail",
    "top",
    "yield",
];

/// The functions of the package `schema` that take no tables.
const SCHEMA_SOURCES: [&str; 7] = [
    "fieldKeys",
    "measurementFieldKeys",
    "measurementTagKeys",
    "measurementTagValues",
    "measurements",
    "tagKeys",
    "tagValues",
];

/// The functions outside of the subset as queries write them, each with the SQL that does the same.
#[rustfmt::skip]
const REPLACED: [(&str, &str); 47] = [
    ("array.from", "SELECT * FROM (VALUES (1, 'a'), (2, 'b'))"),
    ("bool", "CAST(x AS BOOLEAN)"),
    ("columns", "SELECT column_name FROM information_schema.columns"),
    ("covariance", "covar_samp(x, y)"),
    ("cumulativeSum", "sum(value) OVER (PARTITION BY tag ORDER BY time)"),
    ("date.hour", "date_part('hour', time)"),
    ("date.month", "date_part('month', time)"),
    ("date.truncate", "date_trunc('day', time)"),
    ("date.weekDay", "date_part('dow', time)"),
    ("derivative", "derivative(value, INTERVAL '1 second', time) OVER (PARTITION BY tag ORDER BY time)"),
    ("difference", "difference(value) OVER (PARTITION BY tag ORDER BY time)"),
    ("duplicate", "SELECT column AS copy"),
    ("elapsed", "time - lag(time) OVER (PARTITION BY tag ORDER BY time)"),
    ("fill", "coalesce(value, 0), or locf(avg(value)) with date_bin_gapfill(INTERVAL '1 minute', time)"),
    ("highestAverage", "SELECT tag, avg(value) AS mean … GROUP BY tag ORDER BY mean DESC LIMIT 3"),
    (
        "highestCurrent",
        "SELECT tag, selector_last(value, time)['value'] AS last … GROUP BY tag ORDER BY last DESC LIMIT 3",
    ),
    ("highestMax", "SELECT tag, max(value) AS max … GROUP BY tag ORDER BY max DESC LIMIT 3"),
    ("histogram", "SELECT floor(value / 10) AS bin, count(*) … GROUP BY bin"),
    ("hourSelection", "WHERE date_part('hour', time) BETWEEN 8 AND 17"),
    (
        "increase",
        "sum(greatest(value - lag, 0)) over the rows with lag(value) OVER (PARTITION BY tag ORDER BY time) AS lag",
    ),
    ("join", "SELECT … FROM a JOIN b ON a.time = b.time AND a.tag = b.tag"),
    ("keyValues", "SELECT DISTINCT tag"),
    ("keys", "schema.tagKeys() in Flux; in SQL: SELECT column_name FROM information_schema.columns"),
    ("length", "character_length(text)"),
    ("lowestAverage", "SELECT tag, avg(value) AS mean … GROUP BY tag ORDER BY mean LIMIT 3"),
    (
        "lowestCurrent",
        "SELECT tag, selector_last(value, time)['value'] AS last … GROUP BY tag ORDER BY last LIMIT 3",
    ),
    ("lowestMin", "SELECT tag, min(value) AS min … GROUP BY tag ORDER BY min LIMIT 3"),
    ("math.abs", "abs(x)"),
    ("math.floor", "floor(x)"),
    ("math.round", "round(x)"),
    ("median", "median(value)"),
    ("mode", "SELECT value, count(*) AS n … GROUP BY value ORDER BY n DESC LIMIT 1"),
    ("movingAverage", "avg(value) OVER (PARTITION BY tag ORDER BY time ROWS 4 PRECEDING)"),
    ("pearsonr", "corr(x, y)"),
    ("quantile", "approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY value)"),
    ("spread", "max(value) - min(value)"),
    ("stddev", "stddev(value)"),
    ("strings.containsStr", "strpos(text, 'part') > 0; in Flux: text =~ /part/"),
    ("strings.hasPrefix", "starts_with(text, 'a'); in Flux: text =~ /^a/"),
    ("strings.toLower", "lower(text)"),
    ("strings.toUpper", "upper(text)"),
    ("timeShift", "time + INTERVAL '1 hour'"),
    ("timedMovingAverage", "avg(value) OVER (PARTITION BY tag ORDER BY time RANGE INTERVAL '1 hour' PRECEDING)"),
    ("to", "a materialized view: CREATE MATERIALIZED VIEW"),
    ("union", "SELECT … UNION ALL SELECT …"),
    ("unique", "SELECT DISTINCT ON (tag) * … ORDER BY tag, time"),
    ("window", "date_bin(INTERVAL '5 minutes', time); in Flux: aggregateWindow()"),
];

/// Returns the error for a function outside of the subset.
pub(crate) fn unsupported(name: &BuiltinName, span: Span) -> FluxError {
    let shown = name.shown();
    let known = REPLACED.iter().find(|(other, _)| *other == shown);
    let text = match known {
        Some((_, sql)) => format!("{shown}() is not supported; in SQL: {sql}"),
        None => format!("\"{shown}\" is neither a variable of the query nor a supported function"),
    };
    FluxError::new(span, text)
}

/// The input of a function of the subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    /// Arguments only.
    Source,
    /// Tables and arguments.
    Transformation,
}

/// Returns what a function takes; `None` if it is outside of the subset.
pub(crate) fn kind(name: &BuiltinName) -> Option<FunctionKind> {
    let function = name.name.as_str();
    let is_source = match name.package.as_str() {
        "" => SOURCES.contains(&function),
        "influxdata/influxdb" => matches!(function, "buckets" | "from"),
        SCHEMA | FORMER_SCHEMA => SCHEMA_SOURCES.contains(&function),
        _ => false,
    };
    let is_transformation = match name.package.as_str() {
        "" => TRANSFORMATIONS.contains(&function),
        SCHEMA | FORMER_SCHEMA => function == "fieldsAsCols",
        _ => false,
    };
    if is_source {
        Some(FunctionKind::Source)
    } else {
        is_transformation.then_some(FunctionKind::Transformation)
    }
}

/// Returns the names of all functions that have a replacement or are in the subset, for the documentation.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let replaced = REPLACED.iter().map(|(name, _)| *name);
    let subset = SOURCES.into_iter().chain(TRANSFORMATIONS).chain(SCHEMA_SOURCES);
    replaced.chain(subset)
}
