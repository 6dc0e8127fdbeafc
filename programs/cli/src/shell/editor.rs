//! The input line: a thin layer over the line editor library.

use rustyline::{
    CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::MemHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{
    completion, history::MAX_ENTRIES, input_pieces::is_complete, name_cache::NameCache,
    tokens::QueryLanguage,
};

/// Input at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PromptInput {
    /// Complete statements or a command.
    Text(String),
    /// Ctrl-C: the line is discarded.
    Cancelled,
    /// Ctrl-D: end of input.
    End,
}

/// A line editor on the terminal of this process.
pub(super) struct LineEditor {
    editor: Editor<StatementHelper, MemHistory>,
}

impl LineEditor {
    /// Creates an editor with earlier entries as history.
    pub(super) fn new(names: NameCache, earlier: Vec<String>) -> Result<Self, ReadlineError> {
        let config = Config::builder()
            .max_history_size(MAX_ENTRIES)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .build();
        let mut editor = Editor::with_history(config.clone(), MemHistory::with_config(&config))?;
        editor.set_helper(Some(StatementHelper { names, language: QueryLanguage::Sql }));
        let mut editor = Self { editor };
        for entry in earlier {
            editor.remember(entry);
        }
        Ok(editor)
    }

    /// Reads until the input is complete.
    pub(super) fn read(
        &mut self,
        prompt: &str,
        language: QueryLanguage,
    ) -> Result<PromptInput, ReadlineError> {
        if let Some(helper) = self.editor.helper_mut() {
            helper.language = language;
        }
        match self.editor.readline(prompt) {
            Ok(text) => Ok(PromptInput::Text(text)),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {
                Ok(PromptInput::Cancelled)
            }
            Err(ReadlineError::Eof) => Ok(PromptInput::End),
            Err(error) => Err(error),
        }
    }

    /// Adds an entry to the history of the arrow keys and Ctrl-R.
    pub(super) fn remember(&mut self, entry: String) {
        // The in-memory history accepts any entry.
        self.editor.add_history_entry(entry).ok();
    }
}

/// Callbacks of the editor: validation and completion.
#[derive(Debug)]
struct StatementHelper {
    names: NameCache,
    language: QueryLanguage,
}

impl Helper for StatementHelper {}

impl Highlighter for StatementHelper {}

impl Hinter for StatementHelper {
    type Hint = String;
}

impl Validator for StatementHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input(), self.language) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for StatementHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let names = self.names.current();
        let completion = completion::complete(line, cursor, self.language, &names);
        let pairs = completion
            .candidates
            .into_iter()
            .map(|candidate| Pair { display: candidate.shown, replacement: candidate.text });
        Ok((completion.start, pairs.collect()))
    }
}
