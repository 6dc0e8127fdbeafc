//! Tests of tokens in the catalog of one instance, and of two instances.

mod keys;
mod revocation;

use std::time::Duration;

use neap_schema::DatabaseId;
use proptest::prelude::*;

use super::*;
use crate::{Actor, Catalog, CatalogError, HardDelete, RootCatalog, tests::CatalogFixture};

fn asked(text: &str) -> PermissionRequest {
    text.parse().unwrap()
}

async fn root(catalog: &Catalog) -> std::sync::Arc<RootCatalog> {
    catalog.root(Duration::ZERO).await.unwrap().value
}

/// Creates a resource token as `_admin` and returns its id.
async fn holder(catalog: &Catalog, name: &str, permissions: &[&str]) -> Actor {
    let permissions: Vec<_> = permissions.iter().map(|text| asked(text)).collect();
    let by = Some(TokenId::OPERATOR.into());
    let created = catalog.create_resource_token(name, &permissions, None, by);
    created.await.unwrap().id.into()
}

async fn stage() -> (CatalogFixture, Catalog) {
    let (stage, catalog) = CatalogFixture::with_instance();
    catalog.create_database("one", None).await.unwrap();
    catalog.create_database("two", None).await.unwrap();
    catalog.create_admin_token().await.unwrap();
    (stage, catalog)
}

#[tokio::test]
async fn the_operator_token_is_created_once_and_regenerated_under_its_id() {
    let (_, catalog) = stage().await;
    let again = catalog.create_admin_token().await.unwrap_err();
    assert_eq!(again.to_string(), "token name already exists, _admin");
    let before = root(&catalog).await.tokens()[&TokenId::OPERATOR].clone();
    let new = catalog.regenerate_admin_token(None).await.unwrap();
    let after = root(&catalog).await.tokens()[&TokenId::OPERATOR].clone();
    assert_eq!((new.id, &new.entry), (TokenId::OPERATOR, &after));
    assert_eq!(after.hash, new.secret.hash());
    assert_ne!(after.hash, before.hash);
    assert_eq!((before.updated, after.created), (None, before.created));
    assert!(after.updated.is_some());
    let deleted = catalog.delete_token("_admin", None).await.unwrap_err();
    assert_eq!(deleted.to_string(), "cannot delete operator token");
}

#[tokio::test]
async fn ids_are_not_reused_but_names_are() {
    let (_, catalog) = stage().await;
    let create = async || catalog.create_named_admin("x", None, None).await;
    assert_eq!(create().await.unwrap().id, TokenId::new(1));
    let again = create().await.unwrap_err();
    assert_eq!(again.to_string(), "token name already exists, x");
    catalog.delete_token("x", None).await.unwrap();
    assert_eq!(create().await.unwrap().id, TokenId::new(2));
    let gone = catalog.delete_token("y", None).await.unwrap_err();
    assert!(matches!(gone, CatalogError::NotFound { name } if name == "y"));
    let long = "n".repeat(MAX_TOKEN_NAME_BYTES + 1);
    let long = catalog.create_named_admin(&long, None, None).await;
    assert!(matches!(long, Err(CatalogError::TokenNameTooLong)));
    let operator = catalog.create_named_admin("_admin", None, None).await;
    assert!(matches!(operator, Err(CatalogError::TokenExists { .. })));
}

