//! Plans: the selection of sections, tested on their lengths alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use neap_bucket::{Stamp, StoreTime};
use neap_manifest::Section;
use neap_schema::TableId;
use neap_test_inputs::cases;
use proptest::prelude::*;
use ulid::Ulid;

use crate::merge::{
    Extraction, MergeJob, MergeJobRef, MergePolicy, MergeReason, SectionRef, TablePlan,
    TablePlanInput, overlap_group::components, plan_table,
};

const TABLE: TableId = TableId::new(7);
pub(super) const DAY: i64 = 86_400_000_000_000;
pub(super) const MIB: u64 = 1 << 20;
const MINUTE: i64 = 60_000_000;

/// Store time of the start of day 20,000, which tests use as today unless they state otherwise.
pub(super) const TODAY: i32 = 20_000;

pub(super) fn time(day: i32, minute: i64) -> StoreTime {
    StoreTime::from_micros(i64::from(day) * DAY / 1_000 + minute * MINUTE)
}

pub(super) fn stamp(day: i32, minute: i64) -> Stamp {
    Stamp::end_of(time(day, minute))
}

pub(super) fn section(days: (i32, i32), interval: (Stamp, Stamp), length: u64) -> Arc<Section> {
    let (first_day, last_day) = days;
    let object = Ulid::from_parts(interval.1.as_u64() >> 20, first_day.unsigned_abs().into());
    Arc::new(Section {
        object,
        length,
        footer_length: 8,
        table: TABLE,
        first_day,
        last_day,
        above: interval.0,
        upto: interval.1,
        rows: 1,
        min_time: i64::from(first_day) * DAY,
        max_time: (i64::from(last_day) + 1) * DAY - 1,
        added: 1,
        ..Section::default()
    })
}

/// Returns sections of one day, from flushes ten minutes apart; the last flush ended at minute `end` of today.
pub(super) fn flushes(day: i32, end: i64, lengths: &[u64]) -> Vec<Arc<Section>> {
    let first = end - 10 * i64::try_from(lengths.len()).unwrap();
    let minutes = (0..).map(|at| first + 10 * at);
    let sections = lengths.iter().zip(minutes).map(|(length, minute)| {
        let interval = (stamp(TODAY, minute), stamp(TODAY, minute + 10));
        section((day, day), interval, *length)
    });
    sections.collect()
}

pub(super) fn state<'a>(
    sections: &'a [Arc<Section>],
    rewrites: &'a BTreeSet<SectionRef>,
) -> TablePlanInput<'a> {
    TablePlanInput {
        table: TABLE,
        sections,
        rewrites,
        extraction: Extraction::None,
        claimed: &[],
        cutoff: None,
        retention: None,
        cold: None,
        classes: &[],
        now: time(TODAY, 720),
    }
}

fn plan(sections: &[Arc<Section>], now: StoreTime) -> TablePlan {
    let rewrites = BTreeSet::new();
    let state = TablePlanInput { now, ..state(sections, &rewrites) };
    plan_table(&state, &MergePolicy::default())
}

/// Returns the lengths of the inputs of each job.
pub(super) fn lengths(plan: &TablePlan) -> Vec<Vec<u64>> {
    let of = |job: &MergeJob| job.inputs.iter().map(|input| input.length).collect();
    plan.jobs.iter().map(of).collect()
}

pub(super) fn apply(sections: &mut Vec<Arc<Section>>, job: &MergeJob) -> u64 {
    sections.retain(|section| !job.inputs.contains(section));
    let mut merged = section((job.first_day, job.last_day), (job.above, job.upto), job.bytes());
    Arc::make_mut(&mut merged).class = job.class;
    sections.push(merged);
    job.bytes()
}

/// Plans and applies jobs until there is nothing to do. Returns the bytes written.
fn settle(sections: &mut Vec<Arc<Section>>, now: StoreTime, policy: &MergePolicy) -> u64 {
    let rewrites = BTreeSet::new();
    let mut written = 0;
    for _ in 0..1_000 {
        let planned = plan_table(&TablePlanInput { now, ..state(sections, &rewrites) }, policy);
        if planned.jobs.is_empty() {
            return written;
        }
        written += planned.jobs.iter().map(|job| apply(sections, job)).sum::<u64>();
    }
    panic!("it never ends");
}

