//! Tests of size-limited functions and of sessions that use them.

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::CallLimits;
use super::size_estimate::SizeEstimator;
use crate::register::register_with_limits;
use crate::testing::{error, rows, session, table};

/// Calls evaluated for the two rows of the table `arguments`.
const CALLS: &[&str] = &[
    "repeat(text, n)",
    "repeat('ab', 5)",
    "repeat(tag, 3)",
    "lpad(text, 5)",
    "rpad(text, n, 'é')",
    "replace(text, 'a', 'xyz')",
    "replace(text, '', 'y')",
    "replace(text, 'ab', 'y')",
    "regexp_replace(text, 'a', 'xyz')",
    "regexp_replace(text, 'a', '<\\0>', 'g')",
    "regexp_like(text, tag)",
    "regexp_count(text, pattern)",
    "text ~ pattern",
    "text || text",
    "overlay(text PLACING 'xyz' FROM 1)",
    "concat(text, 'xyz')",
    "concat_ws('--', text, tag)",
    "encode(text, 'hex')",
    "to_char(now(), text)",
    "levenshtein(text, 'abcd')",
    "array_has_all(list, list)",
    "string_to_array(text, 'a')",
    "string_to_array(text, NULL)",
    "range(n)",
    "range(10, n, -2)",
    "range(n, n)",
    "range(0, n, -1)",
    "generate_series(1, n)",
    "generate_series(n, n)",
    "generate_series(-9223372036854775807, 9223372036854775807)",
    "range(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month')",
    "range(DATE '2024-03-01', DATE '2024-01-01', INTERVAL '-20 days')",
    "generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02', INTERVAL '1 hour')",
    "generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2025-01-01', INTERVAL '1 month -30 days')",
    "array_repeat(n, n)",
    "array_repeat(NULL, n)",
    "array_repeat(list, n)",
    "array_resize(list, n)",
    "array_resize(list, n, 7)",
    "array_replace_all(list, 1, 2)",
    "array_to_string(list, '--')",
    "array_to_string(floats, '-')",
    "arrays_zip(list, floats)",
    "array_append(list, n)",
    "array_concat(list, list)",
    "[text, text]",
];

/// Returns a session with a limit of `batch` bytes and comparisons per call, and a table of two rows.
async fn limited(batch: u64) -> SessionContext {
    let builder = SessionStateBuilder::new_with_default_features();
    let limits = CallLimits { batch, constant: 0, comparisons: batch };
    let session = SessionContext::new_with_state(register_with_limits(builder, limits).build());
    let generous = session_with_arguments().await;
    let batches = rows(&generous, "SELECT * FROM arguments").await;
    crate::testing::register_table(&session, "arguments", &batches);
    session
}

/// Columns: `text` and `pattern` are strings, `tag` is a dictionary-encoded string, `n` is 1 and 4, `list` is a list of
/// two copies of `n`, and `floats` is a list of one large float.
async fn session_with_arguments() -> SessionContext {
    let session = session_with_catalog();
    rows(
        &session,
        "CREATE TABLE arguments AS SELECT arrow_cast(column1, 'Utf8') AS text,
         arrow_cast(column2, 'Dictionary(Int32, Utf8)') AS tag, column3 AS n,
         [column3, column3] AS list, [1e300] AS floats, arrow_cast(column4, 'Utf8') AS pattern
         FROM (VALUES ('ab', 'x', 1, 'a{2}'), ('aba', 'yz', 4, 'a{3}'))",
    )
    .await;
    session
}

fn session_with_catalog() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1))
}

async fn answer(session: &SessionContext, call: &str) -> Result<Vec<RecordBatch>> {
    let frame = session.sql(&format!("SELECT {call} FROM arguments")).await?;
    frame.collect().await
}

/// Returns the estimated size of a call and its unit, parsed from the error under a limit of zero.
async fn amount(call: &str) -> (u64, String) {
    let Err(error) = answer(&limited(0).await, call).await else {
        return (0, "nothing".to_owned());
    };
    let text = error.find_root().strip_backtrace();
    let (_, made) = text.split_once(" would produce ").expect(&text);
    let (made, _) = made.split_once(" in one batch; the limit is 0").expect(&text);
    let number = made.split(' ').next().unwrap().replace(',', "");
    (number.parse().unwrap(), made.to_owned())
}