#[tokio::test]
async fn a_precomputed_token_is_installed_only_without_an_administrator() {
    let catalog = CatalogFixture::new().instance();
    let hash = |token: &str| SecretToken::new(token).hash();
    let install = async |token| catalog.install_admin_token(hash(token), None).await.unwrap();
    assert!(!root(&catalog).await.has_admin_token());
    assert!(install("apiv3_a").await);
    assert!(root(&catalog).await.has_admin_token());
    assert!(!install("apiv3_b").await);
    let kept = root(&catalog).await.tokens()[&TokenId::OPERATOR].clone();
    assert_eq!(kept.hash, hash("apiv3_a"));
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_by_the_clock_of_the_store() {
    let (_, catalog) = stage().await;
    let minute = Duration::from_secs(60);
    let brief = catalog.create_named_admin("brief", Some(minute), None);
    let entry = brief.await.unwrap().entry;
    let second = Duration::from_secs(1);
    assert_eq!(entry.expiry, Some(entry.created.plus(minute)));
    assert!(entry.is_active(entry.created.plus(minute - second)));
    assert!(!entry.is_active(entry.created.plus(minute)));
    let ages = catalog.create_named_admin("ages", Some(Duration::MAX), None);
    let expiry = ages.await.unwrap().entry.expiry.unwrap();
    assert!(chrono::DateTime::from_timestamp_micros(expiry.micros()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_permission_survives_a_rename_and_does_not_pass_to_a_namesake() {
    let (_, catalog) = stage().await;
    let Actor::Token(id) = holder(&catalog, "reader", &["db:one:read"]).await else {
        panic!("a token has an id");
    };
    let one = root(&catalog).await.database("one").unwrap();
    let may = async |database: &str| {
        let root = root(&catalog).await;
        let database = root.database(database);
        root.tokens()[&id].permissions.allow(DatabaseAction::Read, database)
    };
    assert!(may("one").await);
    catalog.delete_database("one", HardDelete::Never).await.unwrap();
    catalog.create_database("one", None).await.unwrap();
    assert!(!may("one").await, "a namesake");
    let dropped = root(&catalog).await.databases()[&one].name.clone();
    catalog.undelete_database(&dropped, Some("renamed")).await.unwrap();
    assert!(may("renamed").await);
    let entry = root(&catalog).await;
    let shown = entry.tokens()[&id].permissions.named(&entry);
    assert_eq!(shown, "db:renamed:read");
}

#[tokio::test]
async fn a_permission_on_a_database_that_does_not_exist_is_refused() {
    let (_, catalog) = stage().await;
    for name in ["three", "_internal"] {
        let wanted = [asked(&format!("db:one,{name}:read"))];
        let created = catalog.create_resource_token("x", &wanted, None, None);
        assert!(
            matches!(created.await, Err(CatalogError::NotFound { name: missing }) if missing == name)
        );
    }
    let none = catalog.create_resource_token("x", &[], None, None).await;
    assert!(matches!(none, Err(CatalogError::Permission(_))));
    assert_eq!(root(&catalog).await.tokens().len(), 1);
}

#[tokio::test]
async fn only_held_permissions_can_be_granted() {
    let (_, catalog) = stage().await;
    let own = ["db:one:read,write", "db:two:read", "system:ping:read", "token:*:create"];
    let maker = Some(holder(&catalog, "maker", &own).await);
    let without = Some(holder(&catalog, "without", &["db:*:*"]).await);
    for (number, (wanted, allowed)) in [
        ("db:one:read", true),
        ("db:one,two:read", true),
        ("db:one:read,write", true),
        ("db:one:append", true),
        ("system:ping:read", true),
        ("token:*:create", true),
        ("db:one,two:write", false),
        ("db:two:append", false),
        // The answer does not tell whether a database exists.
        ("db:missing:read", false),
        ("db:*:read", false),
        ("db:one:read,create", false),
        ("system:ping,health:read", false),
        ("system:*:read", false),
        ("token:*:create,delete", false),
        ("*:*:*", false),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, wanted) = (format!("t{number}"), [asked(wanted)]);
        let created = catalog.create_resource_token(&name, &wanted, None, maker).await;
        match created {
            Ok(created) => {
                assert!(allowed, "{}", wanted[0]);
                assert_eq!(created.entry.created_by.map(Actor::from), maker);
            }
            Err(CatalogError::Forbidden) => assert!(!allowed, "{}", wanted[0]),
            Err(error) => panic!("{error}"),
        }
    }
    let wanted = [asked("db:one:read")];
    let created = catalog.create_resource_token("y", &wanted, None, without).await;
    assert!(matches!(created, Err(CatalogError::Forbidden)));
    let admin = catalog.create_named_admin("z", None, maker).await;
    assert!(matches!(admin, Err(CatalogError::Forbidden)));
    let operator = catalog.regenerate_admin_token(maker).await;
    assert!(matches!(operator, Err(CatalogError::Forbidden)));
}

#[tokio::test]
async fn a_permission_to_append_allows_nothing_else_and_writing_includes_it() {
    let (_, catalog) = stage().await;
    let permissions = async |permission: &str| {
        let wanted = [asked(permission)];
        let created = catalog.create_resource_token(permission, &wanted, None, None);
        created.await.unwrap().entry.permissions
    };
    let one = Some(DatabaseId::new(1));
    let appender = permissions("db:one:append").await;
    for action in DatabaseAction::ALL {
        let is_append = *action == DatabaseAction::Append;
        assert_eq!(appender.allow(*action, one), is_append, "{action}");
        assert_eq!(appender.allow_somewhere(&[*action]), is_append, "{action}");
    }
    for (permission, shown) in [
        ("db:one:write", "db:1:write"),
        ("db:one:append,write", "db:1:write"),
        ("db:one:*", "db:1:read,write,create,describe,delete"),
    ] {
        let writer = permissions(permission).await;
        assert_eq!(writer.to_string(), shown);
        assert!(writer.allow(DatabaseAction::Append, one), "{permission}");
        assert!(writer.allow_somewhere(&[DatabaseAction::Append]), "{permission}");
        assert!(writer.cover(&appender), "{permission}");
        assert!(!appender.cover(&writer), "{permission}");
    }
}

#[tokio::test]
async fn a_stronger_token_cannot_be_revoked() {
    let (_, catalog) = stage().await;
    let own = ["token:*:delete", "db:one:*"];
    let revoker = Some(holder(&catalog, "revoker", &own).await);
    holder(&catalog, "reader", &["db:one:read"]).await;
    holder(&catalog, "stronger", &["db:one,two:read"]).await;
    let stronger = catalog.delete_token("stronger", revoker).await;
    assert!(matches!(stronger, Err(CatalogError::Forbidden)));
    catalog.create_named_admin("boss", None, None).await.unwrap();
    let boss = catalog.delete_token("boss", revoker).await;
    assert!(matches!(boss, Err(CatalogError::Forbidden)));
    catalog.delete_token("reader", revoker).await.unwrap();
    let maker = Some(holder(&catalog, "maker", &["token:*:create"]).await);
    let revoked = catalog.delete_token("revoker", maker).await;
    assert!(matches!(revoked, Err(CatalogError::Forbidden)));
}

#[tokio::test]
async fn a_created_token_does_not_outlive_that_of_a_non_administrator() {
    let (_, catalog) = stage().await;
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    let own = [asked("token:*:create"), asked("db:one:read")];
    let maker = catalog.create_resource_token("maker", &own, hours(2), None).await.unwrap();
    let boss = catalog.create_named_admin("boss", hours(2), None).await.unwrap();
    let wanted = [asked("db:one:read")];
    let mut number = 0;
    let mut expiry = async |lifetime, by: &IssuedToken| {
        number += 1;
        let name = format!("t{number}");
        let new = catalog.create_resource_token(&name, &wanted, lifetime, Some(by.id.into()));
        new.await.unwrap().entry.expiry
    };
    assert_eq!(expiry(None, &maker).await, maker.entry.expiry);
    assert_eq!(expiry(hours(3), &maker).await, maker.entry.expiry);
    assert!(expiry(hours(1), &maker).await < maker.entry.expiry);
    assert_eq!(expiry(None, &boss).await, None);
}

#[tokio::test]
async fn a_second_operator_token_is_refused_without_a_request() {
    let (stage, catalog) = stage().await;
    let other = stage.instance();
    assert!(other.create_admin_token().await.is_err());
    stage.taken();
    for catalog in [&catalog, &other] {
        let again = catalog.create_admin_token().await;
        assert!(matches!(again, Err(CatalogError::TokenExists { .. })));
    }
    let taken = stage.taken();
    assert_eq!((taken.gets, taken.puts), (0, 0));
}

#[tokio::test]
async fn permissions_for_the_same_names_are_merged_and_limited() {
    let (_, catalog) = stage().await;
    let create = async |name: &str, wanted: &[PermissionRequest]| {
        let created = catalog.create_resource_token(name, wanted, None, None);
        created.await.map(|new| new.entry.permissions.to_string())
    };
    let mut wanted: Vec<_> = [
        "db:one:read",
        "db:*:read",
        "db:one:write",
        "system:ping:read",
        "token:*:read",
        "token:*:create",
    ]
    .map(asked)
    .to_vec();
    for _ in 0..1_000 {
        wanted.push(asked("db:one:read"));
        wanted.push(asked("system:ping:read"));
    }
    let shown = create("merged", &wanted).await.unwrap();
    assert_eq!(shown, "db:1:read,write;db:*:read;system:ping:read;token:*:read,create");
    let mut names = Vec::new();
    for number in 0..=MAX_PERMISSION_NAMES {
        let name = format!("d{number}");
        catalog.create_database(&name, None).await.unwrap();
        names.push(name);
    }
    let refused = |answer| {
        let too_many = PermissionRequestError::TooMany;
        matches!(answer, Err(CatalogError::Permission(error)) if error == too_many)
    };
    let one_each: Vec<_> = names
        .iter()
        .map(|name| asked(&format!("db:{name}:read")))
        .take(MAX_PERMISSIONS + 1)
        .collect();
    assert!(create("most", &one_each[1..]).await.is_ok());
    assert!(refused(create("separate", &one_each).await));
    let together = |names: &[String]| [asked(&format!("db:{}:read", names.join(",")))];
    assert!(create("all", &together(&names[1..])).await.is_ok());
    assert!(refused(create("together", &together(&names)).await));
}

#[tokio::test(start_paused = true)]
async fn a_token_revoked_by_another_instance_cannot_create_a_token() {
    let (stage, catalog) = stage().await;
    let minute = Some(Duration::from_secs(60));
    let brief = catalog.create_named_admin("brief", minute, None);
    let brief = Some(brief.await.unwrap().id.into());
    let thief = catalog.create_named_admin("thief", None, None);
    let thief = Some(thief.await.unwrap().id.into());
    let rival = stage.instance();
    rival.delete_token("thief", None).await.unwrap();
    let successor = catalog.create_named_admin("heir", None, thief).await;
    assert!(matches!(successor, Err(CatalogError::Revoked)));
    stage.sleep(Duration::from_secs(61)).await;
    catalog.create_database("three", None).await.unwrap();
    let successor = catalog.create_named_admin("heir", None, brief).await;
    assert!(matches!(successor, Err(CatalogError::Revoked)));
}

#[tokio::test]
async fn format() {
    let (_, catalog) = stage().await;
    let permissions = ["db:one,two:read,write", "db:*:create", "system:*:read", "token:*:delete"];
    holder(&catalog, "some", &permissions).await;
    let root = root(&catalog).await;
    let mut json = serde_json::to_value(&*root).unwrap();
    for token in ["0", "1"] {
        json["tokens"]["entries"][token]["hash"] = "<sha512>".into();
        json["tokens"]["entries"][token]["created"] = 1.into();
    }
    let expected = serde_json::json!({
        "entries": {
            "0": {"created": 1, "hash": "<sha512>", "name": "_admin", "permissions": "admin"},
            "1": {
                "created": 1, "hash": "<sha512>", "name": "some",
                "permissions": {"of": [
                    {"database": {"actions": ["read", "write"], "databases": {"of": [1, 2]}}},
                    {"database": {"actions": ["create"], "databases": "all"}},
                    {"system": {"endpoints": "all"}},
                    {"token": {"actions": ["delete"]}},
                ]},
            },
        },
        "next": 2,
    });
    assert_eq!(json["tokens"], expected);
    let text = serde_json::to_string(&*root).unwrap();
    let read: RootCatalog = serde_json::from_str(&text).unwrap();
    assert_eq!(read.tokens(), root.tokens());
    let entry = &read.tokens()[&TokenId::new(1)];
    insta::assert_snapshot!(entry.permissions, @"db:1,2:read,write;db:*:create;system:*:read;token:*:delete");
    assert!(!format!("{root:?}").contains(&entry.hash.to_hex()));
}

#[test]
fn grammar_errors_name_the_reason() {
    let error = |text: &str| match text.parse::<PermissionRequest>() {
        Ok(request) => format!("ok {request}"),
        Err(error) => error.to_string(),
    };
    let cases = r"
    db:a,b:read -> ok db:a,b:read
    db:*:* -> ok db:*:*
    system:ready:read -> ok system:ready:read
    system:*:* -> ok system:*:*
    token:*:* -> ok token:*:*
    *:*:* -> ok *:*:*
    db:a -> invalid permission 'db:a', expected RESOURCE_TYPE:RESOURCE_NAMES:ACTIONS
    db:a:read:x -> invalid permission 'db:a:read:x', expected RESOURCE_TYPE:RESOURCE_NAMES:ACTIONS
    table:a:read -> invalid resource type 'table', expected one of db, system, token, user, audit, site, *
    db::read -> no resource name provided
    db:a,:read -> no resource name provided
    db:a,*:read -> mixed wildcard (*) and resource name
    db:a: -> no action provided
    db:a:read,* -> mixed wildcard (*) and action
    db:a:drop -> invalid action 'drop' for 'db', expected one of read, write, append, create, describe, delete, *
    system:pprof:read -> invalid resource name 'pprof' for 'system', expected one of health, metrics, ping, ready, *
    system:ping:write -> invalid action 'write' for 'system', expected read or *
    token:mine:read -> invalid resource name 'mine' for 'token', expected *
    token:*:write -> invalid action 'write' for 'token', expected one of read, create, delete, *
    *:a:* -> invalid resource name 'a' for '*', expected *
    *:*:read -> invalid action 'read' for '*', expected *
    site:a/b/plant-1:write -> ok site:a/b/plant-1:write
    site:*:write -> invalid resource name '*' for 'site', expected DATABASE/SITE
    site:a:write -> invalid resource name 'a' for 'site', expected DATABASE/SITE
    site:a/plant-1:read -> invalid action 'read' for 'site', expected write or *
    ";
    for case in cases.lines().map(str::trim).filter(|case| !case.is_empty()) {
        let (text, shown) = case.split_once(" -> ").unwrap();
        assert_eq!(error(text), shown, "{text}");
    }
    let expected = "invalid permission '', expected RESOURCE_TYPE:RESOURCE_NAMES:ACTIONS";
    assert_eq!(error(""), expected);
}

#[tokio::test]
async fn a_token_of_a_site_ships_this_site_and_does_nothing_else() {
    let (_, catalog) = stage().await;
    let names = ["site:one/plant-1:write", "site:one/plant-2:write"];
    let Actor::Token(id) = holder(&catalog, "plant", &names).await else {
        panic!("a token was created");
    };
    let root = root(&catalog).await;
    let permissions = &root.tokens()[&id].permissions;
    assert_eq!(permissions.named(&root), "site:one/plant-1,one/plant-2:write");
    let [one, two] = ["one", "two"].map(|name| root.database(name).unwrap());
    assert!(permissions.allow_site(one, "plant-2"));
    assert!(!permissions.allow_site(one, "plant-3"));
    assert!(!permissions.allow_site(two, "plant-2"));
    assert!(!permissions.allow_any(DatabaseAction::ALL, Some(one)));
    let writer = Permissions::Of(vec![Permission::Database {
        databases: ResourceSet::Of([one].into()),
        actions: [DatabaseAction::Write].into(),
    }]);
    assert!(writer.allow_site(one, "plant-3") && writer.cover(permissions));
    assert!(!permissions.cover(&writer));
}

#[test]
fn only_administrators_access_the_internal_database() {
    let all = Permissions::Of(vec![Permission::Database {
        databases: ResourceSet::All,
        actions: DatabaseAction::ALL.iter().copied().collect(),
    }]);
    let internal = Some(crate::INTERNAL_DATABASE_ID);
    assert!(!all.allow_any(DatabaseAction::ALL, internal));
    assert!(all.allow(DatabaseAction::Read, Some(DatabaseId::new(1))));
    assert!(Permissions::Admin.allow(DatabaseAction::Read, internal));
    let database = crate::INTERNAL_DATABASE_ID;
    let name = SiteName { database, site: "plant-1".to_owned() };
    let of_site = Permissions::Of(vec![Permission::Site { sites: [name].into() }]);
    assert!(!of_site.allow_site(database, "plant-1"));
    assert!(Permissions::Admin.allow_site(database, "plant-1"));
}

fn permission() -> impl Strategy<Value = Permission> {
    let names = prop_oneof![
        Just(ResourceSet::All),
        prop::collection::btree_set((1..4u32).prop_map(DatabaseId::new), 1..3)
            .prop_map(ResourceSet::Of),
    ];
    let actions = prop::collection::btree_set(prop::sample::select(DatabaseAction::ALL), 1..3);
    let endpoints = prop_oneof![
        Just(ResourceSet::All),
        prop::collection::btree_set(prop::sample::select(SystemEndpoint::ALL), 1..3)
            .prop_map(ResourceSet::Of),
    ];
    let tokens = prop::collection::btree_set(prop::sample::select(TokenAction::ALL), 1..3);
    prop_oneof![
        (names, actions)
            .prop_map(|(databases, actions)| Permission::Database { databases, actions }),
        endpoints.prop_map(|endpoints| Permission::System { endpoints }),
        tokens.prop_map(|actions| Permission::Token { actions }),
    ]
}

fn permissions() -> impl Strategy<Value = Permissions> {
    prop::collection::vec(permission(), 1..4).prop_map(Permissions::Of)
}

/// Returns the results of all checks of permissions.
fn answers(permissions: &Permissions) -> Vec<bool> {
    let databases =
        [None, Some(0), Some(1), Some(2), Some(3), Some(9)].map(|id| id.map(DatabaseId::new));
    let mut answers = vec![permissions.is_admin()];
    for action in DatabaseAction::ALL {
        answers.extend(databases.iter().map(|id| permissions.allow(*action, *id)));
    }
    answers.extend(SystemEndpoint::ALL.iter().map(|it| permissions.allow_endpoint(*it)));
    answers.extend(TokenAction::ALL.iter().map(|it| permissions.allow_tokens(*it)));
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn covered_permissions_allow_nothing_more(own in permissions(), other in permissions()) {
        prop_assert!(own.cover(&own));
        prop_assert!(Permissions::Admin.cover(&other));
        prop_assert!(!own.cover(&Permissions::Admin));
        if own.cover(&other) {
            for (own, other) in answers(&own).into_iter().zip(answers(&other)) {
                prop_assert!(own || !other);
            }
        }
    }

    #[test]
    fn permissions_round_trip_through_json(permissions in permissions()) {
        let json = serde_json::to_string(&permissions).unwrap();
        prop_assert_eq!(serde_json::from_str::<Permissions>(&json).unwrap(), permissions);
    }
}
