//! The extended protocol: prepared statements with typed placeholders, and portals with row limits.

use std::sync::{Arc, OnceLock};

use neap_query::Parameters;
use neap_sql_changes::{Change, SqlError, SqlState, StatementText};
use pgwire::{
    api::results::FieldInfo,
    messages::{
        PgWireBackendMessage,
        data::{NoData, ParameterDescription},
        extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended},
        response::EmptyQueryResponse,
    },
};

use crate::{
    columns::{columns, description},
    command::Command,
    connection::{Connection, located},
    execution::show_columns,
    frontend::{BindMessage, NamedTarget},
    message_failure::MessageFailure,
    parameters::{decode_parameters, parameter_type},
    portal::{Portal, PortalState, PreparedStatement, schema_bytes},
    rows::RowMessages,
};

/// Maximum bytes of the prepared statements of a connection, besides the unnamed one: a driver keeps some hundreds.
const MAX_STATEMENT_BYTES: usize = 4 << 20;

/// Maximum bytes of the name of a portal or cursor.
const MAX_PORTAL_NAME_BYTES: usize = 1 << 10;

/// Maximum number of portals and cursors of a connection.
pub(crate) const MAX_PORTALS: usize = 64;

impl Connection<'_> {
    /// Prepares a statement.
    pub(crate) async fn parse(
        &mut self,
        name: String,
        text: &str,
        declared: Vec<u32>,
    ) -> Result<(), MessageFailure> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_STATEMENT, message).into());
        }
        let mut statements = StatementText::split(text)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::syntax(message).into());
        }
        let prepared = match statements.pop() {
            None => None,
            Some(statement) => match self.prepare(&statement, declared).await {
                Ok(prepared) => Some(Arc::new(prepared)),
                Err(error) => return Err(located(error.into(), &statement)),
            },
        };
        self.check_statement_bytes(&name, size_bytes(&name, prepared.as_deref()))?;
        self.statements.insert(name, prepared);
        let complete = ParseComplete::new();
        Ok(self.wire.put(&PgWireBackendMessage::ParseComplete(complete))?)
    }

    /// Refuses more bytes of a prepared statement than the connection may hold.
    fn check_statement_bytes(&self, name: &str, added: usize) -> Result<(), SqlError> {
        let named = self.statements.iter().filter(|(other, _)| !other.is_empty());
        let held: usize =
            named.map(|(other, prepared)| size_bytes(other, prepared.as_deref())).sum();
        if !name.is_empty() && held + added > MAX_STATEMENT_BYTES {
            let message = "the prepared statements of the connection are too large";
            return Err(SqlError::new(SqlState::OUT_OF_MEMORY, message));
        }
        Ok(())
    }

    async fn prepare(
        &mut self,
        statement: &StatementText,
        declared: Vec<u32>,
    ) -> Result<PreparedStatement, SqlError> {
        let command = Command::parse(statement)?;
        self.begin_statement(&command).await?;
        let mut prepared = PreparedStatement {
            inferred: vec![None; statement.placeholders()?],
            statement: statement.without_tokens(),
            command,
            declared,
            schema: OnceLock::new(),
        };
        // Without placeholders, the first plan is that of the execution.
        if !prepared.inferred.is_empty() {
            self.infer(&mut prepared).await?;
        }
        Ok(prepared)
    }

    /// Sets the types of the placeholders and the columns of the answer.
    async fn infer(&mut self, prepared: &mut PreparedStatement) -> Result<(), SqlError> {
        let of_tools = matches!(prepared.command, Command::Query { of_tools: true });
        let query = self.client_query(&prepared.statement.text, of_tools, Parameters::default())?;
        let context = self.context;
        let described = match &prepared.command {
            Command::Change(change @ Change::Insert { .. }) => {
                context.changes.describe(change, query).await?
            }
            Command::Query { .. } | Command::Change(Change::Delete | Change::Engine(_)) => {
                context.queries.describe_as(query).await?
            }
            _ => {
                let message = "placeholders are supported in queries, DELETE and INSERT";
                return Err(SqlError::unsupported(message));
            }
        };
        for (name, data_type) in described.placeholders {
            let index = name.parse().ok().and_then(|number: usize| number.checked_sub(1));
            if let Some(inferred) = index.and_then(|index| prepared.inferred.get_mut(index)) {
                *inferred = data_type;
            }
        }
        if matches!(prepared.command, Command::Query { .. }) {
            prepared.schema = OnceLock::from(described.columns);
        }
        Ok(())
    }

    /// Creates a portal: a statement with the values of its placeholders.
    pub(crate) fn bind(&mut self, message: BindMessage) -> Result<(), MessageFailure> {
        let prepared = self.statement(&message.statement)?;
        let parameters = match &prepared {
            Some(prepared) => decode_parameters(&message, &prepared.declared, &prepared.inferred)?,
            None => Parameters::default(),
        };
        self.check_new_portal(&message.portal)?;
        let portal = Portal {
            prepared,
            parameters,
            formats: message.result_formats,
            state: PortalState::New,
            _memory: self.wire.take_memory(),
        };
        self.portals.insert(message.portal, portal);
        let complete = BindComplete::new();
        Ok(self.wire.put(&PgWireBackendMessage::BindComplete(complete))?)
    }

    /// Refuses a portal whose name is too long or in use, or if there are too many.
    pub(crate) fn check_new_portal(&self, name: &str) -> Result<(), SqlError> {
        if name.len() > MAX_PORTAL_NAME_BYTES {
            let message = format!(
                "the name of the cursor has {} bytes, more than {MAX_PORTAL_NAME_BYTES}",
                name.len()
            );
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message));
        }
        if !name.is_empty() && self.portals.contains_key(name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, message));
        }
        if self.portals.len() >= MAX_PORTALS {
            let message = format!("a connection has at most {MAX_PORTALS} portals and cursors");
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message));
        }
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<Option<Arc<PreparedStatement>>, SqlError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = format!("prepared statement \"{name}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_STATEMENT, message)
        })
    }

    /// Takes a portal out of the connection.
    pub(crate) fn take_portal(&mut self, name: &str) -> Result<Portal, SqlError> {
        self.portals.remove(name).ok_or_else(|| {
            let message = format!("cursor \"{name}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_CURSOR, message)
        })
    }

    /// Describes the columns of the answer of a statement or portal, and the placeholders of a statement.
    pub(crate) async fn describe(&mut self, target: NamedTarget) -> Result<(), MessageFailure> {
        match target {
            NamedTarget::Statement(name) => {
                let prepared = self.statement(&name)?;
                let types = prepared.iter().flat_map(|prepared| {
                    let inferred = prepared.inferred.iter().enumerate();
                    inferred.map(move |(index, inferred)| {
                        let declared = prepared.declared.get(index).copied();
                        parameter_type(declared, inferred.as_ref())
                    })
                });
                let parameters = ParameterDescription::new(types.collect());
                self.wire.put(&PgWireBackendMessage::ParameterDescription(parameters))?;
                let fields = match prepared {
                    Some(prepared) => self.statement_columns(&name, &prepared).await?,
                    None => None,
                };
                self.put_description(fields.as_deref())
            }
            NamedTarget::Portal(name) => {
                let mut portal = self.take_portal(&name)?;
                let fields = self.portal_columns(&mut portal).await?;
                self.portals.insert(name, portal);
                self.put_description(fields.as_deref())
            }
        }
    }

    fn put_description(&mut self, fields: Option<&Vec<FieldInfo>>) -> Result<(), MessageFailure> {
        let message = match fields {
            Some(fields) => PgWireBackendMessage::RowDescription(description(fields)),
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        Ok(self.wire.put(&message)?)
    }

    /// Returns the columns of the answer; `None` if there are no rows. Those of a query are kept, because the client decodes
    /// later rows by them.
    async fn statement_columns(
        &mut self,
        name: &str,
        prepared: &PreparedStatement,
    ) -> Result<Option<Arc<Vec<FieldInfo>>>, SqlError> {
        if let Some(schema) = prepared.schema.get() {
            return columns(schema, &[]).map(Some);
        }
        match &prepared.command {
            Command::Query { of_tools } => {
                self.begin_statement(&prepared.command).await?;
                let text = &prepared.statement.text;
                let query = self.client_query(text, *of_tools, Parameters::default())?;
                let schema = self.context.queries.describe_as(query).await?.columns;
                let fields = columns(&schema, &[])?;
                self.check_statement_bytes(name, schema_bytes(&schema))?;
                prepared.schema.get_or_init(|| schema);
                Ok(Some(fields))
            }
            command => self.command_columns(command, &[]),
        }
    }

    /// Returns the columns of the answer of a portal. A query is started, so that it is planned once.
    async fn portal_columns(
        &mut self,
        portal: &mut Portal,
    ) -> Result<Option<Arc<Vec<FieldInfo>>>, MessageFailure> {
        if let PortalState::Open(rows) = &portal.state {
            return Ok(Some(Arc::clone(&rows.fields)));
        }
        let Some(prepared) = portal.prepared.clone() else {
            return Ok(None);
        };
        if !matches!(prepared.command, Command::Query { .. }) {
            return Ok(self.command_columns(&prepared.command, &portal.formats)?);
        }
        self.start_portal(portal, &prepared).await?;
        match &portal.state {
            PortalState::Open(rows) => Ok(Some(Arc::clone(&rows.fields))),
            PortalState::New | PortalState::Complete => Ok(None),
        }
    }

    /// Returns the columns of statements that are no queries.
    fn command_columns(
        &self,
        command: &Command,
        formats: &[i16],
    ) -> Result<Option<Arc<Vec<FieldInfo>>>, SqlError> {
        match command {
            Command::Show(name) => Ok(Some(Arc::new(show_columns(name)))),
            Command::Fetch { name, .. } => match self.portals.get(name).map(|open| &open.state) {
                Some(PortalState::Open(rows)) => columns(&rows.schema, formats).map(Some),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// Starts the query of a portal, unless it is running.
    async fn start_portal(
        &mut self,
        portal: &mut Portal,
        prepared: &PreparedStatement,
    ) -> Result<(), MessageFailure> {
        let (PortalState::New, Command::Query { of_tools }) = (&portal.state, &prepared.command)
        else {
            return Ok(());
        };
        self.begin_statement(&prepared.command).await?;
        let parameters = std::mem::take(&mut portal.parameters);
        let statement = &prepared.statement;
        let started =
            self.start_query(&statement.text, *of_tools, parameters, &portal.formats).await;
        let rows = started.map_err(|error| located(error.into(), statement))?;
        prepared.check_rows(&rows)?;
        portal.state = PortalState::Open(Box::new(rows));
        Ok(())
    }

    /// Executes a portal, or continues to.
    pub(crate) async fn execute_portal(
        &mut self,
        name: String,
        max_rows: usize,
    ) -> Result<(), MessageFailure> {
        let mut portal = self.take_portal(&name)?;
        self.run_portal(&mut portal, max_rows).await?;
        self.portals.insert(name, portal);
        Ok(())
    }

    async fn run_portal(
        &mut self,
        portal: &mut Portal,
        max_rows: usize,
    ) -> Result<(), MessageFailure> {
        let prepared = portal.prepared.clone();
        if matches!(portal.state, PortalState::Open(_)) {
            // The transaction may have failed since, and the token may have ended.
            self.begin_statement(&Command::Query { of_tools: false }).await?;
        }
        if let Some(prepared) = &prepared {
            self.start_portal(portal, prepared).await?;
        }
        if let PortalState::Open(rows) = &mut portal.state {
            self.registered.follow(&rows.cancelled);
            let (count, has_more) = self.send_rows(rows, max_rows, RowMessages::Data).await?;
            if has_more {
                let suspended = PortalSuspended::new();
                return Ok(self.wire.put(&PgWireBackendMessage::PortalSuspended(suspended))?);
            }
            portal.state = PortalState::Complete;
            return self.complete(&format!("SELECT {count}"));
        }
        if matches!(portal.state, PortalState::Complete) {
            return self.complete("SELECT 0");
        }
        let Some(prepared) = prepared else {
            let empty = EmptyQueryResponse::new();
            return Ok(self.wire.put(&PgWireBackendMessage::EmptyQueryResponse(empty))?);
        };
        self.begin_statement(&prepared.command).await?;
        let parameters = std::mem::take(&mut portal.parameters);
        let (command, statement) = (&prepared.command, &prepared.statement);
        if let Command::Fetch { name, count } = command {
            let formats = std::mem::take(&mut portal.formats);
            self.fetch(name, *count, &formats, false).await?;
        } else {
            let executed = Box::pin(self.execute(command, statement, parameters, false)).await;
            executed.map_err(|failure| located(failure, statement))?;
        }
        portal.state = PortalState::Complete;
        Ok(())
    }

    /// Ends a prepared statement or a portal.
    pub(crate) fn close(&mut self, target: &NamedTarget) -> Result<(), MessageFailure> {
        match target {
            NamedTarget::Statement(name) => {
                self.statements.remove(name);
            }
            NamedTarget::Portal(name) => {
                self.portals.remove(name);
            }
        }
        let complete = CloseComplete::new();
        Ok(self.wire.put(&PgWireBackendMessage::CloseComplete(complete))?)
    }
}

/// Returns the bytes that a prepared statement needs in memory, about.
fn size_bytes(name: &str, prepared: Option<&PreparedStatement>) -> usize {
    let content = prepared.map_or(0, PreparedStatement::content_bytes);
    name.len() + size_of::<PreparedStatement>() + content
}
