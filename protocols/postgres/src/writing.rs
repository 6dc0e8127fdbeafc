//! Executes the statements that copy rows or store them.

use arrow::array::ArrayRef;
use bytes::Bytes;
use neap_catalog::origin;
use neap_query::Parameters;
use neap_schema::DatabaseId;
use neap_sql_changes::{
    PendingRows, SqlError, SqlState, StatementText, WriteTarget, WrittenColumns,
};
use neap_write::{WriteService, authorize_write};
use pgwire::messages::{
    PgWireBackendMessage,
    copy::{CopyData, CopyDone, CopyInResponse, CopyOutResponse},
};

use crate::{
    close_reason::CloseReason,
    connection::Connection,
    copy_in::{CopiedRows, CopyParser},
    copy_options::CopyOptions,
    copy_out::CopyEncoder,
    frontend::FrontendMessage,
    message_failure::MessageFailure,
    rows::RowMessages,
    session::Transaction,
    tool_catalog::is_of_tools,
};

/// The size from which rows of `COPY ... FROM STDIN` are stored, outside of a transaction, in bytes.
const PART_BYTES: usize = 8 << 20;

/// The rows of a `COPY ... FROM STDIN` in progress.
struct CopyProgress<'a> {
    writes: &'a WriteService,
    columns: WrittenColumns,
    only: Option<DatabaseId>,
    parser: CopyParser,
    rows: usize,
}

impl CopyProgress<'_> {
    /// Returns an error with the line of the row that it is about, if there is one.
    fn on_line(&self, error: SqlError, copied: &CopiedRows) -> SqlError {
        let line_of = |row: usize| copied.lines.get(row).copied();
        if let Some(number) = error.row {
            let prefix = format!("row {number}: ");
            let message = error.message.strip_prefix(&prefix).unwrap_or(&error.message).to_owned();
            let without_row = SqlError { message, ..error };
            return match line_of(number.get() - 1) {
                Some(line) => self.parser.at_line(without_row, line, None),
                None => without_row,
            };
        }
        let refused = self.columns.refused_value(&copied.columns);
        match refused.and_then(|(row, column)| Some((line_of(row)?, column))) {
            Some((line, column)) => self.parser.at_line(error, line, Some(column)),
            None => error,
        }
    }
}

