//! The former name of the column `time` of `system.processing_engine_logs`, `event_time`. As in InfluxDB 3, it is a virtual
//! column: statements can name it, and `SELECT *` leaves it out.

use std::{convert::Infallible, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as SqlStatement,
    sqlparser::{
        ast::{
            ExcludeSelectItem, Ident, ObjectName, ObjectNamePart, Select, SelectItem, TableFactor,
            TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
        },
        tokenizer::Token,
    },
};
use neap_tables::FORMER_TIME_COLUMN;

/// The name of the table.
const TABLE: [&str; 2] = ["system", "processing_engine_logs"];

/// Returns whether a statement may name the column.
pub(crate) fn names_former_column(tokens: &[Token]) -> bool {
    let names = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(FORMER_TIME_COLUMN));
    tokens.iter().any(names)
}

/// Excludes the column from each `*` of a `SELECT` that reads only the table.
pub(crate) fn hide_former_column(statement: &mut SqlStatement) {
    match statement {
        SqlStatement::Statement(statement) => {
            let ControlFlow::Continue(()) = statement.visit(&mut FormerColumnHider);
        }
        SqlStatement::Explain(explain) => hide_former_column(&mut explain.statement),
        _ => {}
    }
}

struct FormerColumnHider;

impl VisitorMut for FormerColumnHider {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        if let [TableWithJoins { relation, joins }] = select.from.as_slice()
            && let TableFactor::Table { name, .. } = relation
            && joins.is_empty()
            && is_logs(name)
        {
            for item in &mut select.projection {
                if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) =
                    item
                {
                    exclude(options);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_logs(name: &ObjectName) -> bool {
    let mut parts = name.0.iter().rev().filter_map(ObjectNamePart::as_ident);
    let mut expected = TABLE.iter().rev();
    expected.all(|text| parts.next().is_some_and(|part| part.value.eq_ignore_ascii_case(text)))
}

/// Excludes the column, unless the statement excludes columns itself.
fn exclude(options: &mut WildcardAdditionalOptions) {
    if options.opt_exclude.is_none() && options.opt_except.is_none() {
        let column = ObjectName::from(Ident::new(FORMER_TIME_COLUMN));
        options.opt_exclude = Some(ExcludeSelectItem::Single(column));
    }
}
