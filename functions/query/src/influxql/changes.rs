//! Executes statements that change databases, retention policies, tables or rows.
//!
//! A retention policy other than `autogen` is a database named `db/rp`. Writes with `rp` go there, and those without go to the
//! default policy.

use std::{sync::Arc, time::Duration};

use neap_bucket::Stamp;
use neap_catalog::{AUTOGEN, CatalogError, DatabaseAction, INTERNAL_DATABASE, policy_database};
use neap_http::Caller;
use neap_influxql::{
    ContinuousQueryStatement, DeleteClauses, MeasurementName, PolicyOptions, RetentionDuration,
    RetentionPolicy, ServerStatement, Statement,
};
use neap_influxql_planner::compile_pattern;
use neap_schema::DatabaseId;

use super::{error::InfluxqlError, planners::DeletePlanner, request_catalogs::RequestCatalogs};
use crate::{QueryEngine, QueryError, QueryRequest};

/// The name of `SELECT ... INTO`.
pub(super) const SELECT_INTO: &str = "SELECT INTO";

/// Returns the name of a statement that changes something, or `None` for statements that only read.
pub(super) fn name(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::CreateDatabase { .. } => "CREATE DATABASE",
        Statement::DropDatabase(_) => "DROP DATABASE",
        Statement::DropMeasurement(_) => "DROP MEASUREMENT",
        Statement::DropSeries(_) => "DROP SERIES",
        Statement::Delete(_) => "DELETE",
        Statement::CreateRetentionPolicy(_) => "CREATE RETENTION POLICY",
        Statement::AlterRetentionPolicy(_) => "ALTER RETENTION POLICY",
        Statement::DropRetentionPolicy { .. } => "DROP RETENTION POLICY",
        Statement::SelectInto(_) => SELECT_INTO,
        Statement::Server(statement @ ServerStatement::KillQuery { .. }) => statement.name(),
        Statement::ContinuousQuery(ContinuousQueryStatement::Show) => return None,
        Statement::ContinuousQuery(statement) => statement.name(),
        Statement::User(statement) => statement.name(),
        Statement::Select(_)
        | Statement::Explain(_)
        | Statement::ShowDatabases
        | Statement::ShowRetentionPolicies { .. }
        | Statement::ShowMeasurements(_)
        | Statement::ShowTagKeys(_)
        | Statement::ShowFieldKeys(_)
        | Statement::ShowTagValues(_)
        | Statement::ShowSeries(_)
        | Statement::ShowCardinality(_)
        | Statement::Server(_) => return None,
    })
}

type ChangeResult = Result<(), InfluxqlError>;

/// Executes statements that change something on behalf of a caller.
#[derive(Debug)]
pub(super) struct ChangeExecutor<'a> {
    pub(super) engine: &'a QueryEngine,
    pub(super) caller: &'a Caller,
    pub(super) seen: &'a RequestCatalogs,
}

