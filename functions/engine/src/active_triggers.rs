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
        TriggerRef {
            database: self.database,
            trigger: self.trigger.id,
        }
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
        Self {
            folder_only,
            ..Self::default()
        }
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

    /// Reads the triggers from catalogs validated at most `max_age` ago.
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
            let of_database = catalog.database(database, max_age).await?;
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
