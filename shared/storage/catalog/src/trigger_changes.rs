//! Creates, changes and deletes triggers. Each change is one commit to the catalog of the database. Before the first
//! trigger of a database, the root catalog is committed too.
//!
//! The rules are those of InfluxDB 3 Core: the name of a trigger is unique in its database, enabling an enabled
//! trigger or disabling a disabled one is not an error, and deleting an enabled trigger requires `force`. The maximum
//! numbers are Neap's own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use neap_bucket::{CodeHash, StoreTime};
use neap_schema::{DatabaseId, TriggerId};

use crate::{
    Catalog, CatalogError, DatabaseCatalog, ErrorBehavior, LimitError, Trigger,
    TriggerSpecification,
};

/// Maximum number of triggers in a database.
pub const MAX_TRIGGERS: usize = 1_000;
/// Maximum number of arguments of a trigger.
pub const MAX_TRIGGER_ARGUMENTS: usize = 64;
/// Maximum total bytes of the names and values of a trigger's arguments.
pub const MAX_TRIGGER_ARGUMENT_BYTES: usize = 64 << 10;
/// Maximum bytes of a trigger's name, and of each text in its specification.
pub const MAX_TRIGGER_NAME_BYTES: usize = 255;

/// The parameters of a trigger to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrigger {
    /// The name.
    pub name: String,
    /// The plugin, as given by the user.
    pub plugin: String,
    /// The code in the bucket that it runs; `None`: the code in the plugin folder.
    pub code: Option<CodeHash>,
    /// When it runs.
    pub specification: TriggerSpecification,
    /// The arguments that the plugin receives.
    pub arguments: Option<BTreeMap<String, String>>,
    /// Whether runs may overlap.
    pub run_async: bool,
    /// How a failure of the plugin is handled.
    pub error_behavior: ErrorBehavior,
    /// Whether the run for a request ends when the client of the request disconnects.
    pub cancel_on_disconnect: bool,
    /// Whether it is created disabled.
    pub disabled: bool,
}

impl NewTrigger {
    /// The parameters of an enabled trigger that logs failures, with the code in the plugin folder and without
    /// arguments.
    pub fn new(name: &str, plugin: &str, specification: TriggerSpecification) -> Self {
        Self {
            name: name.to_owned(),
            plugin: plugin.to_owned(),
            code: None,
            specification,
            arguments: None,
            run_async: false,
            error_behavior: ErrorBehavior::Log,
            cancel_on_disconnect: false,
            disabled: false,
        }
    }
}

impl Catalog {
    /// Creates a trigger. It does not run for rows that were written before its creation.
    ///
    /// # Errors
    /// `AlreadyExists`, `EmptyName`, `InvalidTrigger`, `Limit`, `NotFound` when there is no such database,
    /// or an error of the commit.
    pub async fn create_trigger(
        &self,
        database: DatabaseId,
        new: &NewTrigger,
    ) -> Result<Arc<Trigger>, CatalogError> {
        check(new)?;
        self.mark_has_triggers(database).await?;
        self.change_triggers(database, |catalog, now| {
            let trigger = catalog.add_trigger(new, now)?;
            let detail = Some(format!("of plugin {}", new.plugin));
            catalog.note(now, "create trigger", &new.name, detail);
            Ok((true, trigger))
        })
        .await
    }

    /// Deletes a trigger.
    ///
    /// # Errors
    /// `NotFound`, `TriggerEnabled` unless by force, or an error of the commit.
    pub async fn delete_trigger(
        &self,
        database: DatabaseId,
        name: &str,
        force: bool,
    ) -> Result<Arc<Trigger>, CatalogError> {
        self.change_triggers(database, |catalog, now| {
            let trigger = Arc::clone(catalog.existing_trigger(name)?);
            if !trigger.disabled && !force {
                let name = name.to_owned();
                return Err(CatalogError::TriggerEnabled { name });
            }
            catalog.triggers.remove(&trigger.id);
            catalog.note(now, "delete trigger", name, None);
            Ok((true, trigger))
        })
        .await
    }

    /// Enables or disables a trigger. An enabled trigger does not run for rows that were written before it was enabled.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
    pub async fn set_trigger_enabled(
        &self,
        database: DatabaseId,
        name: &str,
        enabled: bool,
    ) -> Result<Arc<Trigger>, CatalogError> {
        self.change_triggers(database, |catalog, now| {
            let id = catalog.existing_trigger(name)?.id;
            catalog.switch_trigger(id, enabled, now, None)
        })
        .await
    }

    /// Disables the trigger with this id because its plugin failed. A trigger that was enabled again after `since`
    /// stays enabled.
    ///
    /// # Errors
    /// `NotFound`, also when a newer trigger has the same name, or an error of the commit.
    pub async fn disable_failed_trigger(
        &self,
        database: DatabaseId,
        trigger: TriggerId,
        since: StoreTime,
    ) -> Result<Arc<Trigger>, CatalogError> {
        self.change_triggers(database, |catalog, now| {
            if let Some(found) = catalog.triggers.get(&trigger)
                && found.since > since
            {
                return Ok((false, Arc::clone(found)));
            }
            let detail = Some("its plugin failed".to_owned());
            catalog.switch_trigger(trigger, false, now, detail)
        })
        .await
    }

