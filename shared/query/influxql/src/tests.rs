//! Tests of the parser: accepted statements, errors, and round trips between text and tree.

mod property_tests;

use crate::{
    Condition, Dimension, Expr, Fill, Literal, MAX_DEPTH, Measurement, MeasurementName, NameMatch,
    NamedDatabase, Regex, SelectSource, Statement, TimeOrder, UserStatement, WindowLength, parse,
};

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

fn canonical(text: &str) -> String {
    let statement = one(text);
    let canonical = statement.to_string();
    assert_eq!(one(&canonical), statement, "{text} -> {canonical}");
    canonical
}

fn error(text: &str) -> String {
    match parse(text) {
        Ok(statements) => panic!("{text}: {statements:?}"),
        Err(error) => error.to_string(),
    }
}

/// Asserts the text that a function returns for the statement in each line. It stands behind `=>`, or is the statement.
fn assert_lines(lines: &str, shown: impl Fn(&str) -> String) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (statement, expected) = line.split_once(" => ").unwrap_or((line, line));
        assert_eq!(shown(statement), expected, "{statement}");
    }
}

#[test]
fn select_is_parsed_with_all_clauses() {
    let texts = r#"
        select * from cpu => SELECT * FROM cpu
        SELECT mean("usage idle") AS m, max(x)-min(x) FROM db.rp.cpu, db.."a b", rp.m, /^c.*\/x/ WHERE time > now() - 1h30m AND (host = 'a\'b' OR region =~ /us-.*/) AND x <> -3.5 => SELECT mean("usage idle") AS m, max(x) - min(x) FROM db.rp.cpu, db.."a b", rp.m, /^c.*\/x/ WHERE time > now() - 1h30m AND (host = 'a\'b' OR region =~ /us-.*/) AND x != -3.5
        SELECT count(DISTINCT f), DISTINCT g FROM m GROUP BY time(10m, -5m), *, host::tag, /x/ fill(previous) ORDER BY time DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 TZ('Europe/Paris') => SELECT count(distinct(f)), distinct(g) FROM m GROUP BY TIME(10m, -5m), *, host, /x/ FILL(PREVIOUS) ORDER BY time DESC LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 TZ('Europe/Paris')
        SELECT a+b*c-(d-e)%f^g|h&i FROM (SELECT *::field, x::float FROM m WHERE b = true), n FILL(-1.5) => SELECT a + b * c - (d - e) % f ^ g | h & i FROM (SELECT *::field, x::float FROM m WHERE b = true), n FILL(-1.5)
        SELECT -x, -(a+b), +1, 18446744073709551615, -9223372036854775808, .5, $p, $"q r" FROM m -- the end => SELECT -1 * x, -1 * (a + b), 1, 18446744073709551615, -9223372036854775808, 0.5, $p, $"q r" FROM m
        SELECT top(x, host, 3) FROM m WHERE true ORDER BY ASC => SELECT top(x, host, 3) FROM m WHERE true ORDER BY time ASC
        EXPLAIN ANALYZE VERBOSE SELECT x FROM m
        select mean(x) into "a b".y.z from m group by time(1h), * => SELECT mean(x) INTO "a b".y.z FROM m GROUP BY TIME(1h), *
        SELECT x INTO db..:measurement FROM /.*/ => SELECT x INTO db..:MEASUREMENT FROM /.*/
        SELECT x INTO rp.:MEASUREMENT FROM m
        SELECT x INTO db..y FROM (SELECT x FROM m)
    "#;
    assert_lines(texts, canonical);
    let text = "SELECT mean(/^(a|b)$/) /* all\n of them */ FROM m GROUP BY time(1w)";
    let expected = "SELECT mean(/^(a|b)$/) FROM m GROUP BY TIME(1w)";
    assert_eq!(canonical(text), expected);
}