impl ChangeExecutor<'_> {
    /// Creates a database. An existing database is no error, as in InfluxDB 1.x, because clients create their database
    /// at every start. A policy that is named becomes the default one.
    pub(super) async fn create_database(
        &self,
        name: &str,
        options: Option<&PolicyOptions>,
    ) -> ChangeResult {
        let kept = kept(options.and_then(|options| options.duration));
        let policy = options.and_then(|options| options.name.as_deref()).unwrap_or_default();
        let stored = policy_database(name, Some(policy));
        if stored == name {
            return self.create(name, kept).await;
        }
        self.caller.require_admin()?;
        self.create(name, None).await?;
        self.create_policy(&stored, kept).await?;
        self.set_default(name, policy).await
    }

    /// Makes a retention policy the default one of a database.
    async fn set_default(&self, database: &str, policy: &str) -> ChangeResult {
        let catalog = self.engine.catalog();
        let known = catalog.database_by_name(database, Duration::ZERO).await?;
        let id = known.ok_or_else(|| QueryError::DatabaseNotFound(database.to_owned()))?;
        Ok(catalog.set_default_policy(id, Some(policy)).await?)
    }

    async fn create(&self, name: &str, kept: Option<Duration>) -> ChangeResult {
        self.caller.require(DatabaseAction::Create, None)?;
        match self.engine.catalog().create_database(name, kept).await {
            Ok(_) | Err(CatalogError::AlreadyExists { .. } | CatalogError::NameIsAlias { .. }) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Drops a database as the configuration API does: it can be undeleted for a while. A missing database is no error,
    /// as in InfluxDB 1.x.
    pub(super) async fn drop_database(&self, name: &str) -> ChangeResult {
        if name == INTERNAL_DATABASE {
            let text = "cannot delete internal db".to_owned();
            return Err(InfluxqlError::Invalid(text));
        }
        let database = self.find(name).await?;
        self.caller.require(DatabaseAction::Delete, database)?;
        if database.is_none() {
            // The database may have just been dropped. Other processes must see that before this statement is
            // acknowledged.
            return Ok(self.engine.catalog().settle_missing_database(name).await?);
        }
        let hard_delete = self.engine.settings().hard_delete;
        let may = |database| self.caller.may(DatabaseAction::Delete, database);
        let catalog = self.engine.catalog();
        match catalog.delete_database_if(name, hard_delete, may).await {
            Ok(_) | Err(CatalogError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops a table as the configuration API does. A missing table is no error, as in InfluxDB 1.x.
    pub(super) async fn drop_measurement(&self, database: DatabaseId, table: &str) -> ChangeResult {
        self.caller.require(DatabaseAction::Delete, Some(database))?;
        let hard_delete = self.engine.settings().hard_delete;
        let catalog = self.engine.catalog();
        match catalog.delete_table(database, table, hard_delete).await {
            Ok(_) | Err(CatalogError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the retention of `db/rp`, or of the database itself for `autogen`, and makes the policy the default one if the
    /// statement asks for it. As in InfluxDB 1.x, creating an identical policy again is no error; only `ALTER` changes one.
    pub(super) async fn set_policy(&self, policy: &RetentionPolicy, creates: bool) -> ChangeResult {
        let name = policy_database(&policy.database, Some(&policy.name));
        let of = self.find(&policy.database).await?;
        // A caller without permission must not learn whether the database exists.
        self.caller.require(DatabaseAction::Read, of)?;
        if of.is_none() {
            return Err(QueryError::DatabaseNotFound(policy.database.clone()).into());
        }
        let kept = kept(policy.options.duration);
        let root = self.seen.root(self.engine.catalog()).await?;
        let sets_default = policy.default && root.policy_database(&policy.database, None) != name;
        if creates {
            if sets_default {
                self.caller.require_admin()?;
            }
            self.create_policy(&name, kept).await?;
        } else {
            let Some(database) = self.find(&name).await? else {
                let text = format!("retention policy not found: {}", policy.name);
                return Err(InfluxqlError::Invalid(text));
            };
            self.caller.require_admin()?;
            if policy.options.duration.is_some() {
                self.engine.catalog().set_retention(database, kept).await?;
            }
        }
        if sets_default {
            self.set_default(&policy.database, &policy.name).await?;
        }
        Ok(())
    }

    async fn create_policy(&self, name: &str, kept: Option<Duration>) -> ChangeResult {
        self.caller.require(DatabaseAction::Create, None)?;
        let catalog = self.engine.catalog();
        match catalog.create_database(name, kept).await {
            Ok(_) => return Ok(()),
            Err(CatalogError::AlreadyExists { .. } | CatalogError::NameIsAlias { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(database) = catalog.database_by_name(name, Duration::ZERO).await? {
            let found = catalog.database(database, Duration::ZERO).await?;
            if found.value.retention() == kept {
                return Ok(());
            }
        }
        let text = "retention policy already exists".to_owned();
        Err(InfluxqlError::Invalid(text))
    }

    pub(super) async fn drop_policy(&self, name: &str, database: &str) -> ChangeResult {
        let stored = policy_database(database, Some(name));
        if stored == database {
            let text =
                format!("retention policy {AUTOGEN} is the database itself; use DROP DATABASE");
            return Err(InfluxqlError::Invalid(text));
        }
        self.drop_database(&stored).await
    }

    /// Deletes rows, table by table, and returns the stamp of the last delete.
    pub(super) async fn delete(
        &self,
        database: DatabaseId,
        deletion: &DeleteClauses,
        request: &QueryRequest,
    ) -> Result<Option<Stamp>, InfluxqlError> {
        self.caller.require(DatabaseAction::Write, Some(database))?;
        self.caller.require(DatabaseAction::Read, Some(database))?;
        let mut last = None;
        for table in self.tables(database, &deletion.from).await? {
            let condition = deletion.condition.clone();
            let planner = Arc::new(DeletePlanner { table, condition });
            let deleted = self.engine.run(database, request.clone(), planner);
            last = deleted.await?.deleted_at;
        }
        Ok(last)
    }

    async fn tables(
        &self,
        database: DatabaseId,
        from: &[MeasurementName],
    ) -> Result<Vec<String>, InfluxqlError> {
        let catalog = self.engine.catalog().database(database, Duration::ZERO).await?;
        let mut tables: Vec<_> = catalog.value.tables().map(|table| table.name()).collect();
        tables.sort_unstable();
        if from.is_empty() {
            return Ok(tables.into_iter().map(str::to_owned).collect());
        }
        let mut meant = Vec::new();
        for name in from {
            match name {
                MeasurementName::Name(name) => {
                    let table = catalog.value.table(name);
                    meant.extend(table.map(|table| table.name().to_owned()));
                }
                MeasurementName::Regex(regex) => {
                    let regex = compile_pattern(regex).map_err(QueryError::Planning)?;
                    let matching = tables.iter().filter(|table| regex.is_match(table));
                    meant.extend(matching.map(|table| (*table).to_owned()));
                }
            }
        }
        meant.sort_unstable();
        meant.dedup();
        Ok(meant)
    }

    async fn find(&self, name: &str) -> Result<Option<DatabaseId>, InfluxqlError> {
        let root = self.seen.root(self.engine.catalog()).await?;
        Ok(root.database(name))
    }
}

/// Converts a retention; `None` means forever.
fn kept(retention: Option<RetentionDuration>) -> Option<Duration> {
    match retention? {
        RetentionDuration::Forever | RetentionDuration::For(0) => None,
        RetentionDuration::For(nanos) => Some(Duration::from_nanos(nanos.unsigned_abs())),
    }
}
