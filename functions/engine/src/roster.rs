//! The triggers that this instance runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use neap_bucket::StoreTime;
use neap_catalog::{Catalog, CatalogError, Trigger, TriggerSpecification};
use neap_schema::DatabaseId;

use crate::checkpoint::FeedKey;

/// An enabled trigger of a database that is not dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownTrigger {
    pub(crate) database: DatabaseId,
    pub(crate) database_name: Arc<str>,
    pub(crate) trigger: Arc<Trigger>,
}

impl KnownTrigger {
    pub(crate) fn key(&self) -> FeedKey {
        FeedKey {
            database: self.database,
            trigger: self.trigger.id,
        }
    }

    /// Returns the label values of the trigger's metrics.
    pub(crate) fn labels(&self) -> (&str, &str) {
        (&self.database_name, &self.trigger.name)
    }
}

type Triggers = BTreeMap<FeedKey, Arc<KnownTrigger>>;

/// The triggers that run, by database and id.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    triggers: RwLock<Arc<Triggers>>,
}

/// Removed triggers and added triggers. A trigger that was disabled and enabled again is in both.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<Arc<KnownTrigger>>,
    pub(crate) new: Vec<Arc<KnownTrigger>>,
}

impl Roster {
    /// Returns the triggers as last read.
    pub(crate) fn all(&self) -> Arc<Triggers> {
        let triggers = self.triggers.read();
        Arc::clone(&triggers.unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a trigger, if it still runs.
    pub(crate) fn get(&self, key: FeedKey) -> Option<Arc<KnownTrigger>> {
        self.all().get(&key).map(Arc::clone)
    }

    /// Returns the trigger for requests to a path. If there are several, the trigger that was created or enabled last
    /// wins.
    pub(crate) fn of_path(&self, path: &str) -> Option<Arc<KnownTrigger>> {
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
    ) -> Result<Changes, CatalogError> {
        let root = catalog.root(max_age).await?;
        let mut triggers = Triggers::new();
        let databases = root.value.databases_with_triggers();
        for (database, entry) in databases {
            let of_database = catalog.database(database, max_age).await?;
            let database_name: Arc<str> = Arc::from(entry.name.as_str());
            let enabled = of_database.value.triggers();
            for trigger in enabled.filter(|trigger| !trigger.disabled) {
                let known = KnownTrigger {
                    database,
                    database_name: Arc::clone(&database_name),
                    trigger: Arc::clone(trigger),
                };
                triggers.insert(known.key(), Arc::new(known));
            }
        }
        Ok(self.replace(triggers))
    }

    fn replace(&self, triggers: Triggers) -> Changes {
        let since = |known: &KnownTrigger| -> StoreTime { known.trigger.since };
        let mut held = self
            .triggers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_in = |all: &Triggers, known: &KnownTrigger| {
            let same = all.get(&known.key());
            same.is_some_and(|same| since(same) == since(known))
        };
        let missing = |from: &Triggers, of: &Triggers| {
            let missing = of.values().filter(|known| !is_in(from, known));
            missing.map(Arc::clone).collect()
        };
        let changes = Changes {
            gone: missing(&triggers, &held),
            new: missing(&held, &triggers),
        };
        *held = Arc::new(triggers);
        changes
    }
}
