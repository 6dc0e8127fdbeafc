//! Tests of the completions, the manual, and the documentation of the command line.

use std::{fmt::Write, path::Path};

use clap::{Command, error::ErrorKind};

use super::{definition, run_with};
use crate::commands::Environment;

/// The folder of the pages.
const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
/// The page with the table of commands.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md");
const BEGIN: &str = "<!-- commands: begin -->\n";
const END: &str = "<!-- commands: end -->\n";
/// Environment variable that makes the test rewrite the table.
const UPDATE: &str = "NEAP_UPDATE_DOCS";

#[test]
fn shells_get_completions() {
    let variables = [("NEAP_AUTH_TOKEN", "apiv3_hidden")];
    let environment: Environment = variables.into_iter().collect();
    for (shell, expected) in [
        ("bash", "complete -F _neap"),
        ("zsh", "#compdef neap"),
        ("fish", "complete -c neap"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[neap]"),
    ] {
        let (status, out, err) = run_with(&["completions", shell], &environment, "");
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.contains(expected), "{shell}");
        assert!(out.contains("distinct_cache"), "{shell}");
        assert!(!out.contains("apiv3_hidden"), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let none = Environment::default();
    let (status, out, _) = run_with(&["man"], &none, "");
    assert_eq!(status, 0);
    assert!(out.contains(".TH neap 1"), "{out}");
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("man1");
    let (status, out, err) = run_with(&["man", "--output", folder.to_str().unwrap()], &none, "");
    assert_eq!((status, out.as_str(), err.as_str()), (0, "", ""));
    for page in ["neap.1", "neap-create-token.1", "neap-show-system-table.1"] {
        assert!(folder.join(page).is_file(), "{page}");
    }
    let page = std::fs::read_to_string(folder.join("neap-create-token.1")).unwrap();
    assert!(page.contains("neap create token \\-\\-admin"), "{page}");
}

/// Builds the table of all executable commands that are not hidden.
fn table() -> String {
    let mut table = "| command | what it does |\n|---|---|\n".to_owned();
    add_rows(&definition(), "neap", &mut table);
    table
}

fn add_rows(command: &Command, path: &str, table: &mut String) {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", subcommand.get_name());
        if subcommand.has_subcommands() {
            add_rows(subcommand, &path, table);
            continue;
        }
        let aliases: String =
            subcommand.get_visible_aliases().map(|alias| format!(", `{alias}`")).collect();
        let about = subcommand.get_about().map(ToString::to_string);
        writeln!(table, "| `{path}`{aliases} | {} |", about.unwrap_or_default()).unwrap();
    }
}

#[test]
fn the_documentation_lists_the_commands() {
    let path = Path::new(PAGE);
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (documented, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(documented, table, "{UPDATE}=1 writes the table anew");
}

/// Returns the commands that a page names in its sentences, without those with placeholders and quotes.
fn commands_in_sentences(page: &str) -> impl Iterator<Item = &str> {
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter(|span| {
        span.starts_with("neap ")
            && !span.contains(['…', '\'', '"', '[', '$', '|'])
            && !span.contains("COMMAND")
    })
}

#[test]
fn sentences_of_the_documentation_name_commands_and_options_that_exist() {
    let mut count = 0;
    for entry in std::fs::read_dir(PAGES).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        for command in commands_in_sentences(&page) {
            count += 1;
            let Err(error) = definition().try_get_matches_from(command.split_whitespace()) else {
                continue;
            };
            let kind = error.kind();
            let is_unknown =
                matches!(kind, ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
            assert!(!is_unknown, "{}: `{command}`: {error}", path.display());
        }
    }
    assert!(count > 100, "{count}");
}
