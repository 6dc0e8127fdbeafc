use std::num::NonZeroU32;

use neap_bucket::StoreTime;

use super::*;
use crate::BackupError;

fn at(seconds: i64) -> StoreTime {
    StoreTime::from_micros((1_763_800_000 + seconds) * 1_000_000)
}

fn lease(holder: u128, seconds: i64) -> Lease {
    Lease { holder: Ulid(holder), renewed: at(seconds) }
}

fn begin(
    register: &mut BackupRegister,
    id: u128,
    name: &str,
    parent: Option<&str>,
    seconds: i64,
) -> Result<Backup, BackupError> {
    let request = BackupRequest {
        parent: parent.map(str::to_owned),
        place: Some("p".to_owned()),
        ..BackupRequest::default()
    };
    register.begin_backup(Ulid(id), name.to_owned(), &request, false, lease(1, seconds))
}

fn completed(register: &mut BackupRegister, id: u128, name: &str, parent: Option<&str>) {
    begin(register, id, name, parent, 0).unwrap();
    register.complete_backup(Ulid(id), None, lease(1, 1)).unwrap();
}

#[test]
fn format() {
    let mut register = BackupRegister::default();
    completed(&mut register, 1, "full", None);
    insta::assert_json_snapshot!(register, @r#"
    {
      "backups": [
        {
          "id": "00000000000000000000000001",
          "name": "full",
          "kind": "full",
          "state": "completed",
          "created": 1763800000000000,
          "completed": 1763800001000000,
          "objects": 0,
          "bytes": 0,
          "place": "p"
        }
      ],
      "restores": []
    }
    "#);
}

const ONE: JobId = JobId::Backup(Ulid(1));

#[test]
fn a_job_without_a_renewed_lease_is_taken_over_and_its_former_holder_changes_nothing() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "a", None, 0).unwrap();
    assert!(!register.take_over(ONE, lease(2, 59)), "the lease is valid");
    register.renewed_job(ONE, lease(1, 50)).unwrap();
    assert!(!register.take_over(ONE, lease(2, 109)));
    assert!(register.take_over(ONE, lease(2, 110)));
    assert!(!register.take_over(ONE, lease(3, 111)), "one process");
    for late in [
        register.renewed_backup(Ulid(1), lease(1, 112)).err(),
        register.complete_backup(Ulid(1), None, lease(1, 112)).err(),
    ] {
        assert!(matches!(late, Some(BackupError::LeaseLost(_))));
    }
    register.fail_own_job(ONE, lease(1, 112), &BackupError::NoStoreTime);
    register.complete_backup(Ulid(1), None, lease(2, 112)).unwrap();
    assert_eq!(register.deletable(at(1_000)), []);
}

#[test]
fn a_job_that_ends_its_processes_or_that_none_continues_has_failed() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "a", None, 0).unwrap();
    let mut now = 0;
    let mut next = |register: &mut BackupRegister| {
        now += 100;
        register.take_over(ONE, lease(2, now))
    };
    for _ in 0..10 {
        assert!(next(&mut register));
    }
    // Progress permits further attempts.
    register.job_mut(ONE).unwrap().report(1, 100);
    for _ in 0..10 {
        assert!(next(&mut register));
    }
    assert!(!next(&mut register));
    let job = &register.backup(Ulid(1)).unwrap().job;
    assert_eq!(job.state, JobState::Failed);
    // What it has put is deleted when no request of it can arrive any more.
    assert_eq!(register.deletable(at(2_159)), []);
    assert_eq!(register.deletable(at(2_160))[0].backup, Ulid(1));

    begin(&mut register, 2, "b", None, 0).unwrap();
    let state = |seconds| {
        let job = &register.backup(Ulid(2)).unwrap().job;
        job.state_at(at(seconds))
    };
    assert_eq!(state(12 * 3_600 - 1), JobState::InProgress);
    assert_eq!(state(12 * 3_600), JobState::Failed);
    assert!(!register.take_over(JobId::Backup(Ulid(2)), lease(2, 12 * 3_600)));
    let job = &register.backup(Ulid(2)).unwrap().job;
    assert_eq!(job.state, JobState::Failed);
}

