//! Executes the statements that are no queries: variables, transactions, cursors.

use bytes::{BufMut, BytesMut};
use futures::FutureExt as _;
use neap_query::Parameters;
use neap_sql_changes::{Change, SqlError, SqlState, StatementText};
use pgwire::{
    api::results::FieldInfo,
    messages::{PgWireBackendMessage, data::DataRow, startup::ParameterStatus},
};

use crate::{
    columns::{description, text_column},
    command::Command,
    connection::{Connection, limited},
    message_failure::MessageFailure,
    portal::{Portal, PortalState},
    rows::RowMessages,
    session::{OpenTransaction, Transaction},
    tool_catalog::is_of_tools,
};

impl Connection<'_> {
    /// Executes a statement that is no query. `with_description`: the client has not asked for the columns before.
    pub(crate) async fn execute(
        &mut self,
        command: &Command,
        statement: &StatementText,
        parameters: Parameters,
        with_description: bool,
    ) -> Result<(), MessageFailure> {
        match command {
            Command::Query { .. } => Ok(()),
            Command::Set { name, value } => {
                self.session.variables.set(name, value.clone())?;
                self.report_variable(name)?;
                self.complete(if value.is_some() { "SET" } else { "RESET" })
            }
            Command::Reset => {
                self.session.variables.reset();
                self.complete("RESET")
            }
            Command::Show(name) => self.show(name, with_description),
            Command::Nothing(tag) => self.complete(tag),
            Command::Begin => {
                if !self.session.is_in_transaction() {
                    self.session.transaction = Transaction::Open(Box::default());
                }
                self.complete("BEGIN")
            }
            Command::Commit => self.commit().await,
            Command::Rollback => {
                self.session.transaction = Transaction::None;
                self.portals.clear();
                self.complete("ROLLBACK")
            }
            Command::Savepoint(name) => {
                let open = self.session.open_transaction("SAVEPOINT")?;
                open.savepoints.add(name, open.rows.rows())?;
                self.complete("SAVEPOINT")
            }
            Command::Release(name) => {
                let open = self.session.open_transaction("RELEASE SAVEPOINT")?;
                open.savepoints.release(name)?;
                self.complete("RELEASE")
            }
            Command::RollbackTo(name) => {
                self.session.roll_back_to(name)?;
                self.complete("ROLLBACK")
            }
            Command::Declare { name, query } => self.declare(name, query).await,
            Command::Fetch { name, count } => self.fetch(name, *count, &[], true).await,
            Command::CloseCursor(name) => {
                match name {
                    Some(name) => drop(self.take_portal(name)?),
                    None => self.portals.clear(),
                }
                self.complete("CLOSE CURSOR")
            }
            Command::Deallocate(name) => {
                match name {
                    Some(name) => drop(self.statements.remove(name)),
                    None => self.statements.clear(),
                }
                self.complete("DEALLOCATE")
            }
            Command::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.session.variables.reset();
                self.complete("DISCARD ALL")
            }
            Command::Change(Change::Insert { target, source }) => {
                self.insert(target, source, parameters).await
            }
            Command::Change(change) => {
                self.refuse_in_transaction(change.name())?;
                self.change(change, &statement.text, parameters).await
            }
            Command::CopyOut { query, options } => self.copy_out(query, options.clone()).await,
            Command::CopyIn { target, options } => self.copy_in(target, options.clone()).await,
        }
    }

    /// Refuses a statement that would take effect before the transaction ends.
    fn refuse_in_transaction(&self, statement: &str) -> Result<(), SqlError> {
        if !self.session.is_in_transaction() {
            return Ok(());
        }
        let message = format!("{statement} is not supported in a transaction");
        let hint = "Execute it outside of BEGIN and COMMIT; drivers call this autocommit.";
        Err(SqlError::unsupported(message).with_hint(hint))
    }

    /// Executes a change that takes effect at once and returns no rows.
    async fn change(
        &mut self,
        change: &Change,
        text: &str,
        parameters: Parameters,
    ) -> Result<(), MessageFailure> {
        let query = self.client_query(text, false, parameters)?;
        let cancelled = self.registered.begin_query();
        let timeout = self.session.variables.statement_timeout();
        let context = self.context;
        let executed =
            async { context.changes.execute(change, query).await.map_err(SqlError::from) };
        let ended = limited(&context.world, timeout, &cancelled, executed.boxed()).await;
        let outcome = ended.map_err(|error| {
            if error.state == SqlState::QUERY_CANCELED {
                error.with_hint("The change may have taken effect.")
            } else {
                error
            }
        })?;
        self.session.record_write(outcome.stamp);
        // The number of deleted rows is not known.
        self.complete(match change {
            Change::Delete => "DELETE 0",
            other => other.name(),
        })
    }

    /// Tells the client the value of a variable that it follows.
    fn report_variable(&mut self, name: &str) -> Result<(), MessageFailure> {
        let mut followed = self.session.variables.reported();
        if let Some((known, value)) = followed.find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            let status = ParameterStatus::new(known.to_owned(), value.to_owned());
            self.wire.put(&PgWireBackendMessage::ParameterStatus(status))?;
        }
        Ok(())
    }

    fn show(&mut self, name: &str, with_description: bool) -> Result<(), MessageFailure> {
        let rows: Vec<DataRow> = if name == "all" {
            let all = self.session.variables.all();
            all.map(|(name, value)| text_row(&[name, value, ""])).collect()
        } else {
            vec![text_row(&[self.session.variables.get(name)?])]
        };
        if with_description {
            let columns = description(&show_columns(name));
            self.wire.put(&PgWireBackendMessage::RowDescription(columns))?;
        }
        for row in rows {
            self.wire.put(&PgWireBackendMessage::DataRow(row))?;
        }
        self.complete("SHOW")
    }

    /// Ends a transaction, and stores its rows in one request.
    async fn commit(&mut self) -> Result<(), MessageFailure> {
        self.portals.clear();
        let transaction = std::mem::take(&mut self.session.transaction);
        let open = match transaction {
            Transaction::Open(open) => *open,
            Transaction::Failed(_) => return self.complete("ROLLBACK"),
            Transaction::None => OpenTransaction::default(),
        };
        self.store(open.rows).await?;
        self.complete("COMMIT")
    }

    async fn declare(&mut self, name: &str, query: &str) -> Result<(), MessageFailure> {
        if !self.session.is_in_transaction() {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, message).into());
        }
        self.check_new_portal(name)?;
        let statements = StatementText::split(query)?;
        let of_tools = statements.first().is_some_and(is_of_tools);
        let rows = self.start_query(query, of_tools, Parameters::default(), &[]).await?;
        self.portals.insert(name.to_owned(), Portal::cursor(rows));
        self.complete("DECLARE CURSOR")
    }

    /// Sends the next rows of a cursor.
    pub(crate) async fn fetch(
        &mut self,
        name: &str,
        count: Option<u64>,
        formats: &[i16],
        with_description: bool,
    ) -> Result<(), MessageFailure> {
        let mut cursor = self.take_portal(name)?;
        let PortalState::Open(rows) = &mut cursor.state else {
            self.portals.insert(name.to_owned(), cursor);
            return self.complete("FETCH 0");
        };
        rows.set_formats(formats)?;
        self.registered.follow(&rows.cancelled);
        if with_description {
            let columns = description(&rows.fields);
            self.wire.put(&PgWireBackendMessage::RowDescription(columns))?;
        }
        let limit = count.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let sent = if count == Some(0) {
            0
        } else {
            self.send_rows(rows, limit, RowMessages::Data).await?.0
        };
        // An ended stream stays open, because clients ask for its columns.
        self.portals.insert(name.to_owned(), cursor);
        self.complete(&format!("FETCH {sent}"))
    }
}

/// Returns the columns of `SHOW`.
pub(crate) fn show_columns(name: &str) -> Vec<FieldInfo> {
    if name == "all" {
        Vec::from(["name", "setting", "description"].map(text_column))
    } else {
        vec![text_column(name)]
    }
}

fn text_row(values: &[&str]) -> DataRow {
    let mut data = BytesMut::new();
    for value in values {
        data.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        data.extend_from_slice(value.as_bytes());
    }
    DataRow::new(data, i16::try_from(values.len()).unwrap_or(i16::MAX))
}
