//! Input and output streams of a command: those of the process, or buffers in tests.

use std::{
    fmt,
    io::{self, IsTerminal, Read, Write},
};

use crate::terminal;

/// Maximum number of bytes read as the answer to a question.
const MAX_ANSWER_BYTES: usize = 1024;

/// The input and output of a command.
#[derive(derive_more::Debug)]
#[debug("Console {{ .. }}")]
pub struct Console {
    /// Results.
    pub out: Box<dyn Write + Send>,
    /// Questions, warnings and errors.
    pub err: Box<dyn Write + Send>,
    input: Box<dyn Read + Send>,
    /// `out` is a terminal.
    pub out_is_terminal: bool,
    /// `err` is a terminal.
    pub err_is_terminal: bool,
    /// The input is a terminal.
    pub input_is_terminal: bool,
    /// Colours are disabled (`NO_COLOR`).
    pub no_color: bool,
}

impl Console {
    /// Creates a console on the streams of this process.
    pub fn of_process() -> Self {
        Self {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            input_is_terminal: io::stdin().is_terminal(),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Box::new(io::stdin()),
            no_color: false,
        }
    }

    /// Creates a console on streams that are not terminals.
    pub fn new(
        input: impl Read + Send + 'static,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            input: Box::new(input),
            out_is_terminal: false,
            err_is_terminal: false,
            input_is_terminal: false,
            no_color: false,
        }
    }

    /// Returns whether results are printed in colours.
    pub fn out_has_colors(&self) -> bool {
        self.out_is_terminal && !self.no_color
    }

    /// Returns whether messages are printed in colours.
    pub fn err_has_colors(&self) -> bool {
        self.err_is_terminal && !self.no_color
    }

    /// Prints a line of the result.
    ///
    /// # Errors
    ///
    /// The output is closed or full.
    pub fn print(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Prints a line of the result that contains untrusted text; on a terminal, control characters are escaped.
    ///
    /// # Errors
    ///
    /// The output is closed or full.
    pub fn print_text(&mut self, line: &str) -> io::Result<()> {
        if self.out_is_terminal {
            self.print(terminal::shown(line))
        } else {
            self.print(line)
        }
    }

    /// Prints a message line; errors are ignored.
    pub fn report(&mut self, line: impl fmt::Display) {
        writeln!(self.err, "{line}").ok();
    }

    /// Prints a message line that contains untrusted text; on a terminal, control characters are escaped.
    pub fn report_text(&mut self, line: &str) {
        if self.err_is_terminal {
            self.report(terminal::shown(line))
        } else {
            self.report(line)
        }
    }

    /// Prints a question to the message stream and reads a line as the answer.
    ///
    /// # Errors
    ///
    /// The input can't be read or is not UTF-8.
    pub fn ask(&mut self, question: impl fmt::Display) -> io::Result<String> {
        self.report(question);
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.len() < MAX_ANSWER_BYTES && self.input.read(&mut byte)? == 1 {
            if byte == *b"\n" {
                break;
            }
            answer.extend_from_slice(&byte);
        }
        String::from_utf8(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Takes the input to read all of it.
    pub fn take_input(&mut self) -> Box<dyn Read + Send> {
        std::mem::replace(&mut self.input, Box::new(io::empty()))
    }
}

#[cfg(any(test, feature = "testing"))]
#[expect(clippy::expect_used, reason = "tests may panic")]
pub mod testing {
    //! Consoles with captured output.

    use std::{
        io::{self, Write},
        sync::{Arc, Mutex, PoisonError},
    };

    use super::Console;

    /// A buffer that captures printed text.
    #[derive(Clone, Debug, Default)]
    pub struct OutputBuffer(Arc<Mutex<Vec<u8>>>);

    impl OutputBuffer {
        /// Returns what was printed.
        pub fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(bytes.clone()).expect("printed text is UTF-8")
        }
    }

    impl Write for OutputBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            printed.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Creates a console with this input, and returns its captured results and messages.
    pub fn console(input: &str) -> (Console, OutputBuffer, OutputBuffer) {
        let (out, err) = (OutputBuffer::default(), OutputBuffer::default());
        let input = io::Cursor::new(input.to_owned().into_bytes());
        (Console::new(input, out.clone(), err.clone()), out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::console;

    #[test]
    fn control_characters_are_escaped_on_terminals_and_unchanged_elsewhere() {
        let (mut console, out, err) = console("");
        for is_terminal in [false, true] {
            (console.out_is_terminal, console.err_is_terminal) = (is_terminal, is_terminal);
            console.print_text("a\u{1b}[2Jb").unwrap();
            console.report_text("c\u{9b}2Jd");
        }
        assert_eq!(out.text(), "a\u{1b}[2Jb\na\\x1b[2Jb\n");
        assert_eq!(err.text(), "c\u{9b}2Jd\nc\\x9b2Jd\n");
    }

    #[test]
    fn a_question_is_a_message_and_its_answer_a_line() {
        let (mut console, out, err) = console("yes\nno\n");
        assert_eq!(console.ask("Sure?").unwrap(), "yes");
        assert_eq!(console.ask("Really?").unwrap(), "no");
        assert_eq!(console.ask("Now?").unwrap(), "");
        assert_eq!(out.text(), "");
        assert_eq!(err.text(), "Sure?\nReally?\nNow?\n");
    }
}
