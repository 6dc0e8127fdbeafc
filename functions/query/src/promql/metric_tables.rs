//! The metrics of the tables of a snapshot.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use neap_catalog::Table;
use neap_tables::QueryContext;

use super::{matcher::Matcher, metric::Metric};

/// Returns the metrics of the tables of a database whose names meet the conditions, and those of aliases.
pub(super) fn metrics_of(context: &QueryContext, conditions: &[Matcher]) -> Vec<Arc<Metric>> {
    let catalog = &context.snapshot.catalog.value;
    let schemas: Vec<(&Arc<Table>, SchemaRef)> =
        catalog.tables().map(|table| (table, table.arrow_schema())).collect();
    let named = schemas.iter().map(|(table, columns)| (table.name(), &**columns));
    let aliased = schemas.iter().flat_map(|(table, columns)| {
        table.aliases().iter().map(move |alias| (alias.as_str(), &**columns))
    });
    let former: Vec<(&str, Schema)> = catalog
        .tables()
        .filter_map(|table| Some((table.name(), former_fields(context, table)?)))
        .collect();
    let renamed = former.iter().map(|(name, columns)| (*name, columns));
    let mut metrics = Metric::of_tables(named, conditions);
    metrics.extend(Metric::of_aliases(aliased.chain(renamed), conditions));
    metrics
}

/// Returns the tags of a table, and its fields under those former names that the expression contains; `None` if it contains none.
fn former_fields(context: &QueryContext, table: &Table) -> Option<Schema> {
    let aliases = context.named_aliases(table).into_iter();
    let fields: Vec<FieldRef> = aliases
        .filter_map(|alias| {
            let column_type = table.column(alias)?.column_type;
            (!column_type.is_key()).then(|| column_type.arrow_field(alias))
        })
        .collect();
    if fields.is_empty() {
        return None;
    }
    let tags = table.tags().map(|tag| tag.column_type.arrow_field(&tag.name));
    Some(Schema::new(tags.chain(fields).collect::<Vec<_>>()))
}
