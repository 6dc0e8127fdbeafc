//! What a selection of rows means in the tables of a database.

use std::{collections::BTreeSet, sync::Arc};

use neap_catalog::{DatabaseCatalog, Table};
use neap_row_delete::{Condition, RowDelete, Tables};
use neap_schema::ColumnType;

use crate::{DeleteFailure, RowSelection};

/// The deletes of the tables that can have such rows.
///
/// # Errors
/// The table that is asked for is missing, or the condition does not fit a table that it is about.
pub(crate) fn select(
    catalog: &DatabaseCatalog,
    selection: &RowSelection,
) -> Result<Vec<RowDelete>, DeleteFailure> {
    let time = Condition::between(selection.min_time, selection.max_time);
    let of_table = |table: &Table| {
        selection
            .predicate
            .condition(table.name())
            .and(time.clone())
    };
    let tables = match (&selection.table, selection.predicate.tables()) {
        (Some(name), about) => {
            let table = catalog.table(name);
            let table = table.ok_or_else(|| DeleteFailure::NoTable(name.clone()))?;
            if matches!(about, Tables::Named(names) if !names.contains(name)) {
                return Err(DeleteFailure::OtherTable(name.clone()));
            }
            vec![table]
        }
        (None, Tables::Named(names)) => names
            .iter()
            .filter_map(|name| catalog.table(name))
            .collect(),
        (None, Tables::All) => {
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

/// The same deletes, if they fit their tables.
///
/// # Errors
/// A table is gone, or a condition does not fit its table.
pub(crate) fn checked(
    catalog: &DatabaseCatalog,
    deletes: &[RowDelete],
) -> Result<Vec<RowDelete>, DeleteFailure> {
    for delete in deletes {
        let table = catalog.table_by_id(delete.table);
        let table = table.filter(|table| table.deletion().is_none());
        let table = table.ok_or(DeleteFailure::TableGone(delete.table))?;
        check_tags(table, &delete.condition)?;
        delete.condition.check_limits()?;
    }
    Ok(deletes.to_vec())
}

/// The deletes of tables, without those that can remove nothing.
fn resolve(
    tables: Vec<&Arc<Table>>,
    of_table: impl Fn(&Table) -> Condition,
) -> Result<Vec<RowDelete>, DeleteFailure> {
    let mut deletes = Vec::new();
    for table in tables {
        let condition = of_table(table).resolved(&|name| is_tag(table, name));
        condition.check_limits()?;
        if condition.time_hull().is_some() {
            deletes.push(RowDelete {
                table: table.id(),
                condition,
            });
        }
    }
    Ok(deletes)
}

fn is_tag(table: &Table, name: &str) -> bool {
    let column = table.column(name);
    column.is_some_and(|column| column.column_type == ColumnType::Tag)
}

/// Refuses a condition that asks for what is no tag of the table.
fn check_tags(table: &Table, condition: &Condition) -> Result<(), DeleteFailure> {
    let strange = condition
        .tags()
        .into_iter()
        .find(|name| !is_tag(table, name));
    match strange {
        None => Ok(()),
        Some(name) => Err(no_tag(table, name)),
    }
}

/// Refuses a condition on any table that asks for what is a tag of none.
fn check_tags_of_any(
    tables: &[&Arc<Table>],
    of_table: &impl Fn(&Table) -> Condition,
) -> Result<(), DeleteFailure> {
    let mut checked = BTreeSet::new();
    for table in tables {
        for name in of_table(table).tags() {
            if !checked.insert(name.to_owned()) || tables.iter().any(|table| is_tag(table, name)) {
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

/// The failure of a condition that asks for this column, which is no tag.
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
