//! Parses the text of a request into statements, each with its database.

use datafusion::common::ScalarValue;
use neap_catalog::{RootCatalog, policy_database};
use neap_influxql::{Literal, Measurement, Statement, parse};

use super::error::InfluxqlError;
use crate::Parameters;

/// The maximum number of statements in a request. It is limited because each statement may read the store.
const MAX_STATEMENTS: usize = 100;

/// A statement whose placeholders are replaced by values.
#[derive(Clone, Debug)]
pub(super) struct PreparedStatement {
    /// The statement without the name of its database. The sources of a query of several databases have the names of
    /// [`Self::databases`].
    pub(super) statement: Statement,
    /// The statement as written; without the password, if it has one.
    pub(super) text: String,
    /// The names of the databases of its sources; empty if one is unknown.
    pub(super) databases: Vec<String>,
    /// The database that the request names in its parameters, which the target of `INTO` is in.
    pub(super) requested: Option<RequestedName>,
}

/// The names of a database and a retention policy in the parameters of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestedName {
    pub(super) database: String,
    pub(super) retention_policy: Option<String>,
}

/// The database that a request names in its parameters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestedDatabase<'a> {
    pub(super) database: Option<&'a str>,
    pub(super) retention_policy: Option<&'a str>,
    /// Whether a statement may name other databases, which take precedence, as in InfluxDB 1.
    pub(super) is_default: bool,
    /// The catalog with the default retention policies, which names of databases without a policy stand for. `None`: they
    /// stand for the databases themselves, as in InfluxDB 3.
    pub(super) root: Option<&'a RootCatalog>,
}

impl RequestedDatabase<'_> {
    /// Returns the name of the database that stores a retention policy.
    fn stored_name(&self, database: &str, policy: Option<&str>) -> String {
        match self.root {
            Some(root) => root.policy_database(database, policy),
            None => policy_database(database, policy),
        }
    }
}

/// Parses a text into statements.
/// Fails if the text is not InfluxQL, a placeholder has no value, or the database of a statement is ambiguous.
pub(super) fn prepare_statements(
    text: &str,
    parameters: &Parameters,
    named: RequestedDatabase<'_>,
) -> Result<Vec<PreparedStatement>, InfluxqlError> {
    let mut statements = parse(text)?;
    if statements.len() > MAX_STATEMENTS {
        let text = format!("more than {MAX_STATEMENTS} statements in one request");
        return Err(InfluxqlError::Invalid(text));
    }
    let is_only = statements.len() == 1;
    let shown = |statement: &Statement| {
        if is_only && !matches!(statement, Statement::User(_)) {
            text.trim().to_owned()
        } else {
            statement.to_string()
        }
    };
    let requested = named.database.map(|database| RequestedName {
        database: database.to_owned(),
        retention_policy: named.retention_policy.map(str::to_owned),
    });
    let prepare = |mut statement: Statement| {
        let text = shown(&statement);
        statement.bind(&|name| literal(parameters.0.get(name)?))?;
        let databases = databases(&mut statement, named)?;
        Ok(PreparedStatement { statement, text, databases, requested: requested.clone() })
    };
    statements.drain(..).map(prepare).collect()
}

/// Returns the literal for the value of a placeholder. Null has none.
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

/// Returns the names of the databases that a statement reads.
fn databases(
    statement: &mut Statement,
    named: RequestedDatabase<'_>,
) -> Result<Vec<String>, InfluxqlError> {
    if let Statement::ShowRetentionPolicies { .. } = statement {
        let itself = RequestedDatabase { root: None, ..named };
        return Ok(database(statement, itself)?.into_iter().collect());
    }
    if named.is_default {
        let sources = statement.query_sources();
        if !sources.is_empty() {
            return Ok(source_databases(sources, named).unwrap_or_default());
        }
    }
    Ok(database(statement, named)?.into_iter().collect())
}

/// Returns the names of the databases of sources, without repetitions, in the order of the sources; `None` if a source has
/// none. As in InfluxDB 1, each source without a name is in the database of the request. If there are several databases,
/// each source gets the name of its own.
fn source_databases(
    sources: Vec<&mut Measurement>,
    named: RequestedDatabase<'_>,
) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut numbered = Vec::with_capacity(sources.len());
    for source in sources {
        let own = source.take_database();
        let policy = match (&own.database, own.retention_policy) {
            (None, None) => named.retention_policy.map(str::to_owned),
            (_, policy) => policy,
        };
        let database = own.database.as_deref().or(named.database)?;
        let name = named.stored_name(database, policy.as_deref());
        let known = names.iter().position(|known| *known == name);
        let number = known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        numbered.push((source, number));
    }
    if names.len() > 1 {
        for (source, number) in numbered {
            source.database = names.get(number).cloned();
        }
    }
    Some(names)
}

/// Returns the name of the only database of a statement, if known.
fn database(
    statement: &mut Statement,
    named: RequestedDatabase<'_>,
) -> Result<Option<String>, InfluxqlError> {
    let of_request = named
        .database
        .map(|database| named.stored_name(database, named.retention_policy));
    let Some(lifted) = statement.extract_database()? else {
        return Ok(of_request);
    };
    // As in InfluxDB 3, a retention policy without a database is ignored.
    if !named.is_default && lifted.database.is_none() {
        return Ok(of_request);
    }
    let database = lifted.database.as_deref().or(named.database);
    let Some(database) = database else {
        return Ok(None);
    };
    let in_statement = named.stored_name(database, lifted.retention_policy.as_deref());
    match of_request {
        Some(parameter) if !named.is_default && parameter != in_statement => {
            Err(InfluxqlError::DatabaseMismatch { parameter, statement: in_statement })
        }
        _ => Ok(Some(in_statement)),
    }
}
