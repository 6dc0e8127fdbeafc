//! Plans a statement for its columns and placeholders only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
};
use async_trait::async_trait;
use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Cast, Expr, ExprSchemable, LogicalPlan, expr::Placeholder, utils::merge_schema,
    },
};
use neap_tables::{QueryContext, create_physical_plan};

use crate::{
    QueryRequest, TextPieces,
    copy::copied_schema,
    delete::deleted_schema,
    request::{Planner, StatementLanguage},
    statement::PlannedStatement,
};

/// Plans statements with another planner, and answers with the columns and without rows.
#[derive(Debug)]
pub(crate) struct SchemaPlanner {
    planner: Arc<dyn Planner>,
    placeholders: Mutex<Vec<(String, Option<DataType>)>>,
}

impl SchemaPlanner {
    pub(crate) fn new(planner: Arc<dyn Planner>) -> Self {
        Self { planner, placeholders: Mutex::default() }
    }

    fn set_placeholders(&self, plan: &LogicalPlan) -> Result<()> {
        let mut inferred = plan.get_parameter_types()?;
        infer_from_uses(plan, &mut inferred)?;
        let mut types: Vec<_> = inferred
            .into_iter()
            .map(|(name, data_type)| (name.trim_start_matches('$').to_owned(), data_type))
            .collect();
        types.sort_by_cached_key(|(name, _)| order(name));
        let placeholders = self.placeholders.lock();
        *placeholders.unwrap_or_else(PoisonError::into_inner) = types;
        Ok(())
    }

    /// Returns the placeholders of the latest plan.
    pub(crate) fn placeholders(&self) -> Vec<(String, Option<DataType>)> {
        let placeholders = self.placeholders.lock();
        placeholders.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Planner for SchemaPlanner {
    fn language(&self) -> StatementLanguage {
        self.planner.language()
    }

    async fn plan(
        &self,
        context: &QueryContext,
        request: &QueryRequest,
    ) -> Result<PlannedStatement> {
        let columns: Arc<Schema> = match self.planner.plan(context, request).await? {
            PlannedStatement::Query(mut state, plan)
            | PlannedStatement::Optimized(mut state, plan) => {
                self.set_placeholders(&plan)?;
                // The rows have the columns of the physical plan. There is none while placeholders have no values.
                match create_physical_plan(&mut state, &plan).await {
                    Ok(plan) => plan.schema(),
                    Err(_) if !self.placeholders().is_empty() => Arc::clone(plan.schema().inner()),
                    Err(error) => return Err(error),
                }
            }
            PlannedStatement::Rows(rows) => rows.schema(),
            PlannedStatement::Text(_) => TextPieces::schema(),
            PlannedStatement::Delete(_, statement) => {
                self.set_placeholders(&LogicalPlan::Dml(statement))?;
                Arc::new(deleted_schema())
            }
            PlannedStatement::Copy(_, query, _) => {
                self.set_placeholders(&query)?;
                Arc::new(copied_schema())
            }
        };
        Ok(PlannedStatement::Rows(RecordBatch::new_empty(columns)))
    }
}

/// Adds the types of placeholders of which a statement determines no other type.
fn infer_from_uses(
    plan: &LogicalPlan,
    types: &mut HashMap<String, Option<DataType>>,
) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|root| {
            root.apply(|expr| {
                if let Some((id, data_type)) = used_type(expr, &schema)
                    && let Some(inferred) = types.get_mut(id)
                    && inferred.is_none()
                {
                    *inferred = Some(data_type);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// Returns a placeholder with the type that its use determines, if the expression is one:
///
/// * a conversion, as in `$1::BIGINT`. Texts and decimals are left out: their values keep the form in which they arrive until
///   the conversion
/// * a list in which a value is looked for, as in `a = ANY($1)`, which is planned as `array_has($1, a)`
fn used_type<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<(&'a str, DataType)> {
    match expr {
        Expr::Cast(Cast { expr, field }) if has_one_form(field.data_type()) => {
            Some((placeholder_id(expr)?, field.data_type().clone()))
        }
        Expr::ScalarFunction(call) if call.name() == "array_has" => {
            let [list, value] = call.args.as_slice() else {
                return None;
            };
            let item = match value.get_type(schema).ok()? {
                DataType::Null => return None,
                DataType::Dictionary(_, value) => *value,
                plain => plain,
            };
            Some((placeholder_id(list)?, DataType::new_list(item, true)))
        }
        _ => None,
    }
}

fn placeholder_id(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => Some(id),
        _ => None,
    }
}

/// Whether values of a type have one form. Lists have, because their elements are converted, too.
fn has_one_form(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) | DataType::List(_)
        )
}

/// Returns the sort key of a placeholder: numbers first, by value.
fn order(name: &str) -> (u64, String) {
    let number = name.parse().unwrap_or(u64::MAX);
    (number, name.to_owned())
}
