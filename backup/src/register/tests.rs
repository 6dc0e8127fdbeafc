use super::*;
use crate::BackupError;

fn at(seconds: i64) -> StoreTime {
    StoreTime::from_micros((1_763_800_000 + seconds) * 1_000_000)
}

fn lease(holder: u128, seconds: i64) -> Lease {
    Lease {
        holder: Ulid(holder),
        renewed: at(seconds),
    }
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
    register.begin_backup(
        Ulid(id),
        name.to_owned(),
        &request,
        false,
        lease(1, seconds),
    )
}

fn completed(register: &mut BackupRegister, id: u128, name: &str, parent: Option<&str>) {
    begin(register, id, name, parent, 0).unwrap();
    register.complete_backup(Ulid(id), lease(1, 1)).unwrap();
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
          "place": "p",
          "objects": 0,
          "bytes": 0
        }
      ],
      "restores": []
    }
    "#);
}

#[test]
fn a_job_without_a_renewed_lease_has_failed_and_changes_nothing() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "a", None, 0).unwrap();
    let state = |register: &BackupRegister, seconds| {
        register.backup(Ulid(1)).unwrap().state_at(at(seconds))
    };
    assert_eq!(state(&register, 59), JobState::InProgress);
    assert_eq!(state(&register, 60), JobState::Failed);
    register
        .change_backup(Ulid(1), lease(1, 50), |_| ())
        .unwrap();
    assert_eq!(state(&register, 109), JobState::InProgress);
    let other = register.change_backup(Ulid(1), lease(2, 51), |_| ());
    assert!(matches!(other, Err(BackupError::LeaseLost(_))));
    register.end_expired(at(110));
    assert_eq!(register.backup(Ulid(1)).unwrap().state, JobState::Failed);
    let late = register.complete_backup(Ulid(1), lease(1, 111));
    assert!(matches!(late, Err(BackupError::LeaseLost(_))));
    // What it has put is deleted when no request of it can arrive any more.
    assert_eq!(register.deletable(at(169)), []);
    assert_eq!(register.deletable(at(170))[0].backup, Ulid(1));
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
    let discarded: Vec<_> = register
        .deletable(at(100))
        .iter()
        .map(|one| one.backup)
        .collect();
    assert_eq!(discarded, [Ulid(2), Ulid(3)]);
}

#[test]
fn a_parent_must_be_completed_and_at_the_same_place() {
    let mut register = BackupRegister::default();
    begin(&mut register, 1, "full", None, 0).unwrap();
    let running = begin(&mut register, 2, "one", Some("full"), 1);
    assert!(matches!(running, Err(BackupError::NotFound(_))));
    register.complete_backup(Ulid(1), lease(1, 1)).unwrap();
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
    register.fail_backup(Ulid(1), &BackupError::NoStoreTime, at(20));
    begin(&mut register, 2, "a", None, 30).unwrap();
    assert_eq!(register.backups().len(), 1);
    for name in ["", " ", "a/b", "a?", "\n", &"x".repeat(129)] {
        let refused = begin(&mut register, 3, name, None, 30);
        assert!(matches!(refused, Err(BackupError::Invalid(_))), "{name:?}");
    }
}
