//! The answer of a statement: limits, order, and output columns.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{Result, ScalarValue, plan_err},
    functions_window::expr_fn::{dense_rank, row_number},
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, ident, lit,
    },
};
use neap_formats::series::{AnswerInterface, GroupKey, GroupTag, MEASUREMENT_COLUMN};
use neap_influxql::{Expr as Ast, Select, TimeOrder};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::{
    columns::{ResolvedColumn, SourceColumns, measurement_literal, null_of, tag_column},
    expand::{OutputColumns, picked_tags},
    functions::SessionFunctions,
    query::{AnswerPart, is_output, output_column},
    relation::{Relation, union},
};

/// The rows of a statement, by measurement.
#[derive(Debug)]
pub(super) struct SelectAnswer {
    /// The interface, which determines the order of the series.
    pub(super) interface: AnswerInterface,
    /// The tags of `GROUP BY`, sorted.
    pub(super) tags: Vec<String>,
    /// The columns of all sources together.
    pub(super) columns: SourceColumns,
    /// The names and expressions of the output columns.
    pub(super) outputs: OutputColumns,
    pub(super) order: TimeOrder,
    /// Sorted by measurement.
    pub(super) parts: Vec<(String, AnswerPart)>,
}

/// The maximum number of rows in a plan. DataFusion counts them as an `i64`.
const MAX_PLAN_ROWS: usize = usize::MAX >> 1;

/// Converts a number of rows to DataFusion's type.
fn rows(count: u64) -> usize {
    usize::try_from(count).map_or(MAX_PLAN_ROWS, |count| count.min(MAX_PLAN_ROWS))
}

/// Returns a limit of rows or series. 0 means no limit, as in InfluxQL of InfluxDB 1.
fn limit(count: Option<u64>) -> Option<u64> {
    count.filter(|count| *count > 0)
}

