//! The messages of a connection after the startup.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::FutureExt as _;
use neap_bucket::World;
use neap_query::{ClientQuery, Parameters, QueryError};
use neap_sql_changes::{SqlError, SqlState, StatementText};
use pgwire::messages::{
    PgWireBackendMessage,
    response::{CommandComplete, EmptyQueryResponse, ReadyForQuery},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cancel_registry::RegisteredConnection,
    close_reason::CloseReason,
    columns::description,
    command::Command,
    context::ConnectionContext,
    error_response::error_info,
    frontend::FrontendMessage,
    message_failure::MessageFailure,
    portal::{Portal, PreparedStatement},
    rows::{OpenRows, RowMessages, canceled},
    session::{Session, Transaction},
    startup::StartedConnection,
    tool_catalog::ToolCatalog,
    wire::Wire,
};

/// A connection whose client may send statements.
pub(crate) struct Connection<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) session: Session,
    pub(crate) context: &'a ConnectionContext,
    pub(crate) registered: RegisteredConnection,
    /// The prepared statements by name; the empty name is that of the unnamed one, and `None` an empty statement.
    pub(crate) statements: HashMap<String, Option<Arc<PreparedStatement>>>,
    /// The portals and cursors by name.
    pub(crate) portals: HashMap<String, Portal>,
    /// The catalog for tools, once a statement needs it.
    tools: Option<Arc<ToolCatalog>>,
    /// Whether messages are ignored until the next `Sync`, because one of them failed.
    is_skipping: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    wire: &mut Wire,
    started: StartedConnection,
    context: &ConnectionContext,
) -> CloseReason {
    let mut connection = Connection {
        wire,
        session: started.session,
        context,
        registered: started.registered,
        statements: HashMap::new(),
        portals: HashMap::new(),
        tools: None,
        is_skipping: false,
    };
    let reason = connection.run().await;
    if let Some(error) = reason.last_error() {
        let message = PgWireBackendMessage::ErrorResponse(error_info(&error, "FATAL").into());
        if connection.wire.put(&message).is_ok() {
            connection.wire.flush().await.ok();
        }
    }
    // Ends queries that are in progress.
    connection.portals.clear();
    context.credentials.sign_out(&connection.session.caller).await;
    reason
}