#[test]
fn recent_days_are_left_alone_until_they_have_eight_sections() {
    let now = time(TODAY, 720);
    assert_eq!(lengths(&plan(&flushes(TODAY, 715, &[1; 7]), now)).len(), 0);
    let eight = [8 * MIB, MIB, MIB, MIB, MIB, MIB, MIB, MIB];
    assert_eq!(lengths(&plan(&flushes(TODAY, 715, &eight), now)), [vec![MIB; 7]]);
    let equal = [MIB; 8];
    assert_eq!(lengths(&plan(&flushes(TODAY, 715, &equal), now)), [vec![MIB; 8]]);
    let steps = [400, 100, 50, 20, 10, 5, 2, 1];
    assert_eq!(lengths(&plan(&flushes(TODAY, 715, &steps), now)), [vec![2, 1]]);
}

#[test]
fn settled_days_keep_two_sections_if_the_second_is_small() {
    let now = time(TODAY, 720);
    let planned = |sizes: &[u64]| lengths(&plan(&flushes(TODAY, 600, sizes), now));
    assert_eq!(planned(&[100 * MIB, 2 * MIB]).len(), 0);
    assert_eq!(planned(&[2 * MIB, 100 * MIB]).len(), 0);
    assert_eq!(planned(&[100 * MIB, 30 * MIB]), [vec![100 * MIB, 30 * MIB]]);
    assert_eq!(planned(&[MIB / 2, 1]), [vec![MIB / 2, 1]], "both are small");
    assert_eq!(planned(&[100 * MIB, 2 * MIB, MIB]), [vec![2 * MIB, MIB]]);
    let all = [36 * MIB, 7 * MIB, MIB, MIB, MIB, MIB, MIB];
    assert_eq!(planned(&all), [all.to_vec()], "written once, not first without the largest");
}

#[test]
fn merges_respect_the_maximum_output_size() {
    let now = time(TODAY, 720);
    let planned = |sizes: &[u64]| lengths(&plan(&flushes(TODAY, 600, sizes), now));
    assert_eq!(planned(&[200 * MIB, 200 * MIB, 200 * MIB]).len(), 0);
    assert_eq!(
        planned(&[50 * MIB, 100 * MIB, 60 * MIB, 250 * MIB]),
        [vec![50 * MIB, 100 * MIB, 60 * MIB]],
        "a newest one that is too large does not keep the others apart"
    );
    let many = vec![1; 200];
    let inputs: Vec<_> = planned(&many).iter().map(Vec::len).collect();
    assert_eq!(inputs, [64, 64, 64, 8], "several jobs, none with too many inputs");
}

#[test]
fn a_day_of_48_flushes_is_written_less_than_three_times_in_all() {
    let policy = MergePolicy::default();
    let mut sections = Vec::new();
    let (mut written, mut most) = (0, 0);
    for flush in 0..48 {
        let interval = (stamp(TODAY, 30 * flush), stamp(TODAY, 30 * flush + 30));
        sections.push(section((TODAY, TODAY), interval, MIB));
        let now = time(TODAY, 30 * flush + 31);
        written += MIB + settle(&mut sections, now, &policy);
        most = most.max(sections.len());
    }
    written += settle(&mut sections, time(TODAY + 1, 60), &policy);
    assert_eq!(sections.len(), 1);
    assert!(most < 8, "{most} sections at once");
    assert!(written <= 4 * 48 * MIB, "{} times", written as f64 / (48.0 * MIB as f64));
}

#[test]
fn claimed_sections_are_not_merged() {
    let sections = flushes(TODAY, 600, &[5, 4, 3, 2, 1]);
    let rewrites = BTreeSet::new();
    let claim = sections[3].bounds().union(sections[4].bounds());
    let state = TablePlanInput { claimed: &[claim], ..state(&sections, &rewrites) };
    let planned = plan_table(&state, &MergePolicy::default());
    assert_eq!(lengths(&planned), [vec![5, 4, 3]]);
    let all = sections[0].bounds().union(claim);
    let state = TablePlanInput { claimed: &[all], ..state };
    assert_eq!(plan_table(&state, &MergePolicy::default()), TablePlan::default());
}

#[test]
fn expired_sections_leave_and_are_not_merged() {
    let mut sections = flushes(TODAY - 40, 600, &[9, 8, 7]);
    sections.extend(flushes(TODAY, 600, &[1, 1, 1]));
    let rewrites = BTreeSet::new();
    let cutoff = Some(i64::from(TODAY - 39) * DAY);
    let state = TablePlanInput { cutoff, ..state(&sections, &rewrites) };
    let planned = plan_table(&state, &MergePolicy::default());
    assert_eq!(planned.expired, sections[..3]);
    assert_eq!(lengths(&planned), [vec![1, 1, 1]]);
}

