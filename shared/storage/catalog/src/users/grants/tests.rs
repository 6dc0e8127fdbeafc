use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    Catalog, CatalogError, DatabaseAction, NewRole, NewUser, RoleId, RootCatalog, UserEntry,
    UserId, tests::CatalogFixture,
};

const READ: &[DatabaseAction] = &[DatabaseAction::Read];
const WRITE: &[DatabaseAction] = &[DatabaseAction::Write];
const BOTH: &[DatabaseAction] = &[DatabaseAction::Read, DatabaseAction::Write];

async fn stage() -> (CatalogFixture, Catalog, UserId) {
    let (stage, catalog) = CatalogFixture::with_instance();
    for name in ["one", "two", "one/week"] {
        catalog.create_database(name, None).await.unwrap();
    }
    let bob = user(&catalog, "bob", &[RoleId::MEMBER]).await;
    (stage, catalog, bob)
}

async fn user(catalog: &Catalog, name: &str, roles: &[RoleId]) -> UserId {
    let new = NewUser {
        name: name.to_owned(),
        roles: roles.iter().copied().collect(),
        ..NewUser::default()
    };
    catalog.create_user(&new, None).await.unwrap().0
}

async fn role(catalog: &Catalog, name: &str, permission: &str) -> RoleId {
    let new = NewRole {
        name: name.to_owned(),
        description: None,
        permissions: vec![permission.parse().unwrap()],
    };
    catalog.create_role(&new, None).await.unwrap().id
}

async fn root(catalog: &Catalog) -> Arc<RootCatalog> {
    catalog.root(Duration::ZERO).await.unwrap().value
}

async fn entry(catalog: &Catalog, user: UserId) -> UserEntry {
    root(catalog).await.users()[&user].clone()
}

/// Returns what the grants of a user allow, as the text of permissions.
async fn grants(catalog: &Catalog, name: &str) -> Option<String> {
    let root = root(catalog).await;
    let role = root.role_by_name(&format!("grants of {name}"));
    role.map(|role| role.entry.permissions.named(&root))
}

#[tokio::test(start_paused = true)]
async fn grants_are_those_of_a_role_of_the_user() {
    let (_stage, catalog, bob) = stage().await;
    catalog.grant_actions(bob, "one", READ, None).await.unwrap();
    catalog.grant_actions(bob, "two", READ, None).await.unwrap();
    assert_eq!(grants(&catalog, "bob").await.as_deref(), Some("db:one,two:read"));
    let known = root(&catalog).await;
    let permissions = known.user_permissions(&known.users()[&bob]);
    let may = |action, name| permissions.allow(action, known.database(name));
    assert!(may(DatabaseAction::Read, "one"));
    assert!(may(DatabaseAction::Read, "one/week"));
    assert!(!may(DatabaseAction::Write, "one"));
    let noted = known.audit().next_back().unwrap();
    assert_eq!((noted.action.as_str(), noted.target.as_str()), ("set grants", "bob"));
}

#[tokio::test(start_paused = true)]
async fn a_grant_replaces_that_of_the_database_and_a_revocation_takes_part_of_it() {
    let (_stage, catalog, bob) = stage().await;
    catalog.grant_actions(bob, "one", BOTH, None).await.unwrap();
    catalog.grant_actions(bob, "two", WRITE, None).await.unwrap();
    catalog.revoke_actions(bob, "one", WRITE, None).await.unwrap();
    let both = "db:two:write;db:one:read";
    assert_eq!(grants(&catalog, "bob").await.as_deref(), Some(both));
    catalog.grant_actions(bob, "one", WRITE, None).await.unwrap();
    assert_eq!(grants(&catalog, "bob").await.as_deref(), Some("db:one,two:write"));
    let version = catalog.root(Duration::ZERO).await.unwrap().version;
    catalog.grant_actions(bob, "one", WRITE, None).await.unwrap();
    catalog.revoke_actions(bob, "one", READ, None).await.unwrap();
    assert_eq!(catalog.root(Duration::ZERO).await.unwrap().version, version);
    for database in ["one", "two"] {
        catalog.revoke_actions(bob, database, BOTH, None).await.unwrap();
    }
    assert_eq!(grants(&catalog, "bob").await, None);
    assert_eq!(entry(&catalog, bob).await.roles, [RoleId::MEMBER].into());
}

#[tokio::test(start_paused = true)]
async fn what_another_role_allows_can_not_be_revoked() {
    let (_stage, catalog, bob) = stage().await;
    let reader = role(&catalog, "reader", "db:one:read").await;
    catalog.set_user_roles(bob, &[reader].into(), None).await.unwrap();
    catalog.grant_actions(bob, "one", BOTH, None).await.unwrap();
    let refused = catalog.revoke_actions(bob, "one", BOTH, None).await;
    assert!(matches!(refused, Err(CatalogError::InvalidUser { .. })));
    assert_eq!(grants(&catalog, "bob").await.as_deref(), Some("db:one:read,write"));
    catalog.revoke_actions(bob, "one", WRITE, None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_role_of_others_is_not_changed() {
    let (_stage, catalog, bob) = stage().await;
    let shared = role(&catalog, "grants of bob", "db:two:write").await;
    let ann = user(&catalog, "ann", &[shared]).await;
    let refused = catalog.grant_actions(bob, "one", READ, None).await;
    assert!(matches!(refused, Err(CatalogError::RoleExists { .. })));
    catalog.set_user_roles(ann, &BTreeSet::new(), None).await.unwrap();
    catalog.grant_actions(bob, "one", READ, None).await.unwrap();
    assert_eq!(grants(&catalog, "bob").await.as_deref(), Some("db:one:read"));
}

#[tokio::test(start_paused = true)]
async fn grants_end_with_the_user() {
    let (_stage, catalog, bob) = stage().await;
    catalog.grant_actions(bob, "one", READ, None).await.unwrap();
    catalog.delete_user(bob, None).await.unwrap();
    assert_eq!(grants(&catalog, "bob").await, None);
    let other = user(&catalog, "bob", &[]).await;
    let permissions = root(&catalog).await.user_permissions(&entry(&catalog, other).await);
    assert!(!permissions.allow_somewhere(BOTH));
}

#[tokio::test(start_paused = true)]
async fn grants_of_missing_users_and_databases_are_refused() {
    let (_stage, catalog, bob) = stage().await;
    for refused in [
        catalog.grant_actions(bob, "three", READ, None).await,
        catalog.revoke_actions(bob, "three", READ, None).await,
        catalog.grant_actions(UserId::new(99), "one", READ, None).await,
    ] {
        assert!(matches!(refused, Err(CatalogError::NotFound { .. })), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_grants_only_what_it_has() {
    let (_stage, catalog, bob) = stage().await;
    let texts = ["db:one:read", "user:*:update", "system:health,ping,ready:read"];
    let permissions = texts.map(|text| text.parse().unwrap());
    let token = catalog.create_resource_token("t", &permissions, None, None).await.unwrap();
    let by = Some(token.id.into());
    catalog.grant_actions(bob, "one", READ, by).await.unwrap();
    catalog.revoke_actions(bob, "one", READ, by).await.unwrap();
    for (database, actions) in [("one", BOTH), ("two", READ), ("missing", READ)] {
        let refused = catalog.grant_actions(bob, database, actions, by).await;
        assert!(matches!(refused, Err(CatalogError::Forbidden)), "{refused:?}");
    }
    let admin = user(&catalog, "admin", &[RoleId::ADMIN]).await;
    let refused = catalog.grant_actions(admin, "one", READ, by).await;
    assert!(matches!(refused, Err(CatalogError::Forbidden)));
}
