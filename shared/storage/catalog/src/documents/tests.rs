//! Tests of documents over a store in memory.

use std::sync::Arc;

use neap_bucket::{Bucket, MemoryStore, ProtocolMargins, Store, World};

use super::*;

const DATABASE: DatabaseId = DatabaseId::new(1);

fn catalog() -> (Arc<MemoryStore>, Catalog) {
    let world = World::system();
    let memory = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
    let bucket = Bucket::new(Arc::clone(&memory) as _, world);
    let catalog = Catalog::new(bucket, ProtocolMargins::LOCAL, None);
    (memory, catalog)
}

fn named(name: &str, content: &str) -> NewDocument {
    NewDocument {
        name: name.to_owned(),
        content: content.to_owned(),
        updated_by: Some("ada".to_owned()),
    }
}

#[tokio::test]
async fn a_document_is_stored_changed_and_deleted_by_version() {
    let (_, catalog) = catalog();
    let store = DocumentStore::new(&catalog, DATABASE);
    assert_eq!(store.read().await.unwrap().value.iter().count(), 0);
    let kind = DocumentKind::Query;
    let (id, first) = store.create(kind, named("one", "1")).await.unwrap();
    assert_eq!((first.version, first.kind), (1, kind));
    let second = store.replace(id, 1, named("two", "2")).await.unwrap();
    assert_eq!((second.version, second.name.as_str()), (2, "two"));
    assert!(second.updated >= first.updated);
    let read = store.read().await.unwrap().value;
    assert_eq!(read.get(id).unwrap(), &second);
    store.delete(id, 2).await.unwrap();
    let gone = store.delete(id, 2).await.unwrap_err();
    assert!(matches!(gone, DocumentError::NotFound { .. }), "{gone}");
}

#[tokio::test]
async fn of_concurrent_changes_of_a_version_one_takes_effect() {
    let (_, catalog) = catalog();
    let store = DocumentStore::new(&catalog, DATABASE);
    let kind = DocumentKind::Dashboard;
    let (id, _) = store.create(kind, named("one", "0")).await.unwrap();
    let (one, two) = tokio::join!(
        store.replace(id, 1, named("one", "1")),
        store.replace(id, 1, named("one", "2"))
    );
    let (changed, refused) = match (one, two) {
        (Ok(changed), Err(refused)) | (Err(refused), Ok(changed)) => (changed, refused),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused.to_string(), "the document was changed: its version is 2, not 1");
    let read = store.read().await.unwrap().value;
    assert_eq!(read.get(id).unwrap(), &changed);
    let late = store.delete(id, 1).await.unwrap_err();
    assert!(matches!(late, DocumentError::Conflict { present: 2, .. }), "{late}");
}

#[tokio::test]
async fn lost_documents_are_no_empty_list() {
    let (memory, catalog) = catalog();
    let store = DocumentStore::new(&catalog, DATABASE);
    let kind = DocumentKind::Query;
    store.create(kind, named("one", "1")).await.unwrap();
    let key = Key::Documents(DATABASE);
    memory.delete(&[key.to_string()]).await.unwrap();
    let read = store.read().await.unwrap_err();
    let changed = store.create(kind, named("two", "2")).await.unwrap_err();
    for error in [read, changed] {
        let text = format!("'{key}' is missing, although a catalog records it");
        assert!(error.to_string().starts_with(&text), "{error}");
    }
    catalog.forget_register(&key).await.unwrap();
    assert_eq!(store.read().await.unwrap().value.iter().count(), 0);
    store.create(kind, named("two", "2")).await.unwrap();
}

#[test]
fn names_sizes_and_numbers_are_limited() {
    let now = StoreTime::from_micros(0);
    let kind = DocumentKind::Query;
    let mut documents = DatabaseDocuments::default();
    let create = |documents: &mut DatabaseDocuments, number: u128, new| {
        documents.create(Ulid(number), kind, new, now)
    };
    let long = "n".repeat(MAX_DOCUMENT_NAME_BYTES + 1);
    for name in ["", " ", "line\nbreak", long.as_str()] {
        let refused = create(&mut documents, 1, named(name, "1")).unwrap_err();
        assert!(matches!(refused, DocumentError::Name), "{name:?}: {refused}");
    }
    let largest = "x".repeat(MAX_DOCUMENT_BYTES);
    let refused = create(&mut documents, 1, named("a", &format!("{largest}x"))).unwrap_err();
    assert!(matches!(refused, DocumentError::TooLarge { .. }), "{refused}");
    let fitting = u128::try_from(MAX_DOCUMENTS_BYTES / MAX_DOCUMENT_BYTES).unwrap();
    for number in 0..fitting {
        create(&mut documents, number, named("a", &largest)).unwrap();
    }
    let refused = create(&mut documents, fitting, named("a", "1")).unwrap_err();
    assert!(matches!(refused, DocumentError::TooMuch), "{refused}");
    // A document replaces itself within the limit.
    documents.replace(Ulid(0), 1, named("a", &largest), now).unwrap();

    let mut many = DatabaseDocuments::default();
    for number in 0..MAX_DOCUMENTS as u128 {
        create(&mut many, number, named("a", "1")).unwrap();
    }
    let refused = create(&mut many, u128::MAX, named("a", "1")).unwrap_err();
    assert!(matches!(refused, DocumentError::TooMany), "{refused}");
}
