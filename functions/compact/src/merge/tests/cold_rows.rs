//! Plans of tables with cold rows.

use std::{collections::BTreeSet, sync::Arc};

use neap_bucket::{StorageClass, StoreTime};
use neap_manifest::Section;
use neap_test_inputs::cases;
use proptest::prelude::*;

use super::plan::{
    DAY, MIB, TODAY, apply, days, flushes, history, lengths, section, stamp, state, time,
};
use crate::merge::{
    ColdRows, MergeJob, MergePolicy, MergeReason, SectionRef, TablePlan, TablePlanInput, plan_table,
};

/// Plans a table with rows that are cold before a day.
fn plan_with(
    sections: &[Arc<Section>],
    rewrites: &BTreeSet<SectionRef>,
    first_warm_day: i32,
    now: StoreTime,
) -> TablePlan {
    let input = TablePlanInput {
        cold: Some(ColdRows {
            before: i64::from(first_warm_day) * DAY,
            class: StorageClass::GlacierIr,
        }),
        classes: StorageClass::S3,
        now,
        ..state(sections, rewrites)
    };
    plan_table(&input, &MergePolicy::default())
}

/// Plans a table with rows that are cold after 90 days.
fn plan(sections: &[Arc<Section>], now: StoreTime) -> TablePlan {
    plan_with(sections, &BTreeSet::new(), TODAY - 90, now)
}

fn frozen(section: &Arc<Section>) -> Arc<Section> {
    let mut cold = Arc::clone(section);
    Arc::make_mut(&mut cold).class = Some(StorageClass::GlacierIr);
    cold
}

fn reasons(plan: &TablePlan) -> Vec<MergeReason> {
    plan.jobs.iter().map(|job| job.reason).collect()
}

/// Returns whether the outputs of all jobs are cold.
fn are_cold(plan: &TablePlan) -> bool {
    plan.jobs.iter().all(|job| job.class == Some(StorageClass::GlacierIr))
}

#[test]
fn old_sections_of_a_mebibyte_become_cold() {
    let mut sections = days(TODAY - 100..=TODAY - 100, 40 * MIB);
    sections.extend(days(TODAY - 99..=TODAY - 99, MIB - 1));
    sections.extend(days(TODAY - 10..=TODAY - 10, 40 * MIB));
    let planned = plan(&sections, time(TODAY, 720));
    assert_eq!(lengths(&planned), [[40 * MIB]]);
    assert_eq!(planned.jobs[0].first_day, TODAY - 100);
    assert_eq!(reasons(&planned), [MergeReason::Cold]);
    assert!(are_cold(&planned));
}

#[test]
fn merges_of_old_days_are_cold_once_the_days_are_quiet() {
    let sections = flushes(TODAY - 100, 600, &[3 * MIB, 2 * MIB, MIB]);
    for (now, is_cold) in [(time(TODAY, 720), false), (time(TODAY + 2, 0), true)] {
        let planned = plan(&sections, now);
        assert_eq!(lengths(&planned), [[3 * MIB, 2 * MIB, MIB]]);
        assert_eq!(are_cold(&planned), is_cold);
    }
}

#[test]
fn added_rows_are_merged_with_cold_ones_of_the_same_times_if_they_are_many() {
    let with_added = |bytes: u64| {
        let mut sections = days(TODAY - 100..=TODAY - 100, 64 * MIB);
        sections[0] = frozen(&sections[0]);
        sections.extend(flushes(TODAY - 100, 600, &[bytes]));
        sections
    };
    let many = with_added(2 * MIB);
    assert_eq!(lengths(&plan(&many, time(TODAY, 720))).len(), 0);
    let planned = plan(&many, time(TODAY + 2, 0));
    assert_eq!(lengths(&planned), [[64 * MIB, 2 * MIB]]);
    assert_eq!(reasons(&planned), [MergeReason::Backfill]);
    assert!(are_cold(&planned));
    let few = plan(&with_added(2 * MIB - 1), time(TODAY + 2, 0));
    assert_eq!(lengths(&few), [[2 * MIB - 1]]);
    assert_eq!(reasons(&few), [MergeReason::Cold]);
    let mut apart = many;
    Arc::make_mut(&mut apart[0]).max_time = apart[0].min_time + DAY / 2;
    Arc::make_mut(&mut apart[1]).min_time = apart[0].max_time + 1;
    assert_eq!(lengths(&plan(&apart, time(TODAY + 2, 0))), [[2 * MIB]]);
}

