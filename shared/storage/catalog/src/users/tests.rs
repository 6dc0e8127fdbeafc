//! Tests of users, roles and sessions in the catalog of one instance, and of two instances.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::*;
use crate::{
    Catalog, DatabaseAction, PermissionRequest, RootCatalog, TokenAction, UserAction,
    tests::CatalogFixture,
};

const LIFETIME: SessionLifetime = SessionLifetime {
    idle: Duration::from_secs(1_000),
    total: Duration::from_secs(3_000),
};

fn hash(number: u8) -> PasswordHash {
    PasswordHash {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
        salt: vec![number],
        hash: vec![number; 32],
    }
}

fn key(id: &str) -> SigningKeyRequest {
    SigningKeyRequest::Generated(NewSigningKey {
        id: id.to_owned(),
        public: VerificationKey::Ed25519 { x: id.to_owned() },
        secret: Some(SigningSecret::new([7; 32])),
    })
}

fn new_user(name: &str, roles: &[RoleId]) -> NewUser {
    NewUser {
        name: name.to_owned(),
        password: Some(hash(1)),
        roles: roles.iter().copied().collect(),
        ..NewUser::default()
    }
}

fn asked(texts: &[&str]) -> Vec<PermissionRequest> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn root(catalog: &Catalog) -> Arc<RootCatalog> {
    catalog.root(Duration::ZERO).await.unwrap().value
}

async fn stage() -> (CatalogFixture, Catalog) {
    let (stage, catalog) = CatalogFixture::with_instance();
    catalog.create_database("one", None).await.unwrap();
    catalog.create_database("two", None).await.unwrap();
    (stage, catalog)
}

async fn role(catalog: &Catalog, name: &str, permissions: &[&str]) -> RoleId {
    let new = NewRole {
        name: name.to_owned(),
        description: None,
        permissions: asked(permissions),
    };
    catalog.create_role(&new, None).await.unwrap().id
}

async fn user(catalog: &Catalog, name: &str, roles: &[RoleId]) -> UserId {
    let created = catalog.create_user(&new_user(name, roles), None).await;
    created.unwrap().0
}

async fn begin(catalog: &Catalog, user: UserId) -> Result<StartedSession, CatalogError> {
    let key = key("k");
    catalog.begin_session(user, &hash(1), LIFETIME, &key).await
}

async fn renew(catalog: &Catalog, session: SessionId, generation: u64) -> RenewedSession {
    let key = key("k");
    let renewed = catalog.renew_session(session, generation, LIFETIME.idle, &key);
    renewed.await.unwrap()
}

#[tokio::test]
async fn the_first_user_and_the_operator_token_are_created_once() {
    let (_, catalog) = stage().await;
    let first = catalog.create_first_user(&new_user("ann", &[])).await.unwrap();
    let root = root(&catalog).await;
    assert!(root.user_permissions(&first.entry).is_admin());
    assert_eq!(root.user_by_name("ann").unwrap().0, first.id);
    assert!(root.has_admin_token());
    let again = catalog.create_first_user(&new_user("bob", &[])).await;
    assert!(matches!(again, Err(CatalogError::TokenExists { .. })));
    let operator = catalog.create_admin_token().await;
    assert!(matches!(operator, Err(CatalogError::TokenExists { .. })));
}

#[tokio::test]
async fn no_first_user_takes_over_a_cluster_with_an_administrator() {
    let (_, catalog) = stage().await;
    catalog.create_named_admin("a", None, None).await.unwrap();
    let taken = catalog.create_first_user(&new_user("ann", &[])).await;
    assert!(matches!(taken, Err(CatalogError::TokenExists { .. })));
    let (_, catalog) = stage().await;
    user(&catalog, "bob", &[]).await;
    let taken = catalog.create_first_user(&new_user("ann", &[])).await;
    assert!(matches!(taken, Err(CatalogError::UserExists { .. })));
}

