//! A selection of rows, resolved to deletes of tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use neap_catalog::{DatabaseCatalog, Table};
use neap_row_delete::{Condition, Predicate, PredicateTables, RowDelete};

use crate::DeleteFailure;

/// The rows of a database to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSelection {
    /// The table, which must exist; `None` for all tables that the predicate can match. Named tables that do not exist
    /// have no rows.
    pub table: Option<String>,
    /// The condition on the rows.
    pub predicate: Predicate,
    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub max_time: i64,
}

/// A row delete of a site, which names the table and the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDelete {
    /// The table. A table that does not exist has no rows.
    pub table: String,
    /// The condition. No row has a tag that the table does not have.
    pub condition: Condition,
}

/// Returns the deletes for the tables that can have matching rows.
/// Fails if the requested table is missing, or if the condition does not fit a table that it applies to.
pub(crate) fn resolve_selection(
    catalog: &DatabaseCatalog,
    selection: &RowSelection,
) -> Result<Vec<RowDelete>, DeleteFailure> {
    let time = Condition::between(selection.min_time, selection.max_time);
    let of_table = |table: &Table| {
        let condition = selection.predicate.condition(&|name| table.is_named(name));
        condition.and(time.clone())
    };
    let tables = match (&selection.table, selection.predicate.tables()) {
        (Some(name), about) => {
            let table = catalog.table(name).ok_or_else(|| DeleteFailure::NoTable(name.clone()))?;
            let is_other = match about {
                PredicateTables::All => false,
                PredicateTables::Named(names) => !names.iter().any(|named| table.is_named(named)),
            };
            if is_other {
                return Err(DeleteFailure::OtherTable(name.clone()));
            }
            vec![table]
        }
        (None, PredicateTables::Named(names)) => {
            let found = names.iter().filter_map(|name| catalog.table(name));
            // A table may be named by its name and by an alias.
            let by_name: BTreeMap<_, _> = found.map(|table| (table.name(), table)).collect();
            by_name.into_values().collect()
        }
        (None, PredicateTables::All) => {
            let tables: Vec<_> = catalog.tables().collect();
            check_tags_of_any(&tables, &of_table)?;
            return resolve(tables, of_table);
        }
    };
    for table in &tables {
        check_tags(table, &of_table(table))?;
    }
    resolve(tables, of_table)
}

/// Returns the deletes unchanged if they fit their tables. Their conditions have the stored names of tags.
/// Fails if a table was dropped, or if a condition does not fit its table.
pub(crate) fn check_deletes(
    catalog: &DatabaseCatalog,
    deletes: &[RowDelete],
) -> Result<Vec<RowDelete>, DeleteFailure> {
    for delete in deletes {
        let table = catalog
            .table_by_id(delete.table)
            .filter(|table| table.deletion().is_none())
            .ok_or(DeleteFailure::TableGone(delete.table))?;
        check_tags(&table.stored(), &delete.condition)?;
        delete.condition.check_limits()?;
    }
    Ok(deletes.to_vec())
}

/// Returns the deletes of tables by name, without deletes that cannot remove any rows.
/// Fails if a condition is too large.
pub(crate) fn resolve_named(
    catalog: &DatabaseCatalog,
    deletes: &[NamedDelete],
) -> Result<Vec<RowDelete>, DeleteFailure> {
    let mut resolved = Vec::new();
    for delete in deletes {
        let table = catalog.table(&delete.table).into_iter().collect();
        resolved.extend(resolve(table, |_| delete.condition.clone())?);
    }
    Ok(resolved)
}

/// Returns the deletes of tables, without deletes that cannot remove any rows.
fn resolve(
    tables: Vec<&Arc<Table>>,
    of_table: impl Fn(&Table) -> Condition,
) -> Result<Vec<RowDelete>, DeleteFailure> {
    let mut deletes = Vec::new();
    for table in tables {
        let condition = of_table(table)
            .resolved(&|name| table.is_tag(name))
            .with_tag_names(&|name| table.stored_name(name).to_owned());
        condition.check_limits()?;
        if condition.time_bounds().is_some() {
            deletes.push(RowDelete { table: table.id(), condition });
        }
    }
    Ok(deletes)
}

/// Returns an error if a condition refers to a name that is not a tag of the table.
fn check_tags(table: &Table, condition: &Condition) -> Result<(), DeleteFailure> {
    let strange = condition.tags().into_iter().find(|name| !table.is_tag(name));
    match strange {
        None => Ok(()),
        Some(name) => Err(no_tag(table, name)),
    }
}

/// Returns an error if a condition on all tables refers to a name that is not a tag of any of them.
fn check_tags_of_any(
    tables: &[&Arc<Table>],
    of_table: &impl Fn(&Table) -> Condition,
) -> Result<(), DeleteFailure> {
    let mut checked = BTreeSet::new();
    for table in tables {
        for name in of_table(table).tags() {
            if !checked.insert(name.to_owned()) || tables.iter().any(|table| table.is_tag(name)) {
                continue;
            }
            let field = tables.iter().find(|table| table.column(name).is_some());
            return Err(match field {
                Some(table) => no_tag(table, name),
                None => DeleteFailure::NoTagAnywhere(name.to_owned()),
            });
        }
    }
    Ok(())
}

/// Returns the failure for a condition on a column that is not a tag.
fn no_tag(table: &Table, name: &str) -> DeleteFailure {
    let (table, has_it) = (table.name().to_owned(), table.column(name).is_some());
    let name = name.to_owned();
    if has_it {
        let column = name;
        DeleteFailure::Field { table, column }
    } else {
        DeleteFailure::NoTag { table, tag: name }
    }
}
