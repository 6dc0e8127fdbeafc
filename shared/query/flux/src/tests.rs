//! Queries as clients send them, and refused ones.

use proptest::prelude::*;

use super::*;

/// 2024-01-01T08:00:00Z
const NOW: i64 = 1_704_096_000_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn environment() -> Environment {
    Environment { now: NOW, ..Environment::default() }
}

fn compiled(text: &str) -> Program {
    compile(text, environment()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match compile(text, environment()) {
        Ok(program) => panic!("{text}: {program:?}"),
        Err(error) => error.to_string(),
    }
}

/// The operations of the only result.
fn operations(text: &str) -> Vec<Operation> {
    let program = compiled(text);
    assert_eq!(program.results.len(), 1, "{text}");
    let steps = &program.results[0].pipeline.steps;
    steps.iter().map(|step| step.operation.clone()).collect()
}

/// The operations after `range()`.
fn operation(call: &str) -> Operation {
    let text = format!("from(bucket: \"b\") |> range(start: -1h) |> {call}");
    operations(&text).pop().unwrap()
}

fn range(text: &str) -> (i64, i64) {
    match operations(&format!("from(bucket: \"b\") |> range({text})")).pop() {
        Some(Operation::Range { start, stop }) => (start, stop),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn ranges_are_durations_times_and_seconds() {
    assert_eq!(range("start: -1h"), (NOW - HOUR, NOW));
    assert_eq!(range("start: -90m, stop: -1h"), (NOW - HOUR * 3 / 2, NOW - HOUR));
    assert_eq!(range("start: -1h30m, stop: 1h"), (NOW - HOUR * 3 / 2, NOW + HOUR));
    assert_eq!(range("start: 0, stop: now()"), (0, NOW));
    assert_eq!(range("start: 1704092400, stop: now"), (NOW - HOUR, NOW));
    assert_eq!(
        range("start: 2024-01-01T07:00:00Z, stop: 2024-01-01T08:00:00.000Z"),
        (NOW - HOUR, NOW)
    );
    assert_eq!(
        range("start: 2024-01-01T08:00:00+01:00, stop: 2024-01-01T08:00:00"),
        (NOW - HOUR, NOW)
    );
    assert_eq!(range("start: today(), stop: 2024-01-01T08:00:00Z"), (NOW - 8 * HOUR, NOW));
    assert_eq!(range("start: 2024-01-01"), (NOW - 8 * HOUR, NOW));
    assert_eq!(range("start: time(v: \"2024-01-01T07:00:00Z\")"), (NOW - HOUR, NOW));
    // Calendar months before the first of January.
    assert_eq!(range("start: -1mo").0, NOW - 31 * 24 * HOUR);
    assert_eq!(range("start: -1y").0, NOW - 365 * 24 * HOUR);
}

#[test]
fn queries_of_clients_are_in_the_subset() {
    let queries = [
        // Grafana, with its variables replaced.
        r#"buckets()"#,
        r#"from(bucket: "db/rp")
  |> range(start: 2024-01-01T07:00:00Z, stop:2024-01-01T08:00:00.123Z)
  |> filter(fn: (r) =>
    r._measurement == "example-measurement" and
    r._field == "example-field"
  )"#,
        r#"// v.windowPeriod is a variable
from(bucket: "home")
  |> range(start: 2024-01-01T07:00:00Z, stop: 2024-01-01T08:00:00Z)
  |> filter(fn: (r) => r["_measurement"] == "measurement1" or r["_measurement"] =~ /^.*?regex.*$/)
  |> filter(fn: (r) => r["_field"] == "field2" or r["_field"] =~ /^.*?regex.*$/)
  |> aggregateWindow(every: 1m0s, fn: mean)
  |> yield(name: "some-name")"#,
        r#"from(bucket: "home") |> range(start: -1h) |> filter(fn: (r) => r["_value"] >= 10 and r["_value"] <= 20)"#,
        "import \"influxdata/influxdb/v1\"\nv1.measurements(bucket: \"home\")",
        "import \"influxdata/influxdb/v1\"\nv1.tagKeys(bucket: \"home\")",
        "import \"influxdata/influxdb/v1\"\nv1.tagValues(\n    bucket: \"home\",\n    tag: \"host\",\n    predicate: (r) => true,\n    start: -1d\n)",
        r#"buckets() |> filter(fn: (r) => r.name !~ /^_/) |> rename(columns: {name: "_value"}) |> keep(columns: ["_value"])"#,
        r#"import "influxdata/influxdb/schema"
schema.tagValues(bucket: "b", tag: "host", predicate: (r) => r._measurement == "cpu", start: -5m)"#,
        // Home Assistant.
        r#"from(bucket:"Home Assistant") |> range(start: -15m, stop: now()) |> filter(fn: (r) => r._field == "value" and r.entity_id == "outside") |> limit(n: 1)"#,
        r#"import "strings" from(bucket:"b") |> range(start: -1d, stop: now()) |> filter(fn: (r) => r["domain"] == "sensor") |> keep(columns: ["_value", "_time"]) |> mean(column: "_value")"#,
        // Node-RED, and the examples of client libraries.
        r#"from(bucket:"my-bucket") |> range(start: 0) |> filter(fn: (r) => r._measurement == "temperature") |> last()"#,
        r#"data = from(bucket: "b") |> range(start: -1h)
data |> mean() |> yield(name: "mean")
data |> max() |> group() |> yield(name: "max")"#,
        r#"from(bucket: "b") |> range(start: -1h) |> pivot(rowKey:["_time"], columnKey: ["_field"], valueColumn: "_value") |> map(fn: (r) => ({r with ratio: r.a / r.b, kind: if r.a > 1.0 then "high" else "low"}))"#,
        // The builder of InfluxDB.
        r#"from(bucket: "b") |> range(start: -1h) |> aggregateWindow(every: 10s, fn: last, createEmpty: false) |> sort(columns: ["_time"], desc: true) |> limit(n: 10, offset: 5)"#,
    ];
    for query in queries {
        compiled(query);
    }
    let names: Vec<String> =
        compiled(queries[12]).results.into_iter().map(|result| result.name).collect();
    assert_eq!(names, ["mean", "max"]);
}

#[test]
fn variables_come_from_options_and_from_the_request() {
    let text = "from(bucket: v.bucket) |> range(start: v.timeRangeStart, stop: v.timeRangeStop) \
                |> aggregateWindow(every: v.windowPeriod, fn: mean) |> filter(fn: (r) => r._value > limit)";
    let with_option = format!(
        "option v = {{bucket: \"b\", timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 10s}}\nlimit = -2.5\n{text}"
    );
    let expected = compiled(&with_option);
    let json = r#"{"type": "File", "package": null, "imports": null, "body": [
        {"type": "OptionStatement", "assignment": {"type": "VariableAssignment",
            "id": {"type": "Identifier", "name": "v"},
            "init": {"type": "ObjectExpression", "properties": [
                {"type": "Property", "key": {"type": "Identifier", "name": "bucket"},
                 "value": {"type": "StringLiteral", "value": "b"}},
                {"type": "Property", "key": {"type": "Identifier", "name": "timeRangeStart"},
                 "value": {"type": "UnaryExpression", "operator": "-", "argument":
                    {"type": "DurationLiteral", "values": [{"magnitude": 1, "unit": "h"}]}}},
                {"type": "Property", "key": {"type": "Identifier", "name": "timeRangeStop"},
                 "value": {"type": "CallExpression", "callee": {"type": "Identifier", "name": "now"}}},
                {"type": "Property", "key": {"type": "StringLiteral", "value": "windowPeriod"},
                 "value": {"type": "DurationLiteral", "values": [{"magnitude": 10000, "unit": "ms"}]}}]}}},
        {"type": "OptionStatement", "assignment": {"type": "VariableAssignment",
            "id": {"type": "Identifier", "name": "limit"},
            "init": {"type": "UnaryExpression", "operator": "-", "argument": {"type": "FloatLiteral", "value": 2.5}}}},
        {"type": "OptionStatement", "assignment": {"type": "MemberAssignment", "member": {}, "init": {}}}]}"#;
    let with_extern = Environment {
        extern_file: Some(serde_json::from_str(json).unwrap()),
        ..environment()
    };
    let operations = |program: &Program| -> Vec<Operation> {
        let steps = program.results[0].pipeline.steps.iter();
        let without_conditions = steps.map(|step| step.operation.clone()).take(2);
        without_conditions.collect()
    };
    let from_request = compile(text, with_extern).unwrap();
    assert_eq!(operations(&from_request), operations(&expected));
    let params = [("bucket".to_owned(), serde_json::json!("b"))].into();
    let with_params = Environment { params, ..environment() };
    let program = compile("from(bucket: params.bucket) |> range(start: -1h)", with_params).unwrap();
    assert_eq!(program.results[0].pipeline.source, Source::Bucket("b".to_owned()));
}

#[test]
fn now_may_be_set() {
    let text = "option now = () => 2024-01-01T09:00:00Z\nfrom(bucket: \"b\") |> range(start: -1h)";
    let expected = Operation::Range { start: NOW, stop: NOW + HOUR };
    assert_eq!(operations(text), [expected]);
}

#[test]
fn operators_bind_as_in_flux() {
    let filter = |text: &str| match operation(&format!("filter(fn: (r) => {text})")) {
        Operation::Filter(condition) => without_spans(&condition),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        filter("r.a == 1 or not r.b > 2 and exists r.c"),
        "((a Equal 1) or (not (b Greater 2) and exists c))"
    );
    assert_eq!(filter("r.a + 2 * r.b - -3 < 4.5"), "(((a + (2 * b)) - -3) Less 4.5)");
    assert_eq!(filter("(r.a + r.b) * 2 >= r[\"c d\"]"), "(((a + b) * 2) GreaterOrEqual c d)");
    assert_eq!(filter("r.a ^ 2.0 ^ 3.0 == 1.0"), "(((a ^ 2) ^ 3) Equal 1)");
    assert_eq!(filter(r#"r.a =~ /a\/b\d/ and r.b !~ /x/"#), r"(a =~ a/b\d and b !~ x)");
    assert_eq!(
        filter(r#"contains(value: r.host, set: ["a", "b"]) and float(v: r.n) > 1.0"#),
        r#"(host in ["a","b"] and (Float(n) Greater 1))"#
    );
}

/// Writes an expression with all parentheses.
fn without_spans(expr: &RowExpr) -> String {
    let all = |operands: &[RowExpr], word: &str| {
        let texts: Vec<String> = operands.iter().map(without_spans).collect();
        format!("({})", texts.join(word))
    };
    let constant = |constant: &Constant| match constant {
        Constant::Text(text) => format!("{text:?}"),
        Constant::Integer(number) => number.to_string(),
        Constant::Float(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    match &expr.kind {
        RowExprKind::Constant(value) => constant(value),
        RowExprKind::Column(name) => name.clone(),
        RowExprKind::Exists(name) => format!("exists {name}"),
        RowExprKind::Not(operand) => format!("not {}", without_spans(operand)),
        RowExprKind::Negate(operand) => format!("-{}", without_spans(operand)),
        RowExprKind::And(operands) => all(operands, " and "),
        RowExprKind::Or(operands) => all(operands, " or "),
        RowExprKind::Compare(comparison, left, right) => {
            format!("({} {comparison:?} {})", without_spans(left), without_spans(right))
        }
        RowExprKind::Arithmetic(operator, left, right) => {
            format!("({} {} {})", without_spans(left), operator.symbol(), without_spans(right))
        }
        RowExprKind::Match { value, pattern, matches } => {
            let operator = if *matches { "=~" } else { "!~" };
            format!("{} {operator} {pattern}", without_spans(value))
        }
        RowExprKind::Contains(value, set) => {
            let texts: Vec<String> = set.iter().map(constant).collect();
            format!("{} in [{}]", without_spans(value), texts.join(","))
        }
        RowExprKind::Convert(to, value) => format!("{to:?}({})", without_spans(value)),
        RowExprKind::Conditional(parts) => {
            let texts: Vec<String> = parts.iter().map(without_spans).collect();
            format!("(if {})", texts.join(" "))
        }
    }
}

#[test]
fn what_is_outside_of_the_subset_is_named_with_its_position_and_its_sql() {
    let cases = [
        (
            "from(bucket: \"b\") |> range(start: -1h) |> derivative(unit: 1s)",
            "error @1:43-1:53: derivative() is not supported; in SQL: derivative(value, INTERVAL '1 second', time) \
             OVER (PARTITION BY tag ORDER BY time)",
        ),
        (
            "from(bucket: \"b\")\n  |> range(start: -1h)\n  |> window(every: 5m)",
            "error @3:6-3:12: window() is not supported; in SQL: date_bin(INTERVAL '5 minutes', time); in Flux: \
             aggregateWindow()",
        ),
        (
            "import \"strings\"\nfrom(bucket: \"b\") |> range(start: -1h) |> filter(fn: (r) => strings.hasPrefix(v: r.host, prefix: \"a\"))",
            "error @2:61-2:78: strings.hasPrefix() is not supported; in SQL: starts_with(text, 'a'); in Flux: text =~ /^a/",
        ),
        (
            "from(bucket: \"b\") |> holtWinters(n: 1)",
            "error @1:22-1:33: \"holtWinters\" is neither a variable of the query nor a supported function",
        ),
        (
            "frm(bucket: \"b\")",
            "error @1:1-1:4: \"frm\" is neither a variable of the query nor a supported function",
        ),
        (
            "from(bucket: \"b\") |> range(start: -1h) |> aggregateWindow(every: 1h, fn: median)",
            "error @1:74-1:80: median() is not supported; in SQL: median(value)",
        ),
        (
            "from(bucket: \"b\") |> range(start: -1h) |> filter(fn: (r) => { return true })",
            "error @1:61-1:62: functions with statements are not supported; write (r) => expression",
        ),
        (
            "f = (tables=<-) => tables |> mean()",
            "error @1:6-1:12: functions whose parameters have defaults, such as functions of tables, are not supported",
        ),
        (
            "f = (r) => r\nf(r: 1)",
            "error @2:1-2:2: calls of functions that the query defines are not supported",
        ),
        (
            "x = \"a ${1}\"",
            "error @1:5-1:8: string interpolation (\"${…}\") is not supported; write + between strings",
        ),
        ("x = [\"a\": 1]", "error @1:9-1:10: dictionaries are not supported"),
        (
            "testcase a {}",
            "error @1:1-1:9: statements with \"testcase\" are not supported",
        ),
        (
            "from(bucket: \"b\") |> range(start: -1h) |> pivot(rowKey: [\"_time\"], columnKey: [\"host\"], valueColumn: \"_value\")",
            "error @1:43-1:111: pivot(): only columnKey: [\"_field\"] is supported; in SQL: max(value) FILTER (WHERE tag \
             = 'a') AS a, … GROUP BY time",
        ),
    ];
    for (text, error) in cases {
        assert_eq!(refused(text), error, "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_position() {
    let cases = r#"
        from(bucket: "b" ==> error @1:17-1:17: expected ",", found the end of the query
        from(bucket: "b") |> ==> error @1:21-1:21: expected an expression, found the end of the query
        from(bucket: "b") |> 1 ==> error @1:22-1:23: expected a call after |>
        from(bucket: 1) ==> error @1:14-1:15: the argument "bucket" of from() must be a string, not a int
        from() ==> error @1:1-1:7: from(): missing required argument "bucket"
        from(bucket: "b", bucket: "c") ==> error @1:27-1:30: the argument "bucket" is given twice
        from(bucket: "b") |> range(start: -1h, x: 1) ==> error @1:43-1:44: the argument "x" of range() does not exist or is not supported
        from(bucket: "b") |> range(start: 1h, stop: -1h) ==> error @1:22-1:49: range(): cannot query an empty range
        from(bucket: "b") |> range(start: -1000y) ==> error @1:35-1:41: the time is out of range: times are in the years 1677 to 2262
        x = 2300-01-01T00:00:00Z ==> error @1:5-1:25: the time is invalid or out of range
        x = 2024-13-01 ==> error @1:5-1:15: the time is invalid or out of range
        x = 99999999999999999999 ==> error @1:5-1:25: the integer is out of range
        x = 9999999999999d ==> error @1:5-1:19: the duration is out of range
        x = "a ==> error @1:5-1:7: unterminated string
        x = "\q" ==> error @1:5-1:6: invalid escape sequence
        x = /a ==> error @1:5-1:6: unterminated regular expression
        x = 1 ? 2 ==> error @1:7-1:8: unexpected character '?'
        if = 1 ==> error @1:4-1:5: expected an expression, found "="
        1 = 2 ==> error @1:1-1:2: expected a name before =
        x = 1 + 2 ==> error @1:5-1:10: operators are supported in filter() and map() only
        mean() ==> error @1:1-1:7: mean(): missing required argument "tables"
        x = 1 ==> error: this Flux script returns no streaming data. Consider adding a "yield" or invoking streaming functions directly, without performing an assignment
    "#;
    for (text, error) in neap_test_inputs::text_pairs(cases).chain([
        ("x = {a: 1}\ny = x.b", "error @2:5-2:8: the record has no property \"b\""),
        (
            "buckets()\nbuckets()",
            "error @2:1-2:10: tried to produce more than one result with the name \"_result\"; name each one by yield()",
        ),
    ]) {
        assert_eq!(refused(text), error, "{text}");
    }
    let invalid =
        refused("from(bucket: \"b\") |> range(start: -1h) |> filter(fn: (r) => r.a =~ /(/)");
    assert!(
        invalid.starts_with("error @1:68-1:71: invalid regular expression /(/: "),
        "{invalid}"
    );
}

#[test]
fn queries_have_limits() {
    let nested = format!("x = {}1{}", "(".repeat(1_000), ")".repeat(1_000));
    assert!(refused(&nested).contains("levels deep"));
    let sum = format!(
        "from(bucket: \"b\") |> range(start: -1h) |> filter(fn: (r) => r.a{} > 1)",
        " + 1".repeat(1_000)
    );
    assert!(refused(&sum).contains("levels deep"));
    let filtered = |operator: &str, times: usize| {
        let conditions = vec!["r.a == 1"; times].join(operator);
        format!("from(bucket: \"b\") |> range(start: -1h) |> filter(fn: (r) => {conditions})")
    };
    compiled(&filtered(" and ", 501));
    assert!(refused(&filtered(" and ", 502)).contains("more than 500 \"and\" operators"));
    compiled(&filtered(" or ", 5_001));
    assert!(refused(&filtered(" or ", 5_002)).contains("more than 5000 \"or\" operators"));
    let steps =
        format!("from(bucket: \"b\") |> range(start: -1h){}", " |> limit(n: 1)".repeat(100));
    assert!(refused(&steps).contains("more than 100 operations"));
    let results: String = (0..101)
        .map(|number| format!("buckets() |> yield(name: \"{number}\")\n"))
        .collect();
    assert!(refused(&results).contains("more than 100 results"));
    assert!(refused(&" ".repeat(MAX_TEXT_BYTES + 1)).contains("bytes"));
    // Each list has the former one ten times.
    let doubled: String = (1..20)
        .map(|number| {
            let former = vec![format!("x{}", number - 1); 10].join(", ");
            format!("x{number} = [{former}]\n")
        })
        .collect();
    assert!(refused(&format!("x0 = [1]\n{doubled}")).contains("more than 100000 elements"));
}

#[test]
fn the_documentation_lists_all_functions() {
    let page = include_str!("../../../../docs/flux.md");
    for name in functions::names() {
        assert!(
            page.contains(&format!("`{name}")) || page.contains(&format!(".{name}")),
            "{name}"
        );
    }
}

fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "from",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "bucket",
        ":",
        "\"b\"",
        "|>",
        "range",
        "start",
        "-",
        "1h",
        "1mo",
        ",",
        "filter",
        "fn",
        "=>",
        "r",
        ".",
        "_value",
        "==",
        "=~",
        "/a/",
        "and",
        "or",
        "not",
        "exists",
        "1",
        "2.5",
        "2024-01-01",
        "map",
        "with",
        "if",
        "then",
        "else",
        "\n",
        " ",
        "//",
        "option",
        "import",
        "é",
        "\\",
        "\"${",
        "true",
        "yield",
        "=",
        "schema",
        "group",
        "columns",
        "now",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn no_text_is_a_panic_and_errors_are_in_the_text(parts in prop::collection::vec(part(), 0..60)) {
        let text = parts.concat();
        if let Err(error) = compile(&text, environment()) {
            let lines = u32::try_from(text.matches('\n').count()).unwrap() + 1;
            prop_assert!(error.span.end.line <= lines, "{}: {}", text, error);
            prop_assert!(error.span.start.line <= error.span.end.line, "{}: {}", text, error);
        }
    }
}
