//! Plugins in the style of InfluxDB's public collection (`tests/plugins/collection`) write the right rows. They use the
//! same entry points, methods, system tables, SQL, arguments, configuration files and packages as that collection.

mod alerts;
mod rollups;
mod series;

use serde_json::Value;

use super::fixture::{DB, PluginServerFixture};
use crate::harness::Reply;

/// Returns the path of a plugin of the collection.
fn plugin(name: &str) -> String {
    format!("collection/{name}.py")
}

/// Writes lines whose times are seconds since `begin`.
fn write_since(stage: &PluginServerFixture, begin: i64, lines: &str) {
    let moved = lines.lines().map(|line| {
        let (point, time) = line.trim().rsplit_once(' ').unwrap();
        format!("{point} {}\n", begin + time.parse::<i64>().unwrap())
    });
    stage.server.write(DB, &moved.collect::<String>());
}

/// Posts JSON to a trigger, and returns the status and the JSON of its answer.
fn post(stage: &PluginServerFixture, path: &str, body: &Value) -> (u16, Value) {
    let request = stage.server.request("POST", &format!("/api/v3/engine/{path}"));
    let reply = Reply::receive(request.body(body.to_string())).unwrap();
    let answer = serde_json::from_slice(&reply.bytes);
    (reply.status, answer.unwrap_or_else(|_| panic!("{}", reply.text())))
}
