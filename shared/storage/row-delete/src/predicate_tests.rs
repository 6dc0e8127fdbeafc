//! Texts of predicates, with their meanings or errors.

use proptest::prelude::*;

use super::*;

fn tables(text: &str) -> String {
    match Predicate::parse(text).unwrap().tables() {
        PredicateTables::All => "all".to_owned(),
        PredicateTables::Named(names) => Vec::from_iter(names).join(","),
    }
}

#[test]
fn predicates_name_tables_and_rows() {
    let host = r#""host" = 'a'"#;
    for (text, named, of_cpu) in [
        ("", "all", "true"),
        (" \n", "all", "true"),
        (r#"_measurement="cpu""#, "cpu", "true"),
        (r#"_measurement="mem""#, "mem", "false"),
        (r#""_measurement"='cpu' and host=a"#, "cpu", host),
        (r#"host="a""#, "all", host),
        ("(host='a')", "all", host),
        (r#""host"="a""#, "all", host),
        (r#"host="""#, "all", r#""host" IS NULL"#),
        (r#"host="\"\\\n\'""#, "all", "\"host\" = '\"\\\n'''"),
        (
            "host=server-1.example:80/x and n=5 AND b=true",
            "all",
            r#""host" = 'server-1.example:80/x' AND "n" = '5' AND "b" = 'true'"#,
        ),
        (r#""and"="or" AnD "not"='and'"#, "all", r#""and" = 'or' AND "not" = 'and'"#),
        ("a=1 OR b=2 AND c=3", "all", r#""a" = '1' OR "b" = '2' AND "c" = '3'"#),
        ("(a=1 OR b=2) AND c=3", "all", r#"("a" = '1' OR "b" = '2') AND "c" = '3'"#),
        ("_measurement=cpu AND (a=1 OR b=2)", "cpu", r#""a" = '1' OR "b" = '2'"#),
        ("_measurement=cpu OR _measurement=mem", "cpu,mem", "true"),
        ("_measurement=cpu AND _measurement=mem", "", "false"),
        (
            "(_measurement=cpu AND host=a) OR (_measurement=mem AND zone=b)",
            "cpu,mem",
            host,
        ),
        ("_measurement=mem OR host=a", "all", host),
        ("größe='ü'", "all", r#""größe" = 'ü'"#),
    ] {
        assert_eq!(tables(text), named, "{text}");
        let condition = Predicate::parse(text).unwrap().condition(&|name| name == "cpu");
        assert_eq!(condition.to_string(), of_cpu, "{text}");
        assert_eq!(condition.check_limits(), Ok(()));
    }
}

#[test]
fn errors_have_a_message_and_a_position() {
    let many = vec!["a=b"; MAX_TERMS + 1].join(" OR ");
    let deep = format!("{}a=b{}", "(".repeat(15), ")".repeat(15));
    for (text, position, message) in [
        ("host", 5, "expected ="),
        ("host=", 6, "expected a value"),
        ("=a", 1, "expected the name of a tag, found ="),
        ("host a", 6, "expected =, found a"),
        ("host=a b", 8, "expected AND, OR or the end, found b"),
        ("host=a AND", 11, "expected the name of a tag"),
        ("host=a AND OR b=c", 12, "expected the name of a tag, found OR"),
        ("host=and", 6, "expected a value, found and"),
        ("(host=a", 8, "expected )"),
        ("host=a)", 7, "expected AND, OR or the end, found )"),
        ("()", 2, "expected the name of a tag, found )"),
        ("host='a", 6, "the quote ' is not closed"),
        ("host='a\\", 6, "the quote ' is not closed"),
        (r#"ü="\x""#, 4, "unknown escape \\x"),
        ("host!=a", 5, "the operator != is not supported, only = is"),
        ("host=~/a/", 5, "the operator =~ is not supported, only = is"),
        ("host<>a", 5, "the operator <> is not supported, only = is"),
        ("host==a", 5, "the operator == is not supported, only = is"),
        ("NOT host=a", 1, "NOT is not supported; quote it if it is the name of a tag"),
        (
            "a=b AND _field=usage",
            9,
            "_field can't be in a delete predicate: a delete removes whole points",
        ),
        (
            "_time=5",
            1,
            "_time can't be in a delete predicate: the range of times is given by start and stop",
        ),
        (
            "\"time\"=5",
            1,
            "time can't be in a delete predicate: the range of times is given by start and stop",
        ),
        (&many, 701, "more than 100 terms"),
        (&deep, 15, "parentheses are nested too deeply"),
    ] {
        let expected = PredicateError::syntax(position, message);
        assert_eq!(Predicate::parse(text), Err(expected), "{text}");
    }
    let error = Predicate::parse("host").unwrap_err();
    assert_eq!(error.to_string(), "delete predicate, character 5: expected =");
    let long = format!("a='{}'", "x".repeat(MAX_TEXT_BYTES));
    let bytes = long.len();
    assert_eq!(Predicate::parse(&long), Err(PredicateError::TooLong { bytes }));
}

#[test]
fn the_deepest_predicate_is_within_the_limits_together_with_a_range_of_times() {
    let inner =
        (0..MAX_PARENTHESES).fold("a=b".to_owned(), |inner, _| format!("a=b OR c=d AND ({inner})"));
    let time = Condition::Time { min: 0, max: 1 };
    let condition = Predicate::parse(&inner).unwrap().condition(&|_| false).and(time);
    assert_eq!(condition.check_limits(), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn the_parser_never_panics(
        text in r#"(\(|\)|=|'|"| |\\|and|OR|a|ü|!|_measurement){0,40}"#,
    ) {
        if let Ok(predicate) = Predicate::parse(&text) {
            prop_assert_eq!(predicate.condition(&|name| name == "a").check_limits(), Ok(()));
        }
    }

    #[test]
    fn a_predicate_never_matches_rows_of_other_tables(
        text in "(_measurement=[a-c]|t=[a-c])( (AND|OR) (_measurement=[a-c]|t=[a-c])){0,5}",
    ) {
        let predicate = Predicate::parse(&text).unwrap();
        if let PredicateTables::Named(names) = predicate.tables() {
            for table in ["a", "b", "c", "d"] {
                let condition = predicate.condition(&|name| name == table);
                prop_assert!(names.contains(table) || condition == Condition::NOTHING);
            }
        }
    }
}
