//! A shell session: its settings, and the execution of statements and commands.

use std::{
    fs::File,
    future::Future,
    io::{self, Write},
    path::{Path, PathBuf},
    pin::Pin,
};

use neap_bucket::{World, read_limited_text};
use neap_query::quoted_text;
use neap_server::{
    console::Console,
    terminal::{self, ControlCharEscaper},
};
use reqwest::{Method, Response};

use super::{
    input_pieces::{InputPiece, next_piece},
    message::{self, MessageStyle},
    meta_command::{HELP, MetaCommand},
    name_cache::{self, NameCache},
    printer::{PrintedResult, ResultPrinter, TerminalFormat},
    request::StatementRequest,
    statement_hint::statement_hint,
    tokens::{QueryLanguage, SyntaxToken, tokens},
};
use crate::{
    client::{Client, ClientError},
    commands::{CommandError, CommandResult},
    table_names::TABLES,
};

/// Maximum size of a script file in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Maximum nesting depth of script files.
const MAX_DEPTH: usize = 8;

/// Lists the caches of the database.
const LAST_CACHES: &str = "SELECT * FROM system.last_caches ORDER BY \"table\", name";
const DISTINCT_CACHES: &str = "SELECT * FROM system.distinct_caches ORDER BY \"table\", name";

/// Settings of a session.
#[derive(Clone, Debug)]
pub(crate) struct ShellSettings {
    pub(crate) database: Option<String>,
    pub(crate) language: QueryLanguage,
    pub(crate) form: TerminalFormat,
    /// Time or stamp as of which queries are answered; `None` for now.
    pub(crate) as_of: Option<String>,
}

/// Outcome of a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputOutcome {
    Continue,
    /// An error occurred and was printed. The rest of the input is not executed.
    Failed,
    Quit,
}

/// Error of a statement or command.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("{}", message::of_client(.0))]
    Client(#[from] ClientError),
    #[error("{0}")]
    Message(String),
    /// The output is closed, so the session ends.
    #[error("{0}")]
    Output(io::Error),
}

impl SessionError {
    fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::Message(format!("{}: {error}", path.display()))
    }
}

/// A file for results.
#[derive(Debug)]
struct OutputFile {
    path: PathBuf,
    file: File,
}

/// A session between a user and a server.
#[derive(Debug)]
pub(super) struct ShellSession<'a> {
    console: &'a mut Console,
    client: Client,
    world: World,
    settings: ShellSettings,
    style: MessageStyle,
    names: NameCache,
    output: Option<OutputFile>,
    is_vertical: bool,
    tells_time: bool,
}

impl<'a> ShellSession<'a> {
    /// Creates a session without sending a request. Must be called within a Tokio runtime.
    pub(super) fn new(
        console: &'a mut Console,
        client: Client,
        world: World,
        settings: ShellSettings,
        style: MessageStyle,
    ) -> Self {
        let names = NameCache::new(client.clone(), world.clone());
        names.use_database(settings.database.as_deref());
        Self {
            console,
            client,
            world,
            settings,
            style,
            names,
            output: None,
            is_vertical: false,
            tells_time: true,
        }
    }

    /// Returns the names for completion.
    pub(super) fn names(&self) -> NameCache {
        self.names.clone()
    }

    /// Returns the language of the next input.
    pub(super) fn language(&self) -> QueryLanguage {
        self.settings.language
    }

    /// Returns the prompt: `home> `.
    pub(super) fn prompt(&self) -> String {
        let database = self.settings.database.as_deref().unwrap_or("(no database)");
        let language = match self.settings.language {
            QueryLanguage::Sql => "",
            QueryLanguage::Influxql => " influxql",
        };
        let as_of = match &self.settings.as_of {
            Some(as_of) => format!(" as of {as_of}"),
            None => String::new(),
        };
        format!("{database}{language}{as_of}> ")
    }

    /// Redirects results to a file.
    pub(super) fn open_output(&mut self, path: &Path) -> CommandResult {
        let file = File::create(path)
            .map_err(|error| CommandError::File { path: path.display().to_string(), error })?;
        self.output = Some(OutputFile { path: path.to_owned(), file });
        Ok(())
    }

    /// Runs the input, statement by statement, until one fails.
    pub(super) async fn run(&mut self, text: &str) -> CommandResult<InputOutcome> {
        self.run_text(text, 0).await.map_err(CommandError::Output)
    }

    /// Prints a warning.
    pub(super) fn warn(&mut self, warning: &str) {
        self.console.report(warning);
    }

    /// Prints that the running statement was cancelled.
    pub(super) fn tell_cancelled(&mut self) {
        self.console.out.flush().ok();
        self.console.report("\ncancelled");
    }