    /// Sets the code that a trigger runs.
    ///
    /// # Errors
    /// `NotFound`, or an error of the commit.
    pub async fn set_trigger_code(
        &self,
        database: DatabaseId,
        name: &str,
        code: CodeHash,
    ) -> Result<Arc<Trigger>, CatalogError> {
        self.change_triggers(database, |catalog, now| {
            let trigger = catalog.existing_trigger_mut(name)?;
            let changed = trigger.code != Some(code);
            Arc::make_mut(trigger).code = Some(code);
            let trigger = Arc::clone(trigger);
            if changed {
                let detail = Some(format!("code {code}"));
                catalog.note(now, "update trigger", name, detail);
            }
            Ok((changed, trigger))
        })
        .await
    }

    /// Commits a change to a freshly read catalog, because another instance may just have changed the trigger.
    async fn change_triggers(
        &self,
        database: DatabaseId,
        mut change: impl FnMut(
            &mut DatabaseCatalog,
            StoreTime,
        ) -> Result<(bool, Arc<Trigger>), CatalogError>
        + Send,
    ) -> Result<Arc<Trigger>, CatalogError> {
        let known = self.database(database, Duration::ZERO).await?;
        let change = |catalog: &mut DatabaseCatalog| change(catalog, self.now()?);
        let (_, trigger) = self.change(database, Some(known), change).await?;
        Ok(trigger)
    }
}

impl DatabaseCatalog {
    /// Returns the triggers, by id.
    pub fn triggers(&self) -> impl Iterator<Item = &Arc<Trigger>> {
        self.triggers.values()
    }

    /// Returns the trigger with this name.
    pub fn trigger(&self, name: &str) -> Option<&Arc<Trigger>> {
        self.triggers().find(|trigger| trigger.name == name)
    }

    /// Returns the trigger with this id.
    pub fn trigger_by_id(&self, id: TriggerId) -> Option<&Arc<Trigger>> {
        self.triggers.get(&id)
    }

    fn existing_trigger(&self, name: &str) -> Result<&Arc<Trigger>, CatalogError> {
        self.trigger(name).ok_or_else(|| not_found(name))
    }

    fn existing_trigger_mut(&mut self, name: &str) -> Result<&mut Arc<Trigger>, CatalogError> {
        let mut triggers = self.triggers.values_mut();
        let found = triggers.find(|trigger| trigger.name == name);
        found.ok_or_else(|| not_found(name))
    }

    fn add_trigger(
        &mut self,
        new: &NewTrigger,
        now: StoreTime,
    ) -> Result<Arc<Trigger>, CatalogError> {
        if self.trigger(&new.name).is_some() {
            let name = new.name.clone();
            return Err(CatalogError::AlreadyExists { name });
        }
        if self.triggers.len() >= MAX_TRIGGERS {
            let limit = MAX_TRIGGERS;
            return Err(LimitError::Triggers { limit }.into());
        }
        let id = self.next_trigger;
        let no_more = CatalogError::NoMoreIds { what: "trigger" };
        self.next_trigger = id.next().ok_or(no_more)?;
        let trigger = Arc::new(Trigger {
            id,
            name: new.name.clone(),
            plugin: new.plugin.clone(),
            code: new.code,
            specification: new.specification.clone(),
            arguments: new.arguments.clone(),
            run_async: new.run_async,
            error_behavior: new.error_behavior,
            cancel_on_disconnect: new.cancel_on_disconnect,
            disabled: new.disabled,
            since: now,
        });
        self.triggers.insert(id, Arc::clone(&trigger));
        Ok(trigger)
    }

    fn switch_trigger(
        &mut self,
        id: TriggerId,
        enabled: bool,
        now: StoreTime,
        detail: Option<String>,
    ) -> Result<(bool, Arc<Trigger>), CatalogError> {
        let found =
            self.triggers.get_mut(&id).ok_or_else(|| not_found(&format!("trigger {id}")))?;
        if found.disabled != enabled {
            return Ok((false, Arc::clone(found)));
        }
        let trigger = Arc::make_mut(found);
        trigger.disabled = !enabled;
        if enabled {
            trigger.since = now;
        }
        let trigger = Arc::clone(found);
        let action = if enabled {
            "enable trigger"
        } else {
            "disable trigger"
        };
        self.note(now, action, &trigger.name, detail);
        Ok((true, trigger))
    }

    /// Disables all triggers. Called for a copy of a database, so that plugins do not run twice.
    pub(crate) fn disable_all_triggers(&mut self) {
        for trigger in self.triggers.values_mut() {
            Arc::make_mut(trigger).disabled = true;
        }
    }
}

fn not_found(name: &str) -> CatalogError {
    let name = name.to_owned();
    CatalogError::NotFound { name }
}

fn check(new: &NewTrigger) -> Result<(), CatalogError> {
    if new.name.is_empty() {
        return Err(CatalogError::EmptyName { what: "trigger" });
    }
    let invalid = |reason: String| Err(CatalogError::InvalidTrigger { reason });
    let mut texts = [&new.name, &new.plugin].into_iter().chain(new.specification.text());
    if texts.any(|text| text.len() > MAX_TRIGGER_NAME_BYTES) {
        return invalid(format!(
            "the name of a trigger, its plugin and its specification have at most {MAX_TRIGGER_NAME_BYTES} bytes each"
        ));
    }
    let Some(arguments) = &new.arguments else {
        return Ok(());
    };
    if arguments.len() > MAX_TRIGGER_ARGUMENTS {
        return invalid(format!("a trigger has at most {MAX_TRIGGER_ARGUMENTS} arguments"));
    }
    let sizes = arguments.iter().map(|(name, value)| name.len() + value.len());
    if sizes.sum::<usize>() > MAX_TRIGGER_ARGUMENT_BYTES {
        return invalid(format!(
            "the arguments of a trigger have at most {MAX_TRIGGER_ARGUMENT_BYTES} bytes together"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
