//! Plans, filters, joins and aggregates of caches, and statements over tables that caches answer.

use serde_json::json;

use super::{
    definition::CacheDefinition,
    fixture::{BYPASS_CACHES, CacheFixture, DB, columns, csv, csv_with},
};
use crate::harness::{CATALOG_AGE, Reply, ServerClient, assert_contains, pause};

fn latest() -> CacheDefinition {
    CacheDefinition::last("m", "latest", &["host"])
}

fn two() -> CacheDefinition {
    CacheDefinition::last("m", "two", &["host", "room"]).of(&["v"]).limited_to(2)
}

fn rooms() -> CacheDefinition {
    CacheDefinition::distinct("m", "rooms", &["room", "host"])
}

fn stage() -> CacheFixture {
    let stage = CacheFixture::on_a_directory();
    stage.write(
        "m,host=a,room=x v=1,w=1i -60
         m,host=a,room=x v=2 -50
         m,host=a,room=y v=3,w=3i -40
         m,host=ab,room=x w=4i -55
         m,host=b,room=x v=5 -45
         m,host=b,room=x v=6,w=6i -35
         m,host=c v=7 -30",
    );
    stage.create(&[latest(), two(), rooms()]);
    stage
}

fn more(stage: &CacheFixture) {
    stage.write("m,host=a,room=x w=8i -50\nm,host=d,room=y v=9 -25\nm,host=b,room=z v=10 -65");
}

/// Statements over caches. Each runs with the cache and with its definition.
const STATEMENTS: [&str; 24] = [
    "SELECT * FROM {latest} WHERE host = 'a'",
    "SELECT * FROM {latest} WHERE host IN ('a', 'b', 'none') ORDER BY host",
    "SELECT v, time FROM {two} WHERE host = 'a' AND room = 'x' ORDER BY time",
    "SELECT * FROM {two} WHERE host <> 'a' ORDER BY host, room, time",
    "SELECT * FROM {two} WHERE host NOT IN ('a', 'b') ORDER BY host, room, time",
    "SELECT * FROM {two} WHERE host LIKE 'a%' AND v > 1 ORDER BY host, room, time",
    "SELECT host FROM {latest} WHERE host > 'a' OR w = 3 ORDER BY host",
    "SELECT host FROM {latest} WHERE room IS NULL OR v IS NULL ORDER BY host",
    "SELECT host FROM {rooms} WHERE room IS NULL",
    "SELECT room, host FROM {rooms} WHERE room = 'x' OR host = 'd' ORDER BY host, room",
    "SELECT count(*) AS n, sum(v) AS v, max(time) AS time FROM {latest}",
    "SELECT room, avg(v) AS v, count(*) AS n FROM {two} GROUP BY room ORDER BY room",
    "SELECT room, count(DISTINCT host) AS hosts FROM {rooms} GROUP BY room HAVING count(*) > 1 ORDER BY room",
    "SELECT host, v, row_number() OVER (PARTITION BY host ORDER BY time) AS n FROM {two} ORDER BY host, n",
    "SELECT date_bin(INTERVAL '10 seconds', time) AS t, count(*) AS n FROM {two} GROUP BY t ORDER BY t",
    "SELECT a.host, a.v, b.v AS before FROM {two} a JOIN {two} b \
     ON a.host = b.host AND a.room = b.room AND a.time > b.time ORDER BY a.host",
    "SELECT m.host, m.time, l.v FROM m JOIN {latest} l ON m.host = l.host AND m.time < l.time \
     ORDER BY m.host, m.time",
    "SELECT r.room, l.host, l.v FROM {rooms} r LEFT JOIN {latest} l ON r.room = l.room AND r.host = l.host \
     ORDER BY r.room, l.host",
    "SELECT host FROM {latest} WHERE v > (SELECT avg(v) FROM {two}) ORDER BY host",
    "SELECT host, time FROM m WHERE host IN (SELECT host FROM {latest} WHERE w > 3) ORDER BY host, time",
    "SELECT host, time FROM m WHERE NOT EXISTS \
     (SELECT 1 FROM {rooms} r WHERE r.host = m.host AND r.room = 'y') ORDER BY host, time",
    "SELECT host FROM {latest} UNION SELECT host FROM {rooms} ORDER BY host",
    "WITH l AS (SELECT * FROM {latest}) SELECT one.host FROM l one, l other \
     WHERE one.time > other.time AND other.host = 'a' ORDER BY one.host",
    "SELECT host, selector_last(v, time)['value'] AS v FROM {two} GROUP BY host ORDER BY host",
];

fn compare(server: &ServerClient, step: &str) {
    let columns = columns(server, "m");
    for statement in STATEMENTS {
        let [mut asked, mut defined] = [statement; 2].map(str::to_owned);
        for cache in [latest(), two(), rooms()] {
            let place = format!("{{{}}}", cache.name);
            asked = asked.replace(&place, &cache.call());
            defined = defined.replace(&place, &format!("({})", cache.definition(&columns)));
        }
        let rows = csv(server, &asked);
        assert_eq!(rows, csv_with(server, &defined, &[BYPASS_CACHES]), "{step}: {asked}");
        assert!(rows.lines().count() > 1, "{step}: {asked}");
    }
}

#[test]
fn caches_are_joined_filtered_and_aggregated_like_tables() {
    let stage = stage();
    compare(&stage.writer, "in the tail");
    stage.flush();
    compare(&stage.queriers[0], "in objects");
    more(&stage);
    compare(&stage.queriers[0], "in both");
    let body = json!({
        "db": DB,
        "q": "SELECT v FROM last_cache('m', $cache) WHERE host = $host",
        "params": { "host": "d", "cache": "latest" },
        "format": "csv",
    });
    // Arguments of table functions must be literals; those of filters need not be.
    let body = body.to_string().replace("$cache", "'latest'");
    let request = stage.writer.request("POST", "/api/v3/query_sql").body(body);
    assert_eq!(Reply::receive(request).unwrap().text(), "v\n9.0\n");
}

