//! Evaluates binary operators.

use promql_parser::parser::{
    BinModifier, BinaryExpr, Expr, LabelModifier, VectorMatchCardinality,
    token::{T_LAND, T_LOR},
};

use super::{Evaluator, Value, unexpected_type};
use crate::{
    annotations::Annotations,
    error::PromqlError,
    expr_properties::differs_in_name,
    number::from_bool,
    operators::{Operator, Outcome},
    series::{BoxStream, mapped},
    steps::Steps,
    unique_series::merged,
    value::SampleValue,
    vector_matching::{
        Cardinality, MatchedLabels, MatchedSeries, SetOperator, SetSeries, VectorMatching,
    },
};

/// Returns the labels that are equal in matching series.
fn matched_labels(modifier: Option<&BinModifier>) -> MatchedLabels {
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(labels)) => MatchedLabels::On(labels.labels.clone()),
        Some(LabelModifier::Exclude(labels)) => MatchedLabels::Ignoring(labels.labels.clone()),
        None => MatchedLabels::Ignoring(Vec::new()),
    }
}

fn cardinality(modifier: Option<&BinModifier>) -> Cardinality {
    match modifier.map(|modifier| &modifier.card) {
        Some(VectorMatchCardinality::ManyToOne(labels)) => {
            Cardinality::ManyToOne(labels.labels.clone())
        }
        Some(VectorMatchCardinality::OneToMany(labels)) => {
            Cardinality::OneToMany(labels.labels.clone())
        }
        Some(VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany) | None => {
            Cardinality::OneToOne
        }
    }
}

/// An operator between the values of a vector and numbers.
#[derive(Debug)]
struct ScalarOperation<'a> {
    operator: Operator,
    returns_bool: bool,
    /// The numbers of each step.
    scalars: Vec<f64>,
    /// Whether the numbers are the left operand.
    scalar_is_left: bool,
    annotations: &'a Annotations,
}

impl ScalarOperation<'_> {
    fn apply(&self, step: usize, value: SampleValue) -> Option<SampleValue> {
        let scalar = SampleValue::Float(self.scalars.get(step).copied().unwrap_or(f64::NAN));
        let (left, right) = if self.scalar_is_left {
            (&scalar, &value)
        } else {
            (&value, &scalar)
        };
        match self.operator.apply(left, right, self.annotations)? {
            Outcome::Value(result) => Some(result),
            Outcome::Holds(holds) if self.returns_bool => {
                Some(SampleValue::Float(from_bool(holds)))
            }
            // The value of the vector stays, on either side.
            Outcome::Holds(holds) => holds.then_some(value),
        }
    }
}

impl Evaluator<'_> {
    pub(super) async fn evaluate_binary<'b>(
        &'b self,
        binary: &'b BinaryExpr,
        steps: Steps,
    ) -> Result<Value<'b>, PromqlError> {
        let left = self.evaluate(&binary.lhs, steps).await?;
        let right = self.evaluate(&binary.rhs, steps).await?;
        let operator = Operator::from_token(binary.op);
        match (left, right, operator) {
            (Value::Scalar(left), Value::Scalar(right), Some(operator)) => {
                let pairs = left.into_iter().zip(right);
                let values = pairs.map(|(left, right)| operator.compute(left, right));
                Ok(Value::Scalar(values.collect()))
            }
            (Value::Vector(left), Value::Vector(right), _) => {
                self.match_vectors(binary, operator, (left, right), steps).map(Value::Vector)
            }
            (Value::Vector(vector), Value::Scalar(scalars), Some(operator)) => {
                let operation = self.scalar_operation(binary, operator, scalars, false);
                Ok(self.apply_scalar(operation, vector, &binary.lhs, steps))
            }
            (Value::Scalar(scalars), Value::Vector(vector), Some(operator)) => {
                let operation = self.scalar_operation(binary, operator, scalars, true);
                Ok(self.apply_scalar(operation, vector, &binary.rhs, steps))
            }
            _ => Err(unexpected_type(&binary.lhs, "scalar or instant vector")),
        }
    }

    fn scalar_operation(
        &self,
        binary: &BinaryExpr,
        operator: Operator,
        scalars: Vec<f64>,
        scalar_is_left: bool,
    ) -> ScalarOperation<'_> {
        ScalarOperation {
            operator,
            returns_bool: binary.return_bool(),
            scalars,
            scalar_is_left,
            annotations: &self.annotations,
        }
    }

    fn apply_scalar<'b>(
        &'b self,
        operation: ScalarOperation<'b>,
        vector: BoxStream<'b>,
        expr: &Expr,
        steps: Steps,
    ) -> Value<'b> {
        let removes_name = operation.operator.is_arithmetic() || operation.returns_bool;
        let results = mapped(vector, move |series| {
            let result = series.map(|step, value| operation.apply(step, value));
            Ok(if removes_name {
                result.without_metadata()
            } else {
                result
            })
        });
        Value::Vector(if removes_name {
            self.unique(results, expr, steps)
        } else {
            results
        })
    }

    fn match_vectors<'b>(
        &'b self,
        binary: &'b BinaryExpr,
        operator: Option<Operator>,
        sides: (BoxStream<'b>, BoxStream<'b>),
        steps: Steps,
    ) -> Result<BoxStream<'b>, PromqlError> {
        let modifier = binary.modifier.as_ref();
        let labels = matched_labels(modifier);
        let budget = self.budget.new_empty();
        if binary.op.is_set_operator() {
            let operator = match binary.op.id() {
                T_LAND => SetOperator::And,
                T_LOR => SetOperator::Or,
                _ => SetOperator::Unless,
            };
            let series: BoxStream<'b> =
                Box::new(SetSeries::new(operator, labels, sides, steps.count, budget));
            return Ok(if operator == SetOperator::Or {
                // Both sides may have series with the same labels, at other steps.
                merged(series, steps.count, self.budget.new_empty())
            } else {
                series
            });
        }
        let Some(operator) = operator else {
            return Err(unexpected_type(&binary.lhs, "scalar"));
        };
        let matching = VectorMatching {
            operator,
            returns_bool: binary.return_bool(),
            labels,
            cardinality: cardinality(modifier),
        };
        let is_unique = has_unique_results(binary, &matching);
        let annotations = &self.annotations;
        let series: BoxStream<'b> =
            Box::new(MatchedSeries::new(matching, sides, steps.count, annotations, budget));
        Ok(if is_unique {
            series
        } else {
            merged(series, steps.count, self.budget.new_empty())
        })
    }
}

/// Returns whether the results of different series have different labels.
fn has_unique_results(binary: &BinaryExpr, matching: &VectorMatching) -> bool {
    let (many, keeps_labels) = match &matching.cardinality {
        Cardinality::OneToOne => {
            let all = MatchedLabels::Ignoring(Vec::new());
            (&binary.lhs, matching.labels == all)
        }
        Cardinality::ManyToOne(included) => (&binary.lhs, included.is_empty()),
        Cardinality::OneToMany(included) => (&binary.rhs, included.is_empty()),
    };
    let removes_name = matching.operator.is_arithmetic() || matching.returns_bool;
    keeps_labels && !(removes_name && differs_in_name(many))
}