#[test]
fn late_sections_are_merged_when_large_or_after_a_day() {
    let much = flushes(TODAY, 600, &[100 * MIB, 5 * MIB]);
    assert_eq!(lengths(&plan(&much, time(TODAY, 720))), [[100 * MIB, 5 * MIB]]);
    let little = flushes(TODAY, 600, &[100 * MIB, 2 * MIB]);
    assert!(lengths(&plan(&little, time(TODAY, 720))).is_empty());
    assert_eq!(lengths(&plan(&little, time(TODAY + 1, 700))), [[100 * MIB, 2 * MIB]]);
    // If their times are disjoint, no query reads both.
    let [mut first, mut second] = <[_; 2]>::try_from(little).unwrap();
    Arc::make_mut(&mut first).max_time = first.min_time + DAY / 2;
    Arc::make_mut(&mut second).min_time = first.max_time + 1;
    let apart = [first, second];
    assert!(lengths(&plan(&apart, time(TODAY + 1, 700))).is_empty());
}

#[test]
fn sections_with_deleted_rows_are_rewritten_unless_another_job_has_them() {
    let sections = flushes(TODAY, 600, &[100 * MIB, 2 * MIB]);
    let wanted = BTreeSet::from([SectionRef::from_section(&sections[0])]);
    let planned = plan_table(&state(&sections, &wanted), &MergePolicy::default());
    assert_eq!(lengths(&planned), [vec![100 * MIB]]);
    assert_eq!(planned.jobs[0].reason, MergeReason::Deletes);
    let similar = flushes(TODAY, 600, &[100 * MIB, 90 * MIB]);
    let wanted = BTreeSet::from([SectionRef::from_section(&similar[0])]);
    let planned = plan_table(&state(&similar, &wanted), &MergePolicy::default());
    assert_eq!(lengths(&planned), [vec![100 * MIB, 90 * MIB]]);
}

/// Returns a section for each day, flushed on its day.
pub(super) fn days(days: impl Iterator<Item = i32>, length: u64) -> Vec<Arc<Section>> {
    let section = |day| section((day, day), (stamp(day, 0), stamp(day, 1_000)), length);
    days.map(section).collect()
}

#[test]
fn small_neighbouring_days_become_aligned_ranges_once_they_are_over() {
    // 19,968 is a multiple of 16. The range of 16 days from 19,984, and the last range of four days, have not ended.
    let sections = days(19_968..=TODAY, MIB);
    let planned = plan(&sections, time(TODAY, 1_430));
    let days = planned.jobs.iter().map(|job| (job.first_day, job.last_day));
    let expected = [(19_968, 19_983), (19_984, 19_987), (19_988, 19_991), (19_992, 19_995)];
    assert_eq!(days.collect::<Vec<_>>(), expected);
    assert!(planned.jobs.iter().all(|job| job.reason == MergeReason::Range));
}

#[test]
fn ranges_stay_short_beside_the_time_that_rows_are_kept() {
    let sections = days(19_968..=TODAY, MIB);
    let rewrites = BTreeSet::new();
    let with = |retention: u64| {
        let state = TablePlanInput {
            retention: Some(Duration::from_secs(retention * 86_400)),
            now: time(TODAY + 100, 0),
            ..state(&sections, &rewrites)
        };
        let planned = plan_table(&state, &MergePolicy::default());
        planned.jobs.iter().map(|job| job.inputs.len()).max().unwrap_or(0)
    };
    assert_eq!([with(31), with(32), with(127), with(128)], [0, 4, 4, 16]);
}

#[test]
fn large_days_stay_apart() {
    let sections = days(19_968..=TODAY, 12 * MIB);
    assert_eq!(plan(&sections, time(TODAY + 100, 0)).jobs.len(), 0);
}