fn plan(server: &ServerClient, sql: &str, headers: &[(&str, &str)]) -> String {
    csv_with(server, &format!("EXPLAIN {sql}"), headers)
}

#[test]
fn plans_show_the_cache_with_its_predicates_and_projection() {
    let stage = stage();
    stage.flush();
    more(&stage);
    let shown = |sql: &str| {
        let plan = plan(&stage.queriers[0], sql, &[]);
        let line = plan.lines().find(|line| line.contains("CacheExec"));
        line.unwrap_or_else(|| panic!("{plan}")).trim().to_owned()
    };
    let sql = "SELECT v FROM last_cache('m', 'two') WHERE host = 'a'";
    insta::assert_snapshot!(shown(sql), @r#"LastCacheExec: cache=two, predicates=[host = Utf8(""a"")], projection=[v]"#);
    let sql = "SELECT room FROM distinct_cache('m') WHERE host <> 'a' LIMIT 3";
    insta::assert_snapshot!(shown(sql), @r#"DistinctCacheExec: cache=rooms, predicates=[host != Utf8View(""a"")], limit=3, projection=[room]"#);
    // Caches whose keys include fields are not stored.
    stage.create(&[CacheDefinition::last("m", "of_w", &["w"])]);
    pause(CATALOG_AGE);
    let plan_of_w = shown("SELECT * FROM last_cache('m', 'of_w')");
    assert_contains!(plan_of_w, "LastCacheExec: cache=of_w, from=table");
    // Caches do not evaluate conditions on values.
    let plan = plan(
        &stage.queriers[0],
        "SELECT host FROM last_cache('m', 'latest') WHERE w > 3",
        &[],
    );
    assert_contains!(plan, "FilterExec: w@");
    assert_contains!(plan, "LastCacheExec: cache=latest, projection=[host, w]");
}

/// Statements over the table, and whether a cache can answer them.
#[rustfmt::skip]
const OVER_TABLE: [(&str, bool); 16] = [
    ("SELECT DISTINCT room FROM m ORDER BY room", true),
    ("SELECT room, host FROM m GROUP BY room, host ORDER BY room, host", true),
    ("SELECT DISTINCT room FROM m WHERE host = 'b' ORDER BY room", true),
    ("SELECT DISTINCT ON (host) host, time FROM m ORDER BY host, time DESC", true),
    (
        "SELECT DISTINCT ON (host, room) host, room, time, v FROM m \
         WHERE host IN ('a', 'b') AND room IN ('x', 'y') ORDER BY host, room, time DESC",
        true,
    ),
    ("SELECT host, last_value(time ORDER BY time) AS t FROM m GROUP BY host ORDER BY host", true),
    ("SELECT host, time FROM m WHERE host = 'b' ORDER BY time DESC LIMIT 1", true),
    (
        "SELECT v FROM m WHERE host = 'a' AND room = 'x' AND time > now() - INTERVAL '30 minutes' \
         ORDER BY time DESC LIMIT 2",
        true,
    ),
    // Among rows with the same time, a cache and the table might return different ones first.
    ("SELECT DISTINCT ON (host) host, time, v, w FROM m ORDER BY host, time DESC", false),
    ("SELECT host, last_value(w ORDER BY time) AS w FROM m GROUP BY host ORDER BY host", false),
    ("SELECT * FROM m WHERE host = 'b' ORDER BY time DESC LIMIT 1", false),
    // A cache does not have all columns of these statements.
    ("SELECT v FROM m WHERE host = 'a' AND room = 'x' ORDER BY time DESC LIMIT 3", false),
    ("SELECT DISTINCT room FROM m WHERE v > 2 ORDER BY room", false),
    ("SELECT host, max(v) AS v FROM m GROUP BY host ORDER BY host", false),
    ("SELECT * FROM m ORDER BY time DESC LIMIT 1", false),
    ("SELECT * FROM m WHERE host = 'b' ORDER BY time LIMIT 1", false),
];

fn compare_over_table(server: &ServerClient, step: &str) {
    for (sql, is_helped) in OVER_TABLE {
        let [rows, without] =
            [&[][..], &[BYPASS_CACHES]].map(|headers| csv_with(server, sql, headers));
        assert_eq!(rows, without, "{step}: {sql}");
        let [with, without] = [&[][..], &[BYPASS_CACHES]].map(|headers| plan(server, sql, headers));
        assert_eq!(with.contains("in_place_of=m"), is_helped, "{step}: {sql}: {with}");
        assert!(!without.contains("in_place_of"), "{step}: {sql}: {without}");
    }
}

#[test]
fn statements_over_a_table_are_answered_by_its_caches() {
    let stage = stage();
    compare_over_table(&stage.writer, "in the tail");
    stage.flush();
    compare_over_table(&stage.queriers[0], "in objects");
    more(&stage);
    compare_over_table(&stage.queriers[0], "in both");
    // Writes rows that are older than the maximum age of the caches.
    stage.write("m,host=old,room=old v=1 -9000\nm,room=none v=2 -10");
    for server in [&stage.writer, &stage.queriers[0]] {
        for (sql, _) in OVER_TABLE {
            let [rows, without] =
                [&[][..], &[BYPASS_CACHES]].map(|headers| csv_with(server, sql, headers));
            assert_eq!(rows, without, "old rows: {sql}");
        }
        let rows = csv(server, "SELECT DISTINCT room FROM m ORDER BY room");
        assert_contains!(rows, "old\n");
    }
}
