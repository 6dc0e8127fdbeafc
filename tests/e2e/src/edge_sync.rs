//! Sites that ship their rows to one database of a central cluster.

use std::{process::Child, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    CommandOutput, NeapProcess, Reply, ServerClient, StoreFixture, assert_contains, neap,
    neap_binary, pause, program, wait_for,
};

/// Maximum time until rows are shipped, which may include a flush at both sides.
const ARRIVAL: Duration = Duration::from_secs(120);

/// The number of times that a process is killed.
const KILLS: u64 = 6;

/// A site: a server on a directory.
struct Site {
    name: &'static str,
    place: StoreFixture,
    server: NeapProcess,
}

impl Site {
    /// Starts a site whose segments are held from the beginning.
    fn start(name: &'static str) -> Self {
        let site = Self::with_history(name, &[]);
        let create = ["create", "database", "line", "--host", site.server.url()];
        neap(&create).succeeded();
        let hold = ["sync", "-d", "line", "--hold", "--to-database", "plants", "--site", name];
        neap(&site.place.after(&hold)).succeeded();
        site
    }

    /// Starts a site that may flush rows before it ships any.
    fn with_history(name: &'static str, options: &[&str]) -> Self {
        let place = StoreFixture::directory();
        let server = NeapProcess::serve_with(&place, options);
        Self { name, place, server }
    }

    /// Returns the arguments of `neap sync` for this site, under a name.
    fn arguments(&self, name: &str, central: &str, token: Option<&str>) -> Vec<String> {
        let fixed = ["sync", "-d", "line", "--to", central, "--to-database", "plants"];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).to_vec();
        arguments.extend(["--site".to_owned(), name.to_owned()]);
        arguments.extend(self.place.flags.clone());
        if let Some(token) = token {
            arguments.extend(["--token".to_owned(), token.to_owned()]);
        }
        arguments
    }

    fn sync(&self, central: &ServerClient, token: Option<&str>) -> CommandOutput {
        let output = neap(&self.arguments(self.name, central.url(), token));
        assert_eq!(output.status, Some(0), "{}", output.err);
        output
    }
}

