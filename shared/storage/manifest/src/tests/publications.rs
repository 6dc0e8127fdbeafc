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
async fn publish(site: &ManifestFixture, base: VersionedValue<Manifest>, version: u64) -> u64 {
    let requests = [PublicationRequest {
        table: TABLE,
        content: "c".to_owned(),
    }];
    let store = site.store();
    let recorded = store.record_publications(site.database, base, version, &requests);
    match recorded.await.unwrap() {
        PublicationOutcome::Recorded(recorded) => recorded[0].number,
        other => panic!("{other:?}"),
    }
}

/// Returns the numbers of the publications that have ended after an hour of grace.
fn ended(current: &VersionedValue<Manifest>) -> Vec<u64> {
    let now = current.proven.unwrap();
    let ended = current
        .value
        .ended_publications(now, HOUR, &BTreeSet::new());
    ended.into_iter().map(|(_, number)| number).collect()
}

/// Runs a whole collection, with the publications that have ended.
async fn collect(site: &ManifestFixture) -> VersionedValue<Manifest> {
    let base = site.read().await;
    let now = base.proven.unwrap();
    let withdrawn = BTreeSet::new();
    let collection = GarbageCollection {
        ended_publications: base.value.ended_publications(now, HOUR, &withdrawn),
        ..site.look(&base, HOUR).await
    };
    site.delete(&collection.deleted).await;
    site.commit_collection(base, &collection).await
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_publication_are_kept_until_it_ends() {
    let site = ManifestFixture::new(100);
    for _ in 0..3 {
        site.flush(&[(1, 0)]).await;
    }
    // Sections of other tables, and of bundles, are not kept.
    site.flush(&[(2, 0)]).await;
    site.flush(&[(2, 0)]).await;
    let base = site.read().await;
    let inputs: Vec<_> = site.table(1).await;
    let others: Vec<_> = site.table(2).await;
    publish(&site, base.clone(), base.version).await;
    for table in [1, 2] {
        let base = site.read().await;
        let merge = site.merge(&base, &site.table(table).await).await;
        site.replaced(base, &merge).await;
    }
    for _ in 0..4 {
        site.stage.sleep(2 * HOUR).await;
        collect(&site).await;
    }
    for section in &inputs {
        assert!(site.exists(section.object_name()).await);
    }
    for section in &others {
        assert!(!site.exists(section.object_name()).await);
    }
    site.stage.sleep(PUBLICATION_LIFETIME).await;
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        collect(&site).await;
    }
    assert_eq!(site.read().await.value.publications, []);
    for section in &inputs {
        assert!(!site.exists(section.object_name()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_ends_after_its_second_successor_and_the_newest_one_with_its_lifetime() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0)]).await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        site.stage.sleep(HOUR).await;
        let base = site.read().await;
        let version = base.version;
        numbers.push(publish(&site, base, version).await);
    }
    assert!(numbers.is_sorted());
    assert_eq!(ended(&site.read().await), [] as [u64; 0]);
    site.stage.sleep(HOUR).await;
    assert_eq!(ended(&site.read().await), numbers[..1]);
    site.stage.sleep(PUBLICATION_LIFETIME / 2).await;
    assert_eq!(ended(&site.read().await), numbers[..1]);
    site.stage.sleep(PUBLICATION_LIFETIME / 2).await;
    assert_eq!(ended(&site.read().await), numbers);
    let current = site.read().await;
    let now = current.proven.unwrap();
    let withdrawn = BTreeSet::from([TABLE]);
    let all = current
        .value
        .ended_publications(now, PUBLICATION_LIFETIME * 9, &withdrawn);
    assert_eq!(all.len(), 3);
    let identities = current.value.publications.iter().map(|one| one.identity);
    assert_eq!(identities.collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_can_no_longer_be_read_is_not_published() {
    let site = ManifestFixture::new(100);
    for _ in 0..3 {
        site.flush(&[(1, 0)]).await;
    }
    let old = site.read().await;
    let merge = site.merge(&old, &site.table(1).await).await;
    site.replaced(old.clone(), &merge).await;
    site.stage.sleep(2 * HOUR).await;
    collect(&site).await;
    let request = PublicationRequest {
        table: TABLE,
        content: "c".to_owned(),
    };
    let requests = [request];
    let (store, version) = (site.store(), old.version);
    let recorded = store.record_publications(site.database, old, version, &requests);
    assert!(matches!(recorded.await.unwrap(), PublicationOutcome::Gone));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_publications_is_limited() {
    let site = ManifestFixture::new(100);
    site.flush(&[(1, 0)]).await;
    let request = |table| PublicationRequest {
        table: TableId::new(table),
        content: String::new(),
    };
    let requests: Vec<_> = (0..4_096).map(request).collect();
    for (count, is_recorded) in [(4_095, true), (2, false), (1, true), (1, false)] {
        let (base, requests) = (site.read().await, &requests[..count]);
        let (store, version) = (site.store(), base.version);
        let recorded = store.record_publications(site.database, base, version, requests);
        let recorded = recorded.await.unwrap();
        assert_eq!(
            matches!(recorded, PublicationOutcome::Recorded(_)),
            is_recorded
        );
    }
}

#[test]
fn manifests_without_publications_have_no_such_field() {
    let json = serde_json::to_string(&Manifest::default()).unwrap();
    assert!(!json.contains("publications"), "{json}");
}
