//! Replaces placeholders with values.

use crate::{
    Condition, ContinuousQueryStatement, Dimension, Expr, Literal, Select, SelectSource, Statement,
};

/// The error for a placeholder without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Bind parameter '{0}' was referenced in the InfluxQL statement but its value is undefined")]
pub struct BindError(pub String);

impl Statement {
    /// Replaces placeholders with values.
    ///
    /// # Errors
    /// Returns an error if a placeholder has no value.
    pub fn bind(&mut self, values: &dyn Fn(&str) -> Option<Literal>) -> Result<(), BindError> {
        match self {
            Self::Select(select) => bind_select(select, values),
            Self::SelectInto(stored) => bind_select(&mut stored.select, values),
            Self::ContinuousQuery(ContinuousQueryStatement::Create(created)) => {
                bind_select(&mut created.query.select, values)
            }
            Self::Explain(explain) => bind_select(&mut explain.select, values),
            Self::ShowMeasurements(show) => bind_where(&mut show.condition, values),
            Self::ShowTagKeys(keys) => bind_where(&mut keys.show.condition, values),
            Self::ShowFieldKeys(show) | Self::ShowSeries(show) => {
                bind_where(&mut show.condition, values)
            }
            Self::ShowTagValues(values_of) => bind_where(&mut values_of.show.condition, values),
            Self::ShowCardinality(count) => bind_where(&mut count.show.condition, values),
            Self::Delete(deletion) | Self::DropSeries(deletion) => {
                bind_where(&mut deletion.condition, values)
            }
            Self::ShowDatabases
            | Self::ShowRetentionPolicies { .. }
            | Self::CreateDatabase { .. }
            | Self::DropDatabase(_)
            | Self::DropMeasurement(_)
            | Self::CreateRetentionPolicy(_)
            | Self::AlterRetentionPolicy(_)
            | Self::DropRetentionPolicy { .. }
            | Self::Server(_)
            | Self::ContinuousQuery(_)
            | Self::User(_) => Ok(()),
        }
    }
}

type ParameterValues<'a> = &'a dyn Fn(&str) -> Option<Literal>;

fn bind_select(select: &mut Select, values: ParameterValues<'_>) -> Result<(), BindError> {
    for field in &mut select.fields {
        bind_expr(&mut field.expr, values)?;
    }
    for source in &mut select.from {
        if let SelectSource::Subquery(select) = source {
            bind_select(select, values)?;
        }
    }
    for dimension in &mut select.group_by {
        if let Dimension::Time { offset: Some(offset), .. } = dimension {
            bind_expr(offset, values)?;
        }
    }
    bind_where(&mut select.condition, values)
}

fn bind_where(
    condition: &mut Option<Condition>,
    values: ParameterValues<'_>,
) -> Result<(), BindError> {
    match condition {
        Some(condition) => bind_condition(condition, values),
        None => Ok(()),
    }
}

fn bind_condition(condition: &mut Condition, values: ParameterValues<'_>) -> Result<(), BindError> {
    match condition {
        Condition::And(elements) | Condition::Or(elements) => {
            let mut elements = elements.iter_mut();
            elements.try_for_each(|element| bind_condition(element, values))
        }
        Condition::Compare { left, right, .. } => {
            bind_expr(left, values)?;
            bind_expr(right, values)
        }
        Condition::Value(value) => bind_expr(value, values),
    }
}

fn bind_expr(expr: &mut Expr, values: ParameterValues<'_>) -> Result<(), BindError> {
    match expr {
        Expr::Parameter(name) => {
            let value = values(name).ok_or_else(|| BindError(name.clone()))?;
            *expr = Expr::Literal(value);
            Ok(())
        }
        Expr::Call(call) => {
            let mut args = call.args.iter_mut();
            args.try_for_each(|arg| bind_expr(arg, values))
        }
        Expr::Binary { left, right, .. } => {
            bind_expr(left, values)?;
            bind_expr(right, values)
        }
        Expr::Column(_) | Expr::Wildcard(_) | Expr::Regex(_) | Expr::Literal(_) => Ok(()),
    }
}
