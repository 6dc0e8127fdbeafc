//! Sources of option values besides the command line: environment variables, a `.env` file, a configuration file.
//!
//! The value of an option is the first of these that is set: its flag, `NEAP_<NAME>`, the variable of another system
//! for the same setting (such as `AWS_ACCESS_KEY_ID`), `INFLUXDB3_<NAME>`, the names that InfluxDB used before 3.11
//! (such as `INFLUXDB3_ENTERPRISE_<NAME>`), the configuration file, its default. A variable of the process takes precedence over the same variable in `.env`. The values are passed to the parser as
//! defaults, so the process's own environment is never changed.

mod warnings;

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use clap::{
    Arg, ArgAction, Command,
    builder::{Resettable, StyledStr},
};
use neap_bucket::read_limited_text;
use neap_server::Variables;

use super::{client_flags::CLIENT_FLAGS, config::ConfigFile};

/// Maximum size of a `.env` file: 1 MiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Flags whose InfluxDB 3 variables have other names than the one made from the flag.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("database", "DATABASE_NAME"),
    ("host", "HOST_URL"),
    ("http-bind", "HTTP_BIND_ADDR"),
    ("query-host", "QUERY_HOST_URL"),
    ("token", "AUTH_TOKEN"),
    ("write-host", "WRITE_HOST_URL"),
];

/// Flags whose variables had another name before InfluxDB 3.11.
const FORMER_NAMES: [(&str, &str); 5] = [
    ("data-dir", "DB_DIR"),
    ("node-id", "NODE_IDENTIFIER_PREFIX"),
    ("node-id-from-env", "NODE_IDENTIFIER_FROM_ENV"),
    ("tcp-listener-file-path", "TCP_LISTINER_FILE_PATH"),
    ("without-auth", "START_WITHOUT_AUTH"),
];

/// The prefix of the variables of InfluxDB 3.
const INFLUXDB: &str = "INFLUXDB3_";

/// The prefix of the variables of InfluxDB 3 Enterprise before 3.11.
const ENTERPRISE: &str = "INFLUXDB3_ENTERPRISE_";

/// Flags with additional variables of the AWS SDK.
const AWS_NAMES: [(&str, &[&str]); 2] = [
    ("aws-default-region", &["AWS_REGION"]),
    ("aws-endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
];

/// Help heading of the flags that locate a store; variables can set these for every command.
const STORE_HEADING: &str = "Object store";

/// Commands for which variables can set every option.
const STORE_COMMANDS: [&str; 4] = ["serve", "compact", "check-store", "object-store-check"];

/// Environment variables and the configuration file.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The numbers of the lines of the `.env` file that assign nothing.
    invalid_lines: Vec<usize>,
    config: Option<Arc<ConfigFile>>,
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// Former names are those from before InfluxDB 3.11.
    fn former_variables(&self, flag: &str) -> Vec<(String, String)> {
        let name = format!("{INFLUXDB}{}", usual_name(flag));
        let former = former_names_of(flag).into_iter();
        let set = former.filter(|former| self.get(former).is_some());
        set.map(|former| (former, name.clone())).collect()
    }
}

/// Source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OptionSource {
    /// The environment variable with this name.
    Variable(String),
    /// The configuration file, at this line.
    File(usize),
}

impl std::fmt::Debug for Environment {
    /// Shows names only, because values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter();
        Self {
            variables: variables.map(|(n, v)| (n.into(), v.into())).collect(),
            ..Self::default()
        }
    }
}

impl Environment {
    /// Returns the variables of this process, plus those of a `.env` file in the working directory.
    ///
    /// # Errors
    ///
    /// The file exists and can't be read, or has more than 1 MiB.
    pub fn of_process() -> io::Result<Self> {
        let file = match read_limited_text(Path::new(".env"), MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let process = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(process.collect::<Self>().with_file(&file))
    }

    /// Adds the variables of a `.env` file that are not set yet.
    #[must_use]
    pub fn with_file(mut self, text: &str) -> Self {
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_assignment(line) {
                Some((name, value)) => {
                    self.variables.entry(name.to_owned()).or_insert(value);
                }
                None => self.invalid_lines.push(number),
            }
        }
        self
    }

    /// Adds a configuration file, with lower precedence than the variables.
    #[must_use]
    pub(super) fn with_config(mut self, file: Option<ConfigFile>) -> Self {
        self.config = file.map(Arc::new);
        self
    }

    /// Returns the configuration file, if any.
    pub(super) fn config(&self) -> Option<&ConfigFile> {
        self.config.as_deref()
    }