#[tokio::test]
async fn calls_succeed_at_their_estimated_size_and_fail_below_it() {
    let mut counted = String::new();
    for call in CALLS {
        let (number, made) = amount(call).await;
        counted += &format!("{call}: {made}\n");
        if number == 0 || number > 1 << 30 {
            continue;
        }
        let possible = answer(&limited(number).await, call).await;
        assert!(possible.is_ok(), "{call}: {possible:?}");
        let beyond = answer(&limited(number - 1).await, call).await;
        let name = call.split('(').next().unwrap_or_default();
        // Calls with a worst-case estimate are computed in parts instead of refused.
        let is_rough = SizeEstimator::for_function(name).is_some_and(SizeEstimator::is_worst_case);
        assert!(beyond.is_err() || is_rough, "{call}");
    }
    insta::assert_snapshot!(counted, @r#"
    repeat(text, n): 14 bytes
    repeat('ab', 5): 20 bytes
    repeat(tag, 3): 9 bytes
    lpad(text, 5): 15 bytes
    rpad(text, n, 'é'): 25 bytes
    replace(text, 'a', 'xyz'): 11 bytes
    replace(text, '', 'y'): 12 bytes
    replace(text, 'ab', 'y'): 5 bytes
    regexp_replace(text, 'a', 'xyz'): 11 bytes
    regexp_replace(text, 'a', '<\0>', 'g'): 38 bytes
    regexp_like(text, tag): 3,072 bytes
    regexp_count(text, pattern): 20,971,520 bytes
    text ~ pattern: 20,971,520 bytes
    text || text: 26 bytes
    overlay(text PLACING 'xyz' FROM 1): 43 bytes
    concat(text, 'xyz'): 27 bytes
    concat_ws('--', text, tag): 20 bytes
    encode(text, 'hex'): 10 bytes
    to_char(now(), text): 100 bytes
    levenshtein(text, 'abcd'): 20 comparisons
    array_has_all(list, list): 8 comparisons
    string_to_array(text, 'a'): 85 bytes
    string_to_array(text, NULL): 85 bytes
    range(n): 40 bytes
    range(10, n, -2): 64 bytes
    range(n, n): nothing
    range(0, n, -1): nothing
    generate_series(1, n): 40 bytes
    generate_series(n, n): 16 bytes
    generate_series(-9223372036854775807, 9223372036854775807): 18,446,744,073,709,551,615 bytes
    range(DATE '2024-01-01', DATE '2024-03-01', INTERVAL '1 month'): 48 bytes
    range(DATE '2024-03-01', DATE '2024-01-01', INTERVAL '-20 days'): 64 bytes
    generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02', INTERVAL '1 hour'): 400 bytes
    generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2025-01-01', INTERVAL '1 month -30 days'): 18,446,744,073,709,551,615 bytes
    array_repeat(n, n): 80 bytes
    array_repeat(NULL, n): 45 bytes
    array_repeat(list, n): 220 bytes
    array_resize(list, n): 80 bytes
    array_resize(list, n, 7): 120 bytes
    array_replace_all(list, 1, 2): 72 bytes
    array_to_string(list, '--'): 360 bytes
    array_to_string(floats, '-'): 706 bytes
    arrays_zip(list, floats): 128 bytes
    array_append(list, n): 56 bytes
    array_concat(list, list): 80 bytes
    [text, text]: 26 bytes
    "#);
}

#[tokio::test]
async fn size_limited_functions_are_listed() {
    let session = session();
    let mut names: Vec<_> = session.state().scalar_functions().values().cloned().collect();
    names.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    names.dedup();
    let (bounded, others): (Vec<_>, Vec<_>) = names
        .iter()
        .map(|function| function.name())
        .partition(|name| SizeEstimator::for_function(name).is_some());
    insta::assert_snapshot!(format!("{}\n\nwithout:\n{}", bounded.join(" "), others.join(" ")), @r#"
    array_append array_concat array_has_all array_has_any array_prepend array_repeat array_replace array_replace_all array_replace_n array_resize array_shape array_slice array_to_string array_union array_values arrays_zip concat concat_ws encode generate_series levenshtein lpad make_array map overlay range regexp_count regexp_instr regexp_like regexp_match regexp_replace repeat replace rpad string_to_array to_char to_local_time

    without:
    abs acos acosh approx_percentile_estimate array_add array_any_value array_avg array_compact array_dims array_distance array_distinct array_element array_except array_has array_intersect array_length array_max array_min array_ndims array_normalize array_pop_back array_pop_front array_position array_positions array_product array_remove array_remove_all array_remove_n array_reverse array_scale array_sort array_subtract array_sum array_value arrow_cast arrow_field arrow_metadata arrow_try_cast arrow_typeof ascii asin asinh atan atan2 atanh bit_length btrim cardinality cast_to_type cbrt ceil character_length chr coalesce contains cos cosh cosine_distance cot current_date current_time date_bin date_bin_gapfill date_bin_wallclock date_bin_wallclock_gapfill date_part date_trunc decode degrees digest dim_length empty ends_with exp factorial file_row_index find_in_set flatten floor from_unixtime gcd get_field greatest hidden_key hll_estimate influx_regex_match influx_regex_not_match initcap inner_product input_file_name interpolate isnan iszero json_as_text json_contains json_get_array json_get_bool json_get_float json_get_int json_get_json json_get_str json_length json_object_keys lcm least left ln locf log log10 log2 lower ltrim make_date make_time map_entries map_extract map_keys map_values md5 named_struct nanvl now nullif nvl nvl2 octet_length pi power radians random reverse right round rtrim sha224 sha256 sha384 sha512 signum sin sinh split_part sqrt starts_with strpos struct substr substr_index tan tanh time_bucket to_date to_hex to_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime translate trunc try_cast_to_type tz union_extract union_tag upper uuid version with_metadata
    "#);
}

/// The calls of these statements are within the limit, or are never evaluated.
#[tokio::test]
async fn calls_within_the_limit_return_the_same_answers() {
    insta::assert_snapshot!(table(&session(), "
        SELECT (SELECT count(*) FROM (SELECT unnest(range(0, 100000)))) AS numbers,
               length(repeat('x', 40000)) AS long, 'a' || 'b' AS joined, [1] || [2] AS lists,
               CASE WHEN 1 > 2 THEN repeat('x', 1000000000) ELSE 'y' END AS not_made").await, @r#"
    | numbers | long  | joined | lists  | not_made |
    | 100000  | 40000 | ab     | [1, 2] | y        |
    "#);
    insta::assert_snapshot!(table(&session(), "
        SELECT room || '-' || room AS joined, count(*) AS n FROM home
        WHERE room || 'x' <> repeat('y', 40000) AND room ~ left(room, 3) GROUP BY 1 ORDER BY 1").await, @r#"
    | joined                  | n  |
    | Kitchen-Kitchen         | 13 |
    | Living Room-Living Room | 13 |
    "#);
    insta::assert_snapshot!(table(&session(), "
        EXPLAIN SELECT repeat('x', 3), repeat(room, 2), room || 'x' FROM home WHERE replace(room, 'a', 'b') = 'x'").await, @r#"
    | plan_type     | plan                                                                                                                                                                   |
    | logical_plan  | Projection: Utf8("xxx") AS repeat(Utf8("x"),Int64(3)), repeat(__common_expr_1 AS home.room, Int64(2)), __common_expr_1 AS home.room || Utf8("x")                       |
    |               |   Projection: CAST(home.room AS Utf8) AS __common_expr_1                                                                                                               |
    |               |     Filter: replace(CAST(home.room AS Utf8), Utf8("a"), Utf8("b")) = Utf8("x")                                                                                         |
    |               |       TableScan: home projection=[room]                                                                                                                                |
    | physical_plan | ProjectionExec: expr=[xxx as repeat(Utf8("x"),Int64(3)), repeat(__common_expr_1@0, 2) as repeat(home.room,Int64(2)), __common_expr_1@0 || x as home.room || Utf8("x")] |
    |               |   ProjectionExec: expr=[CAST(room@0 AS Utf8) as __common_expr_1]                                                                                                       |
    |               |     FilterExec: replace(CAST(room@0 AS Utf8), a, b) = x                                                                                                                |
    |               |       DataSourceExec: partitions=2, partition_sizes=[1, 1]                                                                                                             |
    |               |                                                                                                                                                                        |
    "#);
}

#[tokio::test]
async fn a_batch_over_the_worst_case_limit_is_computed_in_parts() {
    let call = "regexp_replace(text, 'b', '<\\0>', 'g')";
    let (worst, _) = amount(call).await;
    let made = "SELECT regexp_replace(text, 'b', '<\\0>', 'g') AS r FROM arguments";
    let whole = table(&session_with_arguments().await, made).await;
    assert_eq!(table(&limited(worst * 2 / 3).await, made).await, whole);
    assert!(answer(&limited(worst / 4).await, call).await.is_err());
}

#[tokio::test]
async fn list_literals_become_constants() {
    let names = (0..5_000).map(|n| format!("'name {n}'")).collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(table(&session(), &format!(
        "SELECT count(*) FROM home WHERE room = ANY(ARRAY[{names}, 'Kitchen']) OR array_has(make_array({names}), room)")).await, @r#"
    | count(*) |
    | 13       |
    "#);
}

#[tokio::test]
async fn calls_over_the_limit_are_errors() {
    let session = session();
    let mut errors = String::new();
    for sql in [
        "SELECT count(*) FROM (SELECT unnest(range(1,10000000)) x FROM home)",
        "SELECT count(DISTINCT r) FROM (SELECT repeat('x', 1000000000) AS r)",
        "SELECT lpad('x', 2000000000) FROM home",
        "SELECT array_repeat(1, 1000000000000)",
        "SELECT array_resize([1], 1000000000000)",
        "SELECT repeat(repeat('x', 30000), 30000)",
        "SELECT generate_series(TIMESTAMP '1700-01-01', TIMESTAMP '2200-01-01', INTERVAL '1 second')",
    ] {
        errors += &format!("{}\n", error(&session, sql).await);
    }
    // Each inner call is within the limit; the outer call over its result is not.
    let session = limited(2_000).await;
    let constant = "x".repeat(60_000);
    for sql in [
        "SELECT [a, a, a] AS a FROM (SELECT array_repeat(n, 50) AS a FROM arguments)",
        "SELECT c || c AS d FROM (SELECT b || b AS c FROM (SELECT repeat(text, 100) AS b FROM arguments))",
        &format!("SELECT text, upper('{constant}') AS long FROM arguments"),
    ] {
        errors += &format!("{}\n", error(&session, sql).await);
    }
    insta::assert_snapshot!(errors, @r#"
    Execution error: range would produce 1,039,999,896 bytes in one batch; the limit is 268,435,456
    Execution error: repeat would produce 1,000,000,000 bytes in one batch; the limit is 268,435,456
    Execution error: lpad would produce 26,000,000,013 bytes in one batch; the limit is 268,435,456
    Execution error: array_repeat would produce 16,000,000,000,000 bytes in one batch; the limit is 268,435,456
    Execution error: array_resize would produce 8,000,000,000,012 bytes in one batch; the limit is 268,435,456
    Execution error: repeat would produce 900,000,000 bytes in one batch; the limit is 268,435,456
    Execution error: generate_series would produce 126,227,635,208 bytes in one batch; the limit is 268,435,456
    Execution error: make_array would produce 2,424 bytes in one batch; the limit is 2,000
    Execution error: || would produce 2,016 bytes in one batch; the limit is 2,000
    Execution error: constant would produce 120,008 bytes in one batch; the limit is 2,000
    "#);
}
