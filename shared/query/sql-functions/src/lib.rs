//! The SQL that Neap adds to DataFusion: functions of InfluxDB 3, of JSON, and of arrays that QuestDB's clients write, and
//! `ASOF JOIN`, `LATEST ON` and `SAMPLE BY`, for which [`parse_sql`] replaces DataFusion's parser.
//!
//! [`register()`] adds them to a session:
//!
//! | function | description |
//! | --- | --- |
//! | `date_bin_gapfill(interval, time[, origin])` | `date_bin`, with a row for every bin between the query's time bounds |
//! | `date_bin_wallclock(interval, time[, origin])` | `date_bin` by the clock in the time's zone |
//! | `date_bin_wallclock_gapfill(interval, time[, origin])` | both |
//! | `locf(aggregate)`, `interpolate(aggregate)` | fill the gaps of a gap-filling query |
//! | `selector_first(value, time)`, `…_last`, `…_min`, `…_max` | one row of a group: `{value, time}` |
//! | `time_bucket(interval, time[, zone][, origin])` | as in TimescaleDB: `date_bin` with bins that begin on Mondays, or by the clock of a zone |
//! | `first(value, time)`, `last(value, time)` | as in TimescaleDB: the value of the earliest and of the latest row |
//! | `lttb(time, value, points)`, `m4(time, value, points[, start, end])` | the points of a series that a chart needs |
//! | `tz(time[, zone])` | the same instant, shown in a time zone |
//! | `to_timestamp(x[, format…])` | replaces DataFusion's: numbers are nanoseconds |
//! | `difference(value)`, `derivative(value[, unit][, time])`, `non_negative_…` | window functions: change from row to row |
//! | `array_values(array)`, `array_shape(array)` | the elements and the lengths of an array of numbers that is stored as text |
//! | `dim_length(array, dimension)`, `array_value(array, index…)` | one length, one element; the first one is 1 |
//! | `approx_percentile_accumulate(x)`, `…_combine(state)`, `…_estimate(state, p)` | a sketch of percentiles, its union, an estimate |
//! | `hll_accumulate(x)`, `hll_combine(state)`, `hll_estimate(state)` | a sketch of distinct values, its union, an estimate |
//! | `influx_regex_match(text, pattern)`, `influx_regex_not_match` | `~` and `!~` |
//! | `json_get_json(text, key…)`, `…_str`, `…_int`, `…_float`, `…_bool`, `…_array` | a value of JSON text; `->` returns JSON text |
//! | `json_as_text(text, key…)`, `json_contains(text, key…)` | `->>` and `?` |
//! | `json_length(text, key…)`, `json_object_keys(text, key…)` | the number of elements or keys, the keys |
//!
//! DataFusion's functions whose results can be much larger than their arguments, such as `repeat` and `range`, are
//! replaced with size-limited versions: the result size for one batch is estimated before evaluation, and a size
//! above the limit is an error.
//!
//! Times are Arrow timestamps in nanoseconds; times without a time zone are in UTC. Errors in the use of a
//! function are DataFusion's planning errors (`DataFusionError::Plan`), possibly wrapped in a context that names the
//! analyzer rule.

mod arrays;
mod asof_join;
mod bins;
mod conditional_rule;
mod dialect;
mod dictionary_arguments;
mod distinct_orders;
mod downsampling;
mod first_last;
mod gapfill;
mod group_filters;
mod grouping_elements;
mod json;
mod keyless_tables;
mod lazy_conditions;
mod literals_last;
mod mistaken_keys;
mod negation;
mod null_joins;
mod pushed_filters;
mod rates;
mod regex_match;
mod register;
mod repeated_orders;
mod row_shift;
mod selector;
mod size_limits;
mod sketches;
mod sql_tokens;
mod time_bucket;
mod time_zone;
mod to_timestamp;
mod wallclock;

#[cfg(test)]
mod testing;

pub use conditional_rule::ConditionalRule;
pub use dialect::parse_sql;
pub use gapfill::{GapFillLimit, node::is_gap_fill, rewrite::with_gap_fill_nodes};
pub use register::{
    SqlFunctionsPlanner, execution_functions, extension_planners, limit_for_execution, register,
    restrict_rules,
};
pub use sketches::combine_function;