impl<'a> Connection<'a> {
    /// Returns the write function.
    pub(crate) fn writes(&self) -> Result<&'a WriteService, SqlError> {
        let writes = self.context.writes.as_deref();
        writes
            .ok_or_else(|| SqlError::new(SqlState::READ_ONLY, "this server does not accept writes"))
    }

    /// Returns the columns of the table that a statement writes.
    pub(crate) async fn written_columns(
        &mut self,
        target: &WriteTarget,
    ) -> Result<WrittenColumns, SqlError> {
        let text = WrittenColumns::query(target);
        let query = self.client_query(&text, false, Parameters::default())?;
        Ok(WrittenColumns::describe(&self.context.queries, query, target).await?)
    }

    /// Returns the database that the sender may write to.
    async fn writable_database(
        &mut self,
        writes: &WriteService,
    ) -> Result<Option<DatabaseId>, SqlError> {
        let session = &self.session;
        Ok(authorize_write(writes, &session.caller, &session.database).await?)
    }

    /// Stores rows in one request.
    pub(crate) async fn store(&mut self, rows: PendingRows) -> Result<(), SqlError> {
        if rows.rows() == 0 {
            return Ok(());
        }
        let writes = self.writes()?;
        // The rows of a transaction may have waited since their sender was last permitted to write them.
        self.writable_database(writes).await?;
        let (after, origin) = (self.session.after(), self.session.origin(self.registered.process));
        let stored = rows.store(writes, &self.session.database, after);
        let stamp = origin::scope(origin, stored).await?;
        self.session.record_write(stamp);
        Ok(())
    }

    /// Adds rows to those of the transaction; outside of one, stores them.
    async fn write(
        &mut self,
        mut pending: PendingRows,
        writes: &WriteService,
        columns: &WrittenColumns,
        arrays: &[ArrayRef],
        only: Option<DatabaseId>,
    ) -> Result<PendingRows, SqlError> {
        let batch = columns.batch(arrays)?;
        let max_bytes = self.context.settings.max_transaction_bytes;
        let rows = match &mut self.session.transaction {
            Transaction::Open(open) => &mut open.rows,
            Transaction::None | Transaction::Failed(_) => &mut pending,
        };
        rows.add(writes, &columns.table, batch, max_bytes, only).await?;
        Ok(pending)
    }

    /// Executes `INSERT`.
    pub(crate) async fn insert(
        &mut self,
        target: &WriteTarget,
        source: &str,
        parameters: Parameters,
    ) -> Result<(), MessageFailure> {
        let writes = self.writes()?;
        let only = self.writable_database(writes).await?;
        let columns = self.written_columns(target).await?;
        let mut rows = self.start_query(source, false, parameters, &[]).await?;
        let mut pending = PendingRows::default();
        let mut count = 0;
        while let Some(batch) = rows.next_batch().await? {
            count += batch.num_rows();
            pending = self.write(pending, writes, &columns, batch.columns(), only).await?;
        }
        self.store(pending).await?;
        self.complete(&format!("INSERT 0 {count}"))
    }

    /// Executes `COPY ... TO STDOUT`.
    pub(crate) async fn copy_out(
        &mut self,
        query: &str,
        options: CopyOptions,
    ) -> Result<(), MessageFailure> {
        let format = i16::from(options.is_binary());
        let statements = StatementText::split(query)?;
        let of_tools = statements.first().is_some_and(is_of_tools);
        let mut rows = self.start_query(query, of_tools, Parameters::default(), &[format]).await?;
        let mut encoder = CopyEncoder::new(options);
        let width = rows.fields.len();
        let head = CopyOutResponse::new(
            i8::from(format == 1),
            i16::try_from(width).unwrap_or(i16::MAX),
            vec![format; width],
        );
        self.wire.put(&PgWireBackendMessage::CopyOutResponse(head))?;
        if let Some(titles) = encoder.titles(&rows.fields) {
            self.put_copy_data(titles)?;
        }
        let messages = RowMessages::Copy(&mut encoder);
        let (count, _) = self.send_rows(&mut rows, 0, messages).await?;
        if let Some(end) = encoder.end() {
            self.put_copy_data(end)?;
        }
        self.wire.put(&PgWireBackendMessage::CopyDone(CopyDone::new()))?;
        self.complete(&format!("COPY {count}"))
    }

    fn put_copy_data(&mut self, data: Bytes) -> Result<(), CloseReason> {
        self.wire.put(&PgWireBackendMessage::CopyData(CopyData::new(data)))
    }

    /// Executes `COPY ... FROM STDIN`. Outside of a transaction, rows are stored in parts.
    pub(crate) async fn copy_in(
        &mut self,
        target: &WriteTarget,
        options: CopyOptions,
    ) -> Result<(), MessageFailure> {
        let writes = self.writes()?;
        let only = self.writable_database(writes).await?;
        let columns = self.written_columns(target).await?;
        let width = columns.fields.len();
        let head = CopyInResponse::new(0, i16::try_from(width).unwrap_or(i16::MAX), vec![0; width]);
        self.wire.put(&PgWireBackendMessage::CopyInResponse(head))?;
        self.wire.flush().await?;
        let max_row_bytes = self.context.settings.max_message_bytes;
        let mut progress = CopyProgress {
            writes,
            columns,
            only,
            parser: CopyParser::new(options, &target.table, width, max_row_bytes),
            rows: 0,
        };
        loop {
            match self.next_message(true).await? {
                FrontendMessage::CopyData(data) => {
                    let pushed = progress.parser.push(&data);
                    pushed.map_err(|error| with_stored(error, self, &progress))?;
                    if progress.parser.bytes() >= PART_BYTES {
                        self.write_copied(&mut progress).await?;
                    }
                }
                FrontendMessage::CopyDone => break,
                FrontendMessage::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    let error = SqlError::new(SqlState::QUERY_CANCELED, message);
                    let line = progress.parser.next_line();
                    let located = progress.parser.at_line(error, line, None);
                    return Err(with_stored(located, self, &progress).into());
                }
                // Clients may send them right after `Execute`.
                FrontendMessage::Flush | FrontendMessage::Sync => {}
                _ => return Err(CloseReason::Malformed.into()),
            }
        }
        let finished = progress.parser.finish();
        finished.map_err(|error| with_stored(error, self, &progress))?;
        self.write_copied(&mut progress).await?;
        self.complete(&format!("COPY {}", progress.rows))
    }

    async fn write_copied(&mut self, progress: &mut CopyProgress<'_>) -> Result<(), SqlError> {
        let Some(copied) = progress.parser.take() else {
            return Ok(());
        };
        let pending = PendingRows::default();
        let (writes, only) = (progress.writes, progress.only);
        let written = self.write(pending, writes, &progress.columns, &copied.columns, only).await;
        let stored = match written {
            Ok(pending) => self.store(pending).await,
            Err(error) => Err(error),
        };
        stored.map_err(|error| with_stored(progress.on_line(error, &copied), self, progress))?;
        progress.rows += copied.lines.len();
        Ok(())
    }
}

/// Adds the number of stored rows to an error.
fn with_stored(
    error: SqlError,
    connection: &Connection<'_>,
    progress: &CopyProgress<'_>,
) -> SqlError {
    if progress.rows == 0 || connection.session.is_in_transaction() {
        return error;
    }
    SqlError {
        message: format!("{}; {} rows before are stored", error.message, progress.rows),
        ..error
    }
}
