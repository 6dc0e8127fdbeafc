//! The shell of `neap query`: statements are typed, and answered, until somebody leaves.
//!
//! | piece | what it is |
//! |---|---|
//! | `tokens`, `pieces` | where statements and commands begin and end |
//! | `command` | the commands of the shell itself |
//! | `complete`, `words` | what Tab proposes |
//! | `names` | the names behind that, fetched in the background |
//! | `session` | what is set, and what statements and commands do |
//! | `printer`, `message` | results and what is said about them |
//! | `history` | the file of what was typed in earlier sessions |
//! | `editor` | the line on the terminal |

mod command;
mod complete;
mod editor;
mod history;
mod message;
mod names;
mod pieces;
mod printer;
mod request;
mod session;
#[cfg(test)]
mod testing;
mod tokens;
mod words;

use std::{io, path::Path, pin::pin, task::Poll};

use futures::FutureExt;
use neap_bucket::World;
use rustyline::error::ReadlineError;

use self::{
    editor::{Entered, LineEditor},
    history::HistoryFile,
    message::Style,
    session::{Flow, Session},
};
pub(crate) use self::{
    printer::Form, request::StatementRequest, session::Settings, tokens::Language,
};
use crate::{cli::CommandError, client::Client, console::Console};

const GREETING: &str = concat!(
    "Neap ",
    env!("CARGO_PKG_VERSION"),
    ". Statements end with a semicolon; \\? shows the commands, \\q leaves."
);

/// Talks to whoever sits at the terminal until they leave. Errors of statements are shown and don't end it.
///
/// # Errors
///
/// The terminal can't be used, or the file for the results can't be created.
pub(crate) async fn run(
    client: Client,
    settings: Settings,
    output: Option<&Path>,
    has_colors: bool,
    console: &mut Console,
    world: World,
) -> Result<(), CommandError> {
    console.report(GREETING);
    let (mut history, earlier) = load_history(console);
    let style = Style {
        has_colors: has_colors && console.err_is_terminal,
    };
    let mut session = Session::new(console, client, world, settings, style);
    if let Some(path) = output {
        session.open_output(path)?;
    }
    let mut editor = LineEditor::new(session.names(), earlier).map_err(no_terminal)?;
    loop {
        // The first poll puts the signal into our hands: from then on it ends no more than a statement.
        let mut interrupted = pin!(tokio::signal::ctrl_c().fuse());
        if let Poll::Ready(Err(error)) = futures::poll!(interrupted.as_mut()) {
            session.warn(&format!("Ctrl-C can't be caught: {error}"));
        }
        let (prompt, language) = (session.prompt(), session.language());
        let entered;
        (editor, entered) = read(editor, prompt, language).await?;
        let text = match entered {
            Ok(Entered::Text(text)) => text,
            Ok(Entered::Cancelled) => continue,
            // A terminal that is gone is an end, too.
            Ok(Entered::End) | Err(_) => return Ok(()),
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
                Flow::Continue | Flow::Failed => {}
                Flow::Leave => return Ok(()),
            },
        }
    }
}

/// The file of what was typed before, unless it can't be used, and what it has.
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

/// Reads on a thread of its own, so that what runs in the background goes on.
async fn read(
    mut editor: LineEditor,
    prompt: String,
    language: Language,
) -> Result<(LineEditor, Result<Entered, ReadlineError>), CommandError> {
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
