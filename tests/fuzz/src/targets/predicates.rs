//! The predicates of deletes.

use neap_row_delete::{Condition, Predicate};

/// A predicate has a condition for each table, which is within the limits of conditions.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(predicate) = Predicate::parse(text) else {
        return;
    };
    predicate.tables();
    let condition = predicate.condition(&|name| name == "m");
    let json = serde_json::to_string(&condition).expect("conditions are JSON");
    let again: Condition = serde_json::from_str(&json).expect("a stored condition can be read");
    assert_eq!(again, condition);
}
