//! Tests of `neap serve`, repeated with the functions: clients can't distinguish them.

use std::time::Duration;

use crate::{
    caches::{
        definition::CacheDefinition,
        fixture::{self, DB},
    },
    data_lifecycle, golden,
    harness::{neap, wait_for},
    malformed, real_input,
};

use super::LambdaStack;

/// Maximum wait for a flush.
const FLUSH: Duration = Duration::from_secs(120);

#[test]
fn answers_over_recorded_data_are_right_at_every_stage() {
    let stack = LambdaStack::start();
    let inputs = real_input::inputs();
    let stored: Vec<_> = inputs
        .iter()
        .map(|(name, text)| real_input::store(&stack, name, text))
        .collect();
    real_input::check(&stack, "written", &stored);
    wait_for("flush of all segments", FLUSH, || {
        neap(&stack.place.after(&["compact"])).succeeded();
        stack.kill_all("query");
        let before = stack.requests("query");
        real_input::check(&stack, "flushed", &stored);
        let cost = stack.requests("query").since(&before);
        (cost.of("get tail") == 0).then_some(())
    });
    stack.finish();
}

#[test]
fn refused_requests_have_the_same_error_messages() {
    let stack = LambdaStack::start_with(|configuration| {
        for function in ["write", "query"] {
            let environment = &mut configuration["functions"][function]["environment"];
            environment["NEAP_MAX_HTTP_REQUEST_SIZE"] = malformed::LIMIT.into();
        }
    });
    stack.write("w", "known,t=a v=1i 1");
    let mut cases = malformed::all_cases();
    // Requests above the size limit of events do not reach a function, nor do those without a route.
    cases.retain(|case| case.body.len() < 4 << 20 && case.answer != "Not found");
    assert!(cases.len() >= 150, "{}", cases.len());
    malformed::check_on(&stack, &cases);
    stack.finish();
}

fn stage() -> data_lifecycle::DataLifecycleFixture<LambdaStack> {
    let stack = LambdaStack::start();
    data_lifecycle::DataLifecycleFixture::on(stack.place.clone(), stack)
}

#[test]
fn rows_are_deleted_from_the_tail_and_from_sections_and_later_writes_stay() {
    let stage = stage();
    data_lifecycle::delete_rows(&stage);
    stage.into_server().finish();
}

#[test]
fn a_delete_that_names_a_field_is_refused_and_changes_nothing() {
    let stage = stage();
    data_lifecycle::refuse_deletes(&stage);
    stage.into_server().finish();
}

#[test]
fn undeleted_tables_and_databases_have_all_their_rows() {
    let stage = stage();
    data_lifecycle::drop_and_undrop(&stage);
    stage.into_server().finish();
}

#[test]
fn answers_to_sql_are_those_recorded() {
    let stack = LambdaStack::start();
    golden::compare_on("sql", &[], &["--url", stack.url()]);
    stack.finish();
}

#[test]
fn answers_to_influxql_are_those_recorded() {
    let stack = LambdaStack::start();
    golden::compare_on("influxql", &[], &["--url", stack.url()]);
    stack.finish();
}

#[test]
fn caches_match_their_definitions() {
    let stack = LambdaStack::start();
    stack.write(DB, "clock v=1");
    let started_at = fixture::now(&stack);
    let write = |lines: &str| stack.write(DB, &fixture::shift_times(started_at, lines));
    write(
        "m,host=a,room=x v=1,w=1i -60
         m,host=a,room=y v=2 -50
         m,host=b,room=x v=3,w=3i -40
         m,host=c v=4 -30",
    );
    let caches = [
        CacheDefinition::last("m", "latest", &["host"]),
        CacheDefinition::last("m", "two", &["room"]).of(&["host", "v"]).limited_to(2),
        CacheDefinition::distinct("m", "pairs", &["room", "host"]),
    ];
    for cache in &caches {
        fixture::create(&stack, cache);
    }
    // Checks each querier in turn, and newly started ones.
    let check = |step: &str| {
        for cache in &caches {
            for _ in 0..2 {
                fixture::check(&stack, cache, step);
            }
        }
        stack.kill_all("query");
        for cache in &caches {
            fixture::check(&stack, cache, step);
        }
    };
    check("in the tail");
    neap(&stack.place.after(&["compact"])).succeeded();
    check("flushed");
    write("m,host=a,room=z w=5i -20\nm,host=d,room=x v=6 -10");
    check("both");
    stack.finish();
}
