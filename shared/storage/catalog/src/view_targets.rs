//! Tables that get the rows of views of other databases.
//!
//! A table gets the rows of one view only. Of a view in another database, the catalog of the table's database records which
//! one (a *reservation*), so that one register decides between all views:
//!
//! ```text
//!   create                                     catalog of the table     catalog of the view
//!     |-- reserve the table ------------------> |                        |   crash after: the reservation has no view
//!     |-- add the view ---------------------------------------------->   |
//!   refresh
//!     |-- is the reservation this view's? ----> |                            otherwise, nothing is written
//!   drop
//!     |-- remove the view ------------------------------------------->   |   crash after: the reservation has no view
//!     |-- release the table ------------------> |
//! ```
//!
//! The next view that needs the table takes over a reservation without a view.

use std::time::Duration;

use neap_bucket::StoreTime;
use neap_schema::DatabaseId;

use crate::{
    Actor, Catalog, CatalogError, DatabaseAction, DatabaseCatalog, MaterializedView, NewView,
    RootCatalog, ViewReference, ViewTargetDatabase,
};

impl RootCatalog {
    /// Resolves the database of the table of a view: the live one with this id, or the one with this name that was
    /// restored.
    pub fn target_database(&self, target: &ViewTargetDatabase) -> Option<DatabaseId> {
        let is_live = |id: &DatabaseId| {
            let entry = self.databases().get(id);
            entry.is_some_and(|entry| entry.deletion.is_none())
        };
        Some(target.id).filter(is_live).or_else(|| {
            let named = self.database(&target.name)?;
            let entry = self.databases().get(&named)?;
            entry.is_restored.then_some(named)
        })
    }

    /// Returns whether a token or user exists, is active at this time of the store, and may perform an action on a
    /// database.
    pub fn may(
        &self,
        actor: Actor,
        action: DatabaseAction,
        database: DatabaseId,
        now: StoreTime,
    ) -> bool {
        self.caller_permissions(Some(actor), now)
            .is_ok_and(|caller| caller.permissions.allow(action, Some(database)))
    }
}

impl Catalog {
    /// Reserves the table of a view in another database for it. Costs no request if the cached catalog has the
    /// reservation and is at most `max_age` old.
    ///
    /// # Errors
    /// `InvalidView` if another view has the table or its columns have aliases, or an error of the commit.
    pub async fn reserve_view_target(
        &self,
        target: DatabaseId,
        table: &str,
        view: &ViewReference,
        max_age: Duration,
    ) -> Result<(), CatalogError> {
        let known = self.database(target, max_age).await?;
        let reserved = known.value.foreign_view(table);
        if reserved.is_some_and(|(_, holder)| holder == view) {
            return Ok(());
        }
        let abandoned = self.abandoned_reservation(target, table).await?;
        self.change(target, None, |catalog: &mut DatabaseCatalog| {
            let is_target = |local: &str| catalog.is_same_table(local, table);
            let local = catalog.views().find(|it| it.local_target().is_some_and(is_target));
            if let Some(local) = local {
                let reason = format!(
                    "table '{table}' gets the rows of materialized view '{}' of its database",
                    local.name
                );
                return Err(CatalogError::InvalidView { reason });
            }
            let replaced = match catalog.foreign_view(table) {
                Some((_, holder)) if holder == view => return Ok((false, ())),
                Some((_, holder)) if Some(holder) != abandoned.as_ref() => {
                    return Err(holder.conflict(table));
                }
                Some((name, _)) => Some(name.clone()),
                None => None,
            };
            catalog.check_target_table(table)?;
            if let Some(name) = replaced {
                catalog.foreign_views.remove(&name);
            }
            catalog.foreign_views.insert(table.to_owned(), view.clone());
            Ok((true, ()))
        })
        .await?;
        Ok(())
    }

    /// Makes sure that no other view has the table of a new one, as far as another database decides.
    pub(crate) async fn reserve_target(
        &self,
        database: DatabaseId,
        new: &NewView,
    ) -> Result<(), CatalogError> {
        let table = &new.target.table;
        if let Some(target) = &new.target.database {
            let view = ViewReference { database, view: new.name.clone() };
            return self.reserve_view_target(target.id, table, &view, Duration::ZERO).await;
        }
        let Some(abandoned) = self.abandoned_reservation(database, table).await? else {
            return Ok(());
        };
        self.release(database, table, &abandoned).await
    }

    /// Releases the table of a deleted view. A failure leaves a reservation without a view.
    pub(crate) async fn release_target(&self, database: DatabaseId, deleted: &MaterializedView) {
        let Some(target) = &deleted.target.database else {
            return;
        };
        let view = ViewReference { database, view: deleted.name.clone() };
        let released = self.release(target.id, &deleted.target.table, &view).await;
        if let Err(error) = released {
            tracing::debug!(%error, "the table of a deleted view remains reserved for it");
        }
    }

    /// Releases the table of a view that was not created, unless a view has it. A failure leaves the reservation.
    pub(crate) async fn release_abandoned(&self, new: &NewView) {
        let Some(target) = &new.target.database else {
            return;
        };
        let table = &new.target.table;
        let abandoned = self.abandoned_reservation(target.id, table).await;
        let released = match abandoned {
            Ok(Some(holder)) => self.release(target.id, table, &holder).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = released {
            tracing::debug!(%error, "the table of a view that was not created remains reserved");
        }
    }

    async fn release(
        &self,
        target: DatabaseId,
        table: &str,
        view: &ViewReference,
    ) -> Result<(), CatalogError> {
        self.change(target, None, |catalog: &mut DatabaseCatalog| {
            let reserved = catalog.foreign_view(table).filter(|(_, holder)| *holder == view);
            let Some(name) = reserved.map(|(name, _)| name.clone()) else {
                return Ok((false, ()));
            };
            catalog.foreign_views.remove(&name);
            Ok((true, ()))
        })
        .await?;
        Ok(())
    }

    /// Returns the reservation of a table whose view does not exist or has another table.
    async fn abandoned_reservation(
        &self,
        target: DatabaseId,
        table: &str,
    ) -> Result<Option<ViewReference>, CatalogError> {
        let catalog = self.database(target, Duration::ZERO).await?;
        let Some((_, reserved_for)) = catalog.value.foreign_view(table) else {
            return Ok(None);
        };
        let holder = reserved_for.clone();
        let root = self.root(Duration::ZERO).await?.value;
        let is_live = root.live_databases().any(|(id, _)| id == holder.database);
        if !is_live {
            return Ok(Some(holder));
        }
        let owner = self.database(holder.database, Duration::ZERO).await?;
        let has_target = owner.value.view(&holder.view).is_some_and(|view| {
            let database = view.target.database.as_ref();
            catalog.value.is_same_table(&view.target.table, table)
                && database.and_then(|it| root.target_database(it)) == Some(target)
        });
        Ok((!has_target).then_some(holder))
    }
}

#[cfg(test)]
mod tests;