#[test]
fn scheduled_backups_form_chains_that_are_deleted_as_a_whole() {
    let mut register = BackupRegister::default();
    let every_third = NonZeroU32::new(3).unwrap();
    for number in 0_u32..9 {
        let seconds = i64::from(number) * 100;
        let parent = register.scheduled_parent(Some("p"), every_third);
        let is_full = number % 3 == 0;
        assert_eq!(parent.is_none(), is_full, "{number}");
        let request = BackupRequest {
            parent,
            place: Some("p".to_owned()),
            ..BackupRequest::default()
        };
        let id = Ulid(u128::from(number) + 1);
        let held = lease(1, seconds);
        let name = format!("b{number}");
        register.begin_backup(id, name, &request, true, held).unwrap();
        register.complete_backup(id, None, lease(1, seconds + 1)).unwrap();
    }
    let elsewhere = register.scheduled_parent(Some("q"), every_third);
    assert_eq!(elsewhere, None);
    // The first chain has a backup that is not old enough.
    assert_eq!(register.remove_scheduled(at(150), at(900)), 0);
    assert_eq!(register.remove_scheduled(at(201), at(900)), 3);
    // A request has continued the second chain.
    begin(&mut register, 20, "own", Some("b5"), 901).unwrap();
    register.complete_backup(Ulid(20), None, lease(1, 902)).unwrap();
    assert_eq!(register.remove_scheduled(at(5_000), at(5_000)), 0);
    register.remove_backup("own", false, at(5_000)).unwrap();
    assert_eq!(register.remove_scheduled(at(5_000), at(5_000)), 3);
    let kept: Vec<_> = register.backups().iter().map(|one| &one.name).collect();
    assert_eq!(kept, ["b6", "b7", "b8"], "the newest one and its parents");
}

#[test]
fn a_chain_is_deleted_from_its_end_or_as_a_whole() {
    let mut register = BackupRegister::default();
    completed(&mut register, 1, "full", None);
    completed(&mut register, 2, "one", Some("full"));
    completed(&mut register, 3, "two", Some("one"));
    completed(&mut register, 4, "other", None);
    let refused = register.remove_backup("one", false, at(9));
    assert!(matches!(refused, Err(BackupError::Conflict(_))));
    register.remove_backup("one", true, at(9)).unwrap();
    let names: Vec<_> = register.backups().iter().map(|one| &one.name).collect();
    assert_eq!(names, ["full", "other"]);
    let discarded: Vec<_> = register.deletable(at(100)).iter().map(|one| one.backup).collect();
    assert_eq!(discarded, [Ulid(2), Ulid(3)]);
}

#[test]
fn a_parent_must_be_completed_and_at_the_same_place() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "full", None, 0).unwrap();
    let running = begin(&mut register, 2, "one", Some("full"), 1);
    assert!(matches!(running, Err(BackupError::NotFound(_))));
    register.complete_backup(Ulid(1), None, lease(1, 1)).unwrap();
    let elsewhere = BackupRequest {
        parent: Some("full".to_owned()),
        place: Some("q".to_owned()),
        ..BackupRequest::default()
    };
    let name = "one".to_owned();
    let refused = register.begin_backup(Ulid(2), name, &elsewhere, false, lease(1, 2));
    assert!(matches!(refused, Err(BackupError::Invalid(_))));
}

#[test]
fn a_name_of_a_failed_backup_is_free() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "a", None, 0).unwrap();
    let running = begin(&mut register, 2, "a", None, 10);
    assert!(matches!(running, Err(BackupError::Conflict(_))));
    register.fail_own_job(ONE, lease(1, 20), &BackupError::NoStoreTime);
    begin(&mut register, 2, "a", None, 30).unwrap();
    assert_eq!(register.backups().len(), 1);
    for name in ["", " ", "a/b", "a?", "\n", &"x".repeat(129)] {
        let refused = begin(&mut register, 3, name, None, 30);
        assert!(matches!(refused, Err(BackupError::Invalid(_))), "{name:?}");
    }
}

#[test]
fn an_incomplete_backup_is_restorable_and_replaces_no_completed_one() {
    let mut register = BackupRegister::default();
    completed(&mut register, 1, "b", None);
    let request = BackupRequest {
        force: true,
        place: Some("p".to_owned()),
        ..BackupRequest::default()
    };
    let again = register.begin_backup(Ulid(2), "b".to_owned(), &request, false, lease(1, 2));
    again.unwrap();
    let damaged = BackupError::incomplete(&BTreeSet::from(["data/1/x".to_owned()]));
    let complete = register.complete_backup(Ulid(2), Some(&damaged), lease(1, 3));
    complete.unwrap();
    let backup = register.backup(Ulid(2)).unwrap();
    assert_eq!(backup.job.state, JobState::Incomplete);
    assert_eq!(backup.job.error, Some(damaged.to_string()));
    assert_eq!(register.find_restorable("b").unwrap().id, Ulid(1));
    // The run that was recorded as ended changes nothing more.
    register.fail_own_job(JobId::Backup(Ulid(2)), lease(1, 4), &damaged);
    assert_eq!(register.backup(Ulid(2)).unwrap().job.state, JobState::Incomplete);
    register.remove_backup("b", false, at(5)).unwrap();
    register.remove_backup("b", false, at(5)).unwrap();
    assert_eq!(register.find_restorable("b"), None);
}
