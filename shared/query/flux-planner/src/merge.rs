//! Unites branches.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, cast},
};
use neap_flux::Span;
use neap_schema::ColumnType;

use crate::{
    branch::{Branch, BranchInput, Column, ConstantValue, OrderPart, hidden_name, with_one},
    typed_value::{flux_name, is_text, null_of, refused},
};

/// Unites branches whose tables may have the same group key: those without a different constant in it.
pub(crate) fn merge(span: Span, branches: Vec<Branch>) -> Result<Vec<Branch>> {
    let mut classes: Vec<Vec<Branch>> = Vec::new();
    let mut known: HashMap<Vec<(String, ConstantValue)>, usize> = HashMap::new();
    for branch in branches {
        let constants = branch.key_columns().filter_map(|column| {
            let constant = column.constant.clone()?;
            Some((column.name.clone(), constant))
        });
        let mut identity: Vec<_> = constants.collect();
        identity.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let class = *known.entry(identity).or_insert(classes.len());
        match classes.get_mut(class) {
            Some(members) => members.push(branch),
            None => classes.push(vec![branch]),
        }
    }
    classes
        .into_iter()
        .filter_map(|members| unite(span, members).transpose())
        .collect()
}

/// Unites branches, whatever their group keys are. `None` if there are none.
pub(crate) fn unite(span: Span, mut branches: Vec<Branch>) -> Result<Option<Branch>> {
    if branches.len() < 2 {
        return Ok(branches.pop());
    }
    let names = distinct(
        branches
            .iter()
            .flat_map(|branch| branch.columns.iter().map(|column| column.name.clone())),
    );
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let inputs: Vec<Option<&Column>> =
            branches.iter().map(|branch| branch.column(&name)).collect();
        let Some(common) = common_column(&name, &inputs) else {
            let mut kinds = inputs.iter().flatten().map(|column| flux_name(column.kind));
            let one = kinds.next().unwrap_or_default();
            let other = kinds.find(|kind| *kind != one).unwrap_or_default();
            let text = format!(
                "schema collision: cannot group {one} and {other} types together (column \"{name}\")"
            );
            return Err(refused(span, text));
        };
        columns.push(common);
    }
    let parts = common_parts(&branches);
    let of_union = parts.iter().enumerate();
    let order: Vec<Option<OrderPart>> = of_union
        .map(|(index, part)| part.of_union(index, &branches, &columns))
        .collect();
    let mut plans = Vec::with_capacity(branches.len());
    for (index, branch) in branches.iter().enumerate() {
        let of_branch = order.iter().zip(&parts).filter_map(|(part, common)| {
            Some((part.clone()?, common.columns.get(index).copied().flatten()))
        });
        let own_order: Vec<(OrderPart, Option<&Column>)> = of_branch.collect();
        plans.push(Arc::new(aligned(branch, &columns, &own_order)?));
    }
    let key = distinct(branches.iter().flat_map(|branch| branch.key.iter().cloned()));
    let range = branches.first().and_then(|branch| branch.range);
    let union = Union::try_new(plans)?;
    Ok(Some(Branch {
        input: BranchInput::Plan(LogicalPlan::Union(union)),
        columns,
        key,
        order: order.into_iter().flatten().collect(),
        range,
    }))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for element in all {
        if !distinct.contains(&element) {
            distinct.push(element);
        }
    }
    distinct
}

/// Returns a column for the values of columns of several branches; `None` if their types differ.
fn common_column(name: &str, columns: &[Option<&Column>]) -> Option<Column> {
    let mut present = columns.iter().flatten();
    let first = *present.next()?;
    let mut kind = first.kind;
    for column in present {
        kind = match (kind, column.kind) {
            (one, other) if one == other => one,
            (one, other) if is_text(one) && is_text(other) => ColumnType::String,
            _ => return None,
        };
    }
    let is_same =
        |column: &Option<&Column>| column.is_some_and(|column| column.constant == first.constant);
    let constant = first.constant.clone().filter(|_| columns.iter().all(is_same));
    Some(Column { name: name.to_owned(), kind, constant })
}

/// A part of the order of the rows of several branches, with the column of each branch that has it.
struct CommonPart<'a> {
    origin: &'a str,
    descending: bool,
    columns: Vec<Option<&'a Column>>,
}

/// Returns the order of the rows of several branches. The parts of each branch are among its parts, in their order.
fn common_parts(branches: &[Branch]) -> Vec<CommonPart<'_>> {
    let mut parts: Vec<CommonPart<'_>> = Vec::new();
    for (index, branch) in branches.iter().enumerate() {
        let mut next = 0;
        for part in &branch.order {
            let is_same = |common: &CommonPart<'_>| {
                common.origin == part.origin && common.descending == part.descending
            };
            let mut rest = parts.iter().skip(next);
            let place = match rest.position(is_same) {
                Some(after) => next + after,
                None => {
                    let new = CommonPart {
                        origin: &part.origin,
                        descending: part.descending,
                        columns: vec![None; branches.len()],
                    };
                    parts.insert(next, new);
                    next
                }
            };
            let columns = parts.get_mut(place).map(|part| &mut part.columns);
            if let Some(column) = columns.and_then(|columns| columns.get_mut(index)) {
                *column = Some(&part.column);
            }
            next = place + 1;
        }
    }
    parts
}

impl CommonPart<'_> {
    /// Returns the part of the order of the union; `None` if the types of the columns differ, because such values have no order.
    fn of_union(&self, index: usize, branches: &[Branch], columns: &[Column]) -> Option<OrderPart> {
        let mut all = branches.iter().zip(&self.columns);
        let is_visible = all.all(|(branch, column)| match column {
            Some(column) => column.name == self.origin,
            None => branch.column(self.origin).is_none(),
        });
        let visible = columns.iter().find(|column| column.name == self.origin && is_visible);
        let column = match visible {
            Some(column) => column.clone(),
            None => common_column(&hidden_name(&index.to_string()), &self.columns)?,
        };
        Some(OrderPart {
            origin: self.origin.to_owned(),
            column,
            descending: self.descending,
        })
    }
}

/// Returns the plan of a branch with the columns that a union has, and those that order the rows. These come with the columns of
/// the branch.
fn aligned(
    branch: &Branch,
    columns: &[Column],
    order: &[(OrderPart, Option<&Column>)],
) -> Result<LogicalPlan> {
    let mut exprs: Vec<Expr> = Vec::new();
    for column in columns.iter().filter(|column| column.constant.is_none()) {
        exprs.push(read_as(branch.column(&column.name), column)?);
    }
    for (part, source) in order {
        let is_column = columns.iter().any(|column| column.name == part.column.name);
        if !is_column && part.column.constant.is_none() {
            exprs.push(read_as(*source, &part.column)?);
        }
    }
    LogicalPlanBuilder::from(branch.plan()?).project(with_one(exprs))?.build()
}

/// Returns the values of a column as those of another one. Without the column, they are null.
fn read_as(source: Option<&Column>, wanted: &Column) -> Result<Expr> {
    let expr = match source {
        None => null_of(wanted.kind)?,
        Some(column) if column.kind == wanted.kind => column.expr(),
        Some(column) => cast(column.expr(), wanted.kind.data_type()),
    };
    Ok(expr.alias(&wanted.name))
}
