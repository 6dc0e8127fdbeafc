//! The variables of a session (`SET`, `SHOW`).

use std::{collections::BTreeMap, time::Duration};

use neap_bucket::Stamp;
use neap_sql_changes::{SqlError, SqlState};

/// The version that clients compare with those of PostgreSQL, to choose what they ask for.
pub(crate) const SERVER_VERSION: &str = "16.6";

/// Maximum bytes of a value.
const MAX_VALUE_BYTES: usize = 1 << 10;

/// Variable that bounds the time of a statement.
const STATEMENT_TIMEOUT: &str = "statement_timeout";
/// Variable with the maximum age of a snapshot.
const MAX_STALENESS: &str = "neap.max_staleness";
/// Variable with a stamp that answers must include.
const AFTER: &str = "neap.after";

/// The known variables: their names as PostgreSQL spells them, their defaults, and whether their values are reported to
/// clients. Those with an effect: `statement_timeout`, `neap.max_staleness`, `neap.after`. Clients set the others and expect
/// them to be known.
const VARIABLES: [(&str, &str, bool); 36] = [
    ("application_name", "", true),
    ("bytea_output", "hex", false),
    ("client_encoding", "UTF8", true),
    ("client_min_messages", "notice", false),
    ("DateStyle", "ISO, YMD", true),
    ("default_table_access_method", "heap", false),
    ("default_transaction_isolation", "repeatable read", false),
    ("default_transaction_read_only", "off", true),
    ("extra_float_digits", "1", false),
    ("force_parallel_mode", "off", false),
    ("geqo", "on", false),
    ("idle_in_transaction_session_timeout", "0", false),
    ("in_hot_standby", "off", true),
    ("integer_datetimes", "on", true),
    ("IntervalStyle", "postgres", true),
    ("is_superuser", "off", true),
    ("jit", "off", false),
    ("lc_collate", "C", false),
    ("lc_ctype", "C", false),
    ("lock_timeout", "0", false),
    ("max_identifier_length", "63", false),
    ("max_index_keys", "32", false),
    (AFTER, "", false),
    (MAX_STALENESS, "", false),
    ("row_security", "on", false),
    ("search_path", "iox", true),
    ("server_encoding", "UTF8", true),
    ("server_version", SERVER_VERSION, true),
    ("server_version_num", "160006", false),
    ("session_authorization", "", true),
    ("standard_conforming_strings", "on", true),
    (STATEMENT_TIMEOUT, "0", false),
    ("synchronize_seqscans", "on", false),
    ("TimeZone", "UTC", true),
    ("transaction_isolation", "repeatable read", false),
    ("transaction_read_only", "off", false),
];

#[derive(Clone, Debug, Default)]
pub(crate) struct SessionVariables {
    values: BTreeMap<&'static str, String>,
    /// The values at the start of the session, to which `RESET` returns.
    initial: BTreeMap<&'static str, String>,
}

impl SessionVariables {
    /// Takes the values of a startup message. Unknown names are ignored, because drivers add some of their own.
    pub(crate) fn from_startup(
        user: &str,
        mut parameters: BTreeMap<String, String>,
    ) -> Result<Self, SqlError> {
        let mut variables = Self::default();
        for (name, value) in command_line_options(&parameters.remove("options").unwrap_or_default())
        {
            parameters.insert(name, value);
        }
        for (name, value) in parameters {
            if known(&name).is_some() {
                variables.set(&name, Some(value))?;
            }
        }
        variables.values.insert("session_authorization", user.to_owned());
        variables.initial = variables.values.clone();
        Ok(variables)
    }

    /// Sets a variable; `None` sets its default.
    ///
    /// # Errors
    /// The variable is unknown, or the value is invalid.
    pub(crate) fn set(&mut self, name: &str, value: Option<String>) -> Result<(), SqlError> {
        let (key, ..) = known(name).ok_or_else(|| unknown(name))?;
        let Some(value) = value else {
            match self.initial.get(key) {
                Some(initial) => self.values.insert(key, initial.clone()),
                None => self.values.remove(key),
            };
            return Ok(());
        };
        let is_valid = value.len() <= MAX_VALUE_BYTES
            && match key {
                "client_encoding" => is_utf8(&value),
                STATEMENT_TIMEOUT => duration(&value).is_some(),
                MAX_STALENESS => value.is_empty() || duration(&value).is_some(),
                AFTER => value.is_empty() || value.parse::<u64>().is_ok(),
                "server_version" | "server_version_num" | "is_superuser" => false,
                _ => true,
            };
        if !is_valid {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        self.values.insert(key, value);
        Ok(())
    }

    /// Returns all variables to their initial values.
    pub(crate) fn reset(&mut self) {
        self.values = self.initial.clone();
    }

    /// Returns the value of a variable.
    pub(crate) fn get(&self, name: &str) -> Result<&str, SqlError> {
        let (key, default, _) = known(name).ok_or_else(|| unknown(name))?;
        Ok(self.value(key, default))
    }

    /// Returns all names with their values.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        VARIABLES.iter().map(|&(name, default, _)| (name, self.value(name, default)))
    }