    fn run_text<'t>(
        &'t mut self,
        mut text: &'t str,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = io::Result<InputOutcome>> + Send + 't>> {
        Box::pin(async move {
            while let Some((piece, rest)) = next_piece(text, self.settings.language) {
                text = rest;
                let outcome = match piece {
                    InputPiece::Blank(_) => Ok(InputOutcome::Continue),
                    InputPiece::Command(line) => self.run_command(line, depth).await,
                    InputPiece::Statement(statement) | InputPiece::Unfinished(statement) => {
                        let outcome = self.run_statement(statement).await;
                        outcome.map(|()| InputOutcome::Continue)
                    }
                };
                match outcome {
                    Ok(InputOutcome::Continue) => {}
                    Ok(flow) => return Ok(flow),
                    Err(SessionError::Output(error)) => return Err(error),
                    Err(failure) => {
                        self.console.out.flush()?;
                        let line = self.style.error(&format!("error: {failure}"));
                        self.console.report(line);
                        return Ok(InputOutcome::Failed);
                    }
                }
            }
            Ok(InputOutcome::Continue)
        })
    }

    async fn run_command(
        &mut self,
        line: &str,
        depth: usize,
    ) -> Result<InputOutcome, SessionError> {
        let command =
            MetaCommand::parse(line).map_err(|error| SessionError::Message(error.to_string()))?;
        match command {
            MetaCommand::Leave => return Ok(InputOutcome::Quit),
            MetaCommand::Include(path) => return self.include(&path, depth).await,
            MetaCommand::Help => self.console.report(HELP),
            MetaCommand::Databases => self.list_databases().await?,
            MetaCommand::Use(database) => self.use_database(database).await?,
            MetaCommand::Tables => self.run_sql(TABLES).await?,
            MetaCommand::Columns { table } => self.list_columns(&table).await?,
            MetaCommand::Caches => {
                self.console.report("last value caches:");
                self.run_sql(LAST_CACHES).await?;
                self.console.report("distinct value caches:");
                self.run_sql(DISTINCT_CACHES).await?;
            }
            MetaCommand::Form(form) => self.settings.form = form,
            MetaCommand::Vertical => {
                self.is_vertical = !self.is_vertical;
                self.tell_switch("rows on lines of their own", self.is_vertical);
            }
            MetaCommand::Timing => {
                self.tells_time = !self.tells_time;
                self.tell_switch("times", self.tells_time);
            }
            MetaCommand::Output(path) => self.direct_output(path)?,
            MetaCommand::Language(language) => self.settings.language = language,
            MetaCommand::AsOf(as_of) => self.settings.as_of = as_of,
        }
        Ok(InputOutcome::Continue)
    }

    fn tell_switch(&mut self, what: &str, is_on: bool) {
        let state = if is_on { "on" } else { "off" };
        self.console.report(format_args!("{what}: {state}"));
    }

    async fn run_statement(&mut self, statement: &str) -> Result<(), SessionError> {
        let language = self.settings.language;
        let mut significant = tokens(statement, language).filter(SyntaxToken::is_significant);
        let Some(first) = significant.next().filter(|first| !first.is_symbol(";")) else {
            return Ok(());
        };
        let reads = ["select", "show", "explain", "with", "values", "describe"];
        let may_change = !reads.iter().any(|word| first.is_word(word));
        let trimmed = statement.trim();
        let text = trimmed.strip_suffix(';').unwrap_or(trimmed);
        let outcome = self.run_in(language, text).await;
        if may_change {
            self.names.expire();
        }
        outcome
    }

    /// Runs an internal statement of the shell.
    async fn run_sql(&mut self, sql: &str) -> Result<(), SessionError> {
        self.run_in(QueryLanguage::Sql, sql).await
    }

    async fn run_in(&mut self, language: QueryLanguage, text: &str) -> Result<(), SessionError> {
        let began = self.world.clock_reading();
        let request = self.request(language, text, self.form())?;
        let response = match request.send(&self.client).await {
            Ok(response) => response,
            Err(error) => {
                let hint = statement_hint(&self.client, &request, &error).await;
                return Err(match hint {
                    Some(hint) => {
                        let text = message::of_client(&error);
                        SessionError::Message(format!("{text}\n{}", terminal::shown(&hint)))
                    }
                    None => error.into(),
                });
            }
        };
        let printed = self.print(response).await?;
        let time = self.tells_time.then(|| self.world.elapsed(&began));
        let success = message::success(text, language).filter(|_| !printed.has_columns);
        let summary = match success {
            Some(success) => message::with_time(success, time),
            None => message::summary(printed.rows, time),
        };
        self.console.report(summary);
        Ok(())
    }

