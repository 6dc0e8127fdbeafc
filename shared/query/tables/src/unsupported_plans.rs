//! Explains in words of SQL what has no operators. The errors of DataFusion print the expressions of its plans.

use datafusion::common::{DataFusionError, plan_datafusion_err};

/// The start of an error about an expression, which follows as debug output.
const EXPRESSION: &str = "Physical plan does not support logical expression ";

/// The starts of errors about a plan.
const SUBQUERY: &str = "Physical plan does not support undecorrelated Subquery";
const LIMITS: [&str; 2] = ["Unsupported LIMIT expression", "Unsupported OFFSET expression"];

const OUTER_COLUMNS: &str = "this subquery with columns of the outer query is not supported: if it aggregates or limits its rows, it may \
                             compare them with outer columns only by =. Write it as a join with GROUP BY";

const CONDITIONS: &str = "EXISTS, IN, ANY or ALL with a subquery is not supported here: write it as a condition of WHERE, or as a join";

/// Returns the error of a statement for one of a plan. Other errors remain as they are.
pub(crate) fn explained(error: DataFusionError) -> DataFusionError {
    match reason(&error) {
        Some(reason) => plan_datafusion_err!("{reason}"),
        None => error,
    }
}

fn reason(error: &DataFusionError) -> Option<String> {
    let DataFusionError::NotImplemented(text) = error.find_root() else {
        return None;
    };
    if text.starts_with(SUBQUERY) {
        return Some(OUTER_COLUMNS.to_owned());
    }
    if LIMITS.iter().any(|limit| text.starts_with(limit)) {
        return Some("LIMIT or OFFSET without a constant number is not supported".to_owned());
    }
    let expression = text.strip_prefix(EXPRESSION)?;
    let name = expression.split(|next: char| !next.is_ascii_alphanumeric()).next()?;
    Some(match name {
        "OuterReferenceColumn" | "ScalarSubquery" => OUTER_COLUMNS.to_owned(),
        "Exists" | "InSubquery" | "SetComparison" => CONDITIONS.to_owned(),
        other => format!("the expression {other} is not supported here"),
    })
}

#[cfg(test)]
mod tests {
    use datafusion::common::not_impl_datafusion_err;

    use super::*;

    #[test]
    fn what_has_no_operators_is_explained_in_words_of_sql() {
        let pairs = r#"
            Physical plan does not support logical expression OuterReferenceColumn(Field { name: "id" }) ==> this subquery with columns
            Physical plan does not support undecorrelated Subquery ==> this subquery with columns
            Physical plan does not support logical expression Exists(Exists { subquery: <subquery> }) ==> EXISTS, IN, ANY or ALL
            Physical plan does not support logical expression Wildcard { qualifier: None } ==> the expression Wildcard is not
            Unsupported LIMIT expression: Some(Column(Column { name: "n" })) ==> LIMIT or OFFSET without
        "#;
        for (text, start) in neap_test_inputs::text_pairs(pairs) {
            let error = not_impl_datafusion_err!("{text}").context("planning");
            let explained = explained(error);
            let DataFusionError::Plan(reason) = &explained else {
                panic!("{explained}");
            };
            assert!(reason.starts_with(start), "{reason}");
            assert!(reason.contains(" is not supported"), "{reason}");
            assert!(!reason.contains('{'), "{reason}");
        }
        for other in [
            not_impl_datafusion_err!("Unsupported CAST from Utf8 to Binary"),
            plan_datafusion_err!("no function"),
        ] {
            let text = other.to_string();
            assert_eq!(explained(other).to_string(), text);
        }
    }
}
