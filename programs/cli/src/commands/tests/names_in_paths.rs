//! Tests of the commands that name an object in the path of a request.

use super::{FAILED, run_with, server::*};

/// The commands, with `NAME` for the name, and their requests, with `NAME` for the escaped name.
const COMMANDS: [(&str, &str); 7] = [
    ("status backup NAME", "GET /api/v3/enterprise/backup/NAME"),
    (
        "delete backup NAME -y",
        "DELETE /api/v3/enterprise/backup/NAME?incremental=false",
    ),
    ("status restore NAME", "GET /api/v3/enterprise/restore/NAME"),
    ("cancel restore NAME", "DELETE /api/v3/enterprise/restore/NAME"),
    (
        "create rules - --namespace NAME -d d",
        "PUT /prometheus/config/v1/rules/NAME?db=d",
    ),
    ("delete rules NAME -d d -y", "DELETE /prometheus/config/v1/rules/NAME?db=d"),
    ("delete rules n NAME -d d -y", "DELETE /prometheus/config/v1/rules/n/NAME?db=d"),
];

/// Runs a command with a name, and returns its exit status and its messages.
fn run_named(command: &str, name: &str, url: &str) -> (u8, String) {
    let words: Vec<_> = command
        .split(' ')
        .map(|word| if word == "NAME" { name } else { word })
        .collect();
    let environment = [("NEAP_HOST_URL", url)].into_iter().collect();
    let (status, _, err) = run_with(&words, &environment, "groups: []");
    (status, err)
}

#[test]
fn a_name_is_one_escaped_segment_of_the_path() {
    for (name, escaped) in [
        ("daily-1", "daily-1"),
        ("../../roles/103", "..%2F..%2Froles%2F103"),
        ("%62%31", "%2562%2531"),
        ("%2e%2e", "%252e%252e"),
        ("b\n1", "b%0A1"),
        ("\u{1b}\t", "%1B%09"),
        ("a?b#c\\d e", "a%3Fb%23c%5Cd%20e"),
        ("ö", "%C3%B6"),
    ] {
        for (command, expected) in COMMANDS {
            let (url, requests) = server(&[&answer("404 Not Found", "none")]);
            let (status, err) = run_named(command, name, &url);
            assert_eq!(status, FAILED, "{command} {name:?}: {err}");
            let requests = requests.join().unwrap();
            assert_eq!(targets(&requests), [expected.replace("NAME", escaped)], "{command}");
        }
    }
}

#[test]
fn a_name_that_leads_to_another_object_is_refused_before_a_request() {
    for name in ["", ".", ".."] {
        for (command, _) in COMMANDS {
            // No server answers at this address.
            let (status, err) = run_named(command, name, "http://127.0.0.1:9");
            assert_eq!(status, FAILED, "{command} {name:?}");
            let expected = format!("{name:?} can't be a name in the path of a request");
            assert!(err.contains(&expected), "{command}: {err}");
        }
    }
}
