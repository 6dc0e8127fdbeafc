//! Each rule of merging and collecting matters: a merger and a collector that don't follow it break what it
//! guards, and those that follow all of them pass the same seeds.

use neap_bucket::{Margins, Rules};

use crate::{
    cast::CastMix,
    ghost::Invariant,
    schedule::Mix,
    simulate::{simulate, simulate_all},
    weakness::Weakness,
};

/// The most seeds that a mutant may need until something breaks.
const SEEDS: u64 = 2_000;

/// The mergers and collectors of the simulation, which know no pages.
const OWN: CastMix = CastMix {
    any: 1.0,
    merging: 1.0,
    planning: 0.0,
    compacting: 0.0,
    collecting: 0.0,
    deleting: (0.0, 0.0),
    expiring: 0.0,
    dropping: 0.0,
    restoring: 0.0,
    destroying: 0.0,
    looking_back: (0.0, 0.0),
    inline_sections: &[512],
    merge_pauses: &[0.5, 5.0],
    ..CastMix::ALL
};

/// Collectors that are quick to forget.
const COLLECTING: CastMix = CastMix {
    collecting: 1.0,
    time_travel: &[200],
    orphan_age: &[400],
    ..OWN
};

const BUSY: Mix = Mix {
    ledger: 0.0,
    sole_writer: 0.0,
    new_column: 0.0,
    wall_steps: false,
    wall_skew: &[0.0],
    pace: &[1.0, 4.0],
    write_pauses: &[0.5, 5.0, 20.0],
    flush_pauses: &[1.0, 10.0],
    query_pauses: &[3.0, 40.0],
    ..Mix::ALL
};

fn rules() -> Rules {
    Rules::new(Margins::NETWORK)
}

/// Finds seeds that break with a weakness, and shows that they break one of `expected` and pass without it.
fn matters(weakness: Weakness, mix: &Mix, expected: &[Invariant]) {
    let with = |weakness| Mix {
        cast: CastMix {
            weakness: Some(weakness),
            ..mix.cast.clone()
        },
        ..mix.clone()
    };
    let tally = simulate_all(0..SEEDS, rules(), &with(weakness), 2);
    println!(
        "{weakness:?}: {} seeds, {:?}, broken: {:?}",
        tally.seeds, tally.counts, tally.broken
    );
    assert!(
        !tally.broken.is_empty(),
        "{} seeds did not notice it",
        tally.seeds
    );
    for (seed, violation) in &tally.broken {
        assert!(
            expected.contains(&violation.invariant),
            "seed {seed} breaks {violation}"
        );
        let outcome = simulate(*seed, rules(), &with(Weakness::None), false);
        assert!(
            outcome.violations.is_empty(),
            "seed {seed} with the rule: {:?}",
            outcome.violations
        );
    }
}

#[test]
fn mergers_and_collectors_that_follow_all_rules_break_nothing() {
    let mix = Mix {
        cast: CastMix {
            collecting: 0.7,
            deleting: (0.5, 0.2),
            expiring: 0.3,
            restoring: 0.3,
            looking_back: (0.5, 0.3),
            weakness: Some(Weakness::None),
            ..COLLECTING
        },
        ..BUSY
    };
    let tally = simulate_all(0..200, rules(), &mix, 1);
    println!("{:?}", tally.counts);
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
}

#[test]
fn a_merge_that_is_not_closed_breaks_the_order_of_sections() {
    let mix = Mix { cast: OWN, ..BUSY };
    let expected = [Invariant::ManifestIsConsistent];
    matters(Weakness::MergeIsNotClosed, &mix, &expected);
}

