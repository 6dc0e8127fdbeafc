//! A terminal that runs a program: tests press keys and read the screen.

use std::{
    fmt,
    io::{Read, Write},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};

use crate::harness::{neap_binary, wait_for};

/// Maximum wait for a text to appear.
const LIMIT: Duration = Duration::from_secs(120);
/// Enough rows that no output of a test scrolls away.
const ROWS: u16 = 300;
const COLUMNS: u16 = 150;

pub(super) const TAB: &str = "\t";
pub(super) const ENTER: &str = "\r";
pub(super) const UP: &str = "\u{1b}[A";
pub(super) const CTRL_C: &str = "\u{3}";
pub(super) const CTRL_D: &str = "\u{4}";
pub(super) const CTRL_R: &str = "\u{12}";

/// `neap` on a separate terminal, killed on drop.
pub(super) struct VirtualTerminal {
    child: Child,
    pty: Arc<Pty>,
    shown: Arc<Mutex<TerminalOutput>>,
    reader: Option<JoinHandle<()>>,
}

/// The output that a terminal has received.
struct TerminalOutput {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl fmt::Debug for VirtualTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Terminal").field(&self.screen()).finish()
    }
}

/// Further settings of a program.
#[derive(Default)]
pub(super) struct Options<'a> {
    /// Additional environment variables.
    pub(super) variables: &'a [(&'a str, &'a str)],
    /// Whether its standard output is a pipe.
    pub(super) pipe_out: bool,
    /// Whether its standard error is a pipe.
    pub(super) pipe_err: bool,
}

impl VirtualTerminal {
    /// Starts `neap` with this home folder.
    pub(super) fn run(arguments: &[&str], home: &Path) -> Self {
        Self::run_with(arguments, home, &Options::default())
    }

    pub(super) fn run_with(arguments: &[&str], home: &Path, options: &Options<'_>) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(ROWS, COLUMNS)).unwrap();
        let mut command = Command::new(neap_binary())
            .args(arguments)
            .env_clear()
            .env("HOME", home)
            .env("TERM", "xterm-256color")
            .envs(options.variables.iter().copied())
            .current_dir(home);
        if options.pipe_out {
            command = command.stdout(Stdio::piped());
        }
        if options.pipe_err {
            command = command.stderr(Stdio::piped());
        }
        let child = command.spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let shown = Arc::new(Mutex::new(TerminalOutput {
            parser: vt100::Parser::new(ROWS, COLUMNS, 0),
            bytes: Vec::new(),
        }));
        let reader = {
            let (pty, shown) = (Arc::clone(&pty), Arc::clone(&shown));
            thread::spawn(move || read(&pty, &shown))
        };
        Self { child, pty, shown, reader: Some(reader) }
    }

    /// Presses keys.
    pub(super) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line, and waits for the next prompt. Returns the output in between.
    pub(super) fn enter(&self, line: &str, prompt: &str) -> String {
        let before = self.screen().lines().count();
        self.press(line);
        self.press(ENTER);
        let what = format!("prompt after {line:?}");
        self.wait_for(&what, |screen| {
            let lines: Vec<_> = screen.lines().collect();
            let is_over = lines.len() > before && lines.last() == Some(&prompt.trim_end());
            is_over.then(|| lines[before..lines.len() - 1].join("\n"))
        })
    }

    /// Waits for a text on the screen.
    pub(super) fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |screen| screen.contains(text).then_some(()));
    }

    /// Waits until the last line of the screen is `line`, ignoring trailing spaces.
    pub(super) fn wait_for_line(&self, line: &str) {
        let line = line.trim_end();
        self.wait_for(line, |screen| (screen.lines().last() == Some(line)).then_some(()));
    }

    /// Waits until `look` finds something on the screen.
    pub(super) fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> T {
        wait_for(what, LIMIT, || look(&self.screen()))
    }

    /// Returns the lines of the screen down to the last one with text.
    pub(super) fn screen(&self) -> String {
        let contents = self.shown.lock().unwrap().parser.screen().contents();
        let lines: Vec<_> = contents.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// Returns everything that was sent to the terminal, including escapes and overwritten text.
    pub(super) fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap().bytes).into_owned()
    }

    /// Waits for the end of the program. Returns its exit status and the piped output: results, or else messages.
    pub(super) fn end(&mut self) -> (Option<i32>, String) {
        let status = wait_for("end of the program", LIMIT, || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let mut piped = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut piped).unwrap();
        }
        if let Some(mut err) = self.child.stderr.take() {
            err.read_to_string(&mut piped).unwrap();
        }
        (status.code(), piped)
    }
}

impl Drop for VirtualTerminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("--- the terminal:\n{}", self.screen());
        }
    }
}

/// Reads until all processes have closed the terminal.
fn read(mut pty: &Pty, shown: &Mutex<TerminalOutput>) {
    let mut buffer = [0; 16 * 1024];
    // At the end of the output, Linux reports an error.
    while let Ok(length @ 1..) = pty.read(&mut buffer) {
        let mut shown = shown.lock().unwrap();
        shown.parser.process(&buffer[..length]);
        shown.bytes.extend_from_slice(&buffer[..length]);
    }
}
