//! Tests that every command line in the guides for InfluxDB 3 is accepted.

use std::path::Path;

use clap::error::ErrorKind;

use super::{definition, shell};
use neap_test_inputs::{InputOrigin, skip};

/// Folder of the guides; may be missing.
const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/guides");

/// Placeholders in commands, with sample values.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("{{< influxdb/host >}}", "localhost:8181"),
    ("<AUTH_TOKEN>", "AUTH_TOKEN"),
    ("<AWS_ACCESS_KEY_ID>", "KEY"),
    ("<AWS_SECRET_ACCESS_KEY>", "SECRET"),
    ("INPUT_ARGS", "arg1=hello"),
];

/// Typos in the commands of the guides that no parser accepts, with corrections.
const CORRECTIONS: [(&str, &str); 6] = [
    // A space after the backslash at the end of a line.
    ("\\ \n", "\\\n"),
    // A missing backslash at the end of a continued line.
    ("--token AUTH_TOKEN\n  --database", "--token AUTH_TOKEN \\\n  --database"),
    ("--database sensors\n  trigger1", "--database sensors \\\n  trigger1"),
    (
        "--host http://localhost:8585\n  --token",
        "--host http://localhost:8585 \\\n  --token",
    ),
    // A space within a flag.
    ("-- http-bind", "--http-bind"),
    // A value without its flag.
    ("KEY \\\n     SECRET", "KEY --aws-secret-access-key SECRET"),
];

/// Returns the contents of fenced code blocks, without their indentation.
fn code_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.split_inclusive('\n') {
        match (line.trim_start().starts_with("```"), &mut block) {
            (true, None) => block = Some(String::new()),
            (true, Some(_)) => blocks.extend(block.take()),
            (false, Some(block)) => block.push_str(line),
            (false, None) => {}
        }
    }
    blocks
}

/// Returns the arguments of each call of `influxdb3` in a guide.
fn command_lines(guide: &str, slips_found: &mut [bool]) -> Vec<Vec<String>> {
    let mut guide = guide.to_owned();
    for (placeholder, value) in PLACEHOLDERS {
        guide = guide.replace(placeholder, value);
    }
    for ((slip, mended), found) in CORRECTIONS.iter().zip(slips_found) {
        *found |= guide.contains(slip);
        guide = guide.replace(slip, mended);
    }
    let commands = code_blocks(&guide).into_iter().flat_map(|block| shell::commands(&block));
    let called = commands.filter_map(|command| {
        let at = command.words.iter().position(|word| word == "influxdb3")?;
        command.words.get(at..).map(<[String]>::to_vec)
    });
    called.collect()
}

#[test]
fn command_lines_of_the_guides_are_accepted() {
    if !Path::new(GUIDES).is_dir() {
        skip(InputOrigin::External, "shared/guides: no guides");
        return;
    }
    let mut slips_found = [false; CORRECTIONS.len()];
    let mut lines = Vec::new();
    for guide in ["influxdb3-enterprise-get-started.txt", "influxdb3-write-api-and-clients.txt"] {
        let text = std::fs::read_to_string(Path::new(GUIDES).join(guide)).unwrap();
        lines.extend(command_lines(&text, &mut slips_found));
    }
    let refused: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            let error = definition().try_get_matches_from(line).err()?;
            let is_help =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            (!is_help).then(|| format!("{}\n{error}", line.join(" ")))
        })
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(lines.len() >= 40, "only {} commands were found", lines.len());
    assert_eq!(slips_found, [true; CORRECTIONS.len()], "a slip is mended");
}