#[test]
fn show_and_change_statements_are_parsed() {
    let texts = r#"
        show databases => SHOW DATABASES
        SHOW RETENTION POLICIES ON "my db"
        SHOW MEASUREMENTS ON db WITH MEASUREMENT =~ /(?i)cpu/ WHERE host = 'a' LIMIT 3 OFFSET 1
        SHOW TAG KEYS FROM cpu, /mem/ WHERE time > 0 SLIMIT 1
        SHOW TAG KEYS ON db FROM cpu WITH KEY = host LIMIT 1
        SHOW TAG KEYS with key in (a, b) => SHOW TAG KEYS WITH KEY IN (a, b)
        SHOW FIELD KEYS ON db FROM rp.cpu LIMIT 2
        SHOW TAG VALUES ON db FROM cpu WITH KEY IN (host, "a b") WHERE region != ''
        SHOW TAG VALUES WITH KEY !~ /x/ LIMIT 1 OFFSET 2
        SHOW SERIES FROM cpu WHERE host =~ /a/ LIMIT 2
        SHOW SERIES EXACT CARDINALITY ON db => SHOW SERIES CARDINALITY ON db
        SHOW MEASUREMENT CARDINALITY
        SHOW TAG KEY CARDINALITY FROM cpu
        SHOW FIELD KEY EXACT CARDINALITY => SHOW FIELD KEY CARDINALITY
        SHOW TAG VALUES CARDINALITY WITH KEY = host
        CREATE DATABASE "telegraf" => CREATE DATABASE telegraf
        CREATE DATABASE a WITH DURATION 30d REPLICATION 1 SHARD DURATION 1h NAME autogen => CREATE DATABASE a WITH DURATION 4w2d REPLICATION 1 SHARD DURATION 1h NAME autogen
        DROP DATABASE a
        DROP MEASUREMENT "a b"
        DROP SERIES FROM cpu WHERE host = 'a'
        DELETE FROM /c/, mem WHERE time < '2024-01-01'
        DELETE WHERE host = 'a'
        CREATE RETENTION POLICY "one" ON db DURATION 1d REPLICATION 1 SHARD DURATION 0s DEFAULT => CREATE RETENTION POLICY one ON db DURATION 1d REPLICATION 1 SHARD DURATION 0s DEFAULT
        ALTER RETENTION POLICY one ON db DURATION INF
        DROP RETENTION POLICY one ON db
    "#;
    assert_lines(texts, canonical);
}