#[test]
fn a_job_reference_names_its_inputs_by_location() {
    let sections = flushes(TODAY, 600, &[3, 2, 1]);
    let job = plan(&sections, time(TODAY, 720)).jobs.remove(0);
    let json = serde_json::to_string(&job.reference()).unwrap();
    let reference: MergeJobRef = serde_json::from_str(&json).unwrap();
    assert_eq!(reference.resolve(&sections), Some(job));
    assert_eq!(reference.resolve(&sections[1..]), None, "an input is gone");
    let mut more = sections;
    let late = section((TODAY, TODAY + 1), (more[0].above, more[2].upto), 1);
    more.push(late);
    assert_eq!(reference.resolve(&more), None, "there is another one between them");
    let first = MergeJobRef { inputs: reference.inputs[..1].to_vec(), ..reference };
    let expected = serde_json::json!({
        "table": 7, "first_day": 20_000, "last_day": 20_000, "above": 7_078_028_083_200_004_095_i64,
        "upto": 7_078_035_456_000_004_095_i64,
        "inputs": [{"object": "064EHQ8TEW0000000000000KH0", "offset": 0}], "bytes": 6,
        "reason": "settled",
    });
    assert_eq!(serde_json::to_value(first).unwrap(), expected);
}

/// Sections as written by flushes: each flush has a few aligned, disjoint ranges of days.
pub(super) fn history() -> impl Strategy<Value = Vec<Arc<Section>>> {
    let range = (0u32..4, 0i32..64, 0u32..28);
    let flush = (1i64..200, proptest::collection::vec(range, 1..5));
    proptest::collection::vec(flush, 1..40).prop_map(|flushes| {
        let mut sections: Vec<Arc<Section>> = Vec::new();
        let mut minute = 0;
        for (width, ranges) in flushes {
            let interval = (stamp(TODAY, minute), stamp(TODAY, minute + width));
            minute += width;
            for (step, day, size) in ranges {
                let first = (TODAY + day) >> (2 * step) << (2 * step);
                let last = first + (1 << (2 * step)) - 1;
                let new = section((first, last), interval, 1 + (1 << size));
                if !sections.iter().any(|other| other.collides(&new)) {
                    sections.push(new);
                }
            }
        }
        sections
    })
}

fn check_jobs(sections: &[Arc<Section>], planned: &TablePlan, policy: &MergePolicy) {
    for job in &planned.jobs {
        let met: Vec<_> = sections
            .iter()
            .filter(|section| job.bounds().overlaps(&section.bounds()))
            .collect();
        assert_eq!(met.len(), job.inputs.len(), "not closed: {:?}", job.bounds());
        assert!(met.iter().all(|section| job.inputs.contains(section)));
        assert!(job.inputs.len() > 1);
        assert!(job.bytes() <= policy.max_output_bytes && job.inputs.len() <= policy.max_inputs);
        let others = planned.jobs.iter().filter(|other| *other != job);
        for other in others {
            let (bounds, other) = (job.bounds(), other.bounds());
            assert!(!bounds.overlaps(&other), "{bounds:?} overlaps {other:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(400)))]
    #[test]
    fn jobs_are_closed_and_disjoint_and_leave_settled_days_with_two_sections_if_they_fit(
        mut sections in history(), later in 0i32..200, max_inputs in 2usize..64,
    ) {
        let policy = MergePolicy { max_inputs, ..MergePolicy::default() };
        let rewrites = BTreeSet::new();
        let now = time(TODAY + 6 + later, 0);
        let mut rounds = 0;
        loop {
            let planned = plan_table(&TablePlanInput { now, ..state(&sections, &rewrites) }, &policy);
            check_jobs(&sections, &planned, &policy);
            if planned.jobs.is_empty() {
                break;
            }
            let before = sections.len();
            for job in &planned.jobs {
                apply(&mut sections, job);
            }
            prop_assert!(sections.len() < before);
            for (at, one) in sections.iter().enumerate() {
                prop_assert!(!sections[..at].iter().any(|other| other.collides(one)));
            }
            rounds += 1;
            prop_assert!(rounds < 100);
        }
        for component in components(sections) {
            if component.sections.len() > 2 {
                for pair in component.sections.windows(2) {
                    prop_assert!(!fits_with_what_it_brings(&component.sections, pair, &policy));
                }
            }
        }
    }
}

/// Returns whether two sections, and all sections that a merge of them must include, are within the limits.
fn fits_with_what_it_brings(
    sections: &[Arc<Section>],
    pair: &[Arc<Section>],
    policy: &MergePolicy,
) -> bool {
    let mut bounds = pair[0].bounds().union(pair[1].bounds());
    loop {
        let met: Vec<_> = sections.iter().filter(|one| bounds.overlaps(&one.bounds())).collect();
        let grown = met.iter().fold(bounds, |bounds, one| bounds.union(one.bounds()));
        if grown == bounds {
            let bytes: u64 = met.iter().map(|one| one.length).sum();
            return bytes <= policy.max_output_bytes && met.len() <= policy.max_inputs;
        }
        bounds = grown;
    }
}
