//! `neap query`: runs SQL, InfluxQL or PromQL from an argument, a file or the standard input, or interactively on a terminal.

use std::path::PathBuf;

use clap::{
    Args, Command, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use neap_bucket::World;
use neap_server::{Variables, console::Console, terminal::ControlCharEscaper};
use reqwest::{Response, Url};

use super::{
    CommandError, CommandResult, Environment,
    input_text::InputText,
    options::{ConnectionArgs, OutputFormat, parse_url},
    output,
    promql::{Expression, PromqlTimes},
};
use crate::{
    client::Client,
    shell::{self, QueryLanguage, ResultPrinter, ShellSettings, StatementRequest, TerminalFormat},
    times::as_of_for_server,
};

/// The options of `neap query`.
#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The name of the database. The shell starts without one, too.
    #[arg(short = 'd', long = "database", value_name = "NAME")]
    database: Option<String>,

    /// The query, in quotes. Without a query, a terminal becomes a shell for statements.
    query: Vec<String>,

    /// A file with the query. `-` is the standard input.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,

    /// The language of the query.
    #[arg(short = 'l', long, value_enum, default_value = "sql")]
    language: StatementLanguage,

    /// The form of the result.
    #[arg(long, value_enum, default_value = "pretty")]
    format: OutputFormat,

    /// The file to put the result into.
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Answer as the database was at a time such as 2026-01-31T12:00:00Z, or as of a stamp that a write was
    /// given. `neap show versions` tells how far back that goes.
    #[arg(long, value_name = "TIME|STAMP", value_parser = as_of_for_server)]
    as_of: Option<String>,

    /// The server to query, if it is not that of --host.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    query_host: Option<Url>,

    #[command(flatten)]
    promql: PromqlTimes,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The languages of queries. The shell has those of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StatementLanguage {
    /// SQL, much like PostgreSQL's.
    Sql,
    /// InfluxQL.
    Influxql,
    /// PromQL.
    Promql,
}

impl StatementLanguage {
    /// Returns the language of a statement; `None` for expressions.
    fn of_statement(self) -> Option<QueryLanguage> {
        match self {
            Self::Sql => Some(QueryLanguage::Sql),
            Self::Influxql => Some(QueryLanguage::Influxql),
            Self::Promql => None,
        }
    }
}

/// Runs the query and prints its result or writes it into a file; without a query on a terminal, runs the shell.
pub(super) async fn run(
    args: &QueryArgs,
    environment: &Environment,
    console: &mut Console,
    world: World,
) -> CommandResult {
    output::check(args.format, args.output.as_deref(), console)?;
    let language = args.language.of_statement();
    if language.is_some() {
        args.promql.check_unused()?;
    }
    let is_given = !args.query.is_empty() || args.file.is_some();
    if let Some(language) = language
        && !is_given
        && console.input_is_terminal
        && console.out_is_terminal
    {
        return run_shell(args, language, environment, console, world).await;
    }
    let database = args.database.as_deref().ok_or_else(no_database)?;
    let command = format!("neap query --database {database}");
    let given = InputText {
        what: "query",
        command: &command,
        arguments: &args.query,
        files: args.file.as_slice(),
    };
    let query = given.read(console)?;
    let client = args.connection.client(args.query_host.as_ref())?;
    let Some(language) = language else {
        let expression = Expression {
            database,
            text: &query,
            times: &args.promql,
            as_of: args.as_of.as_deref(),
        };
        let output = args.output.as_deref();
        return expression.run(&client, args.format, output, console).await;
    };
    let statements = match language {
        QueryLanguage::Sql => shell::sql_statements(&query),
        QueryLanguage::Influxql => vec![query.as_str()],
    };
    let has_one_result = args.output.is_some() || args.format == OutputFormat::Parquet;
    if has_one_result && statements.len() > 1 {
        return Err(CommandError::SeveralResults);
    }
    for text in statements {
        let request = StatementRequest {
            language,
            database: Some(database),
            text,
            form: args.format.as_str(),
            as_of: args.as_of.as_deref(),
        };
        run_statement(&client, &request, args, console).await?;
    }
    Ok(())
}

/// Executes a statement, and prints its result or writes it into the file.
async fn run_statement(
    client: &Client,
    request: &StatementRequest<'_>,
    args: &QueryArgs,
    console: &mut Console,
) -> CommandResult {
    let response = match request.send(client).await {
        Ok(response) => response,
        Err(error) => {
            let hint = shell::statement_hint(client, request, &error).await;
            return Err(match hint {
                Some(hint) => CommandError::Statement { error, hint },
                None => error.into(),
            });
        }
    };
    match (args.format, args.output.as_deref()) {
        (OutputFormat::Pretty, None) => print_table(client, response, request, console).await,
        (format, output) => output::deliver(client, response, format, output, console).await,
    }
}

/// Prints a table; for a result without columns, that the statement has succeeded.
async fn print_table(
    client: &Client,
    mut response: Response,
    request: &StatementRequest<'_>,
    console: &mut Console,
) -> CommandResult {
    let mut printer = ResultPrinter::new(TerminalFormat::Pretty);
    let mut controls = ControlCharEscaper::new(console.out_is_terminal);
    while let Some(chunk) = client.next_chunk(&mut response).await? {
        printer
            .print(&chunk, &mut controls.over(&mut console.out))
            .map_err(CommandError::Output)?;
    }
    let printed = printer.finish(&mut controls.over(&mut console.out));
    if printed.map_err(CommandError::Output)?.has_columns {
        return Ok(());
    }
    let success = shell::success(request.text, request.language);
    console
        .print(success.as_deref().unwrap_or(shell::NO_TABLE.trim_end()))
        .map_err(CommandError::Output)
}

async fn run_shell(
    args: &QueryArgs,
    language: QueryLanguage,
    environment: &Environment,
    console: &mut Console,
    world: World,
) -> CommandResult {
    let form = match args.format {
        OutputFormat::Pretty => TerminalFormat::Pretty,
        OutputFormat::Json => TerminalFormat::Json,
        OutputFormat::Jsonl => TerminalFormat::Jsonl,
        OutputFormat::Csv => TerminalFormat::Csv,
        // A Parquet file holds one result, so a query is required.
        OutputFormat::Parquet => return Err(CommandError::MissingInput("query")),
    };
    let settings = ShellSettings {
        database: args.database.clone(),
        language,
        form,
        as_of: args.as_of.clone(),
    };
    let client = args.connection.client(args.query_host.as_ref())?;
    let has_colors =
        environment.get("NO_COLOR").is_none() && environment.get("TERM") != Some("dumb");
    let output = args.output.as_deref();
    shell::run(client, settings, output, has_colors, console, world).await
}

/// Creates the parser's error for a missing option that only the shell does not require.
fn no_database() -> CommandError {
    let mut command = QueryArgs::augment_args(Command::new("neap query"))
        .mut_arg("database", |option| option.required(true));
    let mut error = clap::Error::new(ErrorKind::MissingRequiredArgument).with_cmd(&command);
    let missing = vec!["--database <NAME>".to_owned()];
    error.insert(ContextKind::InvalidArg, ContextValue::Strings(missing));
    let usage = ContextValue::StyledStr(command.render_usage());
    error.insert(ContextKind::Usage, usage);
    CommandError::Usage(error)
}
