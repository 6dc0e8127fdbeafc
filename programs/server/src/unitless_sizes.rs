//! Sizes without a unit: accepted as bytes, with one warning for each option.
//!
//! InfluxDB 3.11 requires a unit, because older versions read a bare number as bytes or as megabytes, depending on the
//! option.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The options of `neap serve` that are sizes.
const SIZES: [&str; 9] = [
    "answer-cache-size",
    "distributed-bytes-per-worker",
    "exec-mem-pool-bytes",
    "exec-mem-pool-size",
    "max-http-request-size",
    "max-spill-bytes",
    "memory-limit",
    "plugin-memory-limit",
    "plugin-output-limit",
];

/// The options whose values are sizes without a unit, from any source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitlessSizes {
    given: Vec<(&'static str, String)>,
}

impl UnitlessSizes {
    /// Returns a line for each option.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.given.iter().map(|(name, number)| {
            format!("--{name} {number} has no unit and means bytes: write {number}b, or use kb, mb, gb or tb")
        })
    }
}

impl Args for UnitlessSizes {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for UnitlessSizes {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        // Defaults have units, so a bare number is from the command line, a variable or the configuration file.
        let bare = |name: &'static str| {
            let id = name.replace('-', "_");
            let mut values = matches.try_get_raw(&id).ok().flatten()?;
            let number = values.next_back()?.to_str()?.trim().to_owned();
            let is_bare = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_bare.then_some((name, number))
        };
        Ok(Self { given: SIZES.into_iter().filter_map(bare).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServeArgs, tests::parse};

    #[test]
    fn a_bare_number_is_warned_of_once_for_each_option() {
        let none = parse(&["--memory-limit=50%", "--max-spill-bytes=1gb"]).unwrap();
        assert_eq!(none.sizes.warnings().count(), 0);
        let bare = parse(&["--max-http-request-size=20000000", "--exec-mem-pool-size=2000000000"]);
        let warnings: Vec<_> = bare.unwrap().sizes.warnings().collect();
        insta::assert_snapshot!(warnings.join("\n"), @r"
        --exec-mem-pool-size 2000000000 has no unit and means bytes: write 2000000000b, or use kb, mb, gb or tb
        --max-http-request-size 20000000 has no unit and means bytes: write 20000000b, or use kb, mb, gb or tb
        ");
    }

    #[test]
    fn every_size_is_known_and_has_a_default_with_a_unit() {
        let command = ServeArgs::augment_args(Command::new("serve"));
        // A number of bytes by its protocol, without units there too.
        let frame_size = Some("object-store-http2-max-frame-size");
        let sizes = command.get_arguments().filter(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.contains("BYTES")) && arg.get_long() != frame_size
        });
        let mut names = Vec::new();
        for arg in sizes {
            names.push(arg.get_long().unwrap().to_owned());
            for default in arg.get_default_values() {
                let default = default.to_str().unwrap();
                assert!(default.parse::<u64>().is_err(), "{arg}: {default}");
            }
        }
        names.sort_unstable();
        assert_eq!(names, SIZES);
    }
}
