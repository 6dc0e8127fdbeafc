//! Expands wildcards and regular expressions in field lists and `GROUP BY`, and names the columns.

use std::collections::BTreeSet;

use datafusion::common::{Result, plan_err};
use neap_formats::series::AnswerInterface;
use neap_influxql::{
    Call, Cast, Column, ColumnKind, Dimension, Expr as Ast, Field, quoted_if_needed,
};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{columns::SourceColumns, condition::compile_pattern, typed_expr::is_number};

/// An output column of an answer, except the time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OutputColumn {
    pub(super) name: String,
    pub(super) expr: Ast,
}

/// The output columns of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OutputColumns {
    /// The name of the time column.
    pub(super) time: String,
    pub(super) fields: Vec<OutputColumn>,
}

/// The rules of wildcards that differ between InfluxDB 1 and InfluxDB 3.
#[derive(Clone, Copy, Debug)]
pub(super) struct WildcardRules {
    /// Whether names of columns are in the names of outputs without quotes.
    has_plain_names: bool,
    /// Whether a wildcard in the field list matches no tags.
    has_no_tags: bool,
}

impl WildcardRules {
    /// Returns the rules of a statement. In InfluxDB 1, wildcards match no tags if `GROUP BY` has one itself.
    pub(super) fn new(interface: AnswerInterface, group_by: &[Dimension]) -> Self {
        let is_v1 = interface == AnswerInterface::V1;
        let is_wild =
            |dimension: &Dimension| matches!(dimension, Dimension::Wildcard | Dimension::Regex(_));
        Self {
            has_plain_names: is_v1,
            has_no_tags: is_v1 && group_by.iter().any(is_wild),
        }
    }
}

/// Returns the tags of `GROUP BY`, sorted.
/// Fails with planning errors for the time, which is no tag, and for invalid regular expressions.
pub(super) fn tags(group_by: &[Dimension], columns: &SourceColumns) -> Result<Vec<String>> {
    let mut tags = BTreeSet::new();
    for dimension in group_by {
        match dimension {
            Dimension::Time { .. } => {}
            Dimension::Tag(tag) if tag == TIME_COLUMN => {
                return plan_err!("time is not a tag: GROUP BY takes time(interval)");
            }
            Dimension::Tag(tag) => {
                tags.insert(tag.clone());
            }
            Dimension::Regex(regex) => {
                let regex = compile_pattern(regex)?;
                let matching = columns.tags().filter(|tag| regex.is_match(tag));
                tags.extend(matching.map(str::to_owned));
            }
            Dimension::Wildcard => tags.extend(columns.tags().map(str::to_owned)),
        }
    }
    Ok(tags.into_iter().collect())
}

/// Returns the output columns of a field list in a statement that is grouped by `tags`.
/// Fails with planning errors for wildcards in unsupported places, and for a list of nothing but the time.
pub(super) fn outputs(
    fields: &[Field],
    columns: &SourceColumns,
    tags: &[String],
    wildcards: WildcardRules,
) -> Result<OutputColumns> {
    let mut time = TIME_COLUMN.to_owned();
    let mut named: Vec<(Option<String>, Ast)> = Vec::new();
    for Field { expr, alias } in fields {
        match expr {
            Ast::Column(Column { name, .. }) if name == TIME_COLUMN => {
                time = alias.clone().unwrap_or(time);
            }
            Ast::Wildcard(_) | Ast::Regex(_) => {
                let all = matching(expr, columns)?;
                let is_grouped =
                    |name: &str| wildcards.has_no_tags || tags.iter().any(|tag| tag == name);
                let free = all.filter(|(name, kind)| *kind != ColumnType::Tag || !is_grouped(name));
                named.extend(free.map(|(name, kind)| (None, column(columns, name, kind))));
            }
            Ast::Call(call) => match wildcard(call) {
                Some((function, pattern)) => {
                    let names = matching(pattern, columns)?
                        .filter(|(_, kind)| takes(&function.name, *kind));
                    let prefix = alias.as_ref().unwrap_or(&call.name);
                    named.extend(names.map(|(name, _)| {
                        let alias = if wildcards.has_plain_names {
                            format!("{prefix}_{name}")
                        } else {
                            format!("{prefix}_{}", quoted_if_needed(name))
                        };
                        (Some(alias), Ast::Call(replace_wildcard(call, name)))
                    }));
                }
                None => {
                    named.push((alias.clone(), expr.clone()));
                    named.extend(picked_tags(call).map(|tag| (None, tag)));
                }
            },
            Ast::Binary { .. } if has_wildcard(expr) => {
                return plan_err!("unsupported expression with wildcard: {expr}");
            }
            _ => named.push((alias.clone(), expr.clone())),
        }
    }
    let is_time =
        |field: &Field| matches!(&field.expr, Ast::Column(column) if column.name == TIME_COLUMN);
    if fields.iter().all(is_time) {
        return plan_err!("at least 1 non-time field must be queried");
    }
    let fields = unique(&time, named);
    Ok(OutputColumns { time, fields })
}

