//! Thousands of schedules that keep all invariants, and the replay of one.

use neap_bucket::{ProtocolMargins, ProtocolRules};
use neap_test_inputs::{number, seeds};

use crate::{
    actor_mix::ActorMix,
    coverage::ProtocolStates,
    schedule::ScheduleMix,
    simulate::{SeedSummary, simulate, simulate_all},
};

fn rules() -> ProtocolRules {
    ProtocolRules::new(ProtocolMargins::NETWORK)
}

/// Runs as many of `all` seeds as this run of the tests tries, and asserts that they keep all invariants.
fn assert_all_invariants(all: u32, mix: &ScheduleMix, replay: &str) -> SeedSummary {
    let count = seeds(all);
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
        "{} seeds, {} hours, {} calls, {} requests acknowledged, {} states, {} of them once, {:?}",
        tally.seeds,
        tally.time.as_secs() / 3600,
        tally.calls,
        tally.acknowledged,
        tally.states.count(),
        tally.states.once(),
        tally.counts
    );
    save_states(&tally.states);
    assert!(tally.broken.is_empty());
    tally
}

/// The seeds that a whole run of the tests tries.
const USUAL_SEEDS: u32 = 10_000;

/// Seeds beyond the usual ones that have reached states which no usual seed reaches. After a change of the product or of
/// the simulation, a seed has another schedule; `scripts/soak --simulation` then replaces the list.
const KEPT_SEEDS: &str = include_str!("../kept_seeds.txt");

/// Writes the states, and the seeds that are worth keeping, into the files of `NEAP_SIM_STATES` and `NEAP_SIM_KEEP`.
fn save_states(states: &ProtocolStates) {
    if let Some(file) = std::env::var_os("NEAP_SIM_STATES") {
        std::fs::write(file, states.to_string()).unwrap();
    }
    if let Some(file) = std::env::var_os("NEAP_SIM_KEEP") {
        let seeds = states.discoverers(USUAL_SEEDS.into());
        let lines: String = seeds.iter().map(|seed| format!("{seed}\n")).collect();
        std::fs::write(file, lines).unwrap();
    }
}

#[test]
fn kept_seeds_keep_all_invariants() {
    for seed in KEPT_SEEDS.lines() {
        let seed = seed.parse().unwrap();
        let outcome = simulate(seed, rules(), &ScheduleMix::EVERYTHING, false);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations);
    }
}

#[test]
fn ten_thousand_short_seeds_keep_all_invariants() {
    let tally = assert_all_invariants(USUAL_SEEDS, &ScheduleMix::EVERYTHING, "");
    assert!(tally.acknowledged > tally.seeds && tally.counts.commits > tally.seeds / 2);
    // The following is rare.
    if tally.seeds < usize::try_from(USUAL_SEEDS).unwrap() {
        return;
    }
    let counts = tally.counts;
    assert!(counts.refreshes > 0 && counts.claims_taken_over > 0 && counts.windows_replaced > 0);
    assert!(counts.claims_ended > 0 && counts.views_read > 0 && counts.views_compared > 0);
    assert!(counts.caches > 0 && counts.deliveries > 0 && counts.checked_rows > 0);
}

/// Returns the distribution of a focused test, by the name that replays one of its seeds.
fn focused(name: &str) -> Option<ScheduleMix> {
    let cast = match name {
        "jobs" => return Some(ScheduleMix::JOBS),
        "leaps" => return Some(ScheduleMix::LEAPS),
        "forwarded views" => ActorMix::FORWARDED_VIEWS,
        "pages" => ActorMix::PAGES,
        "expiry" => ActorMix::EXPIRY,
        "drops" => ActorMix::DROPS,
        "renames" => ActorMix::RENAMES,
        "restores" => ActorMix::RESTORES,
        "caches" => ActorMix::CACHES,
        "views" => ActorMix::VIEWS,
        "triggers" => ActorMix::TRIGGERS,
        _ => return None,
    };
    Some(ScheduleMix { cast, ..ScheduleMix::COMPACTION })
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
fn renames_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("renames").unwrap(), "NEAP_SIM_MIX=renames ");
    assert!(tally.counts.aliases_deleted > 0);
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
    let all = 300;
    let tally = assert_all_invariants(all, &focused("views").unwrap(), "NEAP_SIM_MIX=views ");
    let counts = tally.counts;
    assert!(counts.refreshes > tally.seeds && counts.views_compared > tally.seeds);
    // The following is rare.
    if tally.seeds >= usize::try_from(all).unwrap() {
        assert!(counts.claims_taken_over > 0 && counts.claims_ended > 0);
        assert!(counts.windows_replaced > 0 && counts.views_read > 0);
    }
}

#[test]
fn deliveries_to_triggers_keep_all_invariants() {
    let tally = assert_all_invariants(300, &focused("triggers").unwrap(), "NEAP_SIM_MIX=triggers ");
    assert!(tally.counts.deliveries > 2 * tally.seeds);
}

#[test]
fn jobs_keep_all_invariants() {
    let all = 400;
    let tally = assert_all_invariants(all, &focused("jobs").unwrap(), "NEAP_SIM_MIX=jobs ");
    // Some of the following is rare.
    if tally.seeds >= usize::try_from(all).unwrap() {
        let counts = tally.counts;
        assert!(counts.imports > 0 && counts.backups > 0 && counts.restores > 0);
        assert!(counts.cluster_copies > 0 && counts.mended > 0 && counts.erasures > 0);
    }
}

#[test]
fn views_with_rows_in_another_database_keep_all_invariants() {
    let mix = focused("forwarded views").unwrap();
    let tally = assert_all_invariants(150, &mix, "NEAP_SIM_MIX='forwarded views' ");
    assert!(tally.counts.refreshes > 0 && tally.counts.views_compared > 0);
}

#[test]
fn a_store_whose_clock_leaps_and_is_set_back_destroys_nothing_early() {
    let tally = assert_all_invariants(150, &focused("leaps").unwrap(), "NEAP_SIM_MIX=leaps ");
    assert!(tally.counts.commits > tally.seeds);
}

#[test]
fn replay() {
    let seed = number("NEAP_SIM_SEED");
    let name = std::env::var("NEAP_SIM_MIX").unwrap_or_default();
    let mix = focused(&name).unwrap_or(ScheduleMix::EVERYTHING);
    let outcome = simulate(seed.unwrap_or(0), rules(), &mix, seed.is_some());
    for violation in &outcome.violations {
        println!("{violation}");
    }
    assert!(outcome.violations.is_empty());
}

#[test]
fn a_schedule_is_determined_by_its_seed() {
    for (mix, seeds) in [(ScheduleMix::EVERYTHING, 0..40), (ScheduleMix::JOBS, 0..6)] {
        for seed in seeds {
            let [one, two] = [(); 2].map(|()| simulate(seed, rules(), &mix, false));
            assert_eq!(format!("{one:?}"), format!("{two:?}"));
        }
    }
}
