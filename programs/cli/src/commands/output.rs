//! Writes the result of a query to the console, streaming, or into a file.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use neap_server::{console::Console, terminal::ControlCharEscaper};
use reqwest::Response;

use super::{CommandError, CommandResult, options::OutputFormat};
use crate::client::Client;

/// Output options of commands that print a list.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputArgs {
    /// The form of the list.
    #[arg(long, value_enum, default_value = "pretty")]
    pub(super) format: OutputFormat,

    /// The file to put the list into.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl OutputArgs {
    /// Refuses to print a binary format to a terminal.
    ///
    /// # Errors
    ///
    /// [`CommandError::ParquetToTerminal`].
    pub(super) fn check(&self, console: &Console) -> CommandResult {
        check(self.format, self.output.as_deref(), console)
    }

    /// Prints a list that this process has rendered, or writes it into the file.
    ///
    /// # Errors
    ///
    /// It can't be printed or stored.
    pub(super) fn deliver_text(&self, text: &str, console: &mut Console) -> CommandResult {
        match &self.output {
            None => console.print_text(text).map_err(CommandError::Output),
            Some(path) => std::fs::write(path, format!("{text}\n"))
                .map_err(|error| CommandError::of_file(path, error)),
        }
    }

    /// Prints a list, or writes it into the file.
    pub(super) async fn deliver(
        &self,
        client: &Client,
        response: Response,
        console: &mut Console,
    ) -> CommandResult {
        deliver(client, response, self.format, self.output.as_deref(), console).await
    }
}

/// Refuses to print a binary format to a terminal.
///
/// # Errors
///
/// [`CommandError::ParquetToTerminal`].
pub(super) fn check(
    format: OutputFormat,
    output: Option<&Path>,
    console: &Console,
) -> CommandResult {
    if format == OutputFormat::Parquet && output.is_none() && console.out_is_terminal {
        Err(CommandError::ParquetToTerminal)
    } else {
        Ok(())
    }
}

/// Prints a result, or writes it into a file.
///
/// # Errors
///
/// The response is interrupted, or can't be printed or stored.
pub(super) async fn deliver(
    client: &Client,
    response: Response,
    format: OutputFormat,
    output: Option<&Path>,
    console: &mut Console,
) -> CommandResult {
    let Some(path) = output else {
        return print(client, response, format, console).await;
    };
    let failed = |error| CommandError::of_file(path, error);
    // Create the file only now, so that a failed query leaves an older result unchanged.
    let mut file = File::create(path).map_err(failed)?;
    copy(client, response, &mut file, failed).await.map(drop)
}

/// Prints a result, and adds a final line break unless it is binary.
async fn print(
    client: &Client,
    response: Response,
    format: OutputFormat,
    console: &mut Console,
) -> CommandResult {
    // Filter JSON as well, because it escapes neither DEL nor C1 characters.
    let mut controls =
        ControlCharEscaper::new(console.out_is_terminal && format != OutputFormat::Parquet);
    let mut out = controls.over(&mut console.out);
    let last = copy(client, response, &mut out, CommandError::Output).await?;
    if format != OutputFormat::Parquet && last != Some(b'\n') {
        console.out.write_all(b"\n").map_err(CommandError::Output)?;
    }
    console.out.flush().map_err(CommandError::Output)
}

/// Streams a response and returns its last byte.
async fn copy(
    client: &Client,
    mut response: Response,
    into: &mut (dyn Write + Send),
    failed: impl Fn(io::Error) -> CommandError,
) -> CommandResult<Option<u8>> {
    let mut last = None;
    while let Some(chunk) = client.next_chunk(&mut response).await? {
        into.write_all(&chunk).map_err(&failed)?;
        last = chunk.last().copied().or(last);
    }
    into.flush().map_err(failed)?;
    Ok(last)
}