#[test]
fn errors_name_the_expected_token_and_the_position() {
    let texts = "
        SHOW SERIE => parsing error: invalid SHOW statement, expected DATABASES, FIELD KEYS, MEASUREMENTS, TAG KEYS, TAG VALUES, or RETENTION POLICIES following SHOW at pos 5
        SHOW EVERYTHING => parsing error: invalid SHOW statement, expected DATABASES, FIELD KEYS, MEASUREMENTS, TAG KEYS, TAG VALUES, or RETENTION POLICIES following SHOW at pos 5
        DROP SHARD 1 => parsing error: invalid DROP statement, expected DATABASE, MEASUREMENT, SERIES, RETENTION POLICY, CONTINUOUS QUERY or USER at pos 5
        SELECT mean(temp) FROM home GROUP BY time(1x) => parsing error: invalid TIME call, expected ')' at pos 43
        SELECT mean(temp) FROM home GROUP BY time(0s) => parsing error: invalid TIME call, expected a duration above zero at pos 42
        SELEC temp FROM home => parsing error: invalid InfluxQL statement at pos 0
        SELECT temp INTO FROM home => parsing error: invalid INTO clause, expected identifier at pos 17
        SELECT temp INTO /copy/ FROM home => parsing error: invalid INTO clause, expected identifier at pos 17
        SELECT temp INTO db.:TABLE FROM home => parsing error: invalid INTO clause, expected MEASUREMENT at pos 21
        SELECT a FROM (SELECT a INTO b FROM c) => parsing error: invalid SELECT statement, expected FROM at pos 24
        EXPLAIN SELECT a INTO b FROM c => parsing error: invalid SELECT statement, expected FROM at pos 17
        SELECT temp => parsing error: invalid SELECT statement, expected FROM at pos 11
        SELECT FROM home => parsing error: invalid expression, expected a value at pos 7
        SELECT a FROM home WHERE a =~ 'x' => parsing error: invalid condition, expected a regular expression at pos 30
        SELECT a = b FROM home => parsing error: invalid expression, a condition is not a value at pos 7
        SELECT a FROM home WHERE a = b = c => parsing error: invalid condition, a condition can't be compared at pos 31
        SELECT a FROM home WHERE s = 'open => parsing error: unterminated string literal at pos 29
        SELECT a FROM home WHERE s =~ /open => parsing error: unterminated regex literal at pos 30
        SELECT a FROM home LIMIT x => parsing error: invalid LIMIT clause, expected unsigned integer at pos 25
        SELECT a FROM home GROUP BY time(1m), time(2m) => parsing error: invalid GROUP BY clause, multiple TIME dimensions are not allowed at pos 28
        SELECT a FROM home ORDER BY host => parsing error: invalid ORDER BY clause, expected TIME column at pos 28
        SELECT a FROM home; SELECT => parsing error: invalid expression, expected a value at pos 26
        SELECT a FROM home SELECT b FROM home => parsing error: invalid InfluxQL statement, expected ';' or the end at pos 19
        SELECT a FROM 'home' => parsing error: invalid FROM clause, expected identifier or regular expression at pos 14
        SELECT limit FROM home => parsing error: invalid expression, expected a value at pos 7
        SELECT a # b FROM home => parsing error: unexpected character '#' at pos 9
        SELECT 99999999999999999999 FROM home => parsing error: unable to parse integer at pos 7
        SELECT a FROM home WHERE time > 99999999999w => parsing error: overflow in duration literal at pos 32
        DELETE => parsing error: invalid DELETE statement, expected FROM or WHERE at pos 6
        SHOW TAG VALUES => parsing error: invalid SHOW TAG VALUES statement, expected WITH KEY clause at pos 15
        CREATE RETENTION POLICY a ON b => parsing error: invalid statement, expected DURATION, REPLICATION or SHARD DURATION at pos 30
        GRANT READ TO x => parsing error: invalid privilege, expected ON and a database at pos 11
        GRANT ALL PRIVILEGES ON db FROM x => parsing error: invalid GRANT statement, expected TO at pos 27
        REVOKE SELECT ON db FROM x => parsing error: invalid privilege, expected READ, WRITE or ALL PRIVILEGES at pos 7
        CREATE USER x => parsing error: invalid CREATE USER statement, expected WITH PASSWORD at pos 13
        CREATE USER x WITH PASSWORD secret => parsing error: invalid password, expected a string at pos 28
        CREATE USER x WITH PASSWORD 'p' WITH ALL => parsing error: invalid CREATE USER statement, expected ALL PRIVILEGES at pos 40
        SET PASSWORD FOR x 'p' => parsing error: invalid SET PASSWORD statement, expected '=' at pos 19
        SELECT mean(a) FROM home GROUP BY time(0mo) => parsing error: invalid TIME call, expected a duration above zero at pos 39
        SELECT mean(a) FROM home GROUP BY time(1y2d) => parsing error: invalid TIME call, expected ')' at pos 41
        SELECT mean(a) FROM home GROUP BY time(1001y) => parsing error: overflow in duration literal at pos 39
        SELECT mean(a) FROM home GROUP BY time(1d, 1mo) => parsing error: months and years have no fixed length: mo and y are units of GROUP BY time(...) only at pos 43
        SELECT a FROM home WHERE time > now() - 1mo => parsing error: months and years have no fixed length: mo and y are units of GROUP BY time(...) only at pos 40
        CREATE RETENTION POLICY a ON b DURATION 1y => parsing error: invalid DURATION clause, expected a duration or INF at pos 40
        INSERT cpu,host=a usage=1 => parsing error: invalid InfluxQL statement: rows are written as line protocol, with POST /write?db=DATABASE or `neap write --database DATABASE 'LINES'` at pos 0
    ";
    assert_lines(texts, error);
}

