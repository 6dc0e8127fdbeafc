//! The triggers that this instance runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use neap_bucket::StoreTime;
use neap_catalog::{Catalog, CatalogError, Trigger, TriggerSpecification};
use neap_schema::DatabaseId;

use crate::checkpoint::TriggerRef;

/// An enabled trigger of a database that is not dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveTrigger {
    pub(crate) database: DatabaseId,
    pub(crate) database_name: Arc<str>,
    pub(crate) trigger: Arc<Trigger>,
}

impl ActiveTrigger {
    pub(crate) fn key(&self) -> TriggerRef {
        TriggerRef { database: self.database, trigger: self.trigger.id }
    }

    /// Returns the label values of the trigger's metrics.
    pub(crate) fn labels(&self) -> (&str, &str) {
        (&self.database_name, &self.trigger.name)
    }
}

type TriggerMap = BTreeMap<TriggerRef, Arc<ActiveTrigger>>;

/// The triggers that run, by database and id.
#[derive(Debug, Default)]
pub(crate) struct ActiveTriggers {
    /// Whether triggers run only if their plugin is in the plugin folder.
    folder_only: bool,
    triggers: RwLock<Arc<TriggerMap>>,
    /// The enabled triggers that do not run here, because their plugin is not in the plugin folder.
    foreign: Mutex<BTreeSet<TriggerRef>>,
}

/// Removed triggers and added triggers. A trigger that was disabled and enabled again is in both.
#[derive(Debug, Default)]
pub(crate) struct TriggerChanges {
    pub(crate) gone: Vec<Arc<ActiveTrigger>>,
    pub(crate) new: Vec<Arc<ActiveTrigger>>,
}

impl ActiveTriggers {
    /// Creates an empty list. With `folder_only`, triggers of uploaded plugins and of plugins of the repository are left
    /// to other instances.
    pub(crate) fn new(folder_only: bool) -> Self {
        Self { folder_only, ..Self::default() }
    }

    /// Returns the triggers as last read.
    pub(crate) fn all(&self) -> Arc<TriggerMap> {
        let triggers = self.triggers.read();
        Arc::clone(&triggers.unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a trigger, if it still runs.
    pub(crate) fn get(&self, key: TriggerRef) -> Option<Arc<ActiveTrigger>> {
        self.all().get(&key).map(Arc::clone)
    }

    /// Returns the trigger for requests to a path. If there are several, the trigger that was created or enabled last
    /// wins.
    pub(crate) fn of_path(&self, path: &str) -> Option<Arc<ActiveTrigger>> {
        let all = self.all();
        let of_path = all.values().filter(|known| {
            matches!(&known.trigger.specification, TriggerSpecification::RequestPath { path: of } if of == path)
        });
        let last = of_path.max_by_key(|known| (known.trigger.since, known.key()));
        last.map(Arc::clone)
    }

    /// Reads the triggers from catalogs validated at most `max_age` ago. The triggers of a database whose catalog is
    /// damaged stay as last read.
    pub(crate) async fn refresh(
        &self,
        catalog: &Catalog,
        max_age: Duration,
    ) -> Result<TriggerChanges, CatalogError> {
        let root = catalog.root(max_age).await?;
        let mut triggers = TriggerMap::new();
        let mut foreign = BTreeSet::new();
        let databases = root.value.databases_with_triggers();
        for (database, entry) in databases {
            let of_database = match catalog.database(database, max_age).await {
                Ok(of_database) => of_database,
                Err(CatalogError::Format(error)) => {
                    tracing::warn!(%database, %error, "the triggers of a database can't be read");
                    let held = self.all();
                    let kept = held.range(TriggerRef::of_database(database));
                    triggers.extend(kept.map(|(key, known)| (*key, Arc::clone(known))));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let database_name: Arc<str> = Arc::from(entry.name.as_str());
            let enabled = of_database.value.triggers();
            for trigger in enabled.filter(|trigger| !trigger.disabled) {
                let known = ActiveTrigger {
                    database,
                    database_name: Arc::clone(&database_name),
                    trigger: Arc::clone(trigger),
                };
                if self.folder_only && trigger.code.is_some() {
                    self.warn_of_foreign(&known);
                    foreign.insert(known.key());
                } else {
                    triggers.insert(known.key(), Arc::new(known));
                }
            }
        }
        *self.foreign() = foreign;
        Ok(self.replace(triggers))
    }

    fn foreign(&self) -> MutexGuard<'_, BTreeSet<TriggerRef>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs once that a trigger does not run here.
    fn warn_of_foreign(&self, known: &ActiveTrigger) {
        if !self.foreign().contains(&known.key()) {
            let (database, trigger) = known.labels();
            let plugin = &known.trigger.plugin;
            tracing::warn!(
                database,
                trigger,
                plugin,
                "the trigger does not run here: --plugin-dir-only allows only plugins in the plugin folder"
            );
        }
    }

    fn replace(&self, triggers: TriggerMap) -> TriggerChanges {
        let since = |known: &ActiveTrigger| -> StoreTime { known.trigger.since };
        let mut held = self.triggers.write().unwrap_or_else(PoisonError::into_inner);
        let is_in = |all: &TriggerMap, known: &ActiveTrigger| {
            let same = all.get(&known.key());
            same.is_some_and(|same| since(same) == since(known))
        };
        let missing = |from: &TriggerMap, of: &TriggerMap| {
            let missing = of.values().filter(|known| !is_in(from, known));
            missing.map(Arc::clone).collect()
        };
        let changes = TriggerChanges {
            gone: missing(&triggers, &held),
            new: missing(&held, &triggers),
        };
        *held = Arc::new(triggers);
        changes
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::{Bucket, Key, MemoryStore, ProtocolMargins, PutMode, Store, World};
    use neap_catalog::NewTrigger;

    use super::*;

    #[tokio::test]
    async fn a_damaged_catalog_stops_no_triggers() {
        let world = World::system();
        let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
        let bucket = Bucket::new(Arc::clone(&store) as _, world);
        let process = || Catalog::new(bucket.clone(), ProtocolMargins::LOCAL, None);
        let catalog = process();
        catalog.rules().await.unwrap();
        let new = NewTrigger::new("t", "t.py", TriggerSpecification::AllTablesWalWrite);
        let one = catalog.create_database("one", None).await.unwrap();
        let other = catalog.create_database("other", None).await.unwrap();
        for database in [one, other] {
            catalog.create_trigger(database, &new).await.unwrap();
        }
        let triggers = ActiveTriggers::default();
        triggers.refresh(&catalog, Duration::ZERO).await.unwrap();
        assert_eq!(triggers.all().len(), 2);

        let key = Key::DatabaseCatalog(one).to_string();
        store.put(&key, "damage".into(), PutMode::Overwrite).await.unwrap();
        let changes = triggers.refresh(&process(), Duration::ZERO).await.unwrap();
        assert!(changes.gone.is_empty());
        assert_eq!(triggers.all().len(), 2);
        let of_new_process = ActiveTriggers::default();
        of_new_process.refresh(&process(), Duration::ZERO).await.unwrap();
        let all = of_new_process.all();
        assert_eq!(all.keys().map(|key| key.database).collect::<Vec<_>>(), [other]);
    }
}
