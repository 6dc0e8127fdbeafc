//! Tests of the whole session: every function documented for InfluxDB 3 works, and answers recorded from a server are
//! reproduced.

use std::path::Path;

use arrow::json::ArrayWriter;
use neap_test_inputs::{InputOrigin, skip};
use serde_json::Value;

use crate::testing::{rows, session, table};

/// Calls of the documented functions, evaluated for one row of `home`.
const SCALAR: &str = "
    abs(temp) acos(0.5) acosh(1.5) asin(0.5) asinh(0.5) atan(0.5) atanh(0.5) atan2(1,2) cbrt(8) ceil(temp) cos(1)
    cosh(1) cot(1) degrees(1) exp(1) factorial(5) floor(temp) gcd(8,12) isnan(temp) iszero(temp) lcm(4,6) ln(2)
    log(2,8) log10(100) log2(8) nanvl(temp,1) pi() pow(2,3) power(2,3) radians(180) random() round(temp) signum(temp)
    sin(1) sinh(1) sqrt(4) tan(1) tanh(1) trunc(temp)
    coalesce(temp,1) greatest(1,2) ifnull(temp,1) least(1,2) nullif(1,2) nvl(temp,1) nvl2(temp,1,2)
    ascii(room) bit_length(room) btrim(room) char_length(room) character_length(room) chr(65) concat(room,'x')
    concat_ws('-',room,'x') contains(room,'K') ends_with(room,'n') find_in_set('a','a,b') initcap(room) instr(room,'i')
    left(room,2) length(room) levenshtein(room,'x') lower(room) lpad(room,9,'x') ltrim(room) octet_length(room)
    overlay(room::varchar,'x',1) position('i',room) repeat(room,2) replace(room,'i','x') reverse(room) right(room,2)
    rpad(room,9,'x') rtrim(room) split_part(room,'i',1) starts_with(room,'K') strpos(room,'i') substr(room,2)
    substr_index(room,'i',1) to_hex(10) translate(room,'i','x') trim(room) upper(room) uuid()
    digest(room,'sha256') md5(room) sha224(room) sha256(room) sha384(room) sha512(room)
    decode('YQ','base64') encode(room::varchar,'base64')
    regexp_like(room,'^K') regexp_match(room,'^K') regexp_replace(room,'^K','k') regexp_count(room,'i')
    current_date() current_time() current_timestamp() date_bin(INTERVAL'1_hour',time)
    date_bin_wallclock(INTERVAL'1_hour',time) date_part('hour',time) datepart('hour',time) date_trunc('hour',time)
    datetrunc('hour',time) extract(hour_from_time) from_unixtime(1) make_date(2024,1,2) now() today()
    to_char(time,'%Y') to_date('2024-01-01') to_local_time(tz(time,'Europe/Paris')) to_timestamp(1)
    to_timestamp_seconds(1) to_timestamp_millis(1) to_timestamp_micros(1) to_timestamp_nanos(1) to_unixtime(time)
    tz(time) to_time('12:00:00') time_bucket(INTERVAL'1_hour',time)
    arrow_cast(temp,'Utf8') arrow_typeof(temp) get_field(struct(1_as_a),'a') named_struct('a',1) struct(1,2) version()
    array_append([1],2) array_concat([1],[2]) array_distinct([1,1]) array_element([1],1) array_except([1],[2])
    array_has([1],1) array_has_all([1],[1]) array_has_any([1],[1]) array_intersect([1],[1]) array_length([1])
    array_max([1,2]) array_position([1],1) array_remove([1],1) array_slice([1,2],1,2) array_sort([2,1])
    array_to_string([1],',') array_union([1],[2]) cardinality([1]) empty([1]) flatten([[1]])
    generate_series(1,3) make_array(1,2) range(1,3) string_to_array('a,b',',')
    make_map('a',1) map(['a'],[1]) map_extract(map(['a'],[1]),'a') map_keys(map(['a'],[1])) map_values(map(['a'],[1]))
    influx_regex_match(room,'K') influx_regex_not_match(room,'K')
    room~'K' room~*'k' room!~'K' room!~*'k'
";

