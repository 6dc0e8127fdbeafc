//! Actors that create, drop and fill caches.

use std::{sync::Arc, time::Duration};

use neap_catalog::{NewDistinctCache, NewLastCache};
use neap_schema::DatabaseId;

use crate::{
    actors::{ActorContext, run_on},
    instance::{Instance, InstanceSlot},
    rows::{TABLE, TAG},
};

/// The names of caches. A name is used again after its cache was dropped.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Creates, drops and fills caches at random intervals.
pub(crate) async fn cacher(stage: ActorContext, place: Arc<InstanceSlot>) {
    loop {
        stage.world.pause(stage.mix.cast.merge_pauses).await;
        let database = stage.random_database().0;
        run_on(&place, async |instance| match instance.world.chance.below(10) {
            0..=2 => create(&instance, database).await,
            3 => drop_one(&instance, database).await,
            _ => fill(&instance, database).await,
        })
        .await;
    }
}

/// Creates a cache with all rows of a schedule, or with those of the last days or minutes.
async fn create(instance: &Instance, database: DatabaseId) {
    let chance = &instance.world.chance;
    let age = chance.pick(&[1_000, 100_000, 200_000, 1_000_000_000]);
    let (table, name) = (TABLE.to_owned(), Some(chance.pick(&NAMES).to_owned()));
    let created = if chance.happens(0.7) {
        let keys = chance.pick(&[&[TAG][..], &[]]);
        let new = NewLastCache {
            table,
            name,
            key_columns: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
            value_columns: None,
            count: chance.pick(&[1, 1, 2, 3]),
            ttl_s: age,
        };
        let created = instance.catalog.create_last_cache(database, &new).await;
        created.map(|(_, cache)| cache.id)
    } else {
        let new = NewDistinctCache {
            table,
            name,
            columns: vec![TAG.to_owned()],
            max_cardinality: chance.pick(&[1, 2, 100]),
            max_age_s: age,
        };
        let created = instance.catalog.create_distinct_cache(database, &new).await;
        created.map(|(_, cache)| cache.id)
    };
    instance.trace(format_args!("cache in {database}: {created:?}"));
}

async fn drop_one(instance: &Instance, database: DatabaseId) {
    let name = instance.world.chance.pick(&NAMES);
    let dropped = if instance.world.chance.happens(0.7) {
        instance.catalog.delete_last_cache(database, TABLE, name).await
    } else {
        instance.catalog.delete_distinct_cache(database, TABLE, name).await
    };
    instance.trace(format_args!("no cache {name} in {database}: {dropped:?}"));
}

async fn fill(instance: &Instance, database: DatabaseId) {
    let started_at = instance.world.time.now();
    let limit = Duration::from_secs(instance.world.chance.pick(&[20, 600]));
    match instance.compactor.fill_caches(database, Some(limit)).await {
        Ok(report) => instance.trace(format_args!("fills caches of {database}: {report:?}")),
        Err(error) => instance.check_error("filling caches", &error, started_at),
    }
}