impl SelectAnswer {
    /// Returns the names of the outputs, made distinct from the columns of tags that precede them.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::with_capacity(self.outputs.fields.len());
        let mut tags = self.unprojected();
        tags.retain(|tag| self.is_tag(tag));
        for output in &self.outputs.fields {
            let mut name = output.name.clone();
            let mut number = 0;
            let is_taken = |name: &String| {
                tags.contains(&name) || names.contains(name) || name == MEASUREMENT_COLUMN
            };
            while is_taken(&name) {
                number += 1;
                name = format!("{}_{number}", output.name);
            }
            names.push(name);
        }
        names
    }

    /// Returns the index of the output that projects a tag of `GROUP BY`.
    fn projected(&self, tag: &str) -> Option<usize> {
        self.outputs.fields.iter().position(|output| match &output.expr {
            Ast::Column(column) if column.name == tag => match self.columns.resolve(column) {
                ResolvedColumn::Tag => true,
                ResolvedColumn::Unknown => column.cast.is_none(),
                ResolvedColumn::Field(..) | ResolvedColumn::Time => false,
            },
            _ => false,
        })
    }

    /// Whether there is a tag with this name, and no field. `GROUP BY` may also name tags that do not exist.
    fn is_tag(&self, name: &str) -> bool {
        self.columns.has_tag(name) && !self.columns.is_mixed(name)
    }

    /// Returns the tags of `GROUP BY` that are not among the outputs, each with the name of its column. If a name that
    /// is no tag equals that of an output, the tag's column gets another one.
    fn named_tags(&self) -> Vec<(&String, String)> {
        let outputs = self.names();
        let named = self.unprojected().into_iter().map(|tag| {
            if self.is_tag(tag) || !outputs.contains(tag) {
                return (tag, tag.clone());
            }
            let is_free = |name: &String| !outputs.contains(name) && !self.tags.contains(name);
            let mut numbered = (1_u64..).map(|number| format!("{tag}_{number}"));
            (tag, numbered.find(is_free).unwrap_or_default())
        });
        named.collect()
    }

    fn unprojected(&self) -> Vec<&String> {
        let tags = self.tags.iter();
        tags.filter(|tag| self.projected(tag).is_none()).collect()
    }

    /// The order of the rows of one measurement. In InfluxDB 1, series without a tag come first, and descending times
    /// have descending series.
    fn sorted_by(&self, keys: &[String]) -> Vec<SortExpr> {
        let ascending = self.has_ascending_series();
        let nulls_first = self.interface == AnswerInterface::V1 && ascending;
        let tags = self.tags.iter().map(|tag| ident(tag_column(tag)).sort(ascending, nulls_first));
        tags.chain(self.in_series(keys)).collect()
    }

    fn has_ascending_series(&self) -> bool {
        self.interface == AnswerInterface::V3 || self.order == TimeOrder::Ascending
    }

    /// The order of the rows of a series.
    fn in_series(&self, keys: &[String]) -> Vec<SortExpr> {
        let ascending = self.order == TimeOrder::Ascending;
        let time = ident(TIME_COLUMN).sort(ascending, false);
        let keys = keys.iter().map(|key| ident(key).sort(true, false));
        std::iter::once(time).chain(keys).collect()
    }

    /// Applies the limits of series and rows.
    pub(super) fn limited(mut self, select: &Select) -> Result<Self> {
        let parts = std::mem::take(&mut self.parts);
        for (measurement, part) in parts {
            let plan = self.series_limited(part.plan, select)?;
            let plan = self.rows_limited(plan, &part.keys, select)?;
            let keys = part.keys;
            self.parts.push((measurement, AnswerPart { plan, keys }));
        }
        Ok(self)
    }

    fn series_limited(&self, plan: LogicalPlan, select: &Select) -> Result<LogicalPlan> {
        let limit = limit(select.slimit);
        if limit.is_none() && select.soffset.is_none() {
            return Ok(plan);
        }
        const SERIES: &str = "series";
        let nulls_first = self.interface == AnswerInterface::V1;
        let order: Vec<SortExpr> = self
            .tags
            .iter()
            .map(|tag| ident(tag_column(tag)).sort(true, nulls_first))
            .collect();
        let number = if order.is_empty() {
            lit(1_u64).alias(SERIES)
        } else {
            dense_rank().order_by(order).build()?.alias(SERIES)
        };
        let offset = select.soffset.unwrap_or(0);
        let plan = LogicalPlanBuilder::from(plan);
        let plan = if self.tags.is_empty() {
            let existing = plan.schema().columns().into_iter().map(Expr::Column);
            let columns: Vec<Expr> = existing.chain([number]).collect();
            plan.project(columns)?
        } else {
            plan.window([number])?
        };
        let mut shown = ident(SERIES).gt(lit(offset));
        if let Some(limit) = limit {
            shown = shown.and(ident(SERIES).lt_eq(lit(offset.saturating_add(limit))));
        }
        plan.filter(shown)?.build()
    }

    fn rows_limited(
        &self,
        plan: LogicalPlan,
        keys: &[String],
        select: &Select,
    ) -> Result<LogicalPlan> {
        let limit = limit(select.limit);
        if limit.is_none() && select.offset.is_none() {
            return Ok(plan);
        }
        const ROW: &str = "row";
        let offset = select.offset.unwrap_or(0);
        let plan = LogicalPlanBuilder::from(plan);
        if self.tags.is_empty() {
            let skipped = rows(offset);
            let most = limit.map(|limit| rows(limit).min(MAX_PLAN_ROWS - skipped));
            return plan.sort(self.in_series(keys))?.limit(skipped, most)?.build();
        }
        let tags = self.tags.iter().map(|tag| ident(tag_column(tag)));
        let number = row_number()
            .partition_by(tags.collect())
            .order_by(self.in_series(keys))
            .build()?;
        let mut shown = ident(ROW).gt(lit(offset));
        if let Some(limit) = limit {
            shown = shown.and(ident(ROW).lt_eq(lit(offset.saturating_add(limit))));
        }
        plan.window([number.alias(ROW)])?.filter(shown)?.build()
    }

    /// Converts the rows into sources of an outer statement.
    pub(super) fn into_relations(mut self) -> Result<Vec<Relation>> {
        let parts = std::mem::take(&mut self.parts);
        let names = self.names();
        let mut tags = self.named_tags();
        tags.retain(|(tag, name)| *tag == name);
        let tags_of_groups: Vec<String> = tags.iter().map(|(_, name)| name.clone()).collect();
        let relations = parts.into_iter().map(|(measurement, part)| {
            let mut columns = vec![ident(TIME_COLUMN)];
            let tags = tags.iter();
            columns.extend(tags.map(|(tag, name)| ident(tag_column(tag)).alias(name)));
            let named = names.iter().enumerate();
            columns.extend(named.map(|(index, name)| ident(output_column(index)).alias(name)));
            let plan = LogicalPlanBuilder::from(part.plan).project(columns)?.build()?;
            Ok(Relation {
                dimensions: tags_of_groups.clone(),
                ..Relation::new(measurement, plan, false)
            })
        });
        relations.collect()
    }

    /// Returns the plan of the whole answer, and the columns that identify series.
    pub(super) fn finish(
        mut self,
        functions: SessionFunctions<'_>,
        zone: Option<&str>,
    ) -> Result<(LogicalPlan, GroupKey)> {
        let group_key = self.group_key();
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return Ok((self.empty_plan(functions, zone)?, group_key));
        }
        let keys = parts.first().map(|(_, part)| part.keys.clone()).unwrap_or_default();
        // The only measurement is added to the sorted rows.
        let only = match parts.as_slice() {
            [(measurement, _)] => Some(measurement_literal(measurement).alias(MEASUREMENT_COLUMN)),
            _ => None,
        };
        let mut plans = Vec::with_capacity(parts.len());
        for (measurement, part) in parts {
            plans.push(match &only {
                Some(_) => part.plan,
                None => self.with_measurement(&measurement, part.plan, &keys)?,
            });
        }
        let Some(plan) = union(plans)? else {
            return plan_err!("nothing to select from");
        };
        let ascending = self.has_ascending_series();
        let by_measurement =
            only.is_none().then(|| ident(MEASUREMENT_COLUMN).sort(ascending, false));
        let order: Vec<SortExpr> =
            by_measurement.into_iter().chain(self.sorted_by(&keys)).collect();
        let measurement = only.unwrap_or_else(|| ident(MEASUREMENT_COLUMN));
        let columns = self.columns(measurement, functions, zone)?;
        let plan = LogicalPlanBuilder::from(plan);
        // DataFusion derives the order of the columns of sorted rows, which takes long for many tags. So columns are sorted.
        let plan = match self.order_of_columns(&order) {
            Some(expr) => LogicalPlan::Sort(Sort {
                expr,
                // The builder's sort would find a name of a user among the names of this planner.
                input: Arc::new(plan.project(columns)?.build()?),
                fetch: None,
            }),
            None => plan.sort(order)?.project(columns)?.build()?,
        };
        Ok((plan, group_key))
    }

    /// Returns an order of rows as an order of the columns of the answer; `None` if one of them is missing.
    fn order_of_columns(&self, order: &[SortExpr]) -> Option<Vec<SortExpr>> {
        let names = self.names();
        let fixed = [
            (TIME_COLUMN.to_owned(), self.outputs.time.clone()),
            (MEASUREMENT_COLUMN.to_owned(), MEASUREMENT_COLUMN.to_owned()),
        ];
        let of_groups = self.named_tags().into_iter().map(|(tag, name)| (tag_column(tag), name));
        let outputs = names
            .iter()
            .enumerate()
            .map(|(index, name)| (output_column(index), name.clone()));
        let projected = self.columns.tags().filter_map(|tag| {
            let name = names.get(self.projected(tag)?)?;
            Some((tag_column(tag), name.clone()))
        });
        let columns: HashMap<String, String> =
            fixed.into_iter().chain(of_groups).chain(outputs).chain(projected).collect();
        let order = order.iter().map(|part| {
            let Expr::Column(column) = &part.expr else {
                return None;
            };
            let name = columns.get(column.name())?;
            Some(ident(name).sort(part.asc, part.nulls_first))
        });
        order.collect()
    }

    /// Returns the rows of one of several measurements, with their measurement.
    fn with_measurement(
        &self,
        measurement: &str,
        plan: LogicalPlan,
        keys: &[String],
    ) -> Result<LogicalPlan> {
        let mut columns =
            vec![measurement_literal(measurement).alias(MEASUREMENT_COLUMN), ident(TIME_COLUMN)];
        columns.extend(self.tags.iter().map(|tag| ident(tag_column(tag))));
        let hidden = keys.iter().filter(|key| !is_output(key));
        columns.extend(hidden.map(ident));
        let outputs = 0..self.outputs.fields.len();
        columns.extend(outputs.map(|index| ident(output_column(index))));
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }

    /// Returns the output columns in their order.
    fn columns(
        &self,
        measurement: Expr,
        functions: SessionFunctions<'_>,
        zone: Option<&str>,
    ) -> Result<Vec<Expr>> {
        let time = self.time(functions, ident(TIME_COLUMN), zone)?;
        let mut columns = vec![measurement, time];
        let tags = self.named_tags().into_iter();
        columns.extend(tags.map(|(tag, name)| ident(tag_column(tag)).alias(name)));
        let names = self.names().into_iter().enumerate();
        columns.extend(names.map(|(index, name)| ident(output_column(index)).alias(name)));
        Ok(columns)
    }

    fn time(
        &self,
        functions: SessionFunctions<'_>,
        time: Expr,
        zone: Option<&str>,
    ) -> Result<Expr> {
        let time = match zone {
            Some(zone) => functions.call("tz", vec![time, lit(zone)])?,
            None => time,
        };
        Ok(time.alias(&self.outputs.time))
    }

    /// Returns the plan of an answer without rows.
    fn empty_plan(
        &self,
        functions: SessionFunctions<'_>,
        zone: Option<&str>,
    ) -> Result<LogicalPlan> {
        let time = lit(ScalarValue::TimestampNanosecond(None, None));
        let mut columns = vec![
            measurement_literal("").alias(MEASUREMENT_COLUMN),
            self.time(functions, time, zone)?,
        ];
        for (_, name) in self.named_tags() {
            columns.push(null_of(ColumnType::Tag)?.alias(name));
        }
        for name in self.names() {
            columns.push(null_of(ColumnType::Float)?.alias(name));
        }
        LogicalPlanBuilder::empty(false).project(columns)?.build()
    }

    fn group_key(&self) -> GroupKey {
        let before = 2;
        let unprojected = self.unprojected();
        let tags = self.tags.iter().map(|tag| {
            let projected = self.projected(tag);
            let index = match projected {
                Some(output) => before + unprojected.len() + output,
                None => {
                    let place = unprojected.iter().position(|other| *other == tag);
                    before + place.unwrap_or_default()
                }
            };
            GroupTag {
                tag_key: tag.clone(),
                column_index: u32::try_from(index).unwrap_or(u32::MAX),
                is_projected: projected.is_some(),
            }
        });
        GroupKey {
            measurement_column_index: 0,
            tag_key_columns: tags.collect(),
            ranked_tags: self.ranked_tags(before + unprojected.len()),
        }
    }

    /// Returns the tags that `top` or `bottom` returns. They follow the call among the outputs, which begin at the column
    /// `first`.
    fn ranked_tags(&self, first: usize) -> Vec<GroupTag> {
        let mut ranked = Vec::new();
        for (index, output) in self.outputs.fields.iter().enumerate() {
            let Ast::Call(call) = &output.expr else {
                continue;
            };
            for (tag, column_index) in picked_tags(call).zip(first + index + 1..) {
                if let Ast::Column(tag) = tag
                    && self.columns.resolve(&tag) == ResolvedColumn::Tag
                {
                    ranked.push(GroupTag {
                        tag_key: tag.name,
                        column_index: u32::try_from(column_index).unwrap_or(u32::MAX),
                        is_projected: true,
                    });
                }
            }
        }
        ranked
    }
}
