//! Replays the committed inputs of the fuzz targets, which `scripts/fuzz` starts from.

use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn no_committed_input_of_a_fuzz_target_is_a_finding() {
    // The last line is the input that fails.
    let replayed = neap_fuzz::replay_corpora(|input| println!("{}", input.display()));
    replayed.unwrap();
}

/// Returns the versions of each package in a lock file.
fn locked_versions(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in text.split("[[package]]\n").skip(1) {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            let line = package.lines().find_map(|line| line.strip_prefix(&start));
            line.unwrap().trim_end_matches('"').to_owned()
        };
        versions.entry(field("name")).or_default().push(field("version"));
    }
    versions
}

#[test]
fn fuzz_targets_are_compiled_with_the_versions_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = locked_versions(&root.join("Cargo.lock"));
    let targets = locked_versions(&root.join("tests/fuzz/Cargo.lock"));
    for (name, versions) in targets {
        let Some(expected) = workspace.get(&name) else {
            // Only the fuzzer itself is not part of the workspace.
            assert!(["arbitrary", "libfuzzer-sys"].contains(&name.as_str()), "{name}");
            continue;
        };
        for version in versions {
            assert!(expected.contains(&version), "{name} {version}: {expected:?}");
        }
    }
}
