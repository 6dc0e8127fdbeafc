//! From the text of a request to statements, each with the database that it is about.

use datafusion::common::ScalarValue;
use neap_influxql::{Literal, Statement, parse};

use super::error::InfluxqlError;
use crate::Parameters;

/// The retention policy that is the database itself.
pub(super) const AUTOGEN: &str = "autogen";

/// The most statements of a request: each of them may ask the store.
const MAX_STATEMENTS: usize = 100;

/// A statement with values in place of its placeholders.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// The statement, which names no database that it is about.
    pub(super) statement: Statement,
    /// The statement as written.
    pub(super) text: String,
    /// The name of the database that it is about, if it is known.
    pub(super) database: Option<String>,
}

/// The database that a request names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named<'a> {
    pub(super) database: Option<&'a str>,
    pub(super) retention_policy: Option<&'a str>,
    /// Whether the statement may name another one, which wins.
    pub(super) is_default: bool,
}

/// The statements of a text.
///
/// # Errors
/// The text is not InfluxQL, a placeholder has no value, or it is unclear what a statement is about.
pub(super) fn prepared(
    text: &str,
    parameters: &Parameters,
    named: Named<'_>,
) -> Result<Vec<Prepared>, InfluxqlError> {
    let mut statements = parse(text)?;
    if statements.len() > MAX_STATEMENTS {
        let text = format!("more than {MAX_STATEMENTS} statements in one request");
        return Err(InfluxqlError::Invalid(text));
    }
    let is_only = statements.len() == 1;
    let shown = |statement: &Statement| match is_only {
        true => text.trim().to_owned(),
        false => statement.to_string(),
    };
    let prepare = |mut statement: Statement| {
        let text = shown(&statement);
        statement.bind(&|name| literal(parameters.0.get(name)?))?;
        let database = database(&mut statement, named)?;
        Ok(Prepared {
            statement,
            text,
            database,
        })
    };
    statements.drain(..).map(prepare).collect()
}

/// The constant for the value of a placeholder; there is none for null.
fn literal(value: &ScalarValue) -> Option<Literal> {
    match value {
        ScalarValue::Boolean(Some(value)) => Some(Literal::Boolean(*value)),
        ScalarValue::Int64(Some(value)) => Some(Literal::Integer(*value)),
        ScalarValue::UInt64(Some(value)) => Some(Literal::Unsigned(*value)),
        ScalarValue::Float64(Some(value)) if value.is_finite() => Some(Literal::Float(*value)),
        ScalarValue::Utf8(Some(value)) => Some(Literal::String(value.clone())),
        _ => None,
    }
}

fn database(statement: &mut Statement, named: Named<'_>) -> Result<Option<String>, InfluxqlError> {
    let of_request = named
        .database
        .map(|database| stored_name(database, named.retention_policy));
    let Some(lifted) = statement.lift_database()? else {
        return Ok(of_request);
    };
    let database = lifted.database.as_deref().or(named.database);
    let Some(database) = database else {
        return Ok(None);
    };
    let in_statement = stored_name(database, lifted.retention_policy.as_deref());
    match of_request {
        Some(parameter) if !named.is_default && parameter != in_statement => {
            Err(InfluxqlError::Mismatch {
                parameter,
                statement: in_statement,
            })
        }
        _ => Ok(Some(in_statement)),
    }
}

/// The name under which the rows of a retention policy are stored, as InfluxDB 3 does it: `db/rp`, and `db` for
/// the one that every database has.
pub(super) fn stored_name(database: &str, retention_policy: Option<&str>) -> String {
    let policy = retention_policy.unwrap_or_default().to_lowercase();
    match policy.as_str() {
        "" | "''" | AUTOGEN | "default" => database.to_owned(),
        policy => format!("{database}/{policy}"),
    }
}