#[tokio::test]
async fn built_in_roles_grant_what_they_say() {
    let (_, catalog) = stage().await;
    let root = root(&catalog).await;
    let one = root.database("one");
    let of = |id| root.role(id).unwrap().entry.permissions;
    assert!(of(RoleId::ADMIN).is_admin());
    let auditor = of(RoleId::AUDITOR);
    let internal = Some(crate::INTERNAL_DATABASE_ID);
    assert!(auditor.allow(DatabaseAction::Read, one));
    assert!(auditor.allow(DatabaseAction::Read, internal));
    assert!(auditor.allow_audit() && auditor.allow_users(UserAction::Read));
    for action in [DatabaseAction::Write, DatabaseAction::Create, DatabaseAction::Delete] {
        for database in [one, internal, None] {
            assert!(!auditor.allow(action, database), "{action}");
        }
    }
    assert!(!auditor.allow_tokens(TokenAction::Create));
    assert!(!auditor.allow_users(UserAction::Create));
    let member = of(RoleId::MEMBER);
    assert!(!member.allow_somewhere(DatabaseAction::ALL) && !member.allow_audit());
    assert_eq!(
        auditor.to_string(),
        "db:*:read,describe;system:*:read;token:*:read;user:*:read;audit:*:read"
    );
}

#[tokio::test]
async fn permissions_are_the_union_of_all_roles_and_follow_their_changes() {
    let (_, catalog) = stage().await;
    let reader = role(&catalog, "reader", &["db:one:read"]).await;
    let writer = role(&catalog, "writer", &["db:two:write"]).await;
    let ann = user(&catalog, "ann", &[RoleId::MEMBER, reader, writer]).await;
    let permissions = async || {
        let root = root(&catalog).await;
        root.user_permissions(&root.users()[&ann]).named(&root)
    };
    assert_eq!(permissions().await, "system:health,ping,ready:read;db:one:read;db:two:write");
    catalog
        .set_role_permissions(reader, &asked(&["db:two:read"]), None)
        .await
        .unwrap();
    assert!(permissions().await.contains("db:two:read"));
    catalog.delete_role(writer, None).await.unwrap();
    assert!(!permissions().await.contains("write"));
    for id in [RoleId::ADMIN, RoleId::AUDITOR, RoleId::MEMBER] {
        let kept = catalog.delete_role(id, None).await;
        assert!(matches!(kept, Err(CatalogError::BuiltInRole)));
    }
}

#[tokio::test]
async fn a_user_grants_and_takes_no_more_rights_than_its_own() {
    let (_, catalog) = stage().await;
    let lead = role(&catalog, "lead", &["user:*:*", "token:*:*", "db:one:read"]).await;
    let reader = role(&catalog, "reader", &["db:one:read"]).await;
    let writer = role(&catalog, "writer", &["db:one:write"]).await;
    let by = Some(Actor::User(user(&catalog, "lead", &[lead]).await));
    let boss = user(&catalog, "boss", &[RoleId::ADMIN]).await;
    let other = user(&catalog, "other", &[writer]).await;
    let forbidden = |outcome: Result<(), CatalogError>| {
        assert!(matches!(outcome, Err(CatalogError::Forbidden)), "{outcome:?}");
    };
    let created = catalog.create_user(&new_user("a", &[reader]), by).await.unwrap().0;
    for roles in [[writer], [RoleId::ADMIN], [RoleId::AUDITOR]] {
        let new = new_user("b", &roles);
        forbidden(catalog.create_user(&new, by).await.map(drop));
        let roles = BTreeSet::from(roles);
        forbidden(catalog.set_user_roles(created, &roles, by).await.map(drop));
    }
    for user in [boss, other] {
        let none = BTreeSet::new();
        forbidden(catalog.set_user_roles(user, &none, by).await.map(drop));
        let change = UserChange { password: Some(hash(9)), ..UserChange::default() };
        forbidden(catalog.update_user(user, &change, by).await.map(drop));
        forbidden(catalog.delete_user(user, by).await);
    }
    let more = NewRole {
        name: "more".to_owned(),
        description: None,
        permissions: asked(&["db:*:read"]),
    };
    forbidden(catalog.create_role(&more, by).await.map(drop));
    let widened = asked(&["db:one:read,write"]);
    forbidden(catalog.set_role_permissions(reader, &widened, by).await.map(drop));
    forbidden(catalog.delete_role(writer, by).await);
    let token = catalog.create_resource_token("t", &widened, None, by).await;
    assert!(matches!(token, Err(CatalogError::Forbidden)));
    let own = asked(&["db:one:read"]);
    let token = catalog.create_resource_token("t", &own, None, by).await.unwrap();
    assert_eq!(token.entry.created_by_user.map(Actor::User), by);
    catalog.delete_user(created, by).await.unwrap();
}

