//! Plugins can't use the files of the server, nor the network where it is denied.

use neap_test_inputs::has_landlock;

use super::fixture::{PluginServerFixture, TriggerDefinition};
use crate::harness::StoreFixture;

/// Answers with the names in the data directory, or with the error; and whether the server can be reached.
const LOOKS: &str = r#"
import os
import socket


def attempt(action):
    try:
        return action()
    except OSError as error:
        return type(error).__name__


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    address = ("127.0.0.1", int(query_parameters["port"]))
    return {
        "data": attempt(lambda: "catalog" in os.listdir(query_parameters["folder"])),
        "server": attempt(lambda: socket.create_connection(address, 5).close()),
        "rows": len(influxdb3_local.query("SELECT * FROM begin")),
    }
"#;

/// Returns the answer of the plugin in a server with these flags.
fn answer(flags: &[&str]) -> String {
    let stage = PluginServerFixture::on(StoreFixture::directory(), flags);
    stage.put("looks.py", LOOKS);
    TriggerDefinition::new("looks", "looks.py", "request:looks").create(&stage);
    let folder = stage.place.folder().display().to_string();
    let port = stage.server.url().rsplit_once(':').unwrap().1.to_owned();
    let reply = stage.ask(&format!("looks?folder={folder}&port={port}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().replace(": ", ":").replace(", ", ",")
}

#[test]
fn plugins_cannot_read_the_data_directory_and_can_use_the_network() {
    if !has_landlock(1) {
        return;
    }
    let expected = r#"{"data":"PermissionError","server":null,"rows":1}"#;
    assert_eq!(answer(&["--plugin-sandbox", "required"]), expected);
    assert_eq!(answer(&[]), expected);
}

#[test]
fn the_network_can_be_denied_to_plugins_and_the_sandbox_switched_off() {
    if !has_landlock(1) {
        return;
    }
    let denied = answer(&["--plugin-network", "deny"]);
    let expected = r#"{"data":"PermissionError","server":"PermissionError","rows":1}"#;
    assert_eq!(denied, expected);
    let off = answer(&["--plugin-sandbox", "off"]);
    assert_eq!(off, r#"{"data":true,"server":null,"rows":1}"#);
}
