//! The groups of a partial aggregate, with the state of each function.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, RecordBatch},
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode, aggregate_expressions, order::GroupOrdering},
    },
};

use super::{run_states::RunFunction, time_windows::TimeWindows};
use crate::row_groups::RowGroups;

/// The groups that were seen, with the states of the functions.
pub(super) struct PartialStates {
    keys: Vec<GroupKey>,
    groups: RowGroups,
    functions: Vec<GroupFunction>,
    /// The columns of the keys, and those of the states.
    schema: SchemaRef,
}

/// An expression of `GROUP BY`.
struct GroupKey {
    expression: Arc<dyn PhysicalExpr>,
    windows: Option<TimeWindows>,
}

/// A function, with the state of each group.
struct GroupFunction {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows for which this is not true do not count.
    filter: Option<Arc<dyn PhysicalExpr>>,
    states: Box<dyn GroupsAccumulator>,
    /// How states of runs are computed; `None`: rows are added one by one.
    of_runs: Option<RunFunction>,
}

/// The arguments of a function for the rows of a batch.
struct FunctionInput {
    values: Vec<ArrayRef>,
    filter: Option<ArrayRef>,
}

impl PartialStates {
    /// No groups of a partial aggregate.
    pub(super) fn new(aggregate: &AggregateExec) -> Result<Self> {
        let keys = aggregate.group_expr();
        let schema = keys.group_schema(&aggregate.input().schema())?;
        let keys = keys.expr().iter().map(|(expression, _)| GroupKey {
            expression: Arc::clone(expression),
            windows: TimeWindows::from_expression(expression),
        });
        let ordering = GroupOrdering::try_new(aggregate.input_order_mode())?;
        let functions = aggregate.aggr_expr();
        let arguments = aggregate_expressions(functions, &AggregateMode::Partial, 0)?;
        let functions = functions.iter().zip(arguments).zip(aggregate.filter_expr().iter()).map(
            |((function, arguments), filter)| {
                Ok(GroupFunction {
                    arguments,
                    filter: filter.clone(),
                    states: function.create_groups_accumulator()?,
                    of_runs: RunFunction::from_aggregate(function).filter(|_| filter.is_none()),
                })
            },
        );
        Ok(Self {
            groups: RowGroups::new(schema, &ordering)?,
            functions: functions.collect::<Result<_>>()?,
            keys: keys.collect(),
            schema: ExecutionPlan::schema(aggregate),
        })
    }

    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The memory of the groups, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let states = self.functions.iter().map(|function| function.states.size());
        self.groups.size_bytes() + states.sum::<usize>()
    }

    /// Adds the rows of a batch.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = self.keys_of(batch)?;
        self.groups.assign(&keys, batch.num_rows())?;
        let count = self.groups.len();
        for function in &mut self.functions {
            function.add(batch, &self.groups, count)?;
        }
        Ok(())
    }

    /// Returns all groups, and forgets them; `None` if there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.groups.len() == 0 {
            return Ok(None);
        }
        let mut columns = self.groups.take_keys()?;
        for function in &mut self.functions {
            columns.extend(function.states.state(EmitTo::All)?);
        }
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// Returns each row of a batch as a group of its own.
    pub(super) fn states_of_rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = self.keys_of(batch)?;
        for function in &self.functions {
            let input = function.input(batch)?;
            let states = function.states.convert_to_state(&input.values, input.filter()?);
            columns.extend(states?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn keys_of(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.keys.iter().map(|key| key.evaluate(batch)).collect()
    }
}

impl GroupKey {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        if let Some(windows) = &self.windows
            && let Some(starts) = windows.starts(batch)?
        {
            return Ok(starts);
        }
        self.expression.evaluate(batch)?.into_array(batch.num_rows())
    }
}

impl GroupFunction {
    /// Adds the rows of a batch to the states of their groups, of which there are `count`.
    fn add(&mut self, batch: &RecordBatch, groups: &RowGroups, count: usize) -> Result<()> {
        let input = match (self.of_runs, self.arguments.as_slice(), groups.runs()) {
            (Some(function), [argument], Some(runs)) => {
                let values = function.values(argument, batch)?;
                if let Some(states) = function.states(&values, runs) {
                    return self.states.merge_batch(&states, runs.groups, count);
                }
                FunctionInput { values: vec![function.argument_of(&values)?], filter: None }
            }
            _ => self.input(batch)?,
        };
        let (groups, filter) = (groups.assigned(), input.filter()?);
        self.states.update_batch(&input.values, groups, filter, count)
    }

    fn input(&self, batch: &RecordBatch) -> Result<FunctionInput> {
        let rows = batch.num_rows();
        let evaluate =
            |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(batch)?.into_array(rows);
        Ok(FunctionInput {
            values: self.arguments.iter().map(evaluate).collect::<Result<_>>()?,
            filter: self.filter.as_ref().map(evaluate).transpose()?,
        })
    }
}

impl FunctionInput {
    fn filter(&self) -> Result<Option<&BooleanArray>> {
        let Some(filter) = &self.filter else {
            return Ok(None);
        };
        let filter = filter
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("a filter is not boolean"))?;
        Ok(Some(filter))
    }
}