    /// Creates the request of a statement with the current settings.
    fn request<'r>(
        &'r self,
        language: QueryLanguage,
        text: &'r str,
        form: TerminalFormat,
    ) -> Result<StatementRequest<'r>, SessionError> {
        let database = self.settings.database.as_deref();
        if database.is_none() && language == QueryLanguage::Sql {
            let hint = "no database is selected: \\l lists the databases, \\c NAME selects one";
            return Err(SessionError::Message(hint.to_owned()));
        }
        Ok(StatementRequest {
            language,
            database,
            text,
            form: form.as_str(),
            as_of: self.settings.as_of.as_deref(),
        })
    }

    /// Returns the result format to request from the server.
    fn form(&self) -> TerminalFormat {
        if self.is_vertical {
            TerminalFormat::Jsonl
        } else {
            self.settings.form
        }
    }

    /// Prints a result while it arrives, or writes it into the file, and counts its rows.
    async fn print(&mut self, mut response: Response) -> Result<PrintedResult, SessionError> {
        let mut printer = if self.is_vertical {
            ResultPrinter::vertical()
        } else {
            ResultPrinter::new(self.settings.form)
        };
        let is_read = self.output.is_none() && self.console.out_is_terminal;
        let mut controls = ControlCharEscaper::new(is_read);
        while let Some(chunk) = self.client.next_chunk(&mut response).await? {
            self.put(|into| printer.print(&chunk, &mut controls.over(into)))?;
            // Yield, so that a fast result does not delay Ctrl-C.
            tokio::task::yield_now().await;
        }
        self.put(|into| printer.finish(&mut controls.over(into)))
    }

    /// Writes to the result destination.
    fn put<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> Result<T, SessionError> {
        match &mut self.output {
            Some(output) => {
                write(&mut output.file).map_err(|error| SessionError::of_file(&output.path, &error))
            }
            None => write(&mut self.console.out).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => SessionError::Message(error.to_string()),
                _ => SessionError::Output(error),
            }),
        }
    }

    async fn list_databases(&mut self) -> Result<(), SessionError> {
        let request = self
            .client
            .request(Method::GET, "/api/v3/configure/database")
            .query(&[("format", self.form().as_str())]);
        let response = self.client.send(request).await?;
        let printed = self.print(response).await?;
        self.console.report(message::summary(printed.rows, None));
        Ok(())
    }

    async fn use_database(&mut self, database: String) -> Result<(), SessionError> {
        let databases = name_cache::fetch_databases(&self.client).await?;
        if !databases.contains(&database) {
            return Err(SessionError::Message(format!("database not found: {database}")));
        }
        self.names.use_database(Some(&database));
        self.settings.database = Some(database);
        Ok(())
    }

    /// Lists columns with their types, and whether they are tags, which InfluxDB 3 stores as dictionaries.
    async fn list_columns(&mut self, table: &str) -> Result<(), SessionError> {
        let table_is = format!("table_schema = 'iox' AND table_name = {}", quoted_text(table));
        let sql =
            format!("SELECT table_name FROM information_schema.tables WHERE {table_is} LIMIT 1");
        let request = self.request(QueryLanguage::Sql, &sql, TerminalFormat::Jsonl)?;
        let mut found = request.send(&self.client).await?;
        if self.client.next_chunk(&mut found).await?.is_none() {
            return Err(SessionError::Message(format!("table not found: {table}")));
        }
        let sql = format!(
            "SELECT column_name, data_type, CASE WHEN data_type LIKE 'Dictionary%' THEN 'tag' \
             WHEN column_name = 'time' THEN 'time' ELSE 'field' END AS kind \
             FROM information_schema.columns WHERE {table_is} ORDER BY column_name"
        );
        self.run_sql(&sql).await
    }

    /// Runs a script file.
    async fn include(&mut self, path: &Path, depth: usize) -> Result<InputOutcome, SessionError> {
        if depth >= MAX_DEPTH {
            return Err(SessionError::Message(format!(
                "{}: files are nested too deeply",
                path.display()
            )));
        }
        let failed = |error: io::Error| SessionError::of_file(path, &error);
        let text = read_limited_text(path, MAX_FILE_BYTES).map_err(failed)?;
        let flow = self.run_text(&text, depth + 1).await;
        flow.map_err(SessionError::Output)
    }

    fn direct_output(&mut self, path: Option<PathBuf>) -> Result<(), SessionError> {
        self.output = None;
        match path {
            Some(path) => self
                .open_output(&path)
                .map_err(|error| SessionError::Message(error.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