const AGGREGATE: &str = "
    avg(temp) mean(temp) count(*) count(temp) max(temp) min(temp) median(temp) sum(temp) array_agg(temp)
    approx_distinct(co) approx_median(temp) approx_percentile_cont(0.5)_WITHIN_GROUP_(ORDER_BY_temp)
    approx_percentile_cont(temp,0.5) approx_percentile_cont_with_weight(temp,co,0.5)
    percentile_cont(0.5)_WITHIN_GROUP_(ORDER_BY_temp) bit_and(co) bit_or(co) bit_xor(co) bool_and(temp>1)
    bool_or(temp>1) corr(temp,co) covar(temp,co) covar_pop(temp,co) covar_samp(temp,co) first_value(temp_ORDER_BY_time)
    last_value(temp_ORDER_BY_time) nth_value(temp,2_ORDER_BY_time) regr_avgx(temp,co) regr_avgy(temp,co)
    regr_count(temp,co) regr_intercept(temp,co) regr_r2(temp,co) regr_slope(temp,co) regr_sxx(temp,co)
    regr_sxy(temp,co) regr_syy(temp,co) stddev(temp) stddev_pop(temp) stddev_samp(temp) string_agg(room,',') var(temp)
    var_pop(temp) var_samp(temp) selector_first(temp,time) selector_last(temp,time)
    selector_min(temp,time) selector_max(temp,time) first(temp,time) last(temp,time)
    lttb(time,temp,4) m4(time,temp,8) m4(time,co,8,'2024-01-01T00:00:00Z','2024-01-02T00:00:00Z')
";

const WINDOW: &str = "
    row_number() rank() dense_rank() percent_rank() cume_dist() ntile(3) lag(temp) lead(temp) first_value(temp)
    last_value(temp) nth_value(temp,2) avg(temp) derivative(temp) difference(temp) non_negative_derivative(temp)
    non_negative_difference(temp)
";

/// Calls that take a tag.
const TAG_SCALAR: &str = r#"
    ascii(room) bit_length(room) btrim(room,'K') char_length(room) coalesce(room,'x') concat(room,1) concat_ws('-',room,co)
    contains(room,'K') digest(room,'md5') encode(room,'hex') ends_with(room,'n') find_in_set(room,'Kitchen,Hall')
    greatest(room,'L') least(room,'L') ifnull(room,'x') nullif(room,'Kitchen') nvl2(room,room,'x') initcap(room)
    instr(room,'i') left(room,2) levenshtein(room,'x') lower(room) lpad(room,20,room) ltrim(room,'K') md5(room)
    octet_length(room) overlay(room,'x',1) position('i',room) regexp_count(room,'i') regexp_like(room,'^K')
    regexp_match(room,'^K') regexp_replace(room,'^K','k') repeat(room,2) replace(room,'i','x') reverse(room) right(room,2)
    rpad(room,20,'x') rtrim(room,'n') sha256(room) split_part(room,'i',1) starts_with(room,'K') string_to_array(room,'i')
    strpos(room,'i') substr(room,2) substr_index(room,'i',1) translate(room,'i','x') trim(room) upper(room)
    make_array(room,'x') array_append(['x'],room) array_has(['Kitchen'],room) array_position(['Kitchen'],room)
    array_remove(['Kitchen'],room) array_to_string([room,'x'],',') struct(room,1) influx_regex_match(room,'K')
    json_get_str('{"Kitchen":"k"}',room) room~'K' room||'x' room||room room||co co||room room||temp room||time room||true
    room='Kitchen' room<'L'
"#;

const TAG_AGGREGATE: [&str; 14] = [
    "approx_distinct(room)",
    "approx_distinct(room) FILTER (WHERE temp > 22)",
    "array_agg(room ORDER BY time, temp, co)",
    "array_agg(DISTINCT room ORDER BY room DESC)",
    "count(room)",
    "count(DISTINCT room)",
    "first_value(room ORDER BY temp, time)",
    "last_value(room ORDER BY temp, time)",
    "max(room)",
    "min(room)",
    "string_agg(room, ',' ORDER BY time, temp, co)",
    "string_agg(DISTINCT room, ',' ORDER BY room)",
    "string_agg(DISTINCT room, ',' ORDER BY room DESC)",
    "hll_estimate(hll_accumulate(room))",
];

const TAG_WINDOW: [&str; 9] = [
    "approx_distinct(room)",
    "array_agg(room)",
    "count(room)",
    "first_value(room)",
    "lag(room)",
    "lead(room, 1, 'x')",
    "max(room)",
    "nth_value(room, 2)",
    "string_agg(room, ',')",
];

/// Splits a list into calls; `_` stands for a required space.
fn calls(list: &str) -> impl Iterator<Item = String> {
    list.split_whitespace().map(spaced)
}

