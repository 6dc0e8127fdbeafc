//! Renamed databases and tables through two processes: rows, caches and a view, before and after flushes and merges.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NeapProcess, StoreFixture, assert_contains, neap, wait_for, words};

/// Maximum wait for a refresh of the view, which follows a flush.
const REFRESH: Duration = Duration::from_secs(90);

const VIEW: &str = "SELECT date_bin(INTERVAL '1 hour', time) AS time, host, count(*) AS n FROM cpu GROUP BY 1, host";

/// Two processes on a directory.
struct RenamedStore {
    place: StoreFixture,
    processes: [NeapProcess; 2],
}

impl RenamedStore {
    fn start() -> Self {
        let place = StoreFixture::directory();
        let flags = ["--rollup-interval", "1s"];
        let processes = [(); 2].map(|()| NeapProcess::serve_with(&place, &flags));
        Self { place, processes }
    }

    /// Runs a command on the first process.
    fn run(&self, arguments: &[&str]) -> String {
        self.processes[0].run_command(arguments).succeeded()
    }

    /// Flushes and merges everything.
    fn compact(&self) {
        neap(&self.place.after(&["compact"])).succeeded();
    }

    /// Checks the answer of a statement on both processes, with each name of the database and of the table.
    fn assert_rows(&self, statement: &str, tables: [&str; 2], expected: &[Value]) {
        for process in &self.processes {
            for database in ["home", "house"] {
                for table in tables {
                    let sql = statement.replace("TABLE", table);
                    assert_eq!(process.query(database, &sql), expected, "{database}: {sql}");
                }
            }
        }
    }
}

fn hosts(hosts: &[&str]) -> Vec<Value> {
    hosts.iter().map(|host| json!({ "host": host })).collect()
}

#[test]
fn a_renamed_table_has_its_rows_caches_and_views_under_both_names() {
    let store = RenamedStore::start();
    let [one, other] = &store.processes;
    one.write("home", "cpu,host=a v=1\nother v=1");
    store.run(&words("create last_cache latest -d home -t cpu --key-columns host"));
    one.query("home", &format!("CREATE MATERIALIZED VIEW hourly AS {VIEW}"));
    // The other process knows the former names. Times are whole seconds, so that a point of the same series could replace the first.
    other.write("home", "cpu,host=a,room=x v=2");
    store.compact();
    // The first refresh creates the table of the view.
    let created = "SELECT table_name FROM information_schema.tables WHERE table_name = 'hourly'";
    wait_for("the table of the view", REFRESH, || {
        (!one.query("home", created).is_empty()).then_some(())
    });
    store.run(&["rename", "database", "home", "house"]);
    store.run(&["rename", "table", "cpu", "processor", "-d", "home"]);
    one.query("house", "ALTER TABLE hourly RENAME TO counts");
    other.write("home", "cpu,host=b v=3");
    other.write("house", "processor,host=c v=4");
    let rows = "SELECT DISTINCT host FROM TABLE ORDER BY host";
    let latest = "SELECT host FROM last_cache('TABLE', 'latest') ORDER BY host";
    let tables = ["cpu", "processor"];
    for number in 0..2 {
        store.assert_rows(rows, tables, &hosts(&["a", "b", "c"]));
        store.assert_rows(latest, tables, &hosts(&["a", "b", "c"]));
        if number == 0 {
            store.compact();
        }
    }
    wait_for("the rows of the view", REFRESH, || {
        let sql = "SELECT host, sum(n) AS n FROM hourly GROUP BY host ORDER BY host";
        let expected = [
            json!({ "host": "a", "n": 2 }),
            json!({ "host": "b", "n": 1 }),
            json!({ "host": "c", "n": 1 }),
        ];
        (one.query("house", sql) == expected).then_some(())
    });
    store.assert_rows(rows, ["hourly", "counts"], &hosts(&["a", "b", "c"]));

    let alias = words("delete table_alias cpu -d house");
    let refused = one.run_command(&alias).failed(1);
    assert_contains!(refused, "materialized view 'hourly' uses the alias 'cpu'");
    one.query("house", "DROP MATERIALIZED VIEW hourly");
    one.run_command(&alias).succeeded();
    store.run(&["delete", "database_alias", "home"]);
    // Both names are free, also for the process that knew them.
    other.write("house", "cpu,host=z v=5");
    other.write("home", "cpu,host=y v=6");
    for process in &store.processes {
        let sql = "SELECT DISTINCT host FROM cpu";
        assert_eq!(process.query("house", sql), hosts(&["z"]));
        assert_eq!(process.query("home", sql), hosts(&["y"]));
        let renamed = process.query("house", "SELECT DISTINCT host FROM processor ORDER BY host");
        assert_eq!(renamed, hosts(&["a", "b", "c"]));
    }
}

#[test]
fn a_token_for_a_renamed_database_stays_valid() {
    let place = StoreFixture::memory();
    let server = NeapProcess::serve_with_tokens(&place, &[]);
    let admin = server.first_token();
    let administrator = server.with_token(&admin);
    administrator.write("home", "cpu v=1");
    let token = server.create_token(&admin, "db:home:read,write");
    let holder = server.with_token(&token);
    administrator.query("home", "ALTER DATABASE home RENAME TO house");
    for database in ["home", "house"] {
        holder.write(database, "cpu v=2");
        assert_eq!(holder.query(database, "SELECT count(v) > 0 AS has FROM cpu").len(), 1);
    }
    let rename = format!("rename database house palace --token {token}");
    let renamed = server.run_command(&words(&rename));
    assert!(
        renamed.failed(1).contains("403"),
        "only who may create databases may rename them"
    );
}
