//! Publications: which objects they keep, and for how long.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::VersionedValue;
use neap_schema::TableId;

use super::fixture::ManifestFixture;
use crate::{
    GarbageCollection, Manifest, PUBLICATION_LIFETIME, PublicationOutcome, PublicationRequest,
};

const HOUR: Duration = Duration::from_secs(3_600);
const TABLE: TableId = TableId::new(1);

/// Records a publication of the sections of a table in a version. Returns its number.
async fn publish(fixture: &ManifestFixture, base: VersionedValue<Manifest>, version: u64) -> u64 {
    let requests = [PublicationRequest { table: TABLE, content: "c".to_owned() }];
    let store = fixture.store();
    let recorded = store.record_publications(fixture.database, base, version, &requests);
    match recorded.await.unwrap() {
        PublicationOutcome::Recorded(recorded) => recorded[0].number,
        other => panic!("{other:?}"),
    }
}

/// Returns the numbers of the publications that have ended after an hour of grace.
fn ended(current: &VersionedValue<Manifest>) -> Vec<u64> {
    let now = current.current_at.unwrap();
    let ended = current.value.ended_publications(now, HOUR, &BTreeSet::new());
    ended.into_iter().map(|(_, number)| number).collect()
}

/// Runs a whole collection, with the publications that have ended.
async fn collect(fixture: &ManifestFixture) -> VersionedValue<Manifest> {
    let base = fixture.read().await;
    let now = base.current_at.unwrap();
    let withdrawn = BTreeSet::new();
    let collection = GarbageCollection {
        ended_publications: base.value.ended_publications(now, HOUR, &withdrawn),
        ..fixture.look(&base, HOUR).await
    };
    fixture.delete(&collection.deleted).await;
    fixture.commit_collection(base, &collection).await
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_publication_are_kept_until_it_ends() {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(3, &[(1, 0)]).await;
    // Sections of other tables, and of bundles, are not kept.
    fixture.flush(&[(2, 0)]).await;
    fixture.flush(&[(2, 0)]).await;
    let base = fixture.read().await;
    let inputs: Vec<_> = fixture.table(1).await;
    let others: Vec<_> = fixture.table(2).await;
    publish(&fixture, base.clone(), base.version).await;
    for table in [1, 2] {
        let base = fixture.read().await;
        let merge = fixture.merge(&base, &fixture.table(table).await).await;
        fixture.replaced(base, &merge).await;
    }
    for _ in 0..4 {
        fixture.stage.sleep(2 * HOUR).await;
        collect(&fixture).await;
    }
    for section in &inputs {
        assert!(fixture.exists(section.object_name()).await);
    }
    for section in &others {
        assert!(!fixture.exists(section.object_name()).await);
    }
    fixture.stage.sleep(PUBLICATION_LIFETIME).await;
    for _ in 0..3 {
        fixture.stage.sleep(HOUR).await;
        collect(&fixture).await;
    }
    assert_eq!(fixture.read().await.value.publications, []);
    for section in &inputs {
        assert!(!fixture.exists(section.object_name()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_ends_after_its_second_successor_and_the_newest_one_with_its_lifetime() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        fixture.stage.sleep(HOUR).await;
        let base = fixture.read().await;
        let version = base.version;
        numbers.push(publish(&fixture, base, version).await);
    }
    assert!(numbers.is_sorted());
    assert_eq!(ended(&fixture.read().await), [] as [u64; 0]);
    fixture.stage.sleep(HOUR).await;
    assert_eq!(ended(&fixture.read().await), numbers[..1]);
    fixture.stage.sleep(PUBLICATION_LIFETIME / 2).await;
    assert_eq!(ended(&fixture.read().await), numbers[..1]);
    fixture.stage.sleep(PUBLICATION_LIFETIME / 2).await;
    assert_eq!(ended(&fixture.read().await), numbers);
    let current = fixture.read().await;
    let now = current.current_at.unwrap();
    let withdrawn = BTreeSet::from([TABLE]);
    let all = current.value.ended_publications(now, PUBLICATION_LIFETIME * 9, &withdrawn);
    assert_eq!(all.len(), 3);
    let identities = current.value.publications.iter().map(|one| one.identity);
    assert_eq!(identities.collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_can_no_longer_be_read_is_not_published() {
    let fixture = ManifestFixture::new(100);
    fixture.flush_times(3, &[(1, 0)]).await;
    let old = fixture.read().await;
    let merge = fixture.merge(&old, &fixture.table(1).await).await;
    fixture.replaced(old.clone(), &merge).await;
    fixture.stage.sleep(2 * HOUR).await;
    collect(&fixture).await;
    let request = PublicationRequest { table: TABLE, content: "c".to_owned() };
    let requests = [request];
    let (store, version) = (fixture.store(), old.version);
    let recorded = store.record_publications(fixture.database, old, version, &requests);
    assert!(matches!(recorded.await.unwrap(), PublicationOutcome::Gone));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_publications_is_limited() {
    let fixture = ManifestFixture::new(100);
    fixture.flush(&[(1, 0)]).await;
    let request = |table| PublicationRequest { table: TableId::new(table), content: String::new() };
    let requests: Vec<_> = (0..4_096).map(request).collect();
    for (count, is_recorded) in [(4_095, true), (2, false), (1, true), (1, false)] {
        let (base, requests) = (fixture.read().await, &requests[..count]);
        let (store, version) = (fixture.store(), base.version);
        let recorded = store
            .record_publications(fixture.database, base, version, requests)
            .await
            .unwrap();
        assert_eq!(matches!(recorded, PublicationOutcome::Recorded(_)), is_recorded);
    }
}

#[test]
fn manifests_without_publications_have_no_such_field() {
    let json = serde_json::to_string(&Manifest::default()).unwrap();
    assert!(!json.contains("publications"), "{json}");
}
