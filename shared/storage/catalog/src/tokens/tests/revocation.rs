//! Tests of the revocation of tokens with those that they created.

use super::*;

/// Creates a token with all permissions on tokens and one database, as the holder of another one.
async fn created(catalog: &Catalog, name: &str, by: Option<Actor>) -> Actor {
    let own = ["token:*:create,delete", "db:one:*"].map(asked);
    let created = catalog.create_resource_token(name, &own, None, by);
    created.await.unwrap().id.into()
}

async fn names(catalog: &Catalog) -> Vec<String> {
    let root = root(catalog).await;
    let entries = root.tokens().values();
    entries.map(|entry| entry.name.clone()).collect()
}

#[tokio::test]
async fn a_token_is_revoked_with_all_that_originate_from_it() {
    let (_, catalog) = stage().await;
    let first = created(&catalog, "first", None).await;
    let second = created(&catalog, "second", Some(first)).await;
    created(&catalog, "third", Some(second)).await;
    created(&catalog, "other", None).await;
    let deleted = catalog.delete_token_and_created("first", None).await;
    assert_eq!(deleted.unwrap(), ["first", "second", "third"]);
    assert_eq!(names(&catalog).await, ["_admin", "other"]);
    let root = root(&catalog).await;
    let entry = root.audit().last().unwrap();
    let detail = entry.detail.as_deref();
    assert_eq!(detail, Some("and 2 that it created: second, third"));
    assert_eq!((&*entry.action, &*entry.target), ("delete token", "first"));
}

#[tokio::test]
async fn created_tokens_stay_unless_their_revocation_is_requested() {
    let (_, catalog) = stage().await;
    let first = created(&catalog, "first", None).await;
    created(&catalog, "second", Some(first)).await;
    catalog.delete_token("first", None).await.unwrap();
    assert_eq!(names(&catalog).await, ["_admin", "second"]);
}

#[tokio::test]
async fn a_token_whose_creator_was_revoked_alone_goes_with_the_creator_of_that_one() {
    let (_, catalog) = stage().await;
    let first = created(&catalog, "first", None).await;
    let second = created(&catalog, "second", Some(first)).await;
    let third = created(&catalog, "third", Some(second)).await;
    created(&catalog, "fourth", Some(third)).await;
    catalog.delete_token("second", None).await.unwrap();
    catalog.delete_token("third", None).await.unwrap();
    let fourth = root(&catalog).await;
    let (id, entry) = fourth.tokens().iter().next_back().unwrap();
    let Actor::Token(third) = third else {
        unreachable!()
    };
    assert_eq!(entry.created_by, Some(third));
    assert_eq!(fourth.authority(*id), first);
    let deleted = catalog.delete_token_and_created("first", None).await;
    assert_eq!(deleted.unwrap(), ["first", "fourth"]);
}

#[tokio::test]
async fn nothing_is_revoked_if_a_created_token_is_stronger_than_the_caller() {
    let (_, catalog) = stage().await;
    let admin = catalog.create_named_admin("admin", None, None);
    let admin = Some(admin.await.unwrap().id.into());
    let weak = created(&catalog, "weak", admin).await;
    created(&catalog, "own", Some(weak)).await;
    let strong = catalog.create_named_admin("strong", None, admin).await;
    strong.unwrap();
    let deleted = catalog.delete_token_and_created("admin", Some(weak)).await;
    assert!(matches!(deleted, Err(CatalogError::Forbidden)));
    assert_eq!(names(&catalog).await.len(), 5);
    let own = catalog.delete_token_and_created("own", Some(weak)).await;
    assert_eq!(own.unwrap(), ["own"]);
}

#[tokio::test]
async fn the_operator_token_is_not_revoked_with_others() {
    let (_, catalog) = stage().await;
    let operator = catalog.delete_token_and_created("_admin", None).await;
    assert!(matches!(operator, Err(CatalogError::OperatorToken)));
}
