//! `SELECT ... INTO`.

use serde_json::json;

use super::home;
use crate::tests::instance::QueryTestInstance;

impl QueryTestInstance {
    /// Returns the outcome of a statement: the number of written rows, or the error.
    async fn store(&self, q: &str) -> String {
        let (status, body) = self.change(q).await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let result = &answer["results"][0];
        match result["error"].as_str() {
            Some(error) => format!("{status} {error}"),
            None => {
                let series = &result["series"][0];
                assert_eq!(
                    (&series["name"], &series["columns"]),
                    (&json!("result"), &json!(["time", "written"])),
                    "{body}"
                );
                series["values"][0][1].to_string()
            }
        }
    }
}

#[tokio::test]
async fn tags_of_group_by_stay_tags_and_others_become_fields() {
    let one = home().await;
    assert_eq!(one.store("SELECT temp INTO grouped FROM home GROUP BY *").await, "4");
    assert_eq!(one.store("SELECT temp, room INTO plain FROM home").await, "4");
    let shown = one.ask("SHOW TAG KEYS").await;
    assert_contains!(shown, r#"{"name":"grouped","columns":["tagKey"],"values":[["room"]]}"#);
    assert!(!shown.contains("plain"), "{shown}");
    let source = one.ask("SELECT temp FROM home GROUP BY *").await;
    let copy = one.ask("SELECT temp FROM grouped GROUP BY *").await;
    assert_eq!(copy.replace("grouped", "home"), source);
    insta::assert_snapshot!(one.ask("SELECT * FROM plain").await, @r#""series":[{"name":"plain","columns":["time","room","temp"],"values":[["2024-01-01T08:00:00Z","Living Room",21.1],["2024-01-01T08:00:00.000000001Z",null,20.5],["2024-01-01T09:00:00Z","Kitchen",23]]}]"#);
}

#[tokio::test]
async fn tags_that_rank_rows_stay_tags() {
    let one = home().await;
    let pairs = "
        SELECT top(temp, room, 3), co INTO ranked FROM home ==> 3
        SELECT top(temp, room, 2) INTO grouped FROM home GROUP BY room ==> 3
        SELECT room, bottom(temp, room, 3) INTO twice FROM home ==> 3
    ";
    for (q, written) in neap_test_inputs::text_pairs(pairs) {
        assert_eq!(one.store(q).await, written, "{q}");
    }
    insta::assert_snapshot!(one.ask("SELECT * FROM ranked GROUP BY *").await, @r#""series":[{"name":"ranked","tags":{"room":""},"columns":["time","co","top"],"values":[["2024-01-01T08:00:00.000000001Z",null,20.5]]},{"name":"ranked","tags":{"room":"Kitchen"},"columns":["time","co","top"],"values":[["2024-01-01T09:00:00Z",1,23]]},{"name":"ranked","tags":{"room":"Living Room"},"columns":["time","co","top"],"values":[["2024-01-01T08:00:00Z",0,21.1]]}]"#);
    insta::assert_snapshot!(one.ask("SELECT count(top) FROM grouped GROUP BY *").await, @r#""series":[{"name":"grouped","tags":{"room":""},"columns":["time","count"],"values":[["1970-01-01T00:00:00Z",1]]},{"name":"grouped","tags":{"room":"Kitchen"},"columns":["time","count"],"values":[["1970-01-01T00:00:00Z",1]]},{"name":"grouped","tags":{"room":"Living Room"},"columns":["time","count"],"values":[["1970-01-01T00:00:00Z",1]]}]"#);
    insta::assert_snapshot!(one.ask("SHOW FIELD KEYS FROM twice").await, @r#""series":[{"name":"twice","columns":["fieldKey","fieldType"],"values":[["bottom","float"]]}]"#);
}

#[tokio::test]
async fn windows_are_stored_at_their_starts_and_repeats_change_nothing() {
    let one = home().await;
    let q = "SELECT mean(temp) AS temp, max(co) INTO hourly FROM home WHERE time >= '2024-01-01T08:00:00Z' \
             AND time < '2024-01-01T11:00:00Z' GROUP BY time(1h), room";
    for _ in 0..2 {
        assert_eq!(one.store(q).await, "4", "windows without rows are skipped");
    }
    insta::assert_snapshot!(one.ask("SELECT * FROM hourly").await, @r#""series":[{"name":"hourly","columns":["time","max","room","temp"],"values":[["2024-01-01T08:00:00Z",0,"Kitchen",21],["2024-01-01T08:00:00Z",0,"Living Room",21.1],["2024-01-01T08:00:00Z",null,null,20.5],["2024-01-01T09:00:00Z",1,"Kitchen",23]]}]"#);
}

#[tokio::test]
async fn rows_go_to_tables_with_the_names_of_their_sources() {
    let one = home().await;
    one.catalog.create_database("copy", None).await.unwrap();
    one.catalog.create_database("copy/week", None).await.unwrap();
    let everything = "SELECT * INTO copy..:MEASUREMENT FROM /.*/ GROUP BY *";
    assert_eq!(one.store(everything).await, "6");
    assert_eq!(
        one.store("SELECT v INTO copy.week.:MEASUREMENT FROM units GROUP BY *").await,
        "2"
    );
    for q in ["SELECT temp, co, v FROM /.*/ GROUP BY *", "SHOW FIELD KEYS"] {
        let of = |database: &'static str| one.v1_of(database, q);
        assert_eq!(of("copy").await, of("db").await, "{q}");
    }
    let week = one.v1_of("copy", "SELECT count(v) FROM week.units").await;
    assert!(week.contains("[\"1970-01-01T00:00:00Z\",2]"), "{week}");
}

#[tokio::test]
async fn statements_that_cannot_be_stored_say_why() {
    let one = home().await;
    let mut outcomes = Vec::new();
    for q in [
        "SELECT temp INTO nowhere..x FROM home",
        "SELECT temp INTO week.x FROM home",
        "SELECT temp INTO _internal..x FROM home",
        "SELECT room INTO units FROM home GROUP BY src",
        "SELECT v AS src INTO units FROM units",
        "SELECT nothing INTO x FROM home",
        "SELECT temp INTO \"#x\" FROM home",
    ] {
        outcomes.push(one.store(q).await);
    }
    insta::assert_snapshot!(outcomes.join("\n"), @"
    200 database not found: nowhere
    200 database not found: db/week
    200 _internal can't be changed
    0
    200 line 1 is refused: invalid column type for column 'src', expected iox::column_type::tag, got iox::column_type::field::integer
    0
    200 the name of the table '#x' starts with '#', a tab, a line break or a byte order mark, which line protocol cannot
    ");
    let by_get = one.ask("SELECT temp INTO x FROM home").await;
    assert_eq!(by_get, r#""error":"SELECT INTO requires a POST request""#);
    let refused = one.v3(json!({"db": "db", "q": "SELECT temp INTO x FROM home"})).await;
    assert_eq!(refused, (400, "SELECT INTO is supported only by /query".to_owned()));
}

#[tokio::test]
async fn values_that_are_no_numbers_are_left_out() {
    let one = home().await;
    // ln(0) is infinite, and the row of v = 2 has a number.
    assert_eq!(one.store("SELECT ln(v - 1) AS l, v INTO logs FROM units").await, "2");
    let shown = one.ask("SELECT count(l), count(v) FROM logs").await;
    assert!(shown.contains(",1,2]"), "{shown}");
    assert_eq!(one.store("SELECT ln(v - 1) AS l INTO alone FROM units").await, "1");
}

#[tokio::test]
async fn many_rows_are_stored_in_parts() {
    let one = home().await;
    let text = "x".repeat(1_000);
    let lines = (0..9_000).map(|row| format!("wide text=\"{text}\",n={row}i {row}"));
    one.write(&lines.collect::<Vec<_>>().join("\n")).await;
    assert_eq!(one.store("SELECT text, n INTO copy FROM wide").await, "9000");
    let copied = one.ask("SELECT count(n), sum(n), count(text) FROM copy").await;
    assert!(copied.contains(",9000,40495500,9000]"), "{copied}");
}

#[tokio::test]
async fn tag_keys_are_selected_by_name() {
    let one = home().await;
    for (with, shown) in [
        ("= room", vec!["home"]),
        ("!= room", vec!["units"]),
        ("IN (room, kind)", vec!["home", "units"]),
        ("=~ /^s/", vec!["units"]),
        ("!~ /./", vec![]),
    ] {
        let answer = one.ask(&format!("SHOW TAG KEYS WITH KEY {with}")).await;
        let answer: serde_json::Value = serde_json::from_str(&format!("{{{answer}}}")).unwrap();
        let series = answer["series"].as_array().into_iter().flatten();
        let names: Vec<_> =
            series.map(|series| series["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, shown, "{with}");
    }
}
