//! The exact requests to the store: the costs and the savings of caches.

use super::{
    definition::CacheDefinition,
    fixture::{DB, create, csv, now, shift_times},
};
use crate::{
    harness::{NeapProcess, StoreFixture, StoreRequests, assert_contains, neap, pause, wait_for},
    request_budget::{
        FLUSH, REVALIDATION_AGE, REVALIDATIONS, cost, costs, costs_until_first_flush,
    },
};

/// Returns the requests, without those that revalidate copies of registers.
fn without_renewals(mut requests: StoreRequests) -> String {
    for renewal in REVALIDATIONS {
        requests.0.remove(renewal);
    }
    requests.to_string()
}

/// Counts the requests of all operations.
fn on(store: StoreFixture) {
    let place = &store.with_standard_margins();
    let writer = NeapProcess::serve_with(place, &["--mode", "ingest"]);
    writer.write(DB, "clock v=1");
    let querier = NeapProcess::serve_with(place, &["--mode", "query"]);
    let started_at = now(&querier);
    let write = |lines: &str| {
        writer.write(DB, &shift_times(started_at, lines));
    };
    write("m,host=a,room=x v=1 -60\nm,host=b,room=y v=1 -50\nother,host=a v=1 -60");
    let caches = [
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::last("m", "two", &["host", "room"]).limited_to(2),
        CacheDefinition::distinct("m", "rooms", &["room"]),
        CacheDefinition::last("other", "latest", &["host"]),
        // This cache is not stored, because its column is a field.
        CacheDefinition::distinct("fields", "states", &["state"]),
    ];
    write("fields state=\"on\" -50");
    for cache in &caches {
        let requests = cost(&writer, || create(&writer, cache));
        assert_eq!(without_renewals(requests), "1 put database_catalog", "{cache:?}");
    }
    let [latest, two, rooms, other, _] = &caches;

    // The existing segments are flushed, and their rows are then read for the new caches.
    let compact = place.after(&["compact"]);
    assert!(neap(&compact).succeeded().contains("4 caches filled"));
    write("m,host=a,room=x v=2 -40");
    write("m,host=c,room=z v=2 -40\nfields state=\"off\" -40");

    let fresh = NeapProcess::serve_with(place, &["--mode", "query"]);
    pause(REVALIDATION_AGE);
    let cold = "1 get cache, 1 get database_catalog, 1 get manifest, 1 get root_catalog, \
                2 get tail, 1 list tail";
    let requests = cost(&fresh, || drop(csv(&fresh, &latest.query())));
    assert_eq!(requests.to_string(), cold, "a cold query of a cache");
    let nothing_new = "1 get database_catalog, 1 get manifest, 1 list tail";
    for cache in [latest, two, rooms, other] {
        csv(&fresh, &cache.query());
        costs(&fresh, nothing_new, || drop(csv(&fresh, &cache.query())));
    }
    assert_eq!(fresh.store_requests().of("get cache"), 4);
    let mut value = 10;
    let two_more = "1 get database_catalog, 1 get manifest, 2 get tail, 1 list tail";
    let mut segments = 2;
    costs(&fresh, two_more, || {
        for _ in 0..2 {
            value += 1;
            segments += 1;
            write(&format!("m,host=a,room=x v={value} -30"));
        }
        let row = csv(&fresh, &latest.query());
        assert_contains!(row, &format!("a,x,{value}.0"));
    });
    assert_eq!(fresh.store_requests().of("get data"), 0);

    let shown = [latest, two, rooms, other].map(|cache| csv(&fresh, &cache.query()));
    pause(place.flush_lag() + REVALIDATION_AGE);
    // This flush touches three of four caches.
    let expected = format!(
        "3 get cache, 1 get database_catalog, 1 get manifest, 2 get root_catalog, {segments} get tail, \
         1 list tail, 3 put cache, 1 put data, 1 put manifest, 1 put node"
    );
    let _flusher = costs_until_first_flush(place, &expected);

    // The cache of the table without new rows is still in memory.
    pause(REVALIDATION_AGE);
    let after_flush = cost(&fresh, || drop(csv(&fresh, &latest.query())));
    assert_eq!(
        without_renewals(after_flush),
        "1 get cache, 1 list tail",
        "the first query after a flush"
    );
    costs(&fresh, nothing_new, || drop(csv(&fresh, &other.query())));
    assert_eq!([latest, two, rooms, other].map(|cache| csv(&fresh, &cache.query())), shown);

    let last = NeapProcess::serve_with(place, &["--mode", "query"]);
    pause(REVALIDATION_AGE);
    let requests = cost(&last, || drop(csv(&last, &two.query())));
    assert_eq!(
        requests.to_string(),
        "1 get cache, 1 get database_catalog, 1 get manifest, 1 get root_catalog, 1 list tail",
        "a cold query of a cache, all flushed"
    );
    assert_eq!([latest, two, rooms, other].map(|cache| csv(&last, &cache.query())), shown);
    assert_eq!(last.store_requests().of("get data"), 0);
    println!("{}: {segments} segments flushed", place.name);
}

#[test]
fn caches_on_a_directory_have_the_expected_costs() {
    on(StoreFixture::directory());
}

#[test]
fn caches_on_an_s3_server_have_the_expected_costs() {
    on(StoreFixture::neap_s3_server());
}

#[test]
fn caches_on_the_other_s3_server_have_the_expected_costs() {
    if let Some(place) = StoreFixture::third_party_s3() {
        on(place);
    }
}

/// The number of segments after which a flush is due at once.
const SEGMENTS: u64 = 301;

#[test]
fn a_process_reads_no_object_that_it_has_written_itself() {
    // No segment of a round is old enough before the last one is written.
    let place = StoreFixture::directory().with_standard_margins();
    let server = NeapProcess::serve(&place);
    server.write(DB, "m,host=a,room=x v=0");
    create(&server, &CacheDefinition::last("m", "latest", &["host"]));
    create(&server, &CacheDefinition::distinct("m", "rooms", &["room"]));
    let mut objects = 0;
    // The process does not keep a filled object in memory, but keeps a flushed one.
    for (flush, reads) in [("that fills", 0), ("of what was filled", 2), ("of what was flushed", 0)]
    {
        let before = server.store_requests();
        for segment in 0..SEGMENTS {
            server.write(DB, &format!("m,host=h{segment},room=x v={segment}"));
        }
        objects += 2;
        wait_for("objects of caches", FLUSH, || {
            (server.store_requests().of("put cache") >= objects).then_some(())
        });
        let requests = server.store_requests().since(&before);
        assert_eq!(requests.of("get cache"), reads, "a flush {flush}: {requests}");
    }
    assert_eq!(server.store_requests().of("put cache"), objects);
    let rows = csv(&server, "SELECT count(*) AS n FROM last_cache('m')");
    assert_eq!(rows, format!("n\n{}\n", SEGMENTS + 1));
}
