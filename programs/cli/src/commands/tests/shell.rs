//! Parses command lines like a shell, for examples and guides.

use std::{iter::Peekable, mem, str::Chars};

/// A command of a script.
#[derive(Debug, Default)]
pub(crate) struct ShellCommand {
    /// The words, unquoted, without redirections.
    pub(crate) words: Vec<String>,
}

/// Splits a script into commands: separated by line breaks, `;`, `|` or `&`.
pub(crate) fn commands(script: &str) -> Vec<ShellCommand> {
    let mut reader = ScriptReader {
        chars: script.chars().peekable(),
        commands: Vec::new(),
        command: ShellCommand::default(),
        word: None,
        is_redirected: false,
    };
    reader.read();
    reader.commands
}

struct ScriptReader<'a> {
    chars: Peekable<Chars<'a>>,
    commands: Vec<ShellCommand>,
    command: ShellCommand,
    word: Option<String>,
    is_redirected: bool,
}

impl ScriptReader<'_> {
    fn read(&mut self) {
        while let Some(char) = self.chars.next() {
            match char {
                '\\' => match self.chars.next() {
                    Some('\n') | None => {}
                    Some(escaped) => self.push(escaped),
                },
                '\'' => {
                    self.word.get_or_insert_default();
                    while let Some(quoted) = self.chars.next_if(|char| *char != '\'') {
                        self.push(quoted);
                    }
                    self.chars.next();
                }
                '"' => self.double_quoted(),
                '#' if self.word.is_none() => {
                    while self.chars.next_if(|char| *char != '\n').is_some() {}
                }
                '\n' | ';' | '|' | '&' => self.end_command(),
                '<' | '>' => {
                    self.end_word();
                    self.is_redirected = true;
                }
                char if char.is_whitespace() => self.end_word(),
                char => self.push(char),
            }
        }
        self.end_command();
    }

    fn double_quoted(&mut self) {
        self.word.get_or_insert_default();
        while let Some(quoted) = self.chars.next_if(|char| *char != '"') {
            let escaped = (quoted == '\\')
                .then(|| self.chars.next_if(|char| matches!(char, '"' | '\\' | '$')));
            self.push(escaped.flatten().unwrap_or(quoted));
        }
        self.chars.next();
    }

    fn push(&mut self, char: char) {
        self.word.get_or_insert_default().push(char);
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else {
            return;
        };
        if !mem::take(&mut self.is_redirected) {
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = mem::take(&mut self.command);
        if !command.words.is_empty() {
            self.commands.push(command);
        }
    }
}

#[test]
fn scripts_are_read_as_shells_do() {
    let script = "# comment\na 'b c' \"d \\\"e\\\"\" f\\ g \\\n  h#i > file && j | k < l\n\n$ m ''";
    let words: Vec<_> = commands(script).into_iter().map(|command| command.words).collect();
    let expected: [&[&str]; 4] =
        [&["a", "b c", "d \"e\"", "f g", "h#i"], &["j"], &["k"], &["$", "m", ""]];
    assert_eq!(words, expected);
}
