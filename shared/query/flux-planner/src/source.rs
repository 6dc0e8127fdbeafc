//! The series of a bucket: a branch for each field, as far as the conditions of the pipeline allow it.

use std::sync::Arc;

use datafusion::{
    common::{Result, plan_err},
    logical_expr::{Expr, ident},
};
use neap_catalog::Table;
use neap_flux::{Comparison, Constant, RowExpr, RowExprKind};
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::QueryContext;

use crate::{
    branch::{
        Branch, BranchInput, Column, FIELD, FieldScan, MEASUREMENT, OrderPart, RESERVED, START,
        STOP, TIME, VALUE,
    },
    expressions::translate,
    typed_value::{TypedValue, refused},
};

/// The maximum number of branches that a pipeline begins with, because each one is a scan.
const MAX_BRANCHES: usize = 2_000;

/// The series of a bucket before any operation except `range()` and `filter()`.
#[derive(Debug)]
pub(crate) struct BucketSeries<'a> {
    pub(crate) context: &'a QueryContext,
    /// The first time, and the time after the last one.
    pub(crate) range: (i64, i64),
    pub(crate) conditions: Vec<&'a RowExpr>,
}

/// The result of conditions for a table, or for a field of it.
enum Selection {
    None,
    /// The rows that satisfy these conditions.
    Rows(Vec<Expr>),
    /// It depends on the field.
    ByField,
}

#[derive(Clone, Copy)]
struct TableSeries<'a> {
    table: &'a Arc<Table>,
    /// The name of the table: the present one, or the former one by which the query asks for it.
    measurement: &'a str,
}

/// Adds the names that a condition compares a column with.
fn add_names<'a>(condition: &'a RowExpr, compared: &str, names: &mut Vec<&'a str>) {
    match &condition.kind {
        RowExprKind::Compare(Comparison::Equal, column, name) => {
            if let (RowExprKind::Column(column), RowExprKind::Constant(Constant::Text(name))) =
                (&column.kind, &name.kind)
                && column == compared
            {
                names.push(name);
            }
        }
        RowExprKind::Not(operand) => add_names(operand, compared, names),
        RowExprKind::And(operands) | RowExprKind::Or(operands) => {
            operands.iter().for_each(|operand| add_names(operand, compared, names));
        }
        _ => {}
    }
}

