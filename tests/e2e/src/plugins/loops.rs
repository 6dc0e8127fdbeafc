//! Plugins that trigger themselves.

use serde_json::json;

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually};
use crate::harness::assert_contains;

/// Maximum length of a chain of plugin runs that one client write causes.
const DEPTH: usize = 8;

#[test]
fn a_plugin_that_writes_into_its_own_table_is_stopped() {
    let stage = PluginServerFixture::new();
    TriggerDefinition::new("loop", "misbehaving/answers_itself.py", "table:looped").create(&stage);
    stage.server.write(DB, "looped n=0i 1");
    let line = stage.wait_for_log("loop", "ERROR ");
    let text = format!("{} plugins in a row", DEPTH + 1);
    assert_contains!(line, &text);
    let expected: Vec<_> = (0..=DEPTH + 1).map(|n| json!({ "n": n })).collect();
    stage.wait_for_rows("SELECT n FROM looped ORDER BY n", expected.into());
    eventually("loops", 1.0, || stage.metric("neap_plugin_loops_total"));

    // Writes of clients still trigger the plugin.
    stage.server.write(DB, "looped n=100i 100");
    let expected = json!([{ "n": 100 + DEPTH + 1 }]);
    stage.wait_for_rows("SELECT max(n) AS n FROM looped", expected);
}

#[test]
fn plugins_that_write_to_each_other_are_stopped() {
    let stage = PluginServerFixture::new();
    stage.server.write("other", "begin value=1i 1");
    for (name, from, into) in [("there", DB, "other"), ("back", "other", DB)] {
        TriggerDefinition::new(name, "misbehaving/passes_on.py", "table:ball")
            .of(from)
            .with(&[("into", into)])
            .create(&stage);
    }
    stage.server.write(DB, "ball n=0i 1");
    let (even, odd): (Vec<_>, Vec<_>) = (0..=DEPTH + 1).partition(|n| n % 2 == 0);
    let shown =
        |numbers: Vec<usize>| numbers.into_iter().map(|n| json!({ "n": n })).collect::<Vec<_>>();
    let sql = "SELECT n FROM ball ORDER BY n";
    stage.wait_for_rows(sql, shown(even).into());
    stage.shows_in("other", sql, shown(odd).into());
}
