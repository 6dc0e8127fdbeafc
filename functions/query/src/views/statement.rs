//! Parses `CREATE MATERIALIZED VIEW` and `DROP MATERIALIZED VIEW`.

use datafusion::{
    common::{Result, plan_err},
    error::DataFusionError,
    sql::sqlparser::{
        ast::{CreateTableOptions, Ident, ObjectName, ObjectType, Statement},
        dialect::GenericDialect,
        parser::Parser,
    },
};

/// A statement that changes materialized views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ViewStatement {
    /// `CREATE MATERIALIZED VIEW name AS query`
    Create {
        name: String,
        /// The query, as SQL.
        query: String,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
    },
    /// `DROP MATERIALIZED VIEW name`
    Drop {
        name: String,
        /// `IF EXISTS`
        if_exists: bool,
    },
}

/// Parses a statement that changes materialized views; `None` if it begins like another one.
pub(crate) fn parse_view_statement(sql: &str) -> Option<Result<ViewStatement>> {
    let mut words = sql.split_ascii_whitespace();
    let first = words.next()?.to_ascii_uppercase();
    let second = words.next()?;
    let is_of_view =
        matches!(first.as_str(), "CREATE" | "DROP") && second.eq_ignore_ascii_case("MATERIALIZED");
    is_of_view.then(|| parse(sql))
}

fn parse(sql: &str) -> Result<ViewStatement> {
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql)
        .map_err(|error| DataFusionError::SQL(Box::new(error), None))?;
    let statement = statements.pop();
    if !statements.is_empty() {
        return plan_err!("a materialized view is created or dropped in a request of its own");
    }
    match statement {
        Some(Statement::CreateView(view)) => {
            let has_options = view.or_alter
                || view.or_replace
                || view.temporary
                || view.secure
                || view.to.is_some()
                || view.comment.is_some()
                || view.params.is_some()
                || view.with_no_schema_binding
                || view.copy_grants
                || !view.columns.is_empty()
                || !view.cluster_by.is_empty()
                || view.options != CreateTableOptions::None;
            if !view.materialized || has_options {
                return plan_err!(
                    "a materialized view is created with CREATE MATERIALIZED VIEW [IF NOT EXISTS] name AS SELECT ..."
                );
            }
            Ok(ViewStatement::Create {
                name: view_name(&view.name)?,
                query: view.query.to_string(),
                if_not_exists: view.if_not_exists,
            })
        }
        Some(Statement::Drop {
            object_type: ObjectType::MaterializedView,
            if_exists,
            names,
            cascade: false,
            ..
        }) => match names.as_slice() {
            [name] => Ok(ViewStatement::Drop { name: view_name(name)?, if_exists }),
            _ => plan_err!("DROP MATERIALIZED VIEW drops one view"),
        },
        _ => {
            plan_err!("a materialized view is dropped with DROP MATERIALIZED VIEW [IF EXISTS] name")
        }
    }
}

/// Returns the name of a view. As for tables, a name without quotes is in lower case.
fn view_name(name: &ObjectName) -> Result<String> {
    let parts: Vec<Option<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    match parts.as_slice() {
        [Some(name)] => Ok(match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_ascii_lowercase(),
        }),
        _ => plan_err!("the name of a materialized view has one part: '{name}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Option<ViewStatement> {
        parse_view_statement(sql).and_then(Result::ok)
    }

    #[test]
    fn statements_about_views_are_recognized() {
        let sql = "create  materialized view IF NOT EXISTS Hourly AS SELECT 1";
        let Some(ViewStatement::Create { name, query, if_not_exists }) = parsed(sql) else {
            panic!("{sql}");
        };
        assert_eq!((name.as_str(), query.as_str()), ("hourly", "SELECT 1"));
        assert!(if_not_exists);
        let drop = ViewStatement::Drop { name: "Hourly".to_owned(), if_exists: false };
        assert_eq!(parsed("DROP MATERIALIZED VIEW \"Hourly\";"), Some(drop));
        assert_eq!(parsed("SELECT 1"), None);
        assert!(parse_view_statement("DROP TABLE t").is_none());
    }

    #[test]
    fn options_are_refused() {
        for sql in [
            "CREATE MATERIALIZED VIEW a (b) AS SELECT 1",
            "CREATE MATERIALIZED VIEW a.b AS SELECT 1",
            "DROP MATERIALIZED VIEW a, b",
            "DROP MATERIALIZED VIEW a; DROP MATERIALIZED VIEW b",
            "CREATE MATERIALIZED VIEW a",
        ] {
            assert!(matches!(parse_view_statement(sql), Some(Err(_))), "{sql}");
        }
    }
}