/// Returns the names and types of the fields of a table, sorted by name, with those aliases of fields that are requested.
fn fields<'a>(table: &'a Table, requested: &[&str]) -> Vec<(&'a str, ColumnType)> {
    let columns = table.columns().iter().filter(|column| !column.column_type.is_key());
    let named = columns.flat_map(|column| {
        let aliases = column.aliases().iter().map(String::as_str);
        let wanted = aliases.filter(move |alias| requested.contains(alias));
        let names = std::iter::once(column.name.as_str()).chain(wanted);
        names.map(move |name| (name, column.column_type))
    });
    let mut fields: Vec<_> = named.collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

impl BucketSeries<'_> {
    pub(crate) fn fields(&self) -> Result<Vec<Branch>> {
        self.branches(true)
    }

    /// Returns a branch for each table, and for each field of a table whose conditions depend on it. The branches of tables have
    /// neither fields nor values.
    pub(crate) fn tables(&self) -> Result<Vec<Branch>> {
        self.branches(false)
    }

    fn branches(&self, by_field: bool) -> Result<Vec<Branch>> {
        let mut tables: Vec<&Arc<Table>> = self.context.snapshot.catalog.value.tables().collect();
        tables.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        let (mut measurements, mut requested) = (Vec::new(), Vec::new());
        for condition in &self.conditions {
            add_names(condition, MEASUREMENT, &mut measurements);
            add_names(condition, FIELD, &mut requested);
        }
        let mut branches = Vec::new();
        for table in tables {
            let requested_name = measurements.iter().copied().find(|name| table.is_named(name));
            let series = TableSeries { table, measurement: requested_name.unwrap_or(table.name()) };
            let of_all = match self.selection(series, None)? {
                Selection::None => continue,
                Selection::Rows(conditions) => Some(conditions),
                Selection::ByField => None,
            };
            match of_all {
                Some(conditions) if !by_field => {
                    branches.push(self.branch(series, None, conditions))
                }
                of_all => {
                    for field in fields(table, &requested) {
                        let conditions = match &of_all {
                            Some(conditions) => conditions.clone(),
                            None => match self.selection(series, Some(field))? {
                                Selection::Rows(conditions) => conditions,
                                Selection::None | Selection::ByField => continue,
                            },
                        };
                        branches.push(self.branch(series, Some(field), conditions));
                    }
                }
            }
            if branches.len() > MAX_BRANCHES {
                return plan_err!(
                    "the query reads more than {MAX_BRANCHES} fields; select measurements and fields by filter()"
                );
            }
        }
        Ok(branches)
    }

    /// Evaluates the conditions for a field, or for a table.
    fn selection(
        &self,
        TableSeries { table, measurement }: TableSeries<'_>,
        field: Option<(&str, ColumnType)>,
    ) -> Result<Selection> {
        let (start, stop) = self.range;
        let column = |name: &str| match (name, field) {
            (START, _) => TypedValue::Constant(Constant::Time(start)),
            (STOP, _) => TypedValue::Constant(Constant::Time(stop)),
            (TIME, _) => TypedValue::Computed(ident(TIME_COLUMN), ColumnType::Time),
            (MEASUREMENT, _) => TypedValue::Constant(Constant::Text(measurement.to_owned())),
            (FIELD | VALUE, None) => TypedValue::Unknown,
            (FIELD, Some((field, _))) => TypedValue::Constant(Constant::Text(field.to_owned())),
            (VALUE, Some((field, kind))) => TypedValue::Computed(ident(field), kind),
            (tag, _) => match table.column(tag).map(|column| column.column_type) {
                Some(ColumnType::Tag) => TypedValue::Computed(ident(tag), ColumnType::Tag),
                _ => TypedValue::Null,
            },
        };
        let mut rows = Vec::new();
        let mut depends_on_field = false;
        for condition in &self.conditions {
            match translate(condition, &column)? {
                TypedValue::Constant(Constant::Boolean(true)) => {}
                TypedValue::Constant(Constant::Boolean(false)) | TypedValue::Null => {
                    return Ok(Selection::None);
                }
                TypedValue::Computed(expr, ColumnType::Boolean) => rows.push(expr),
                TypedValue::Unknown => depends_on_field = true,
                _ => {
                    return Err(refused(
                        condition.span,
                        "the function of filter() must return a bool",
                    ));
                }
            }
        }
        Ok(if depends_on_field {
            Selection::ByField
        } else {
            Selection::Rows(rows)
        })
    }

    /// Returns the branch of a field of a table, or of a table.
    fn branch(
        &self,
        TableSeries { table, measurement }: TableSeries<'_>,
        field: Option<(&str, ColumnType)>,
        conditions: Vec<Expr>,
    ) -> Branch {
        let (start, stop) = self.range;
        let time = Column::new(TIME, ColumnType::Time);
        let order = vec![OrderPart::ascending(&time)];
        let mut columns = vec![Column::of_time(START, start), Column::of_time(STOP, stop), time];
        columns.extend(field.map(|(_, kind)| Column::new(VALUE, kind)));
        columns.extend(field.map(|(name, _)| Column::of_text(FIELD, name)));
        columns.push(Column::of_text(MEASUREMENT, measurement));
        let mut tags = table.tag_names();
        tags.retain(|tag| !RESERVED.contains(&tag.as_str()));
        let of_series = [START, STOP, MEASUREMENT, FIELD].map(str::to_owned);
        let mut key: Vec<String> = of_series.into_iter().chain(tags.iter().cloned()).collect();
        if field.is_none() {
            key.retain(|name| name != FIELD);
        }
        tags.sort_unstable();
        columns.extend(tags.iter().map(|tag| Column::new(tag, ColumnType::Tag)));
        Branch {
            input: BranchInput::Field(FieldScan {
                table: table.name().to_owned(),
                rows: self.context.table_provider(table),
                field: field.map(|(name, _)| name.to_owned()),
                conditions,
                range: self.range,
            }),
            columns,
            key,
            order,
            range: Some(self.range),
        }
    }
}