#[tokio::test]
async fn a_user_without_the_permission_changes_no_users() {
    let (_, catalog) = stage().await;
    let member = user(&catalog, "member", &[RoleId::MEMBER]).await;
    let auditor = user(&catalog, "auditor", &[RoleId::AUDITOR]).await;
    for by in [member, auditor] {
        let by = Some(Actor::User(by));
        let created = catalog.create_user(&new_user("x", &[]), by).await;
        assert!(matches!(created, Err(CatalogError::Forbidden)));
        let deleted = catalog.delete_user(member, by).await;
        assert!(matches!(deleted, Err(CatalogError::Forbidden)));
        let read = asked(&["db:one:read"]);
        let token = catalog.create_resource_token("t", &read, None, by).await;
        assert!(matches!(token, Err(CatalogError::Forbidden)));
    }
}

#[tokio::test]
async fn a_disabled_or_deleted_caller_is_refused() {
    let (_, catalog) = stage().await;
    let boss = user(&catalog, "boss", &[RoleId::ADMIN]).await;
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    let by = Some(Actor::User(boss));
    catalog.update_user(boss, &disable, None).await.unwrap();
    let refused = catalog.create_user(&new_user("x", &[]), by).await;
    assert!(matches!(refused, Err(CatalogError::Revoked)));
    catalog.delete_user(boss, None).await.unwrap();
    let refused = catalog.create_named_admin("x", None, by).await;
    assert!(matches!(refused, Err(CatalogError::Revoked)));
}

