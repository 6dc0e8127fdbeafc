//! Rule files.

use neap_rules::{group_text, parse_file, parse_group};

/// A rule file is parsed, or refused. A group that is formatted is parsed again.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(groups) = parse_file(text) else {
        return;
    };
    for (name, group) in groups {
        let formatted = group_text(&name, &group).expect("a group is YAML");
        let (read_name, read) = parse_group(&formatted).expect("a formatted group");
        assert_eq!((read_name, &read), (name, &*group), "{formatted:?}");
    }
}