impl Connection<'_> {
    async fn run(&mut self) -> CloseReason {
        loop {
            let handled = match self.next_message(false).await {
                // Boxed here and below, because the compiler limits the depth of futures.
                Ok(message) => Box::pin(self.handle(message)).await,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = handled {
                return reason;
            }
        }
    }

    /// Receives the next message. `is_copying`: it is a part of `COPY ... FROM STDIN`.
    pub(crate) async fn next_message(
        &mut self,
        is_copying: bool,
    ) -> Result<FrontendMessage, CloseReason> {
        let context = self.context;
        let holds_rows = is_copying || self.session.has_pending_rows();
        let timeout = if holds_rows {
            context.settings.pending_rows_timeout
        } else {
            context.settings.idle_timeout
        };
        let arrived = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(CloseReason::Stopped),
            arrived = self.wire.wait_for_message(timeout) => arrived,
        };
        match arrived {
            Err(CloseReason::Idle) if holds_rows => return Err(CloseReason::PendingRows),
            other => other?,
        }
        match self.wire.receive().await? {
            FrontendMessage::Terminate => Err(CloseReason::Client),
            message => Ok(message),
        }
    }

    async fn handle(&mut self, message: FrontendMessage) -> Result<(), CloseReason> {
        if self.is_skipping && message != FrontendMessage::Sync {
            return Ok(());
        }
        let is_extended = message.is_extended();
        let handled = match message {
            FrontendMessage::Query(text) => self.simple_query(&text).await,
            FrontendMessage::Parse { name, text, types } => self.parse(name, &text, types).await,
            FrontendMessage::Bind(message) => self.bind(message),
            FrontendMessage::Describe(target) => self.describe(target).await,
            FrontendMessage::Execute { portal, max_rows } => {
                self.execute_portal(portal, max_rows).await
            }
            FrontendMessage::Close(target) => self.close(&target),
            FrontendMessage::Flush => self.wire.flush().await.map_err(MessageFailure::from),
            FrontendMessage::Sync => {
                self.is_skipping = false;
                self.send_ready().await
            }
            // The rest of a COPY that failed.
            FrontendMessage::CopyData(_)
            | FrontendMessage::CopyDone
            | FrontendMessage::CopyFail(_) => Ok(()),
            FrontendMessage::Password(_) | FrontendMessage::Terminate => {
                Err(CloseReason::Malformed.into())
            }
        };
        match handled {
            // A client may send any number of messages before it asks for the answers.
            Ok(()) => self.wire.flush_if_large().await,
            Err(MessageFailure::Close(reason)) => Err(reason),
            Err(MessageFailure::Statement(error)) => self.report(&error, is_extended).await,
        }
    }

    /// Tells the client that its statement failed.
    async fn report(&mut self, error: &SqlError, is_extended: bool) -> Result<(), CloseReason> {
        self.context.metrics.count_statement(error.state.0);
        self.session.fail_transaction();
        let message = PgWireBackendMessage::ErrorResponse(error_info(error, "ERROR").into());
        self.wire.put(&message)?;
        if is_extended {
            self.is_skipping = true;
            return self.wire.flush().await;
        }
        match self.send_ready().await {
            Err(MessageFailure::Close(reason)) => Err(reason),
            Ok(()) | Err(MessageFailure::Statement(_)) => Ok(()),
        }
    }

    /// Tells the client that the server is ready for the next statement. Portals end with their transaction.
    async fn send_ready(&mut self) -> Result<(), MessageFailure> {
        if !self.session.is_in_transaction() {
            self.portals.clear();
        }
        if self.portals.is_empty()
            && let Some(tools) = &self.tools
        {
            tools.release_tables();
        }
        let ready = ReadyForQuery::new(self.session.status());
        self.wire.put(&PgWireBackendMessage::ReadyForQuery(ready))?;
        Ok(self.wire.flush().await?)
    }

    async fn simple_query(&mut self, text: &str) -> Result<(), MessageFailure> {
        self.statements.remove("");
        let statements = StatementText::split(text)?;
        if statements.is_empty() {
            let empty = EmptyQueryResponse::new();
            self.wire.put(&PgWireBackendMessage::EmptyQueryResponse(empty))?;
        }
        for statement in &statements {
            let executed = self.simple_statement(statement).await;
            executed.map_err(|failure| located(failure, statement))?;
            self.wire.flush_if_large().await?;
        }
        self.send_ready().await
    }

    async fn simple_statement(&mut self, statement: &StatementText) -> Result<(), MessageFailure> {
        let command = Command::parse(statement)?;
        self.begin_statement(&command).await?;
        let Command::Query { of_tools } = command else {
            let none = Parameters::default();
            return Box::pin(self.execute(&command, statement, none, true)).await;
        };
        let none = Parameters::default();
        let mut rows = self.start_query(&statement.text, of_tools, none, &[]).await?;
        let columns = description(&rows.fields);
        self.wire.put(&PgWireBackendMessage::RowDescription(columns))?;
        let (count, _) = self.send_rows(&mut rows, 0, RowMessages::Data).await?;
        self.complete(&format!("SELECT {count}"))
    }

    /// Checks that a statement may be executed now, and renews the permissions of its sender.
    pub(crate) async fn begin_statement(&mut self, command: &Command) -> Result<(), SqlError> {
        if matches!(self.session.transaction, Transaction::Failed(_)) && !command.ends_failure() {
            return Err(SqlError::new(
                SqlState::FAILED_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        let (session, credentials) = (&mut self.session, &self.context.credentials);
        session.caller = credentials.renew(&mut session.credential, session.peer).await?;
        Ok(())
    }

    /// Returns a query for the engine.
    pub(crate) fn client_query(
        &mut self,
        text: &str,
        of_tools: bool,
        parameters: Parameters,
    ) -> Result<ClientQuery, SqlError> {
        let context = self.context;
        let mut query = self.session.query(
            text,
            parameters,
            self.registered.process,
            context.settings.max_snapshot_age,
            &context.world,
        )?;
        if of_tools {
            query.request.extension = Some(self.tools()? as _);
        }
        Ok(query)
    }

    fn tools(&mut self) -> Result<Arc<ToolCatalog>, SqlError> {
        let session = &self.session;
        let tools = match &self.tools {
            Some(tools) => Arc::clone(tools),
            None => {
                let queries = Arc::clone(&self.context.queries);
                let new = ToolCatalog::new(queries, &session.database, &session.user)?;
                Arc::clone(self.tools.insert(Arc::new(new)))
            }
        };
        tools.set_session(session.caller.clone(), session.variables.clone());
        Ok(tools)
    }

    pub(crate) async fn start_query(
        &mut self,
        text: &str,
        of_tools: bool,
        parameters: Parameters,
        formats: &[i16],
    ) -> Result<OpenRows, SqlError> {
        let query = self.client_query(text, of_tools, parameters)?;
        let cancelled = self.registered.begin_query();
        let timeout = self.session.variables.statement_timeout();
        let context = self.context;
        let started =
            async { context.queries.query_as(query).await.map_err(SqlError::from) }.boxed();
        let rows = limited(&context.world, timeout, &cancelled, started).await?;
        let now = self.context.world.clock.monotonic();
        self.session.record_snapshot(rows.as_of, now);
        self.session.record_write(rows.deleted_at);
        OpenRows::new(rows, formats, cancelled)
    }

    /// Sends at most `max_rows` rows; 0: all. Returns their number, and whether there may be more.
    pub(crate) async fn send_rows(
        &mut self,
        rows: &mut OpenRows,
        max_rows: usize,
        mut messages: RowMessages<'_>,
    ) -> Result<(usize, bool), MessageFailure> {
        let limit = if max_rows == 0 { usize::MAX } else { max_rows };
        let mut sent = 0;
        while sent < limit {
            if !rows.wait().await? {
                return Ok((sent, false));
            }
            sent += rows.put(limit - sent, &mut messages, self.wire)?;
            self.wire.flush_if_large().await?;
        }
        Ok((sent, true))
    }

    /// Ends the answer to a statement.
    pub(crate) fn complete(&mut self, tag: &str) -> Result<(), MessageFailure> {
        self.context.metrics.count_statement("00000");
        let complete = CommandComplete::new(tag.to_owned());
        Ok(self.wire.put(&PgWireBackendMessage::CommandComplete(complete))?)
    }
}

/// Executes work until the client cancels the statement, or until the statement's time ends.
pub(crate) async fn limited<T>(
    world: &World,
    timeout: Option<Duration>,
    cancelled: &CancellationToken,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    let timed = async {
        match timeout {
            Some(timeout) => {
                let ended = world.timeout(timeout, work).await;
                ended.unwrap_or_else(|| Err(QueryError::Timeout(timeout).into()))
            }
            None => work.await,
        }
    };
    tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(canceled()),
        ended = timed => ended,
    }
}

/// Returns the failure with the place of an error in the text of the client.
pub(crate) fn located(failure: MessageFailure, statement: &StatementText) -> MessageFailure {
    match failure {
        MessageFailure::Statement(error) => {
            error.in_statement(&statement.text, statement.before).into()
        }
        close @ MessageFailure::Close(_) => close,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_when_it_is_cancelled_or_its_time_ends() {
        let world = World::system();
        let endless = || std::future::pending::<Result<(), SqlError>>();
        let cancelled = CancellationToken::new();
        let timeout = Some(Duration::from_millis(1));
        let error = limited(&world, timeout, &cancelled, endless()).await.unwrap_err();
        assert_eq!(error.state, SqlState::QUERY_CANCELED);
        cancelled.cancel();
        let error = limited(&world, None, &cancelled, endless()).await.unwrap_err();
        assert_eq!(error, canceled());
        let done = async { Ok(1) };
        let open = CancellationToken::new();
        assert_eq!(limited(&world, None, &open, done).await, Ok(1));
    }
}
