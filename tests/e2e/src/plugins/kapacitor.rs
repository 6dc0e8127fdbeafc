//! The plugin of `infra/kapacitor`, which sends rows as a subscription of InfluxDB 1 does. Another server takes the place
//! of Kapacitor, whose `/write` is that of InfluxDB 1.

use std::fs;

use serde_json::{Value, json};

use super::fixture::{DB, PluginServerFixture, TriggerDefinition, eventually, rows};
use crate::harness::{NeapProcess, StoreFixture, repository};

#[test]
fn rows_reach_kapacitor_with_their_tags_and_types() {
    let place = StoreFixture::memory();
    let kapacitor = NeapProcess::serve_with_tokens(&place, &[]);
    let token = kapacitor.first_token();
    let stage = PluginServerFixture::new();
    let plugin = fs::read_to_string(repository().join("infra/kapacitor/subscription.py")).unwrap();
    stage.put("subscription.py", &plugin);
    let url = kapacitor.url().replace("http://", &format!("http://kapacitor:{token}@"));
    TriggerDefinition::new("kapacitor", "subscription.py", "all_tables")
        .on_error("retry")
        .with(&[("url", url.as_str()), ("db", DB)])
        .create(&stage);
    stage.server.write(
        DB,
        "soil,bed=roses\\,\\ red moisture=38.5,open=true,note=\"a \\\"b\\\"\",n=3i 60\nsoil moisture=41 61\nair u=7u 62",
    );
    let columns = "SELECT column_name, data_type FROM information_schema.columns \
                   WHERE table_schema = 'iox' AND table_name = 'soil' ORDER BY column_name";
    let expected = stage.rows(columns);
    let reader = kapacitor.with_token(&token);
    let sent = |sql: &str| rows(&reader, DB, sql);
    eventually(columns, expected, || sent(columns));
    let soil = "SELECT bed, moisture, open, note, n, time FROM soil ORDER BY time";
    eventually(soil, stage.rows(soil), || sent(soil));
    let air: Value = json!([{ "u": 7 }]);
    eventually("air", air.as_array().cloned(), || sent("SELECT u FROM air"));
    let log = stage.log("kapacitor");
    assert!(!log.iter().any(|line| line.starts_with("ERROR")), "{log:?}");
}