/// Creates a token that may ship rows of a site.
fn token_of_site(admin: &ServerClient, site: &str) -> String {
    let permissions = json!([{
        "resource_type": "site",
        "resource_names": [format!("plants/{site}")],
        "actions": ["write"],
    }]);
    let body = json!({ "token_name": site, "permissions": permissions });
    let request = admin
        .request("POST", "/api/v3/enterprise/configure/token")
        .header("content-type", "application/json")
        .body(body.to_string());
    let reply = Reply::receive(request).unwrap();
    let created: Value = serde_json::from_slice(&reply.bytes).unwrap();
    created["token"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
}

#[test]
fn sites_ship_rows_and_deletes_to_one_database_each_with_its_token() {
    let place = StoreFixture::neap_s3_server();
    let central = NeapProcess::serve_with_tokens(&place, &[]);
    let admin = central.with_token(&central.first_token());
    admin.write("plants", "notes,site=office text=\"kept\" 1");
    let [one, two] = ["plant-1", "plant-2"].map(Site::start);
    let [token_one, token_two] = ["plant-1", "plant-2"].map(|site| token_of_site(&admin, site));
    one.server.write("line", "oven,unit=a celsius=200 1\noven,unit=b celsius=210 2");
    two.server.write("line", "oven,unit=a celsius=100 1");
    let output = one.sync(&central, Some(&token_one));
    assert!(output.out.starts_with("2 rows and 0 deletes"), "{}", output.out);
    two.sync(&central, Some(&token_two));
    let request = one
        .server
        .request("POST", "/api/v3/delete_rows")
        .header("content-type", "application/json")
        .body(json!({ "db": "line", "table": "oven", "condition": "unit = 'a'" }).to_string());
    assert_eq!(Reply::receive(request).unwrap().status, 204);
    one.server.write("line", "oven,unit=b celsius=220 2");
    one.sync(&central, Some(&token_one));
    let sql = "SELECT site, unit, celsius FROM oven ORDER BY site";
    let expected = [
        json!({ "site": "plant-1", "unit": "b", "celsius": 220.0 }),
        json!({ "site": "plant-2", "unit": "a", "celsius": 100.0 }),
    ];
    assert_eq!(admin.query("plants", sql), expected);
    let again = one.sync(&central, Some(&token_one));
    assert!(again.out.starts_with("0 rows and 0 deletes"), "{}", again.out);

    // A token of a site ships this site, and does nothing else.
    let foreign = neap(&two.arguments("plant-2", central.url(), Some(&token_one)));
    assert_eq!(foreign.status, Some(1));
    assert_contains!(foreign.err, "403");
    let holder = central.with_token(&token_one);
    let written = holder.try_write("plants", "oven,site=plant-2 celsius=0 1", None);
    assert_eq!(written.unwrap().status, 403);
    let query = json!({ "db": "plants", "q": "SELECT 1" }).to_string();
    let read = holder.request("POST", "/api/v3/query_sql").body(query);
    assert_eq!(Reply::receive(read).unwrap().status, 403);
    // Another database does not pass for the site.
    let other = Site::start("plant-1");
    other.server.write("line", "oven,unit=z celsius=1 1");
    let refused = neap(&other.arguments("plant-1", central.url(), Some(&token_one)));
    assert_eq!(refused.status, Some(1));
    assert_contains!(refused.err, "another database");
    assert_eq!(admin.query("plants", sql), expected);
}

#[test]
fn a_sync_that_is_killed_goes_on_where_it_was() {
    let place = StoreFixture::neap_s3_server();
    let central = NeapProcess::serve(&place);
    central.write("plants", "notes text=\"kept\" 1");
    let site = Site::start("plant-1");
    for round in 0..KILLS {
        let lines: Vec<_> =
            (0..50).map(|row| format!("oven,unit=u{row} round={round}i {round}")).collect();
        site.server.write("line", &lines.join("\n"));
        let mut child = follow(&site, central.url());
        pause(Duration::from_millis(1_500 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    site.sync(&central, None);
    let sql = "SELECT count(*) AS n, sum(round) AS sum FROM oven WHERE site = 'plant-1'";
    let expected = site.server.query("line", "SELECT count(*) AS n, sum(round) AS sum FROM oven");
    assert_eq!(central.query("plants", sql), expected);
    assert_eq!(expected[0]["n"], 50 * KILLS);
}

fn follow(site: &Site, central: &str) -> Child {
    let folder = TempDir::new().unwrap();
    let mut command = program(&neap_binary(), folder.path());
    command.args(site.arguments(site.name, central, None));
    command.args(["--follow", "--interval", "1s"]);
    command.spawn().unwrap()
}

#[test]
fn rows_that_were_flushed_before_are_left_out_only_on_request() {
    let place = StoreFixture::neap_s3_server();
    let central = NeapProcess::serve(&place);
    central.write("plants", "notes text=\"kept\" 1");
    // Only the command flushes.
    let site = Site::with_history("plant-1", &["--mode", "ingest,query"]);
    site.server.write("line", "oven,unit=a celsius=1 1");
    let flushed = neap(&[&["compact".to_owned()][..], &site.place.flags[..]].concat());
    assert_eq!(flushed.status, Some(0), "{}", flushed.err);
    site.server.write("line", "oven,unit=a celsius=2 2");
    let arguments = site.arguments("plant-1", central.url(), None);
    let refused = neap(&arguments);
    assert_eq!(refused.status, Some(1));
    assert_contains!(refused.err, "export");
    let skipping = neap(&[&arguments[..], &["--skip-history".to_owned()][..]].concat());
    assert_eq!(skipping.status, Some(0), "{}", skipping.err);
    let shipped = central.query("plants", "SELECT celsius FROM oven");
    assert_eq!(shipped, [json!({ "celsius": 2.0 })]);
    let stop = ["sync", "-d", "line", "--stop"].map(str::to_owned);
    let stopped = neap(&[&stop[..], &site.place.flags[..]].concat());
    assert_eq!(stopped.status, Some(0), "{}", stopped.err);
}

#[test]
fn a_server_ships_its_rows_itself_also_after_it_was_killed() {
    let place = StoreFixture::neap_s3_server();
    let central = NeapProcess::serve(&place);
    central.write("plants", "notes text=\"kept\" 1");
    let site = StoreFixture::directory();
    let serve = |central: &ServerClient| {
        let to = ["--sync-to", central.url(), "--sync-site", "plant-1"];
        let what = ["--sync-databases", "line=plants", "--sync-interval", "1s"];
        NeapProcess::serve_with(&site, &[to, what].concat())
    };
    let first = serve(&central);
    first.write("line", "oven,unit=a celsius=1 1");
    wait_for_rows(&central, 1);
    first.kill();
    let second = serve(&central);
    second.write("line", "oven,unit=a celsius=2 2");
    wait_for_rows(&central, 2);
    assert!(second.stop().success());
}

fn wait_for_rows(central: &ServerClient, expected: u64) {
    let sql = "SELECT count(*) AS n FROM information_schema.tables WHERE table_name = 'oven'";
    wait_for("rows of the site", ARRIVAL, || {
        let has_table = central.query("plants", sql)[0]["n"] == 1;
        let count = "SELECT count(*) AS n FROM oven WHERE site = 'plant-1'";
        (has_table && central.query("plants", count)[0]["n"] == expected).then_some(())
    });
}
