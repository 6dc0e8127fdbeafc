//! Thousands of schedules, none of which breaks an invariant; and the replay of one.

use neap_bucket::{Margins, Rules};

use crate::{
    schedule::Mix,
    simulate::{simulate, simulate_all},
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn rules() -> Rules {
    Rules::new(Margins::NETWORK)
}

#[test]
fn ten_thousand_short_seeds_keep_all_invariants() {
    let count = number("NEAP_SIM_SEEDS").unwrap_or(10_000);
    let first = number("NEAP_SIM_FIRST").unwrap_or(0);
    let tally = simulate_all(first..first + count, rules(), &Mix::ALL, 1);
    if let Some((seed, violation)) = tally.broken.first() {
        panic!(
            "seed {seed} breaks {violation}\n\
             NEAP_SIM_SEED={seed} cargo test -p neap-simulation replay -- --nocapture"
        );
    }
    println!(
        "{} seeds, {} hours, {} calls, {} writes acknowledged, {} flushes",
        tally.seeds,
        tally.time.as_secs() / 3600,
        tally.calls,
        tally.acknowledged,
        tally.flushes
    );
    assert!(tally.acknowledged > tally.seeds && tally.flushes > tally.seeds / 2);
}

#[test]
fn replay() {
    let seed = number("NEAP_SIM_SEED");
    let outcome = simulate(seed.unwrap_or(0), rules(), &Mix::ALL, seed.is_some());
    for violation in &outcome.violations {
        println!("{violation}");
    }
    assert!(outcome.violations.is_empty());
}

#[test]
fn a_schedule_is_a_function_of_its_seed() {
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| simulate(seed, rules(), &Mix::ALL, false));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}
