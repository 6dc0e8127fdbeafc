//! Aliases of columns in SQL: a table of the statement has a column for each alias that the statement contains, and `*` leaves it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    ops::ControlFlow,
};

use datafusion::sql::{
    parser::Statement as SqlStatement,
    sqlparser::{
        ast::{
            ExcludeSelectItem, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem,
            SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitMut, VisitorMut,
            WildcardAdditionalOptions,
        },
        tokenizer::Token,
    },
};
use neap_tables::{QueryContext, SCHEMA};

/// Returns whether a statement names a table with an alias of a column that the statement contains.
pub(crate) fn names_aliases(context: &QueryContext, tokens: &[Token]) -> bool {
    let words = tokens.iter().filter_map(|token| match token {
        Token::Word(word) => Some(normalized(&word.value, word.quote_style)),
        _ => None,
    });
    // Each table is looked for in the text once, however often the statement names it.
    let distinct: BTreeSet<String> = words.collect();
    distinct.iter().any(|word| {
        context.all_databases().any(|database| {
            let table = database.snapshot.catalog.value.table(word);
            table.is_some_and(|table| !database.named_aliases(table).is_empty())
        })
    })
}

/// Excludes the aliases of the tables of a statement from each `*`.
pub(crate) fn hide_aliases(context: &QueryContext, statement: &mut SqlStatement) {
    match statement {
        SqlStatement::Statement(statement) => {
            let mut hider = AliasHider { context, subqueries: BTreeSet::new() };
            let ControlFlow::Continue(()) = statement.visit(&mut hider);
        }
        SqlStatement::Explain(explain) => hide_aliases(context, &mut explain.statement),
        _ => {}
    }
}

/// The columns that wildcards leave out, by the name that the statement has for their table.
type HiddenColumns = BTreeMap<String, BTreeSet<String>>;

struct AliasHider<'a> {
    context: &'a QueryContext,
    /// The names of subqueries, which stand for no tables.
    subqueries: BTreeSet<String>,
}

impl VisitorMut for AliasHider<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        let named = query.with.iter().flat_map(|with| &with.cte_tables);
        self.subqueries.extend(named.map(|subquery| of_ident(&subquery.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        let mut hidden = HiddenColumns::new();
        select.from.iter().for_each(|tables| self.add_hidden(tables, &mut hidden));
        if hidden.is_empty() {
            return ControlFlow::Continue(());
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => {
                    exclude(options, hidden.values().flatten().cloned().collect());
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) => {
                    let of_table = last_part(name).and_then(|table| hidden.get(&table));
                    exclude(options, of_table.cloned().unwrap_or_default());
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl AliasHider<'_> {
    /// Adds the columns of joined tables that wildcards leave out.
    fn add_hidden(&self, tables: &TableWithJoins, hidden: &mut HiddenColumns) {
        let joined = tables.joins.iter().map(|join| &join.relation);
        for relation in std::iter::once(&tables.relation).chain(joined) {
            match relation {
                TableFactor::Table { name, alias, .. } => {
                    let Some((table, aliases)) = self.aliases_of(name) else {
                        continue;
                    };
                    let shown = alias.as_ref().map_or(table, |alias| of_ident(&alias.name));
                    hidden.entry(shown).or_default().extend(aliases);
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    self.add_hidden(table_with_joins, hidden)
                }
                _ => {}
            }
        }
    }

    /// Returns the last part of the name of a table, and the aliases of its columns that the statement contains.
    fn aliases_of(&self, name: &ObjectName) -> Option<(String, Vec<String>)> {
        let mut parts = name.0.iter().rev().filter_map(ObjectNamePart::as_ident).map(of_ident);
        let table = parts.next()?;
        let is_ours = match parts.next() {
            Some(schema) => schema == SCHEMA,
            None => !self.subqueries.contains(&table),
        };
        let found = self.context.snapshot.catalog.value.table(&table).filter(|_| is_ours)?;
        let aliases = self.context.named_aliases(found).into_iter().map(str::to_owned);
        Some((table, aliases.collect()))
    }
}

/// Excludes columns, besides those that the statement excludes.
fn exclude(options: &mut WildcardAdditionalOptions, mut columns: BTreeSet<String>) {
    if let Some(except) = &options.opt_except {
        let excluded = std::iter::once(&except.first_element).chain(&except.additional_elements);
        excluded.for_each(|ident| _ = columns.remove(&of_ident(ident)));
    }
    let mut excluded = match options.opt_exclude.take() {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    for name in excluded.iter().filter_map(last_part) {
        columns.remove(&name);
    }
    excluded.extend(columns.into_iter().map(|column| ObjectName::from(Ident::new(column))));
    options.opt_exclude = (!excluded.is_empty()).then_some(ExcludeSelectItem::Multiple(excluded));
}

fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(ObjectNamePart::as_ident).map(of_ident)
}

fn of_ident(ident: &Ident) -> String {
    normalized(&ident.value, ident.quote_style)
}

/// Returns a name as SQL compares it: in lower case, unless it is quoted.
fn normalized(name: &str, quote: Option<char>) -> String {
    match quote {
        Some(_) => name.to_owned(),
        None => name.to_ascii_lowercase(),
    }
}