    /// Returns the command with the variables' values as defaults of its options, and the variables' names in its help.
    pub fn apply(&self, command: Command) -> Command {
        let name = command.get_name().to_owned();
        command
            .mut_args(|arg| match settable_flag(&arg, &name).map(str::to_owned) {
                Some(flag) => self.apply_to_flag(arg, &flag, &name),
                None => arg,
            })
            .mut_subcommands(|subcommand| self.apply(subcommand))
    }

    /// Returns the values of a flag of a command and their source.
    pub(super) fn find(
        &self,
        arg: &Arg,
        flag: &str,
        command: &str,
    ) -> Option<(Vec<String>, OptionSource)> {
        let declared = arg.get_env().and_then(|name| name.to_str());
        for name in names_of(flag, declared) {
            let Some(value) = self.get(&name) else {
                continue;
            };
            let value = match arg.get_action() {
                ArgAction::SetTrue => is_on(value).to_string(),
                _ => value.to_owned(),
            };
            return Some((vec![value], OptionSource::Variable(name)));
        }
        let setting = self.config.as_ref()?.get(command, flag)?;
        Some((setting.values.clone(), OptionSource::File(setting.line)))
    }

    fn apply_to_flag(&self, arg: Arg, flag: &str, command: &str) -> Arg {
        let names = names_of(flag, arg.get_env().and_then(|name| name.to_str()));
        let found = self.find(&arg, flag, command);
        // The parser must not look up variables itself, because it ignores `.env` and uses another precedence.
        let arg = with_names_in_help(arg, &names).env(Resettable::Reset);
        let Some((values, _)) = found else {
            return arg;
        };
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return arg.default_value(values.concat());
        }
        // Hide the value in help, because it may be a secret.
        arg.required(false).default_values(values).hide_default_value(true)
    }
}

/// Returns the name of an option of a command that variables can set.
fn settable_flag<'a>(arg: &'a Arg, command: &str) -> Option<&'a str> {
    let flag = arg.get_long()?;
    let is_settable = STORE_COMMANDS.contains(&command)
        || arg.get_help_heading() == Some(STORE_HEADING)
        || CLIENT_FLAGS.contains(&flag);
    is_settable.then_some(flag)
}

/// Returns whether the value of a switch's variable turns the switch on.
fn is_on(value: &str) -> bool {
    let value = value.to_lowercase();
    !matches!(value.as_str(), "0" | "f" | "false" | "n" | "no" | "off")
}

/// Returns the variables that can set a flag, in order of precedence. `declared` is the variable that the flag itself
/// declares.
fn names_of(flag: &str, declared: Option<&str>) -> Vec<String> {
    let usual = usual_name(flag);
    let find = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(name, _)| *name == flag);
        found.map(|(_, name)| *name)
    };
    let (other, former) = (find(&OTHER_NAMES), find(&FORMER_NAMES));
    let named = |prefix: &str, suffixes: [Option<&str>; 2]| {
        let suffixes = suffixes.into_iter().flatten();
        suffixes.map(|suffix| format!("{prefix}{suffix}")).collect::<Vec<_>>()
    };
    // Client flags have the variable names of InfluxDB 3 as well.
    let mut names = if CLIENT_FLAGS.contains(&flag) {
        named("NEAP_", [other, Some(&usual)])
    } else {
        named("NEAP_", [Some(&usual), other.or(former)])
    };
    let former = former_names_of(flag);
    let aws = AWS_NAMES
        .iter()
        .filter(|(name, _)| *name == flag)
        .flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned()));
    let declared = declared.map(str::to_owned);
    names.extend(declared.filter(|name| !former.contains(name)));
    names.extend(named(INFLUXDB, [other, Some(&usual)]));
    names.extend(aws);
    names.extend(former);
    names.dedup();
    names
}

/// Returns the name of a flag as part of a variable.
fn usual_name(flag: &str) -> String {
    flag.to_uppercase().replace('-', "_")
}

/// Returns the variables that set a flag in InfluxDB 3 before 3.11.
fn former_names_of(flag: &str) -> Vec<String> {
    if CLIENT_FLAGS.contains(&flag) {
        return Vec::new();
    }
    let former = FORMER_NAMES
        .iter()
        .find(|(name, _)| *name == flag)
        .map(|(_, name)| format!("{INFLUXDB}{name}"));
    let enterprise = format!("{ENTERPRISE}{}", usual_name(flag));
    former.into_iter().chain([enterprise]).collect()
}

