//! InfluxQL.

use neap_influxql::{Literal, parse};

/// A statement that is written as text is parsed as the same statement, and its placeholders can be bound.
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
        assert_eq!(again, [statement.clone()], "{written:?}");
        let bound = statement.bind(&|name| Some(Literal::String(name.to_owned())));
        bound.expect("each placeholder has a value");
        statement.extract_database().ok();
    }
}
