//! InfluxQL.

use neap_influxql::{Literal, Statement, parse};

/// A statement that is written as text is parsed as the same statement, except that the text has no passwords, and its
/// placeholders can be bound.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(statements) = parse(text) else {
        return;
    };
    for mut statement in statements {
        let written = statement.to_string();
        let again = parse(&written).unwrap_or_else(|error| panic!("{written:?}: {error}"));
        match (&statement, again.as_slice()) {
            (Statement::User(_), [again]) => assert_eq!(again.to_string(), written),
            (_, again) => assert_eq!(again, [statement.clone()], "{written:?}"),
        }
        let bound = statement.bind(&|name| Some(Literal::String(name.to_owned())));
        bound.expect("each placeholder has a value");
        statement.extract_database().ok();
    }
}