#[test]
fn two_merges_whose_hulls_meet_where_nothing_is_break_the_order_of_sections() {
    let mix = Mix {
        latency: &[1000],
        freeze: &[0.01],
        freezes: &[&[3, 8]],
        trouble: &[0.0],
        write_pauses: &[0.5, 5.0],
        query_pauses: &[300.0],
        collect_pauses: &[600.0],
        cast: CastMix {
            days: &[4],
            wide: 0.0,
            merge_pauses: &[5.0, 30.0],
            calls: &[300],
            ..OWN
        },
        ..BUSY
    };
    let expected = [Invariant::ManifestIsConsistent];
    matters(Weakness::ClosureIsNotCheckedAgain, &mix, &expected);
}

#[test]
fn inputs_that_are_not_there_any_more_come_back() {
    let mix = Mix { cast: OWN, ..BUSY };
    let expected = [Invariant::ManifestIsConsistent, Invariant::TakenInOnce];
    matters(Weakness::InputsAreNotChecked, &mix, &expected);
}

#[test]
fn deleted_rows_come_back_with_a_merge_that_forgets_deletes() {
    let mix = Mix {
        cast: CastMix {
            deleting: (1.0, 0.3),
            ..OWN
        },
        ..BUSY
    };
    let expected = [Invariant::AnswerIsOfSegments];
    matters(Weakness::MergeForgetsDeletes, &mix, &expected);
}

#[test]
fn deletes_that_filter_everything_remove_later_writes() {
    let mix = Mix {
        cast: CastMix {
            deleting: (1.0, 0.3),
            ..OWN
        },
        ..BUSY
    };
    let expected = [Invariant::AnswerIsOfSegments];
    matters(Weakness::DeletesFilterEverything, &mix, &expected);
}

#[test]
fn a_part_of_what_has_expired_comes_back_after_a_merge_that_does_not_record_it() {
    let mix = Mix {
        cast: CastMix {
            expiring: 1.0,
            operator_pauses: &[2.0, 20.0],
            ..OWN
        },
        ..BUSY
    };
    let expected = [Invariant::AnswerIsOfSegments];
    matters(Weakness::ExpiryIsNotRecorded, &mix, &expected);
}

#[test]
fn an_object_that_goes_with_its_first_section_takes_others_along() {
    let mix = Mix {
        cast: CastMix {
            days: &[2, 4],
            wide: 1.0,
            ..COLLECTING
        },
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist];
    matters(Weakness::ObjectGoesWithFirstSection, &mix, &expected);
}

#[test]
fn without_a_grace_queries_lose_the_objects_that_they_read() {
    let mix = Mix {
        cast: COLLECTING,
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist, Invariant::PastIsKept];
    matters(Weakness::NothingIsKept, &mix, &expected);
}

#[test]
fn what_is_deleted_before_it_is_doomed_is_missing_from_readable_versions() {
    let mix = Mix {
        cast: CastMix {
            looking_back: (1.0, 0.5),
            restoring: 1.0,
            ..COLLECTING
        },
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist];
    matters(Weakness::NothingIsDoomedFirst, &mix, &expected);
}

#[test]
fn orphans_that_are_not_condemned_are_deleted_while_a_commit_names_them() {
    let mix = Mix {
        freeze: &[0.03],
        freezes: &[&[400, 1000]],
        trouble: &[0.12],
        cast: COLLECTING,
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist];
    matters(Weakness::OrphansAreNotCondemned, &mix, &expected);
}

#[test]
fn a_collector_that_goes_by_what_it_read_takes_from_restored_databases() {
    let mix = Mix {
        latency: &[1000],
        freeze: &[0.05],
        freezes: &[&[8, 15, 25]],
        trouble: &[0.0],
        kill: &[0.0],
        collect_pauses: &[20.0, 100.0],
        cast: CastMix {
            restoring: 1.0,
            operator_pauses: &[2.0, 20.0],
            time_travel: &[60],
            calls: &[200, 300],
            ..COLLECTING
        },
        ..BUSY
    };
    let expected = [Invariant::ObjectsExist];
    matters(Weakness::CollectorIsStale, &mix, &expected);
}