#[test]
fn windows_may_be_months_and_years() {
    let texts = ["1mo", "3MO", "12mo", "1y", "2y18mo", "1000y"];
    let shown = texts.map(|every| {
        let text = format!("SELECT mean(x) FROM m GROUP BY time({every}, 1d)");
        parse(&text).map_or_else(
            |error| error.to_string(),
            |statements| {
                let canonical = statements[0].to_string();
                assert_eq!(parse(&canonical).unwrap(), statements, "{canonical}");
                canonical.replace("SELECT mean(x) FROM m GROUP BY ", "")
            },
        )
    });
    insta::assert_snapshot!(shown.join("\n"), @"
    TIME(1mo, 1d)
    parsing error: invalid TIME call, expected ')' at pos 37
    TIME(1y, 1d)
    TIME(1y, 1d)
    TIME(3y6mo, 1d)
    TIME(1000y, 1d)
    ");
}

#[test]
fn statements_about_users_are_written_without_their_passwords() {
    let texts = r#"
        CREATE USER "ann lee" WITH PASSWORD 'it\'s a secret' => CREATE USER "ann lee" WITH PASSWORD '[REDACTED]'
        create user bob with password 'secret' with all privileges => CREATE USER bob WITH PASSWORD '[REDACTED]' WITH ALL PRIVILEGES
        SET PASSWORD FOR bob = 'secret' => SET PASSWORD FOR bob = '[REDACTED]'
        DROP USER bob
        GRANT READ ON "my db" TO bob
        GRANT ALL ON db TO bob => GRANT ALL PRIVILEGES ON db TO bob
        GRANT ALL PRIVILEGES TO bob
        GRANT ALL TO bob => GRANT ALL PRIVILEGES TO bob
        REVOKE WRITE ON db FROM bob
        REVOKE ALL PRIVILEGES ON db FROM bob
        REVOKE ALL FROM bob => REVOKE ALL PRIVILEGES FROM bob
    "#;
    assert_lines(texts, |text| {
        let statement = one(text);
        assert!(!format!("{statement:?}").contains("secret"), "{text}");
        let written = statement.to_string();
        assert_eq!(one(&written).to_string(), written, "{text}");
        written
    });
    let text = r"CREATE USER ann WITH PASSWORD 'it\'s a secret'";
    let Statement::User(UserStatement::Create { password, .. }) = one(text) else {
        panic!("{text}");
    };
    assert_eq!(password.reveal(), "it's a secret");
}

#[test]
fn any_number_of_statements_is_parsed() {
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse(" ; -- nothing\n;").unwrap(), []);
    assert_eq!(parse("SHOW DATABASES;; SHOW MEASUREMENTS;").unwrap().len(), 2);
}

#[test]
fn nesting_depth_is_limited_and_long_lists_stay_flat() {
    let nested = |depth: usize| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        parse(&format!("SELECT {open}a{close} FROM m"))
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert!(nested(MAX_DEPTH + 1).is_err());
    assert!(parse(&format!("SELECT {} FROM m", "-".repeat(200).replace('-', "- "))).is_err());
    assert!(parse(&format!("SELECT a{} FROM m", "+a".repeat(300))).is_err());
    let subqueries = |depth: usize| {
        let (open, close) = ("(SELECT a FROM ".repeat(depth), ")".repeat(depth));
        parse(&format!("SELECT a FROM {open}m{close}"))
    };
    assert!(subqueries(MAX_DEPTH).is_ok());
    assert!(subqueries(MAX_DEPTH + 1).is_err());
    let any = vec!["host = 'a'"; 5_000].join(" OR ");
    let Statement::Select(select) = one(&format!("SELECT a FROM m WHERE {any}")) else {
        panic!("no SELECT");
    };
    assert!(matches!(select.condition, Some(Condition::Or(any)) if any.len() == 5_000));
}

#[test]
fn elements_of_a_statement_are_limited() {
    let cases: [(&str, &str, &str, &str, usize); 8] = [
        ("SELECT ", "a", ", ", " FROM m", 1_000),
        ("SELECT a FROM ", "m", ", ", "", 1_000),
        ("SHOW TAG KEYS FROM ", "m", ", ", "", 1_000),
        ("DELETE FROM ", "m", ", ", "", 1_000),
        ("SELECT a FROM m GROUP BY ", "t", ", ", "", 100),
        ("SELECT a FROM m WHERE ", "a = 1", " AND ", "", 501),
        ("SELECT a FROM m WHERE ", "t = 'a'", " OR ", "", 5_001),
        ("SELECT a FROM m WHERE ", "(a = 1 OR a = -a)", " AND ", "", 501),
    ];
    for (start, element, between, end, most) in cases {
        let text = |count| format!("{start}{}{end}", vec![element; count].join(between));
        assert!(parse(&text(most)).is_ok(), "{start}");
        let error = error(&text(most + 1));
        assert!(error.contains("in a statement at pos "), "{start}: {error}");
    }
    let subqueries = |each: &str, depth: usize| {
        let (open, close) =
            ("SELECT a FROM (".repeat(depth), format!(") WHERE {each}").repeat(depth));
        parse(&format!("{open}SELECT a FROM m{close}"))
    };
    let half = vec!["a = 1"; 251].join(" AND ");
    assert!(subqueries(&half, 2).is_ok());
    insta::assert_snapshot!(subqueries(&half, 3).unwrap_err().message, @"more than 500 AND operators in a statement");
    let all = vec!["a = 1"; 500].join(" AND ");
    let statement = format!("SELECT a FROM m WHERE {all}");
    assert!(parse(&format!("{statement}; {statement}")).is_ok());
}