/// Appends the variables to the help of a flag: the first `NEAP_` name and the first other name.
fn with_names_in_help(arg: Arg, names: &[String]) -> Arg {
    let own = names.first().cloned().unwrap_or_default();
    let other = names
        .iter()
        .find(|name| !name.starts_with("NEAP_"))
        .map_or(String::new(), |name| format!(", {name}"));
    let added = |help: &StyledStr| {
        let help = help.to_string();
        StyledStr::from(format!("{} [env: {own}{other}]", help.trim_end()))
    };
    let (short, long) = (arg.get_help().map(added), arg.get_long_help().map(added));
    arg.help(Resettable::from(short)).long_help(Resettable::from(long))
}

/// Parses a line of a `.env` file: `NAME=value`, optionally after `export`, with an optionally quoted value.
fn parse_assignment(line: &str) -> Option<(&str, String)> {
    let assignment = line.strip_prefix("export ").unwrap_or(line);
    let (left, right) = assignment.split_once('=')?;
    let name = left.trim();
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    let value = parse_value(right.trim()).filter(|_| is_name)?;
    Some((name, value))
}

/// Parses a value; `None` if it has no closing quote.
fn parse_value(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (value, _) = quoted.split_once(quote)?;
            return Some(value.to_owned());
        }
    }
    // A comment after a value begins with a space, because `#` may be part of a password.
    let end = text.find(" #").unwrap_or(text.len());
    Some(text.get(..end).unwrap_or(text).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::value_parser;

    use super::*;

    fn command() -> Command {
        let serve = Command::new("serve")
            .arg(Arg::new("node").long("node-id").required(true))
            .arg(Arg::new("memory").long("exec-mem-pool-bytes").default_value("20%"))
            .arg(Arg::new("mode").long("mode").value_delimiter(',').action(ArgAction::Append))
            .arg(Arg::new("auth").long("without-auth").action(ArgAction::SetTrue));
        let write = Command::new("write")
            .arg(Arg::new("token").long("token").help("The token"))
            .arg(Arg::new("file").long("file"))
            .arg(Arg::new("size").long("size").value_parser(value_parser!(u64)));
        Command::new("neap").subcommand(serve).subcommand(write)
    }

    fn parse(args: &[&str], environment: &Environment) -> clap::ArgMatches {
        let command = environment.apply(command());
        let matches = command.try_get_matches_from(args).unwrap();
        matches.subcommand().unwrap().1.clone()
    }

    #[test]
    fn flags_override_neap_variables_which_override_influxdb_variables() {
        let all: Environment = [
            ("NEAP_NODE_ID", "own"),
            ("INFLUXDB3_NODE_ID", "theirs"),
            ("INFLUXDB3_EXEC_MEM_POOL_BYTES", "1GB"),
        ]
        .into_iter()
        .collect();
        let flag = parse(&["neap", "serve", "--node-id", "flag"], &all);
        assert_eq!(flag.get_one::<String>("node").unwrap(), "flag");
        assert_eq!(flag.get_one::<String>("memory").unwrap(), "1GB");
        let own = parse(&["neap", "serve"], &all);
        assert_eq!(own.get_one::<String>("node").unwrap(), "own");
        let theirs = [("INFLUXDB3_NODE_IDENTIFIER_PREFIX", "theirs")].into_iter().collect();
        let theirs = parse(&["neap", "serve"], &theirs);
        assert_eq!(theirs.get_one::<String>("node").unwrap(), "theirs");
        assert_eq!(theirs.get_one::<String>("memory").unwrap(), "20%");
    }

    #[test]
    fn former_names_are_reported_with_present_ones() {
        let set: Environment = [
            ("INFLUXDB3_DB_DIR", "x"),
            ("INFLUXDB3_DATA_DIR", "x"),
            ("INFLUXDB3_ENTERPRISE_MODE", ""),
        ]
        .into_iter()
        .collect();
        let renamed = ["data-dir", "mode"].map(|flag| set.former_variables(flag));
        let names = ("INFLUXDB3_DB_DIR".to_owned(), "INFLUXDB3_DATA_DIR".to_owned());
        assert_eq!(renamed, [vec![names], Vec::new()]);
    }

    #[test]
    fn present_names_of_influxdb_override_former_ones() {
        let node = |variables: &[(&str, &str)]| {
            let serve = parse(&["neap", "serve"], &variables.iter().copied().collect());
            serve.get_one::<String>("node").unwrap().clone()
        };
        let former = ("INFLUXDB3_NODE_IDENTIFIER_PREFIX", "former");
        let enterprise = ("INFLUXDB3_ENTERPRISE_NODE_ID", "enterprise");
        assert_eq!(node(&[enterprise]), "enterprise");
        assert_eq!(node(&[former, enterprise]), "former");
        assert_eq!(node(&[former, ("INFLUXDB3_NODE_ID", "present"), enterprise]), "present");
        let names = names_of("token", None);
        assert!(!names.iter().any(|name| name.starts_with(ENTERPRISE)));
    }

    #[test]
    fn variables_can_switch_and_hold_lists() {
        let variables = [
            ("NEAP_NODE_ID", "n"),
            ("NEAP_MODE", "query,ingest"),
            ("INFLUXDB3_START_WITHOUT_AUTH", "1"),
        ];
        let serve = parse(&["neap", "serve"], &variables.into_iter().collect());
        let modes: Vec<_> = serve.get_many::<String>("mode").unwrap().collect();
        assert_eq!(modes, ["query", "ingest"]);
        assert!(serve.get_flag("auth"));
        let off = [("NEAP_NODE_ID", "n"), ("NEAP_WITHOUT_AUTH", "false")];
        assert!(!parse(&["neap", "serve"], &off.into_iter().collect()).get_flag("auth"));
    }

    #[test]
    fn variables_set_only_connection_options_of_client_commands() {
        let variables = [("NEAP_AUTH_TOKEN", "secret"), ("NEAP_FILE", "x"), ("NEAP_SIZE", "2")];
        let write = parse(&["neap", "write"], &variables.into_iter().collect());
        assert_eq!(write.get_one::<String>("token").unwrap(), "secret");
        assert_eq!(write.get_one::<String>("file"), None);
        assert_eq!(write.get_one::<u64>("size"), None);
    }

    #[test]
    fn third_party_variables_rank_between_neap_and_influxdb_variables() {
        let names = names_of("aws-endpoint", Some("AWS_ENDPOINT"));
        let expected = [
            "NEAP_AWS_ENDPOINT",
            "AWS_ENDPOINT",
            "INFLUXDB3_AWS_ENDPOINT",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL",
            "INFLUXDB3_ENTERPRISE_AWS_ENDPOINT",
        ];
        assert_eq!(names, expected);
        assert_eq!(names_of("host", None)[..2], ["NEAP_HOST_URL", "NEAP_HOST"]);
        let names = names_of("data-dir", Some("INFLUXDB3_DB_DIR"));
        let expected = [
            "NEAP_DATA_DIR",
            "NEAP_DB_DIR",
            "INFLUXDB3_DATA_DIR",
            "INFLUXDB3_DB_DIR",
            "INFLUXDB3_ENTERPRISE_DATA_DIR",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn help_does_not_show_values_of_variables() {
        let environment: Environment = [("NEAP_AUTH_TOKEN", "secret")].into_iter().collect();
        let mut command = environment.apply(command());
        let write = command.find_subcommand_mut("write").unwrap();
        let help = write.render_long_help().to_string();
        assert!(!help.contains("secret"), "{help}");
        assert!(help.contains("[env: NEAP_AUTH_TOKEN, INFLUXDB3_AUTH_TOKEN]"), "{help}");
    }

    #[test]
    fn a_file_does_not_override_process_variables() {
        let process: Environment = [("A", "process")].into_iter().collect();
        let text = "# comment\nA=file\nexport B = two words # why\n\nC=\"a # b\" # c\nD='#'\nE=p#w\nF=\nnonsense\n";
        let environment = process.with_file(text);
        assert_eq!(environment.get("A"), Some("process"));
        assert_eq!(environment.get("B"), Some("two words"));
        assert_eq!(environment.get("C"), Some("a # b"));
        assert_eq!(environment.get("D"), Some("#"));
        assert_eq!(environment.get("E"), Some("p#w"));
        assert_eq!(environment.get("F"), None);
        assert_eq!(environment.invalid_lines, [9]);
    }

    #[test]
    fn lines_that_assign_nothing_are_known() {
        let text = "A=1\n\n  # comment\nB\n=2\nC D=3\nexport E=4\nF='5\nG=\"6\n H = 7 \n";
        let environment = Environment::default().with_file(text);
        assert_eq!(environment.invalid_lines, [4, 5, 6, 8, 9]);
        let names: Vec<_> = environment.variables.keys().collect();
        assert_eq!(names, ["A", "E", "H"]);
    }
}
