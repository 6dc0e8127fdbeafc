//! The name of what a command of the form `neap <verb> <noun> NAME` creates, changes or deletes. It may also follow an
//! option, under which `influxdb3` takes some of these names.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

use super::client_flags::CLIENT_FLAGS;

/// The id of the positional argument.
const POSITIONAL: &str = "positional_name";

/// The option for the name of a kind of things.
pub(super) trait NameOption {
    /// The name of the option.
    const LONG: &'static str;
    /// Its letter.
    const SHORT: Option<char> = None;
    /// What the name names, for the help.
    const HELP: &'static str;
}

/// A name that is required (`String`) or optional (`Option<String>`).
pub(super) trait NameValue: Sized {
    /// Whether a command without the name is invalid.
    const IS_REQUIRED: bool;

    /// Converts what a command contains; `None` if it lacks a required name.
    fn from_parsed(name: Option<String>) -> Option<Self>;
}

impl NameValue for String {
    const IS_REQUIRED: bool = true;

    fn from_parsed(name: Option<String>) -> Option<Self> {
        name
    }
}

impl NameValue for Option<String> {
    const IS_REQUIRED: bool = false;

    fn from_parsed(name: Option<String>) -> Option<Self> {
        Some(name)
    }
}

/// A name, as positional argument or after its option.
#[derive(Debug)]
pub(super) struct NameArgument<O, N = String> {
    name: N,
    option: PhantomData<O>,
}

impl<O> NameArgument<O> {
    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }
}

impl<O> NameArgument<O, Option<String>> {
    /// The name, if there is one.
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl<O: NameOption, N: NameValue> Args for NameArgument<O, N> {
    fn augment_args(command: Command) -> Command {
        let argument = Arg::new(POSITIONAL).value_name("NAME").help(O::HELP);
        // The parser takes the values of variables for absent ones, so `from_arg_matches` reports that the name is missing.
        let positional = if N::IS_REQUIRED && !CLIENT_FLAGS.contains(&O::LONG) {
            argument.required_unless_present(O::LONG)
        } else {
            argument
        };
        let option = Arg::new(O::LONG)
            .long(O::LONG)
            .short(O::SHORT)
            .value_name("NAME")
            .help("The same as the argument NAME")
            .conflicts_with(POSITIONAL);
        command.arg(positional).arg(option)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<O: NameOption, N: NameValue> FromArgMatches for NameArgument<O, N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut names =
            [POSITIONAL, O::LONG].into_iter().filter_map(|id| matches.get_one::<String>(id));
        let missing = || Error::raw(ErrorKind::MissingRequiredArgument, "NAME is missing\n");
        Ok(Self {
            name: N::from_parsed(names.next().cloned()).ok_or_else(missing)?,
            option: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Declares the options for names.
macro_rules! name_options {
    ($($(#[$doc:meta])* $kind:ident: $long:literal, $short:expr, $help:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $kind;

        impl NameOption for $kind {
            const LONG: &'static str = $long;
            const SHORT: Option<char> = $short;
            const HELP: &'static str = $help;
        }
    )*};
}

name_options! {
    /// A backup.
    BackupName: "name", None, "The name of the backup";
    /// A last value cache or a distinct value cache.
    CacheName: "cache-name", None, "The name of the cache";
    /// A database.
    DatabaseName: "database", Some('d'), "The name of the database";
    /// A backup that is created.
    NewBackupName: "name", None, "The name of the backup; made from the time by default";
    /// A process.
    NodeName: "node-id", None, "The name of the node";
    /// A role.
    RoleName: "name", None, "The name of the role";
    /// A token.
    TokenName: "token-name", None, "The name of the token";
    /// A trigger.
    TriggerName: "trigger-name", Some('t'), "The name of the trigger";
    /// A user.
    UserName: "username", Some('u'), "The name of the user, for signing in";
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        name: NameArgument<UserName>,
        #[arg(long, num_args = 0..)]
        roles: Vec<String>,
    }

    #[derive(Debug, Parser)]
    struct OptionalLine {
        #[command(flatten)]
        name: NameArgument<NewBackupName, Option<String>>,
    }

    fn parse<L: Parser>(line: &str) -> Result<L, Error> {
        L::try_parse_from(["neap"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn a_name_is_an_argument_or_follows_its_option() {
        for line in [
            "ann",
            "--username ann",
            "-u ann",
            "ann --roles a b",
            "--roles a b --username ann",
        ] {
            assert_eq!(parse::<Line>(line).unwrap().name.as_str(), "ann", "{line}");
        }
        assert_eq!(parse::<Line>("ann --roles a b").unwrap().roles, ["a", "b"]);
        let missing = parse::<Line>("--roles a").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
        let twice = parse::<Line>("ann -u bob").unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn an_optional_name_may_be_missing() {
        for (line, name) in [("", None), ("daily", Some("daily")), ("--name daily", Some("daily"))]
        {
            assert_eq!(parse::<OptionalLine>(line).unwrap().name.as_deref(), name, "{line}");
        }
        let twice = parse::<OptionalLine>("daily --name daily").unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::ArgumentConflict);
    }
}