/// Replaces underscores that are not part of a name with spaces.
fn spaced(call: &str) -> String {
    let mut call = call.to_owned();
    for keyword in ["WITHIN", "GROUP", "ORDER", "BY", "from", "as"] {
        call = call.replace(&format!("_{keyword}_"), &format!(" {keyword} "));
    }
    call.replace(")_WITHIN", ") WITHIN")
        .replace("1_hour", "1 hour")
        .replace("GROUP_(", "GROUP (")
        .replace("BY_", "BY ")
}

#[tokio::test]
async fn every_documented_function_works() {
    let session = session();
    let mut failed = Vec::new();
    let scalar = calls(SCALAR).map(|call| format!("SELECT {call} FROM home LIMIT 1"));
    let aggregate = calls(AGGREGATE).map(|call| format!("SELECT {call} FROM home"));
    let window = calls(WINDOW).map(|call| format!("SELECT {call} OVER (ORDER BY time) FROM home"));
    for sql in scalar.chain(aggregate).chain(window) {
        let result = match session.sql(&sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            failed.push(format!("{sql}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_tag_is_taken_as_its_text() {
    let session = session();
    let order = "ORDER BY time, temp, co";
    let scalar = TAG_SCALAR
        .split_whitespace()
        .map(|call| format!("SELECT {call} AS r FROM home {order}"));
    let aggregate = TAG_AGGREGATE
        .map(|call| format!("SELECT {call} AS r FROM home GROUP BY co > 5 ORDER BY co > 5"));
    let window =
        TAG_WINDOW.map(|call| format!("SELECT {call} OVER ({order}) AS r FROM home {order}"));
    for sql in scalar.chain(aggregate).chain(window) {
        let with_text = sql.replace("room", "room::varchar");
        assert_eq!(table(&session, &sql).await, table(&session, &with_text).await, "{sql}");
    }
}

#[tokio::test]
async fn functions_are_listed() {
    insta::assert_snapshot!(table(&session(), "
        SELECT DISTINCT routine_name AS name, function_type AS type FROM information_schema.routines
        WHERE routine_name LIKE '%gapfill' OR routine_name LIKE 'selector%' OR routine_name LIKE '%wallclock'
           OR routine_name IN ('tz', 'locf', 'interpolate', 'derivative', 'difference', 'lttb', 'm4') ORDER BY name").await, @r"
    | name                       | type      |
    | date_bin_gapfill           | SCALAR    |
    | date_bin_wallclock         | SCALAR    |
    | date_bin_wallclock_gapfill | SCALAR    |
    | derivative                 | WINDOW    |
    | difference                 | WINDOW    |
    | interpolate                | SCALAR    |
    | locf                       | SCALAR    |
    | lttb                       | AGGREGATE |
    | m4                         | AGGREGATE |
    | selector_first             | AGGREGATE |
    | selector_last              | AGGREGATE |
    | selector_max               | AGGREGATE |
    | selector_min               | AGGREGATE |
    | tz                         | SCALAR    |
    ");
}

#[tokio::test]
async fn recorded_answers_are_reproduced() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/golden/influxdb3-core.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skip(InputOrigin::External, "shared/golden: no recorded answers");
        return;
    };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let suites = recorded["suites"].as_array().unwrap();
    let sql = suites.iter().find(|suite| suite["suite"] == "sql").unwrap();
    let session = session();
    let mut seen = 0;
    for case in sql["cases"].as_array().unwrap() {
        let wanted = [
            "q-date-bin",
            "q-date-bin-wallclock",
            "q-date-part",
            "q-gapfill",
            "q-gapfill-interpolate",
            "q-selectors",
            "q-tz",
        ];
        let id = case["id"].as_str().unwrap();
        if !wanted.contains(&id) {
            continue;
        }
        seen += 1;
        let answer: Value = serde_json::from_str(case["answer"]["body"].as_str().unwrap()).unwrap();
        let mut writer = ArrayWriter::new(Vec::new());
        for batch in rows(&session, case["body"]["q"].as_str().unwrap()).await {
            writer.write(&batch).unwrap();
        }
        writer.finish().unwrap();
        let ours: Value = serde_json::from_slice(&writer.into_inner()).unwrap();
        assert!(same(&ours, &answer), "{id}: {ours} instead of {answer}");
    }
    assert_eq!(seen, 7);
}

/// Returns whether two JSON values are equal. Floats may differ by one part in 10^12.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}