/// Returns the reference to a column, cast if a field has the name of the tag.
fn column(columns: &SourceColumns, name: &str, kind: ColumnType) -> Ast {
    let is_cast = kind == ColumnType::Tag && columns.is_mixed(name);
    Ast::Column(Column {
        name: name.to_owned(),
        cast: is_cast.then_some(Cast::Kind(ColumnKind::Tag)),
    })
}

/// The tags that `top` and `bottom` return next to the values.
pub(super) fn picked_tags(call: &Call) -> impl Iterator<Item = Ast> {
    let has_tags = matches!(call.name.as_str(), "top" | "bottom");
    let tags = if has_tags && call.args.len() > 2 {
        call.args.get(1..call.args.len() - 1)
    } else {
        None
    };
    tags.unwrap_or_default().iter().cloned()
}

/// Returns the columns that match a wildcard or a regular expression.
fn matching<'a>(
    pattern: &Ast,
    columns: &'a SourceColumns,
) -> Result<impl Iterator<Item = (&'a str, ColumnType)> + use<'a>> {
    let regex = match pattern {
        Ast::Regex(regex) => Some(compile_pattern(regex)?),
        _ => None,
    };
    let wanted = match pattern {
        Ast::Wildcard(kind) => *kind,
        _ => None,
    };
    Ok(columns.iter().filter(move |(name, kind)| {
        let is_wanted = match wanted {
            None => true,
            Some(ColumnKind::Tag) => *kind == ColumnType::Tag,
            Some(ColumnKind::Field) => *kind != ColumnType::Tag,
        };
        is_wanted && regex.as_ref().is_none_or(|regex| regex.is_match(name))
    }))
}

/// Whether a function with a wildcard is applied to fields of this type.
fn takes(function: &str, kind: ColumnType) -> bool {
    match function {
        "count" | "distinct" | "elapsed" | "first" | "last" | "mode" | "sample" => {
            kind != ColumnType::Tag
        }
        "max" | "min" => is_number(kind) || kind == ColumnType::Boolean,
        _ => is_number(kind),
    }
}

/// Returns the wildcard or regular expression in the first argument of a call, or of a call nested in it, and the
/// innermost function.
fn wildcard(call: &Call) -> Option<(&Call, &Ast)> {
    match call.args.first()? {
        pattern @ (Ast::Wildcard(_) | Ast::Regex(_)) => Some((call, pattern)),
        Ast::Call(inner) => wildcard(inner),
        _ => None,
    }
}

/// Replaces the wildcard of a call by a column.
fn replace_wildcard(call: &Call, column: &str) -> Call {
    let mut call = call.clone();
    if let Some(first) = call.args.first_mut() {
        *first = match first {
            Ast::Call(inner) => Ast::Call(replace_wildcard(inner, column)),
            _ => Ast::column(column),
        };
    }
    call
}

fn has_wildcard(expr: &Ast) -> bool {
    match expr {
        Ast::Wildcard(_) | Ast::Regex(_) => true,
        Ast::Binary { left, right, .. } => has_wildcard(left) || has_wildcard(right),
        Ast::Call(call) => call.args.iter().any(has_wildcard),
        _ => false,
    }
}

/// Gives each column a distinct name: its alias or its default name, with a number if the name is taken.
fn unique(time: &str, fields: Vec<(Option<String>, Ast)>) -> Vec<OutputColumn> {
    let mut taken: BTreeSet<String> = BTreeSet::from([time.to_owned(), TIME_COLUMN.to_owned()]);
    let mut free = |name: String| {
        let mut free = name.clone();
        let mut number = 0;
        while !taken.insert(free.clone()) {
            number += 1;
            free = format!("{name}_{number}");
        }
        free
    };
    let named: Vec<(Option<String>, Ast)> =
        fields.into_iter().map(|(alias, expr)| (alias.map(&mut free), expr)).collect();
    let outputs = named.into_iter().map(|(alias, expr)| OutputColumn {
        name: alias.unwrap_or_else(|| free(default_name(&expr))),
        expr,
    });
    outputs.collect()
}

/// Joins the names of the columns and functions in an expression. Literals have no name.
fn default_name(expr: &Ast) -> String {
    match expr {
        Ast::Column(column) => column.name.clone(),
        Ast::Call(call) => call.name.clone(),
        Ast::Binary { left, right, .. } => {
            let names = [default_name(left), default_name(right)];
            let named: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
            named.join("_")
        }
        _ => String::new(),
    }
}
