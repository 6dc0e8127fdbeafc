//! Thousands of schedules that keep all invariants, and the replay of one.

use neap_bucket::{ProtocolMargins, ProtocolRules};

use crate::{
    actor_mix::ActorMix,
    schedule::ScheduleMix,
    simulate::{SeedSummary, simulate, simulate_all},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn rules() -> ProtocolRules {
    ProtocolRules::new(ProtocolMargins::NETWORK)
}

/// Runs the number of seeds in `NEAP_SIM_SEEDS`, by default `usually`, and asserts that they keep all invariants.
fn assert_all_invariants(usually: u64, mix: &ScheduleMix, replay: &str) -> SeedSummary {
    let count = number("NEAP_SIM_SEEDS").unwrap_or(usually);
    let first = number("NEAP_SIM_FIRST").unwrap_or(0);
    let enough = number("NEAP_SIM_BROKEN").and_then(|enough| enough.try_into().ok());
    let tally = simulate_all(first..first + count, rules(), mix, enough.unwrap_or(1));
    for (seed, violation) in &tally.broken {
        println!(
            "seed {seed} breaks {violation}\n\
             NEAP_SIM_SEED={seed} {replay}cargo test -p neap-simulation replay -- --nocapture"
        );
    }
    println!(
        "{} seeds, {} hours, {} calls, {} requests acknowledged, {:?}",
        tally.seeds,
        tally.time.as_secs() / 3600,
        tally.calls,
        tally.acknowledged,
        tally.counts
    );
    assert!(tally.broken.is_empty());
    tally
}

#[test]
fn ten_thousand_short_seeds_keep_all_invariants() {
    let tally = assert_all_invariants(10_000, &ScheduleMix::ALL_WITH_VIEWS, "");
    assert!(tally.acknowledged > tally.seeds && tally.counts.commits > tally.seeds / 2);
    let counts = tally.counts;
    assert!(counts.refreshes > 0 && counts.claims_taken_over > 0 && counts.windows_replaced > 0);
    assert!(counts.claims_ended > 0 && counts.views_read > 0 && counts.views_compared > 0);
}

/// Returns the distribution of a focused test, by the name that replays one of its seeds.
fn focused(name: &str) -> Option<ScheduleMix> {
    let cast = match name {
        "pages" => ActorMix::PAGES,
        "expiry" => ActorMix::EXPIRY,
        "drops" => ActorMix::DROPS,
        "restores" => ActorMix::RESTORES,
        "caches" => ActorMix::CACHES,
        "views" => ActorMix::VIEWS,
        _ => return None,
    };
    Some(ScheduleMix {
        cast,
        ..ScheduleMix::COMPACTION
    })
}

#[test]
fn many_pages_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("pages").unwrap(), "NEAP_SIM_MIX=pages ");
    assert!(tally.counts.pages > 0 && tally.counts.graves > 0);
    assert!(tally.counts.merged_together > 0);
}

#[test]
fn changing_retention_keeps_all_invariants() {
    let tally = assert_all_invariants(300, &focused("expiry").unwrap(), "NEAP_SIM_MIX=expiry ");
    assert!(tally.counts.expired > 0);
}

#[test]
fn drops_and_undeletions_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("drops").unwrap(), "NEAP_SIM_MIX=drops ");
    assert!(tally.counts.dropped > 0 && tally.counts.undeleted > 0);
}

#[test]
fn restored_versions_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("restores").unwrap(), "NEAP_SIM_MIX=restores ");
    assert!(tally.counts.copies > 0);
}

#[test]
fn caches_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("caches").unwrap(), "NEAP_SIM_MIX=caches ");
    assert!(tally.counts.caches > tally.seeds);
}

#[test]
fn views_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("views").unwrap(), "NEAP_SIM_MIX=views ");
    let counts = tally.counts;
    assert!(counts.refreshes > tally.seeds && counts.claims_taken_over > 0);
    assert!(counts.windows_replaced > 0 && counts.claims_ended > 0);
    assert!(counts.views_read > 0 && counts.views_compared > tally.seeds);
}

#[test]
fn replay() {
    let seed = number("NEAP_SIM_SEED");
    let name = std::env::var("NEAP_SIM_MIX").unwrap_or_default();
    let mix = focused(&name).unwrap_or(ScheduleMix::ALL_WITH_VIEWS);
    let outcome = simulate(seed.unwrap_or(0), rules(), &mix, seed.is_some());
    for violation in &outcome.violations {
        println!("{violation}");
    }
    assert!(outcome.violations.is_empty());
}

#[test]
fn a_schedule_is_determined_by_its_seed() {
    for seed in 0..40 {
        let [one, two] =
            [(); 2].map(|()| simulate(seed, rules(), &ScheduleMix::ALL_WITH_VIEWS, false));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}