#[tokio::test]
async fn names_are_unique_and_checked() {
    let (_, catalog) = stage().await;
    user(&catalog, "ann", &[]).await;
    let again = catalog.create_user(&new_user("ann", &[]), None).await;
    assert_eq!(again.unwrap_err().to_string(), "user already exists, ann");
    for name in ["", " ann", "ann\n", "a\0b", &"x".repeat(256)] {
        let refused = catalog.create_user(&new_user(name, &[]), None).await;
        assert!(refused.is_err(), "{name:?}");
    }
    let new = new_user("b", &[RoleId::new(4)]);
    let unknown = catalog.create_user(&new, None).await;
    assert!(matches!(unknown, Err(CatalogError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_by_sign_out_and_by_changes_of_its_user() {
    let (_, catalog) = stage().await;
    let ann = user(&catalog, "ann", &[]).await;
    let exists = async |id| root(&catalog).await.session(id).is_some();
    let session = begin(&catalog, ann).await.unwrap();
    assert!(exists(session.id).await);
    catalog.end_session(session.id).await.unwrap();
    catalog.end_session(session.id).await.unwrap();
    assert!(!exists(session.id).await);
    let ended = renew(&catalog, session.id, 0).await;
    assert!(matches!(ended, RenewedSession::Ended));

    let session = begin(&catalog, ann).await.unwrap();
    catalog.replace_password(ann, &hash(1), &hash(2)).await.unwrap();
    assert!(!exists(session.id).await);
    let stale = begin(&catalog, ann).await;
    assert!(matches!(stale, Err(CatalogError::Revoked)), "old password");
    catalog.replace_password(ann, &hash(2), &hash(1)).await.unwrap();

    for change in [
        UserChange { disabled: Some(true), ..UserChange::default() },
        UserChange {
            disabled: Some(false),
            requires_reset: Some(true),
            ..UserChange::default()
        },
    ] {
        let reset = UserChange {
            disabled: Some(false),
            requires_reset: Some(false),
            ..UserChange::default()
        };
        catalog.update_user(ann, &reset, None).await.unwrap();
        let session = begin(&catalog, ann).await.unwrap();
        catalog.update_user(ann, &change, None).await.unwrap();
        assert!(!exists(session.id).await);
        assert!(matches!(begin(&catalog, ann).await, Err(CatalogError::Revoked)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_used_once_and_its_reuse_ends_the_session() {
    let (_, catalog) = stage().await;
    let ann = user(&catalog, "ann", &[]).await;
    let session = begin(&catalog, ann).await.unwrap();
    let renewed = renew(&catalog, session.id, 0).await;
    assert!(matches!(renewed, RenewedSession::Renewed(it) if it.entry.generation == 1));
    let replayed = renew(&catalog, session.id, 0).await;
    assert!(matches!(replayed, RenewedSession::Replayed));
    let ended = renew(&catalog, session.id, 1).await;
    assert!(matches!(ended, RenewedSession::Ended));
}

#[tokio::test(start_paused = true)]
async fn two_instances_renew_a_session_once() {
    let (stage, catalog) = stage().await;
    let rival = stage.instance();
    let ann = user(&catalog, "ann", &[]).await;
    let session = begin(&catalog, ann).await.unwrap();
    let (one, other) = futures::join!(renew(&catalog, session.id, 0), renew(&rival, session.id, 0));
    let renewed = [&one, &other]
        .into_iter()
        .filter(|outcome| matches!(outcome, RenewedSession::Renewed(_)));
    assert_eq!(renewed.count(), 1);
    assert!(root(&catalog).await.session(session.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn sessions_expire_and_old_keys_leave_with_their_tokens() {
    let (stage, catalog) = stage().await;
    let ann = user(&catalog, "ann", &[]).await;
    let session = begin(&catalog, ann).await.unwrap();
    stage.sleep(Duration::from_secs(900)).await;
    let renewed = renew(&catalog, session.id, 0).await;
    assert!(matches!(renewed, RenewedSession::Renewed(_)));
    stage.sleep(Duration::from_secs(900)).await;
    let renewed = renew(&catalog, session.id, 1).await;
    assert!(matches!(renewed, RenewedSession::Renewed(_)));
    stage.sleep(Duration::from_secs(1_001)).await;
    // Any commit advances the store's clock.
    user(&catalog, "bob", &[]).await;
    let ended = renew(&catalog, session.id, 2).await;
    assert!(matches!(ended, RenewedSession::Ended));
    assert_eq!(root(&catalog).await.signing_keys().len(), 1);
    stage.sleep(signing_keys::ROTATION_AGE).await;
    user(&catalog, "eve", &[]).await;
    let new = key("new");
    let started = catalog.begin_session(ann, &hash(1), LIFETIME, &new).await;
    assert_eq!(started.unwrap().key.id, "new");
    let root = root(&catalog).await;
    let ids: Vec<&str> = root.signing_keys().iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["new"]);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_stays_until_its_tokens_expire() {
    let (stage, catalog) = stage().await;
    let ann = user(&catalog, "ann", &[]).await;
    let begin = async |id: &str| {
        let (hash, key) = (hash(1), key(id));
        let started = catalog.begin_session(ann, &hash, LIFETIME, &key);
        started.await.unwrap().key.id
    };
    assert_eq!(begin("a").await, "a");
    assert_eq!(begin("b").await, "a", "a generated key is shared");
    stage.sleep(signing_keys::ROTATION_AGE - LIFETIME.idle / 2).await;
    user(&catalog, "bob", &[]).await;
    assert_eq!(begin("c").await, "c", "the key has left with its tokens");
    stage.sleep(signing_keys::ROTATION_AGE - LIFETIME.idle / 2).await;
    user(&catalog, "eve", &[]).await;
    let configured = SigningKeyRequest::Configured(NewSigningKey {
        id: "file".to_owned(),
        public: VerificationKey::Ed25519 { x: "f".to_owned() },
        secret: None,
    });
    let hash = hash(1);
    let started = catalog.begin_session(ann, &hash, LIFETIME, &configured);
    assert_eq!(started.await.unwrap().key.id, "file");
    assert_eq!(begin("d").await, "d");
    let root = root(&catalog).await;
    let ids: Vec<&str> = root.signing_keys().iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["file", "d"], "processes with different keys sign side by side");
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_user_are_bounded() {
    let (stage, catalog) = stage().await;
    let ann = user(&catalog, "ann", &[]).await;
    let first = begin(&catalog, ann).await.unwrap();
    for _ in 0..MAX_SESSIONS_PER_USER {
        stage.sleep(Duration::from_millis(1)).await;
        begin(&catalog, ann).await.unwrap();
    }
    let root = root(&catalog).await;
    assert!(root.session(first.id).is_none());
    assert_eq!(root.users.sessions.len(), MAX_SESSIONS_PER_USER);
}

#[tokio::test]
async fn a_name_that_looks_like_another_one_is_refused() {
    let (_, catalog) = stage().await;
    role(&catalog, "reader", &["db:one:read"]).await;
    for name in ["_admin", "ann\u{202e}nimda", "ann\u{200b}", "ann\n", " ann"] {
        let external = ExternalUser {
            oauth_id: "1".to_owned(),
            name: name.to_owned(),
            display_name: None,
            group_roles: ["reader".to_owned()].into(),
        };
        let key = key("k");
        let refused = catalog.begin_external_session(&external, LIFETIME, &key).await;
        assert!(
            matches!(refused, Err(CatalogError::InvalidUser { .. })),
            "{name:?}: {refused:?}"
        );
    }
    user(&catalog, "علی\u{200c}رضا", &[RoleId::ADMIN]).await;
}

#[tokio::test]
async fn users_of_a_provider_are_created_by_their_groups_alone() {
    let (_, catalog) = stage().await;
    let reader = role(&catalog, "reader", &["db:one:read"]).await;
    let begin = async |id: &str, name: &str, roles: &[&str]| {
        let external = ExternalUser {
            oauth_id: id.to_owned(),
            name: name.to_owned(),
            display_name: None,
            group_roles: roles.iter().map(ToString::to_string).collect(),
        };
        let key = key("k");
        catalog.begin_external_session(&external, LIFETIME, &key).await
    };
    let refused = begin("1", "ann", &[]).await;
    assert!(matches!(refused, Err(CatalogError::Revoked)));
    let refused = begin("1", "ann", &["no such role"]).await;
    assert!(matches!(refused, Err(CatalogError::Revoked)));
    let ann = begin("1", "ann", &["reader"]).await.unwrap();
    assert_eq!(ann.user.group_roles, [reader].into());
    let ann = begin("1", "renamed", &[]).await.unwrap();
    assert_eq!((ann.user.name.as_str(), ann.user.group_roles.len()), ("ann", 0));
    user(&catalog, "local", &[RoleId::ADMIN]).await;
    let taken = begin("2", "local", &["reader"]).await;
    assert!(matches!(taken, Err(CatalogError::UserExists { .. })));
    let password = self::begin(&catalog, ann.entry.user).await;
    assert!(matches!(password, Err(CatalogError::Revoked)));
}

#[tokio::test]
async fn format() {
    let (_, catalog) = stage().await;
    let reader = role(&catalog, "reader", &["db:one:read", "user:*:read", "audit:*:read"]).await;
    let ann = user(&catalog, "ann", &[reader]).await;
    let before = root(&catalog).await;
    let mut json = serde_json::to_value(&*before).unwrap()["users"].take();
    for place in ["/users/1/created", "/users/1/updated"] {
        *json.pointer_mut(place).unwrap() = 1.into();
    }
    for place in ["/roles/100/created", "/roles/100/updated"] {
        *json.pointer_mut(place).unwrap() = 1.into();
    }
    let expected = serde_json::json!({
        "next_role": 101, "next_user": 2,
        "roles": {"100": {
            "created": 1, "name": "reader",
            "permissions": {"of": [
                {"database": {"actions": ["read"], "databases": {"of": [1]}}},
                {"user": {"actions": ["read"]}},
                "audit",
            ]},
            "updated": 1,
        }},
        "users": {"1": {
            "created": 1, "name": "ann",
            "password": {
                "hash": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "lanes": 1, "memory_kib": 8,
                "passes": 1, "salt": "AQ",
            },
            "roles": [100], "updated": 1,
        }},
    });
    assert_eq!(json, expected);
    begin(&catalog, ann).await.unwrap();
    let root = root(&catalog).await;
    let json = serde_json::to_string(&*root).unwrap();
    let read: RootCatalog = serde_json::from_str(&json).unwrap();
    assert_eq!(read.users(), root.users());
    assert_eq!(read.signing_keys(), root.signing_keys());
    assert_eq!(read.users.sessions, root.users.sessions);
    let shown = format!("{:?} {:?}", root.users(), root.signing_keys());
    assert!(shown.contains("PasswordHash") && shown.contains("SigningSecret"));
    assert!(!shown.contains("AQEB") && !shown.contains("[7, 7"));
    assert!(matches!(
        root.users()[&ann].roles.iter().next(),
        Some(id) if *id == reader
    ));
}