    /// Returns the variables whose values are reported to clients.
    pub(crate) fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let reported = VARIABLES.iter().filter(|(.., is_reported)| *is_reported);
        reported.map(|&(name, default, _)| (name, self.value(name, default)))
    }

    fn value(&self, name: &str, default: &'static str) -> &str {
        self.values.get(name).map_or(default, String::as_str)
    }

    /// Returns the maximum time of a statement; `None`: that of the server.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let timeout = self.get(STATEMENT_TIMEOUT).ok().and_then(duration);
        timeout.filter(|timeout| !timeout.is_zero())
    }

    /// Returns the maximum age of a snapshot; `None`: that of the server.
    pub(crate) fn max_staleness(&self) -> Option<Duration> {
        self.get(MAX_STALENESS).ok().and_then(duration)
    }

    /// Returns the stamp that answers must include.
    pub(crate) fn after(&self) -> Option<Stamp> {
        let stamp = self.get(AFTER).ok()?.parse().ok()?;
        Some(Stamp::from_u64(stamp))
    }
}

fn known(name: &str) -> Option<(&'static str, &'static str, bool)> {
    VARIABLES.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> SqlError {
    let message = format!("unrecognized configuration parameter \"{name}\"");
    SqlError::new(SqlState::UNDEFINED_OBJECT, message)
}

/// All text is UTF-8. Clients without a locale ask for no encoding at all.
fn is_utf8(value: &str) -> bool {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode" | "sqlascii")
}

/// Parses a time: milliseconds as in PostgreSQL, or with a unit.
fn duration(value: &str) -> Option<Duration> {
    match value.parse() {
        Ok(milliseconds) => Some(Duration::from_millis(milliseconds)),
        Err(_) => humantime::parse_duration(value).ok(),
    }
}

/// Parses the startup parameter `options`: `-c name=value` and `--name=value`.
fn command_line_options(options: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut words = options.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            pairs.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_a_connection_set_variables() {
        let options = ("options", "-c statement_timeout=1500 --neap.max_staleness=5s -cjit=on -x");
        let given = [options, ("TimeZone", "Europe/Berlin"), ("of_a_driver", "1")];
        let parameters = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut variables = SessionVariables::from_startup("ann", parameters).unwrap();
        assert_eq!(variables.statement_timeout(), Some(Duration::from_millis(1500)));
        assert_eq!(variables.max_staleness(), Some(Duration::from_secs(5)));
        assert_eq!(variables.get("timezone").unwrap(), "Europe/Berlin");
        variables.set("STATEMENT_TIMEOUT", Some("2min".to_owned())).unwrap();
        assert_eq!(variables.statement_timeout(), Some(Duration::from_secs(120)));
        variables.set("statement_timeout", None).unwrap();
        assert_eq!(variables.get("statement_timeout").unwrap(), "1500");
    }

    #[test]
    fn invalid_values_and_unknown_names_are_refused() {
        let mut variables = SessionVariables::default();
        for (name, value, state) in [
            ("client_encoding", "LATIN1", SqlState::INVALID_PARAMETER_VALUE),
            ("statement_timeout", "soon", SqlState::INVALID_PARAMETER_VALUE),
            ("neap.after", "yesterday", SqlState::INVALID_PARAMETER_VALUE),
            ("server_version", "9", SqlState::INVALID_PARAMETER_VALUE),
            ("unknown", "1", SqlState::UNDEFINED_OBJECT),
        ] {
            let error = variables.set(name, Some(value.to_owned())).unwrap_err();
            assert_eq!(error.state, state, "{name}");
        }
        variables.set("client_encoding", Some("utf-8".to_owned())).unwrap();
    }
}
