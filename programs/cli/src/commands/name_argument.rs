//! The name of what a command of the form `neap <verb> <noun> NAME` creates, changes or deletes. It may also follow an
//! option, under which `influxdb3` takes some of these names.

use std::marker::PhantomData;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

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

/// A name, as positional argument or after its option.
#[derive(Debug)]
pub(super) struct NameArgument<O> {
    name: String,
    option: PhantomData<O>,
}

impl<O> NameArgument<O> {
    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }
}

impl<O: NameOption> Args for NameArgument<O> {
    fn augment_args(command: Command) -> Command {
        let positional = Arg::new(POSITIONAL)
            .value_name("NAME")
            .help(O::HELP)
            .required_unless_present(O::LONG);
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

impl<O: NameOption> FromArgMatches for NameArgument<O> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut names =
            [POSITIONAL, O::LONG].into_iter().filter_map(|id| matches.get_one::<String>(id));
        let missing = || Error::raw(ErrorKind::MissingRequiredArgument, "NAME is missing\n");
        Ok(Self {
            name: names.next().ok_or_else(missing)?.clone(),
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

    fn parse(line: &str) -> Result<Line, Error> {
        Line::try_parse_from(["neap"].into_iter().chain(line.split_whitespace()))
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
            assert_eq!(parse(line).unwrap().name.as_str(), "ann", "{line}");
        }
        assert_eq!(parse("ann --roles a b").unwrap().roles, ["a", "b"]);
        let missing = parse("--roles a").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::MissingRequiredArgument);
        let twice = parse("ann -u bob").unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::ArgumentConflict);
    }
}
