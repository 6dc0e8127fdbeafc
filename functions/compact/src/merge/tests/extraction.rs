//! Plans of sections that leave their bundles.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::StoreTime;
use neap_manifest::Section;
use neap_schema::DatabaseId;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::plan::{MIB, TODAY, apply, days, flushes, history, lengths, state, time};
use crate::merge::{
    Extraction, MergeJob, MergePolicy, MergeQueue, MergeReason, TablePlan, TablePlanInput,
    plan_table,
};

/// A day whose range of four days ended long ago, and which is the first of that range.
const PAST: i32 = TODAY - 20;

const NONE: [u64; 0] = [];

fn bundled(mut sections: Vec<Arc<Section>>) -> Vec<Arc<Section>> {
    for section in &mut sections {
        Arc::make_mut(section).in_bundle = true;
    }
    sections
}

fn plan(sections: &[Arc<Section>], extraction: Extraction, now: StoreTime) -> TablePlan {
    let rewrites = BTreeSet::new();
    let input = TablePlanInput { extraction, now, ..state(sections, &rewrites) };
    plan_table(&input, &MergePolicy::default())
}

/// Returns the lengths of the sections that are extracted.
fn extracted(sections: &[Arc<Section>], extraction: Extraction, now: StoreTime) -> Vec<u64> {
    let jobs = plan(sections, extraction, now).jobs;
    let extractions = jobs.iter().filter(|job| job.reason == MergeReason::Extracted);
    extractions.flat_map(|job| &job.inputs).map(|input| input.length).collect()
}

#[test]
fn a_section_of_a_mebibyte_leaves_its_bundle_a_day_after_the_last_write() {
    let sections = bundled(flushes(PAST, 600, &[MIB]));
    let large = |sections: &[Arc<Section>], day, minute| {
        extracted(sections, Extraction::Large, time(TODAY + day, minute))
    };
    assert_eq!(large(&sections, 0, 720), NONE);
    assert_eq!(large(&sections, 1, 599), NONE);
    assert_eq!(large(&sections, 1, 600), [MIB]);
    assert_eq!(large(&bundled(flushes(PAST, 600, &[MIB - 1])), 1, 600), NONE);
    assert_eq!(large(&flushes(PAST, 600, &[MIB]), 1, 600), NONE);
    let mut of_another = sections;
    Arc::make_mut(&mut of_another[0]).origin = Some(DatabaseId::new(9));
    assert_eq!(large(&of_another, 1, 600), NONE);
}

#[test]
fn a_plan_of_recent_days_extracts_nothing() {
    let sections = bundled(flushes(PAST, 600, &[40 * MIB]));
    let later = time(TODAY + 1, 600);
    assert_eq!(extracted(&sections, Extraction::None, later), NONE);
}

#[test]
fn sections_that_may_become_part_of_a_range_wait_until_it_is_over() {
    let sections = bundled(flushes(TODAY, 600, &[5 * MIB]));
    let large = |day| extracted(&sections, Extraction::Large, time(TODAY + day, 700));
    // The range of four days starts today.
    assert_eq!(large(4), NONE);
    assert_eq!(large(5), [5 * MIB]);
    let range = bundled(days(PAST..=PAST + 3, MIB));
    let planned = plan(&range, Extraction::Large, time(TODAY, 720));
    assert_eq!(planned.jobs.len(), 1);
    assert_eq!(planned.jobs[0].reason, MergeReason::Range);
    let no_range = bundled(days(PAST..=PAST + 3, 12 * MIB));
    assert_eq!(extracted(&no_range, Extraction::Large, time(TODAY, 720)), [12 * MIB; 4]);
}

#[test]
fn sections_that_are_too_large_for_ranges_leave_once_their_days_are_settled() {
    let large = |sections: Vec<_>, now| extracted(&bundled(sections), Extraction::Large, now);
    let settled = time(TODAY, 720);
    let alone = flushes(TODAY, 600, &[32 * MIB]);
    assert_eq!(large(alone.clone(), time(TODAY, 629)), NONE);
    assert_eq!(large(alone, settled), [32 * MIB]);
    let late = || flushes(TODAY, 600, &[100 * MIB, 2 * MIB]);
    assert_eq!(large(late(), settled), NONE);
    let cold = plan(&bundled(late()), Extraction::Large, time(TODAY + 1, 700));
    assert_eq!(lengths(&cold), [[100 * MIB, 2 * MIB]]);
}

#[test]
fn sections_wait_for_the_other_merges_of_their_days() {
    let mut sections = bundled(flushes(PAST, 600, &[250 * MIB, 200 * MIB, MIB, MIB]));
    let later = time(TODAY + 1, 700);
    let planned = plan(&sections, Extraction::Large, later);
    assert_eq!(lengths(&planned), [[200 * MIB, MIB, MIB]]);
    apply(&mut sections, &planned.jobs[0]);
    assert_eq!(extracted(&sections, Extraction::Large, later), [250 * MIB]);
}

#[test]
fn all_sections_of_a_published_table_leave_once_their_days_are_settled() {
    let sections = bundled(flushes(TODAY, 600, &[1]));
    let all = |minute| extracted(&sections, Extraction::All, time(TODAY, minute));
    assert_eq!(all(629), NONE);
    assert_eq!(all(630), [1_u64]);
}

#[test]
fn extractions_are_the_least_urgent_rewrites_and_leave_claims_to_other_plans() {
    let job = |day, length, reason| MergeJob::new(flushes(day, 600, &[length]), reason).unwrap();
    let extractions: Vec<_> = (0..1_000).map(|day| job(day, MIB, MergeReason::Extracted)).collect();
    let mut queue = MergeQueue::with_limit(1_000);
    queue.add(&extractions);
    queue.add(&[job(PAST, 200 * MIB, MergeReason::Deletes)]);
    let jobs = queue.most_urgent();
    assert_eq!(jobs[0].reason, MergeReason::Deletes);
    assert_eq!(jobs.len(), 1 + 250);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(400)))]
    #[test]
    fn extracted_sections_are_written_once(mut sections in history(), later in 0i32..400) {
        // A merge of more inputs is divided, and its outputs may form a range that the plan before does not foresee.
        let policy = MergePolicy { max_inputs: usize::MAX, ..MergePolicy::default() };
        let rewrites = BTreeSet::new();
        let now = time(TODAY + 6 + later, 0);
        sections = bundled(sections);
        let mut outputs: Vec<Arc<Section>> = Vec::new();
        let mut rounds = 0;
        loop {
            let input = TablePlanInput {
                extraction: Extraction::Large,
                now,
                ..state(&sections, &rewrites)
            };
            let jobs = plan_table(&input, &policy).jobs;
            if jobs.is_empty() {
                break;
            }
            for job in &jobs {
                prop_assert!(!job.inputs.iter().any(|input| outputs.contains(input)));
                apply(&mut sections, job);
                if job.reason == MergeReason::Extracted {
                    outputs.extend(sections.last().cloned());
                }
            }
            rounds += 1;
            prop_assert!(rounds < 100);
        }
    }
}
