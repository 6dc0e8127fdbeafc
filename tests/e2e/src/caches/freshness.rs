//! Processes with separate memory see each other's writes at once, and read less from the store if a client accepts
//! stale answers.

use super::{
    definition::CacheDefinition,
    fixture::{CacheFixture, csv, csv_with},
};
use crate::{
    harness::{StoreFixture, assert_contains},
    request_budget::cost,
};

const ROUNDS: i64 = 8;

fn run(stage: &CacheFixture) {
    stage.write("m,host=a,room=x v=0 -100");
    let caches = [
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::last("m", "two", &["host", "room"]).of(&["v"]).limited_to(2),
        CacheDefinition::distinct("m", "rooms", &["room"]),
    ];
    stage.create(&caches);
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            stage.flush();
        }
        // Every other round has a row that is older than the previous one.
        let time = -100 + round * if round % 2 == 0 { 1 } else { -1 };
        stage.write(&format!(
            "m,host=a,room=x v={round} {time}\nm,host=h{round},room=r{} w={round} -90",
            round % 3
        ));
        let mut shown = Vec::new();
        for querier in &stage.queriers {
            let rows = caches.each_ref().map(|cache| csv(querier, &cache.query()));
            assert_contains!(rows[0], &format!("\nh{round},r{}", round % 3));
            shown.push(rows);
        }
        shown.dedup();
        assert_eq!(shown.len(), 1, "{shown:?}");
    }
    stage.check(&caches, "in the end");

    let querier = &stage.queriers[0];
    let stale = [("x-neap-max-staleness", "1h")];
    let ask = |headers: &[(&str, &str)]| {
        caches.each_ref().map(|cache| csv_with(querier, &cache.query(), headers))
    };
    let before = ask(&[]);
    stage.write("m,host=new,room=new v=1 -1");
    let cost = cost(querier, || assert_eq!(ask(&stale), before));
    assert_eq!(cost.to_string(), "");
    assert!(ask(&[])[0].contains("\nnew,new"));
    assert!(ask(&stale)[0].contains("\nnew,new"));
}

#[test]
fn two_processes_return_the_same_rows_after_each_write_on_an_s3_server() {
    let place = StoreFixture::neap_s3_server().with_standard_margins();
    run(&CacheFixture::on_a_network(place));
}

#[test]
fn two_processes_return_the_same_rows_after_each_write_on_the_other_s3_server() {
    if let Some(place) = StoreFixture::third_party_s3() {
        run(&CacheFixture::on_a_network(place.with_standard_margins()));
    }
}
