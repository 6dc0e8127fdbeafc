//! The interactive shell of `neap query`.
//!
//! | module | contents |
//! |---|---|
//! | `tokens`, `input_pieces` | splits input into statements and commands |
//! | `meta_command` | the meta-commands of the shell |
//! | `completion`, `keywords` | completion proposals |
//! | `name_cache` | the names for completion, fetched in the background |
//! | `session` | session settings, and the execution of statements and commands |
//! | `printer`, `message`, `statement_hint` | printing of results, messages and errors |
//! | `history` | the history file |
//! | `editor` | the input line on the terminal |

mod completion;
mod editor;
mod history;
mod input_pieces;
mod keywords;
mod message;
mod meta_command;
mod name_cache;
mod printer;
mod request;
mod session;
mod statement_hint;
#[cfg(test)]
mod testing;
mod tokens;

use std::{io, path::Path, pin::pin, task::Poll};

use futures::FutureExt;
use neap_bucket::World;
use neap_server::console::Console;
use rustyline::error::ReadlineError;

use self::{
    editor::{LineEditor, PromptInput},
    history::HistoryFile,
    message::MessageStyle,
    session::{InputOutcome, ShellSession},
};
pub(crate) use self::{
    input_pieces::sql_statements,
    message::success,
    printer::{NO_TABLE, ResultPrinter, TerminalFormat},
    request::StatementRequest,
    session::ShellSettings,
    statement_hint::statement_hint,
    tokens::QueryLanguage,
};
use crate::{
    client::Client,
    commands::{CommandError, CommandResult},
};

const GREETING: &str = concat!(
    "Neap ",
    env!("CARGO_PKG_VERSION"),
    ". Statements end with a semicolon; \\? shows the commands, \\q leaves."
);

/// Runs the shell until the user leaves. Errors of statements are shown and don't end it.
///
/// # Errors
///
/// The terminal can't be used, or the file for the results can't be created.
pub(crate) async fn run(
    client: Client,
    settings: ShellSettings,
    output: Option<&Path>,
    has_colors: bool,
    console: &mut Console,
    world: World,
) -> CommandResult {
    console.report(GREETING);
    let (mut history, earlier) = load_history(console);
    let style = MessageStyle { has_colors: has_colors && console.err_is_terminal };
    let mut session = ShellSession::new(console, client, world, settings, style);
    if let Some(path) = output {
        session.open_output(path)?;
    }
    let mut editor = LineEditor::new(session.names(), earlier).map_err(no_terminal)?;
    loop {
        // The first poll installs the signal handler: from then on, Ctrl-C only cancels a statement.
        let mut interrupted = pin!(tokio::signal::ctrl_c().fuse());
        if let Poll::Ready(Err(error)) = futures::poll!(interrupted.as_mut()) {
            session.warn(&format!("Ctrl-C can't be caught: {error}"));
        }
        let (prompt, language) = (session.prompt(), session.language());
        let entered;
        (editor, entered) = read(editor, prompt, language).await?;
        let text = match entered {
            Ok(PromptInput::Text(text)) => text,
            Ok(PromptInput::Cancelled) => continue,
            // A closed terminal ends the shell, too.
            Ok(PromptInput::End) | Err(_) => return Ok(()),
        };
        if !text.trim().is_empty() {
            editor.remember(text.clone());
            let kept = history.as_ref().map_or(Ok(()), |file| file.append(&text));
            if let Err(error) = kept {
                session.warn(&format!("the history can't be written: {error}"));
                history = None;
            }
        }
        tokio::select! {
            biased;
            _ = interrupted => session.tell_cancelled(),
            flow = session.run(&text) => match flow? {
                InputOutcome::Continue | InputOutcome::Failed => {}
                InputOutcome::Quit => return Ok(()),
            },
        }
    }
}

/// Opens the history file and loads its entries; returns no file if it is unusable.
fn load_history(console: &mut Console) -> (Option<HistoryFile>, Vec<String>) {
    let Some(file) = HistoryFile::of_user() else {
        return (None, Vec::new());
    };
    match file.load() {
        Ok(earlier) => (Some(file), earlier),
        Err(error) => {
            console.report(format_args!("the history can't be read: {error}"));
            (None, Vec::new())
        }
    }
}

/// Reads on a separate thread, so that background tasks continue.
async fn read(
    mut editor: LineEditor,
    prompt: String,
    language: QueryLanguage,
) -> CommandResult<(LineEditor, Result<PromptInput, ReadlineError>)> {
    let read = move || {
        let entered = editor.read(&prompt, language);
        (editor, entered)
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| CommandError::Input(io::Error::other(error)))
}

fn no_terminal(error: ReadlineError) -> CommandError {
    CommandError::Input(match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other),
    })
}
