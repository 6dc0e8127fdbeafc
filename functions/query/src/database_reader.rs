//! The sender of a request over HTTP, and the database that it reads, for protocols whose requests take several statements.

use std::sync::Arc;

use http::request::Parts;
use neap_catalog::{ChangeOrigin, origin};
use neap_http::{ApiError, Caller, Kind, named_database};
use neap_schema::DatabaseId;

use crate::{
    ClientQuery, ClientQueryError, Language, ListedTable, QueryEngine, QueryRequest, Rows,
    query_request,
};

/// The sender of a request, and the database that it reads.
#[derive(Clone, Debug)]
pub struct DatabaseReader {
    /// The query function.
    pub engine: Arc<QueryEngine>,
    /// The sender.
    pub caller: Caller,
    /// The origin that is recorded with changes.
    pub origin: ChangeOrigin,
    /// The name of the database.
    pub database: String,
    /// The options of all statements. They have a deadline.
    pub options: QueryRequest,
}

impl DatabaseReader {
    /// Reads the headers of a request. All of its statements together have the time of one query. `database` is that of its
    /// parameters, and `default` the one of requests that name none.
    ///
    /// # Errors
    /// `Invalid`: no database or several ones are named, or a header is malformed.
    pub fn from_head(
        engine: &Arc<QueryEngine>,
        head: &Parts,
        database: Option<&str>,
        default: Option<&str>,
    ) -> Result<Self, ApiError> {
        let Some(database) = named_database(&head.headers, database)?.or(default) else {
            let text =
                "missing query parameter 'db': add it to the URL, or send the header 'database'";
            return Err(ApiError::text(Kind::Invalid, text));
        };
        let options = query_request(&head.headers, &head.extensions)?;
        let now = engine.world().clock.monotonic();
        let limit = now.saturating_add(engine.settings().timeout);
        let ends = options.ends.map_or(limit, |ends| ends.min(limit));
        Ok(Self {
            engine: Arc::clone(engine),
            caller: Caller::from_head(head)?,
            origin: origin::current(),
            database: database.to_owned(),
            options: QueryRequest { ends: Some(ends), ..options },
        })
    }

    /// Checks the permission, and returns the id of the database.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub async fn authorize(&self) -> Result<DatabaseId, ClientQueryError> {
        self.engine.resolve_for_read(&self.caller, &self.database).await
    }

    /// Returns the tables of the database with their columns, without those that describe it. Tags come first, in the order of the
    /// series key.
    ///
    /// # Errors
    /// The caller may not read the database, it does not exist, or its state can't be read.
    pub async fn tables(&self) -> Result<Vec<ListedTable>, ClientQueryError> {
        let id = self.authorize().await?;
        Ok(self.engine.list_own_tables(id, &self.options).await?)
    }

    /// Executes a statement in SQL.
    ///
    /// # Errors
    /// See [`QueryEngine::query_as`].
    pub async fn query(&self, text: String) -> Result<Rows, ClientQueryError> {
        self.execute(QueryRequest { text, ..self.options.clone() }).await
    }

    /// Executes a statement in SQL that sorts the rows of a table by its series key and the time.
    ///
    /// # Errors
    /// See [`QueryEngine::query_as`].
    pub async fn query_in_series_order(&self, text: String) -> Result<Rows, ClientQueryError> {
        self.execute(QueryRequest { text, in_series_order: true, ..self.options.clone() })
            .await
    }

    async fn execute(&self, request: QueryRequest) -> Result<Rows, ClientQueryError> {
        let query = ClientQuery {
            caller: self.caller.clone(),
            origin: self.origin.clone(),
            database: Some(self.database.clone()),
            language: Language::Sql,
            request,
        };
        self.engine.query_as(query).await
    }
}
