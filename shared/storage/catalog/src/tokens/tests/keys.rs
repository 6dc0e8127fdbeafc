//! Tests of the keys of clients.

use super::*;

fn new_key(name: &str) -> NewClientKey {
    let public = ClientPrivateKey::generate(&neap_bucket::World::system()).public_key();
    NewClientKey::new(name, &public.x(), &public.y()).unwrap()
}

#[tokio::test]
async fn a_key_is_a_token_without_a_secret() {
    let (_, catalog) = stage().await;
    let write = [asked("db:one:write")];
    let hour = Some(Duration::from_secs(3600));
    let key = new_key("sensors");
    let registered = catalog.register_client_key(&key, &write, hour, None).await.unwrap();
    let expiry = registered.entry.created.plus(Duration::from_secs(3600));
    assert_eq!(registered.entry.expiry, Some(expiry));
    let other = new_key("other");
    let other = catalog.register_client_key(&other, &write, None, None).await.unwrap();
    assert_ne!(registered.entry.hash, other.entry.hash);
    let root = root(&catalog).await;
    let (id, entry, public_key) = root.client_key("sensors").unwrap();
    assert_eq!((id, entry), (registered.id, &registered.entry));
    assert_eq!(*public_key, key.public_key());
    assert!(root.client_key("_admin").is_none());
    assert!(root.client_key("missing").is_none());
    let audit: Vec<_> = root.audit().map(|entry| entry.action.to_string()).collect();
    assert_eq!(audit[audit.len() - 2..], ["create key", "create key"]);
    let text = serde_json::to_string(&*root).unwrap();
    let read: RootCatalog = serde_json::from_str(&text).unwrap();
    assert_eq!(read.tokens(), root.tokens());
    let again = catalog.register_client_key(&key, &write, None, None).await;
    assert!(matches!(again, Err(CatalogError::TokenExists { .. })));
    catalog.delete_token("sensors", None).await.unwrap();
    assert!(catalog.register_client_key(&key, &write, None, None).await.is_ok());
}

#[tokio::test]
async fn keys_are_registered_with_the_permissions_of_the_caller() {
    let (_, catalog) = stage().await;
    let maker = Some(holder(&catalog, "maker", &["token:*:create", "db:one:write"]).await);
    let writer = Some(holder(&catalog, "writer", &["db:*:write"]).await);
    let register = async |name: &str, permission: &str, by| {
        let permissions = [asked(permission)];
        let key = new_key(name);
        catalog.register_client_key(&key, &permissions, None, by).await
    };
    assert!(register("a", "db:one:write", maker).await.is_ok());
    for (permission, by) in [("db:two:write", maker), ("db:one:write", writer)] {
        let refused = register("b", permission, by).await;
        assert!(matches!(refused, Err(CatalogError::Forbidden)), "{permission}");
    }
    let missing = register("c", "db:three:write", None).await;
    assert!(matches!(missing, Err(CatalogError::NotFound { .. })));
}

#[test]
fn tokens_of_earlier_releases_have_no_key() {
    let json = r#"{"name":"a","hash":"HASH","permissions":"admin","created":1}"#;
    let hash = SecretToken::new("a").hash().to_hex();
    let entry: TokenEntry = serde_json::from_str(&json.replace("HASH", &hash)).unwrap();
    assert_eq!(entry.public_key, None);
    assert!(!serde_json::to_string(&entry).unwrap().contains("public_key"));
}
