//! Probable mistakes in the variables: lines of a `.env` file that assign nothing, and names of no option.

use std::collections::BTreeSet;

use clap::Command;

use super::{Environment, names_of, settable_flag};
use crate::{commands::config::CONFIG_VARIABLE, nearest_name::nearest_name};

/// The prefix of the variables of Neap.
const PREFIX: &str = "NEAP_";

impl Environment {
    /// Returns a warning for each probable mistake. `definition` is the command line, which declares the options.
    ///
    /// Variables whose names are unlike those of options belong to other programs as a rule, such as the
    /// `NEAP_SERVICE_HOST` of Kubernetes. They are reported only if `with_others` is set.
    pub(in crate::commands) fn warnings(
        &self,
        definition: &Command,
        with_others: bool,
    ) -> Vec<String> {
        let lines = self.invalid_lines.iter();
        let mut warnings: Vec<String> =
            lines.map(|line| format!("line {line} of .env is not NAME=value")).collect();
        let set = self.variables.iter().filter(|(_, value)| !value.is_empty());
        let own: Vec<&str> = set.filter_map(|(name, _)| name.strip_prefix(PREFIX)).collect();
        if own.is_empty() {
            return warnings;
        }
        let known = known_names(definition);
        for name in own.into_iter().filter(|name| !known.contains(*name)) {
            match nearest_name(name, known.iter().map(String::as_str)) {
                Some(nearest) => warnings.push(format!(
                    "no option has the variable {PREFIX}{name}: is {PREFIX}{nearest} meant?"
                )),
                None if with_others => {
                    warnings.push(format!("no option has the variable {PREFIX}{name}"));
                }
                None => {}
            }
        }
        warnings
    }
}

/// Returns the variables of Neap that set options, without their prefix.
fn known_names(definition: &Command) -> BTreeSet<String> {
    let mut names = vec![CONFIG_VARIABLE.to_owned()];
    add_names(definition, &mut names);
    let own = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
    own.map(str::to_owned).collect()
}

fn add_names(command: &Command, names: &mut Vec<String>) {
    for arg in command.get_arguments() {
        if let Some(flag) = settable_flag(arg, command.get_name()) {
            names.extend(names_of(flag, arg.get_env().and_then(|name| name.to_str())));
        }
    }
    for subcommand in command.get_subcommands() {
        add_names(subcommand, names);
    }
}
