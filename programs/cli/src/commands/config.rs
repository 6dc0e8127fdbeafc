//! Reads the configuration file: TOML with options under their names.
//!
//! ```toml
//! bucket = "metrics"              # an option of any command that has one of this name
//! aws-default-region = "eu-central-1"
//!
//! [serve]                         # options of `neap serve`
//! http-bind = "0.0.0.0:8181"
//! mode = ["query", "compact"]
//!
//! [client]                        # how commands reach a server
//! host = "https://neap.example.org"
//! ```
//!
//! Flags and environment variables take precedence. A file with an unknown name or an invalid value is refused as a
//! whole; the error lists every mistake with its line.

mod check;
mod value;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use clap::{Arg, Command};
use neap_bucket::read_limited_text;
use neap_server::Variables;
use toml::de::{DeTable, DeValue};

pub(super) use self::check::{ConfigCommand, run};
use super::client_flags::CLIENT_FLAGS;
use crate::nearest_name::nearest_name;

/// File name in the searched folders.
const FILE: &str = "neap.toml";
/// Environment variable that names another file.
pub(super) const CONFIG_VARIABLE: &str = "NEAP_CONFIG";
/// Folder of the system-wide configuration.
const SYSTEM_FOLDER: &str = "/etc/neap";
/// Maximum size of a configuration file: 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// Flags that a file can't set, because they apply to a single call.
const NOT_IN_FILES: [&str; 4] = ["config", "help", "help-all", "version"];

/// Error in the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{path}: {error}")]
    Read { path: String, error: io::Error },
    /// The file has mistakes, listed one per line.
    #[error("{0}")]
    Invalid(String),
}

/// A section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConfigSection {
    /// Before the first section header.
    Top,
    /// `[serve]`
    Serve,
    /// `[client]`
    Client,
}

impl ConfigSection {
    fn named(name: &str) -> Option<Self> {
        match name {
            "serve" => Some(Self::Serve),
            "client" => Some(Self::Client),
            _ => None,
        }
    }

    fn holds(self, flag: &str, is_of_serve: bool) -> bool {
        let is_of_client = CLIENT_FLAGS.contains(&flag);
        match self {
            Self::Top => is_of_client || is_of_serve,
            Self::Serve => is_of_serve,
            Self::Client => is_of_client,
        }
    }
}

/// The value of an option in a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ConfigSetting {
    /// The values, as command-line arguments.
    pub(super) values: Vec<String>,
    /// The line in the file, from 1.
    pub(super) line: usize,
}

/// A valid configuration file.
#[derive(Clone, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    settings: BTreeMap<(ConfigSection, String), ConfigSetting>,
}

impl fmt::Debug for ConfigFile {
    /// Shows names only, because values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

impl ConfigFile {
    /// Returns the file's value of an option of a command.
    pub(super) fn get(&self, command: &str, flag: &str) -> Option<&ConfigSetting> {
        let own = match command {
            "serve" => Some(ConfigSection::Serve),
            _ if CLIENT_FLAGS.contains(&flag) => Some(ConfigSection::Client),
            _ => None,
        };
        let sections = own.into_iter().chain([ConfigSection::Top]);
        let mut found = sections.filter_map(|section| self.settings.get(&(section, flag.into())));
        found.next()
    }

    /// Parses the file's text. `definition` is the command line, which declares the options.
    fn parse(path: &Path, text: &str, definition: &Command) -> Result<Self, ConfigError> {
        let mut reader = ConfigReader {
            text,
            options: Options::from_definition(definition),
            settings: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        match DeTable::parse(text) {
            Ok(table) => reader.read(table.get_ref(), ConfigSection::Top),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                reader.mistake(at, error.message());
            }
        }
        if !reader.mistakes.is_empty() {
            reader.mistakes.sort_by_key(|(line, _)| *line);
            let lines = reader
                .mistakes
                .iter()
                .map(|(line, text)| format!("{}:{line}: {text}", path.display()));
            return Err(ConfigError::Invalid(lines.collect::<Vec<_>>().join("\n")));
        }
        Ok(Self { path: path.to_owned(), settings: reader.settings })
    }
}

/// Options that a file may set, by name.
struct Options {
    of_serve: BTreeMap<String, Arg>,
    of_clients: BTreeMap<String, Arg>,
}

impl Options {
    fn from_definition(definition: &Command) -> Self {
        Self {
            of_serve: flags_of(definition, "serve"),
            of_clients: flags_of(definition, "query")
                .into_iter()
                .chain(flags_of(definition, "write"))
                .filter(|(flag, _)| CLIENT_FLAGS.contains(&flag.as_str()))
                .collect(),
        }
    }

    /// Returns the names of the options of a section.
    fn names(&self, section: ConfigSection) -> impl Iterator<Item = &str> {
        let all = self.of_serve.keys().chain(self.of_clients.keys());
        all.filter(move |flag| section.holds(flag, self.of_serve.contains_key(*flag)))
            .map(String::as_str)
    }