#[test]
fn cold_sections_are_not_merged_with_their_neighbours() {
    let warm = days(TODAY - 200..TODAY - 100, 2 * MIB);
    let cold: Vec<_> = warm.iter().map(frozen).collect();
    for now in [time(TODAY, 720), time(TODAY + 2_000, 0)] {
        assert!(!plan(&warm, now).jobs.is_empty());
        assert_eq!(plan(&cold, now), TablePlan::default());
    }
}

#[test]
fn a_cold_section_with_deleted_rows_stays_in_its_class_if_the_store_has_it() {
    let warm = days(TODAY - 100..=TODAY - 100, 40 * MIB);
    let cold = vec![frozen(&warm[0])];
    let rewrites = BTreeSet::from([SectionRef::from_section(&cold[0])]);
    let planned = plan_with(&cold, &rewrites, TODAY - 90, time(TODAY, 720));
    assert_eq!(reasons(&planned), [MergeReason::Deletes]);
    assert!(are_cold(&planned));
    for (classes, expected) in
        [(StorageClass::S3, Some(StorageClass::GlacierIr)), (StorageClass::AZURE, None)]
    {
        let without_setting = TablePlanInput { classes, ..state(&cold, &rewrites) };
        let planned = plan_table(&without_setting, &MergePolicy::default());
        assert_eq!(planned.jobs[0].class, expected);
    }
}

/// Returns whether a merge changes the rows of its cold inputs, by enough rows to be worth their retrieval.
fn changes_cold_rows(job: &MergeJob, rewrites: &BTreeSet<SectionRef>) -> bool {
    let (cold, warm): (Vec<_>, Vec<_>) = job.inputs.iter().partition(|input| input.is_cold());
    let [cold_bytes, warm_bytes] = [&cold, &warm].map(|inputs| {
        let lengths = inputs.iter().map(|input| input.length);
        lengths.sum::<u64>()
    });
    let is_deleted = |input: &&Arc<Section>| rewrites.contains(&SectionRef::from_section(input));
    let is_added_to = |input: &&Arc<Section>| warm.iter().any(|other| other.overlaps(input));
    cold.iter().all(is_deleted) || (cold.iter().all(is_added_to) && warm_bytes >= cold_bytes / 32)
}

/// Rows that are written later: the days and the sizes of their sections, how many days pass until the next plans, and the
/// sections with deleted rows as bits.
type LaterRows = (Vec<(i32, u32)>, i32, u64);

fn later_rows() -> impl Strategy<Value = LaterRows> {
    let added = proptest::collection::vec((0i32..64, 0u32..28), 0..4);
    (added, 2i32..100, any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(400)))]
    #[test]
    fn a_cold_section_is_rewritten_only_when_its_rows_change(
        history in history(),
        later in proptest::collection::vec(later_rows(), 1..8),
        first_warm_day in 0i32..80,
    ) {
        let mut sections = history;
        let mut day = TODAY + 6;
        for (added, pause, deleted) in later {
            for (place, (at, size)) in (0..).zip(added) {
                let interval = (stamp(day, 10 * place), stamp(day, 10 * place + 10));
                sections.push(section((TODAY + at, TODAY + at), interval, 1 + (1 << size)));
            }
            day += pause;
            let is_deleted = |place: usize| deleted >> (place % 64) & 1 == 1;
            let mut rewrites: BTreeSet<_> = (0..)
                .zip(&sections)
                .filter(|(place, _)| is_deleted(*place))
                .map(|(_, section)| SectionRef::from_section(section))
                .collect();
            let mut rounds = 0;
            loop {
                let now = time(day, 0);
                let planned = plan_with(&sections, &rewrites, TODAY + first_warm_day, now);
                for job in &planned.jobs {
                    prop_assert!(changes_cold_rows(job, &rewrites), "{job:?}");
                }
                if planned.jobs.is_empty() {
                    break;
                }
                for job in &planned.jobs {
                    apply(&mut sections, job);
                }
                // The jobs have removed the deleted rows.
                rewrites.clear();
                rounds += 1;
                prop_assert!(rounds < 100);
            }
            let before = i64::from(TODAY + first_warm_day) * DAY;
            for section in &sections {
                let is_due = section.max_time < before && section.length >= MIB;
                prop_assert!(section.is_cold() || !is_due);
            }
        }
    }
}