#[test]
fn regular_expressions_are_accepted_only_after_match_operators() {
    let wrong = ["h = /a/", "h > /a/", "h != /a/", "/a/ = h", "/a/ =~ /b/", "h = (/a/)"];
    for condition in wrong {
        let error = error(&format!("SELECT a FROM m WHERE {condition}"));
        assert!(
            error.contains("a regular expression goes after =~ or !~"),
            "{condition}: {error}"
        );
    }
    one("SELECT a FROM m WHERE h !~ /a/ AND a / b / c = 1");
}

#[test]
fn conditions_are_flat() {
    let Statement::Select(select) =
        one("SELECT a FROM m WHERE (a = 1 AND (b = 2 AND c = 3)) AND (d = 4 OR (e = 5 OR f = 6))")
    else {
        panic!("no SELECT");
    };
    let Some(Condition::And(all)) = select.condition else {
        panic!("no AND");
    };
    assert_eq!(all.len(), 4);
    assert!(matches!(all.last(), Some(Condition::Or(any)) if any.len() == 3));
}

#[test]
fn slash_is_a_division_or_a_regular_expression_by_context() {
    let Statement::Select(select) = one(r"SELECT a / b / c, /a\/b\\/ FROM /x\d/ WHERE t =~ /-- '/")
    else {
        panic!("no SELECT");
    };
    assert!(matches!(select.fields[0].expr, Expr::Binary { .. }));
    assert_eq!(select.fields[1].expr, Expr::Regex(Regex(r"a/b\\".to_owned())));
    assert_eq!(
        select.from,
        [SelectSource::Measurement(Measurement {
            database: None,
            retention_policy: None,
            name: MeasurementName::Regex(Regex(r"x\d".to_owned())),
        })]
    );
}

#[test]
fn window_fill_and_order_clauses_are_parsed() {
    let Statement::Select(select) =
        one("SELECT mean(x) FROM m GROUP BY TIME(1h30m, now()), h FILL(3) ORDER BY time")
    else {
        panic!("no SELECT");
    };
    let every = WindowLength::Nanos(5_400_000_000_000);
    assert!(
        matches!(&select.group_by[0], Dimension::Time { every: found, offset: Some(Expr::Call(_)) } if *found == every)
    );
    assert_eq!(select.fill, Some(Fill::Value(Literal::Integer(3))));
    assert_eq!(select.order, Some(TimeOrder::Ascending));
}

