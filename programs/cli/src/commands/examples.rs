//! Examples for the help of each command.

use std::{collections::BTreeMap, fmt::Write};

use clap::Command;

/// Each command, and below it, indented, its example command lines without `neap`.
const EXAMPLES: &str = include_str!("examples.txt");

/// Returns the examples of each command.
fn by_command() -> BTreeMap<&'static str, Vec<&'static str>> {
    let (mut examples, mut command) = (BTreeMap::<_, Vec<_>>::new(), "");
    for line in EXAMPLES.lines() {
        match line.strip_prefix("  ") {
            Some(example) => examples.entry(command).or_default().push(example),
            None => command = line,
        }
    }
    examples
}

/// Appends examples to the help of each command that can be executed.
pub(super) fn add(command: Command) -> Command {
    let examples = by_command();
    command.mut_subcommands(|subcommand| {
        let path = subcommand.get_name().to_owned();
        add_below(subcommand, &path, &examples)
    })
}

fn add_below(
    command: Command,
    path: &str,
    examples: &BTreeMap<&'static str, Vec<&'static str>>,
) -> Command {
    let command = match examples.get(path) {
        Some(examples) => {
            let help = text(examples, command.get_after_help());
            command.after_help(help)
        }
        None => command,
    };
    command.mut_subcommands(|subcommand| {
        let path = format!("{path} {}", subcommand.get_name());
        add_below(subcommand, &path, examples)
    })
}

fn text(examples: &[&str], behind: Option<&impl std::fmt::Display>) -> String {
    let mut text = "Examples:".to_owned();
    for example in examples {
        write!(text, "\n  neap {example}").ok();
    }
    if let Some(behind) = behind {
        write!(text, "\n\n{behind}").ok();
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::commands::{definition, tests::shell};

    /// Collects all executable commands, as the words that name them.
    pub(crate) fn leaves(command: &Command, path: &str, found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name());
            if subcommand.has_subcommands() {
                leaves(subcommand, &path, found)
            } else {
                found.push(path.trim().to_owned())
            }
        }
    }

    #[test]
    fn every_command_has_examples_and_every_example_a_command() {
        let mut found = Vec::new();
        leaves(&definition(), "", &mut found);
        found.sort();
        let named: Vec<_> = by_command().into_keys().collect();
        assert_eq!(found, named);
    }

    #[test]
    fn examples_parse_as_their_command() {
        for (path, examples) in by_command() {
            for example in examples {
                assert!(example.len() <= 100, "{example}");
                let commands = shell::commands(&format!("neap {example}"));
                let matches = definition()
                    .try_get_matches_from(&commands[0].words)
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
                let (mut matches, mut names) = (&matches, Vec::new());
                while let Some((name, below)) = matches.subcommand() {
                    names.push(name);
                    matches = below;
                }
                assert_eq!(names.join(" "), path, "{example}");
            }
        }
    }

    #[test]
    fn help_shows_examples() {
        let mut command = definition();
        let delete = command.find_subcommand_mut("delete").unwrap();
        let token = delete.find_subcommand_mut("token").unwrap();
        let help = token.render_help().to_string();
        assert!(help.ends_with("\nExamples:\n  neap delete token sensors --yes\n"), "{help}");
    }
}