    fn find(&self, section: ConfigSection, flag: &str) -> Option<&Arg> {
        let is_of_serve = self.of_serve.contains_key(flag);
        if !section.holds(flag, is_of_serve) {
            return None;
        }
        let of_clients = self.of_clients.get(flag);
        self.of_serve.get(flag).or(of_clients)
    }
}

/// Returns the flags of a command by name.
fn flags_of(definition: &Command, command: &str) -> BTreeMap<String, Arg> {
    let command = definition.find_subcommand(command);
    let args = command.into_iter().flat_map(Command::get_arguments);
    args.filter_map(|arg| Some((arg.get_long()?.to_owned(), arg.clone())))
        .filter(|(flag, _)| !NOT_IN_FILES.contains(&flag.as_str()))
        .collect()
}

/// Parser state for one file.
struct ConfigReader<'a> {
    text: &'a str,
    options: Options,
    settings: BTreeMap<(ConfigSection, String), ConfigSetting>,
    mistakes: Vec<(usize, String)>,
}

impl ConfigReader<'_> {
    fn line_of(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn mistake(&mut self, at: usize, text: impl fmt::Display) {
        let line = self.line_of(at);
        // One line per mistake.
        let text = text.to_string().replace('\n', " ");
        self.mistakes.push((line, text));
    }

    fn read(&mut self, table: &DeTable<'_>, section: ConfigSection) {
        for (key, value) in table {
            let at = key.span().start;
            let name = key.get_ref().as_ref();
            let inner = ConfigSection::named(name).filter(|_| section == ConfigSection::Top);
            if let (Some(inner), DeValue::Table(table)) = (inner, value.get_ref()) {
                self.read(table, inner);
                continue;
            }
            let flag = name.replace('_', "-");
            let Some(arg) = self.options.find(section, &flag) else {
                self.mistake(at, self.unknown(name, section, value.get_ref()));
                continue;
            };
            let values = value::texts(value.get_ref(), arg)
                .and_then(|values| value::check(arg, &flag, &values).map(|()| values));
            let line = self.line_of(at);
            match values {
                Err(reason) => self.mistake(at, format_args!("{name}: {reason}")),
                Ok(values) => {
                    let setting = ConfigSetting { values, line };
                    if let Some(twice) = self.settings.insert((section, flag), setting) {
                        let first = twice.line;
                        self.mistake(at, format_args!("{name} is already set in line {first}"));
                    }
                }
            }
        }
    }

    fn unknown(&self, name: &str, section: ConfigSection, value: &DeValue<'_>) -> String {
        let place = match section {
            ConfigSection::Top if value.is_table() => {
                return format!("unknown section [{name}]");
            }
            ConfigSection::Top => "",
            ConfigSection::Serve => " of serve",
            ConfigSection::Client => " of clients",
        };
        let nearest = nearest_name(&name.replace('_', "-"), self.options.names(section));
        let meant = nearest.map_or(String::new(), |nearest| format!(": is {nearest} meant?"));
        format!("unknown option {name}{place}{meant}")
    }
}

/// Returns the file named with `--config`.
pub(super) fn named_in(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        let named = arg.to_str().and_then(|arg| arg.strip_prefix("--config="));
        if let Some(path) = named {
            return Some(path.into());
        }
    }
    None
}

/// Reads the named file, or else the first existing file of the search path.
///
/// # Errors
///
/// The named file does not exist, or the file has mistakes.
pub(super) fn find(
    named: Option<PathBuf>,
    variables: &impl Variables,
    definition: &Command,
) -> Result<Option<ConfigFile>, ConfigError> {
    if let Some(path) = named.or_else(|| variables.get(CONFIG_VARIABLE).map(PathBuf::from)) {
        return match read_limited_text(&path, MAX_BYTES) {
            Ok(text) => ConfigFile::parse(&path, &text, definition).map(Some),
            Err(error) => Err(unreadable(&path, error)),
        };
    }
    for path in usual_places(variables) {
        match read_limited_text(&path, MAX_BYTES) {
            Ok(text) => return ConfigFile::parse(&path, &text, definition).map(Some),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    Ok(None)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: io::Error) -> ConfigError {
    ConfigError::Read { path: path.display().to_string(), error }
}

fn usual_places(variables: &impl Variables) -> Vec<PathBuf> {
    let of_user = variables.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || Some(Path::new(variables.get("HOME")?).join(".config"));
    let of_user = of_user.or_else(home).map(|folder| folder.join("neap"));
    [Some(PathBuf::new()), of_user, Some(PathBuf::from(SYSTEM_FOLDER))]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(FILE))
        .collect()
}

#[cfg(test)]
mod tests;