#[test]
fn bind_replaces_placeholders() {
    let mut statement = one("SELECT a FROM (SELECT b FROM m WHERE h = $h) WHERE x > $x");
    let values = |name: &str| match name {
        "h" => Some(Literal::String("it's".to_owned())),
        "x" => Some(Literal::Integer(-1)),
        _ => None,
    };
    statement.bind(&values).unwrap();
    insta::assert_snapshot!(statement, @r#"SELECT a FROM (SELECT b FROM m WHERE h = 'it\'s') WHERE x > -1"#);
    let mut continuous = one(
        "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(a) INTO t FROM m WHERE x > $x GROUP BY time(1m) END",
    );
    continuous.bind(&values).unwrap();
    insta::assert_snapshot!(continuous, @"CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(a) INTO t FROM m WHERE x > -1 GROUP BY TIME(1m) END");
    let mut unknown = one("SHOW TAG VALUES WITH KEY = k WHERE h = $nope");
    insta::assert_snapshot!(unknown.bind(&values).unwrap_err(), @"Bind parameter 'nope' was referenced in the InfluxQL statement but its value is undefined");
}

#[test]
fn the_database_name_is_extracted_from_a_statement() {
    let lift = |text: &str| {
        let mut statement = one(text);
        let lifted = statement.extract_database();
        lifted.map(|named| (named, statement.to_string()))
    };
    let named = |database: Option<&str>, policy: Option<&str>| {
        Some(NamedDatabase {
            database: database.map(str::to_owned),
            retention_policy: policy.map(str::to_owned),
        })
    };
    let select = "SELECT a FROM m".to_owned();
    assert_eq!(lift("SELECT a FROM m"), Ok((None, select.clone())));
    assert_eq!(lift("SELECT a FROM d.r.m"), Ok((named(Some("d"), Some("r")), select.clone())));
    assert_eq!(lift("SELECT a FROM d..m"), Ok((named(Some("d"), None), select.clone())));
    assert_eq!(lift("SELECT a FROM r.m"), Ok((named(None, Some("r")), select)));
    assert_eq!(
        lift("SHOW TAG KEYS ON d FROM d.r.m"),
        Ok((named(Some("d"), Some("r")), "SHOW TAG KEYS FROM m".to_owned()))
    );
    assert!(lift("SELECT a FROM d..m, (SELECT b FROM e..n)").is_err());
    // As in InfluxDB 3, a source without a name is in another database than one with a name.
    assert!(lift("SELECT a FROM m, d..n").is_err());
    assert!(lift("SELECT a FROM d..m, d.r.n").is_err());
}

#[test]
fn the_sources_of_a_query_include_those_of_its_subqueries() {
    let sources = |text: &str| {
        let mut statement = one(text);
        let sources = statement.query_sources().into_iter();
        let named = sources.map(|source| source.take_database().database);
        named.collect::<Vec<_>>()
    };
    let names = |names: [&str; 3]| names.map(|name| Some(name.to_owned())).to_vec();
    for before in ["", "EXPLAIN "] {
        let query = "SELECT a FROM d..m, (SELECT a FROM e..m, (SELECT a FROM f../m/))";
        assert_eq!(sources(&format!("{before}{query}")), names(["d", "e", "f"]));
    }
    assert_eq!(sources("SELECT a INTO x..y FROM d..m, e..m, f..m"), names(["d", "e", "f"]));
    assert_eq!(sources("SHOW TAG KEYS ON d FROM d..m"), []);
}

#[test]
fn every_tag_key_match_operator_is_parsed() {
    let keys = |text: &str| match one(text) {
        Statement::ShowTagValues(values) => values.keys,
        other => panic!("{other}"),
    };
    let name = || "k".to_owned();
    assert_eq!(keys("SHOW TAG VALUES WITH KEY = k"), NameMatch::Equal(name()));
    assert_eq!(keys("SHOW TAG VALUES WITH KEY <> k"), NameMatch::NotEqual(name()));
    assert_eq!(keys("SHOW TAG VALUES WITH KEY IN (k)"), NameMatch::In(vec![name()]));
    assert_eq!(keys("SHOW TAG VALUES WITH KEY =~ /k/"), NameMatch::Matches(Regex(name())));
}

#[test]
fn statements_about_the_server_are_parsed() {
    let texts = r#"
        show stats => SHOW STATS
        SHOW STATS FOR 'query\'s'
        SHOW DIAGNOSTICS FOR 'build'
        SHOW SHARDS
        SHOW SHARD GROUPS
        SHOW SUBSCRIPTIONS
        SHOW USERS
        SHOW GRANTS FOR "a b"
        SHOW QUERIES
        KILL QUERY 36
        kill query 36 on "a.b" => KILL QUERY 36 ON "a.b"
    "#;
    assert_lines(texts, canonical);
    let wrong = "
        SHOW SHARD => parsing error: invalid SHOW SHARD statement, expected GROUPS at pos 10
        SHOW GRANTS => parsing error: invalid SHOW GRANTS statement, expected FOR at pos 11
        SHOW STATS FOR x => parsing error: invalid FOR clause, expected a string at pos 15
        KILL => parsing error: invalid KILL statement, expected QUERY at pos 4
        KILL QUERY x => parsing error: invalid KILL QUERY statement, expected unsigned integer at pos 11
    ";
    assert_lines(wrong, error);
}
