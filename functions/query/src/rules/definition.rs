//! Creates, deletes and lists rules.

use std::{sync::Arc, time::Duration};

use datafusion::sql::{
    parser::Statement,
    sqlparser::{
        ast::{SetExpr, Statement as SqlStatement},
        tokenizer::Token,
    },
};
use neap_bucket::RegisterError;
use neap_catalog::{
    DatabaseAction, DatabaseCatalog, INTERNAL_DATABASE_ID, Rule, RuleAction, RuleChange, RuleGroup,
    RuleLanguage,
};
use neap_http::{ApiError, Caller, Kind};
use neap_promql::ValueType;
use neap_rules::{RuleProgress, rule_progress};
use neap_schema::validate_table_name;

use crate::{
    ClientQueryError, QueryEngine, QueryError,
    dialect::{parse_statement, tokenize},
    influxql::check_rule,
    statement::check_length,
    statement_size::added_in_dialect,
};

/// The rules of a database.
#[derive(Clone, Debug)]
pub struct RuleList {
    /// The catalog of the database.
    pub catalog: Arc<DatabaseCatalog>,
    /// The progress of its rules, if it was read.
    pub progress: Arc<RuleProgress>,
}

fn invalid(text: String) -> ApiError {
    ApiError::text(Kind::Invalid, text)
}

impl QueryEngine {
    /// Changes the rules of a namespace, for a caller who may read and write the database.
    ///
    /// # Errors
    /// `Forbidden`, even if the database does not exist; an expression is malformed; or the error of the catalog.
    pub async fn change_rules(
        &self,
        caller: &Caller,
        database: &str,
        namespace: &str,
        change: RuleChange,
    ) -> Result<(), ClientQueryError> {
        if !self.keeps_views() {
            let text = "this server does not evaluate rules";
            return Err(ApiError::text(Kind::NotAllowed, text).into());
        }
        let id = self.resolve_for_read(caller, database).await?;
        caller.require(DatabaseAction::Write, Some(id))?;
        if id == INTERNAL_DATABASE_ID {
            return Err(invalid("the internal database has no rules".to_owned()).into());
        }
        let new: Vec<Arc<RuleGroup>> = match &change {
            RuleChange::Replace(groups) => groups.values().cloned().collect(),
            RuleChange::PutGroup(_, group) => vec![Arc::clone(group)],
            RuleChange::DeleteGroup(_) => Vec::new(),
        };
        let name = database.to_owned();
        // Patterns in expressions may take a considerable time to compile.
        let checked = self
            .executor()
            .run(async move { new.iter().try_for_each(|group| check_group(&name, group)) });
        checked.await?;
        let changed = self.catalog().change_rules(id, namespace, change);
        Ok(changed.await.map_err(ApiError::from)?)
    }

    /// Returns the rules of a database and their progress, for a caller who may read it.
    ///
    /// # Errors
    /// `Forbidden`, even if the database does not exist, or the catalog or the progress can't be read.
    pub async fn list_rules(
        &self,
        caller: &Caller,
        database: &str,
    ) -> Result<RuleList, ClientQueryError> {
        let id = self.resolve_for_read(caller, database).await?;
        let read_catalog = self.catalog().database(id, Duration::ZERO).await;
        let catalog = read_catalog.map_err(QueryError::from)?.value;
        let progress = if catalog.rules().is_empty() {
            Arc::default()
        } else {
            let read = rule_progress(self.bucket(), id).read(None).await;
            let unavailable =
                |error: RegisterError| ApiError::text(Kind::Unavailable, error.to_string());
            read.map_err(unavailable)?.value
        };
        Ok(RuleList { catalog, progress })
    }
}

/// Checks that a text is a query that is planned without values of placeholders, and no other statement.
fn check_sql(text: &str) -> Result<(), String> {
    let (dialect, tokens) = tokenize(text).map_err(|error| error.to_string())?;
    let placeholder = tokens.iter().find_map(|token| match token {
        Token::Placeholder(name) => Some(name),
        _ => None,
    });
    if let Some(name) = placeholder {
        return Err(format!("a rule has no value for the placeholder {name}"));
    }
    check_length(&tokens).map_err(|error| error.strip_backtrace())?;
    let statement = parse_statement(text, dialect).map_err(|error| error.to_string())?;
    added_in_dialect(text, dialect).map_err(|error| error.strip_backtrace())?;
    if let Statement::Statement(inner) = &statement
        && let SqlStatement::Query(query) = inner.as_ref()
        && returns_rows(&query.body)
    {
        return Ok(());
    }
    Err("the expression of a rule is a query".to_owned())
}

/// Whether a query has rows, and stores none.
fn returns_rows(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => returns_rows(&query.body),
        SetExpr::SetOperation { .. } | SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

/// Checks that a text is an expression with a number or with numbers of series.
fn check_promql(text: &str) -> Result<(), String> {
    let expr = neap_promql::parse(text).map_err(|error| error.to_string())?;
    match expr.value_type() {
        ValueType::Scalar | ValueType::Vector => Ok(()),
        ValueType::Matrix | ValueType::String => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

fn check_group(database: &str, group: &RuleGroup) -> Result<(), ApiError> {
    group.rules.iter().try_for_each(|rule| check_rule_of(database, rule))
}

/// Checks the syntax of an expression, and the name of a metric. Tables need not exist yet.
fn check_rule_of(database: &str, rule: &Rule) -> Result<(), ApiError> {
    let text = rule.expression.as_str();
    let checked = match rule.language {
        RuleLanguage::PromQl => check_promql(text),
        RuleLanguage::Sql => check_sql(text),
        RuleLanguage::InfluxQl => check_rule(database, text).map_err(|error| error.to_string()),
    };
    checked.map_err(|error| {
        invalid(format!("rule {:?}: could not parse expression: {error}", rule.name()))
    })?;
    if let RuleAction::Record { metric } = &rule.action {
        let named = validate_table_name(metric);
        named.map_err(|error| invalid(format!("invalid recording rule name: {error}")))?;
    }
    Ok(())
}
