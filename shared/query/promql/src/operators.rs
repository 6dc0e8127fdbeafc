//! Operators on numbers and histograms.

use std::sync::Arc;

use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LSS, T_LTE, T_MOD, T_MUL, T_NEQ, T_POW, T_SUB,
    TokenType,
};

use crate::{
    annotations::Annotations,
    histogram::{Combination, CounterResetHint, FloatHistogram, MixedSchemas},
    number::from_bool,
    value::SampleValue,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Remainder,
    Atan2,
}

/// An operator on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Arithmetic(Arithmetic),
    Comparison(Comparison),
}

/// The result of an operator on two values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The result of arithmetic.
    Value(SampleValue),
    /// Whether a comparison holds.
    Holds(bool),
}

impl Comparison {
    fn compare(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::Less => left < right,
            Self::GreaterOrEqual => left >= right,
            Self::LessOrEqual => left <= right,
        }
    }
}

impl Arithmetic {
    fn compute(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Power => left.powf(right),
            Self::Remainder => left % right,
            Self::Atan2 => left.atan2(right),
        }
    }
}

impl Operator {
    /// Returns the operator of a token; `None` if it is another one.
    pub(crate) fn from_token(token: TokenType) -> Option<Self> {
        use Arithmetic::{Add, Atan2, Divide, Multiply, Power, Remainder, Subtract};
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        Some(match token.id() {
            T_ADD => Self::Arithmetic(Add),
            T_SUB => Self::Arithmetic(Subtract),
            T_MUL => Self::Arithmetic(Multiply),
            T_DIV => Self::Arithmetic(Divide),
            T_POW => Self::Arithmetic(Power),
            T_MOD => Self::Arithmetic(Remainder),
            T_ATAN2 => Self::Arithmetic(Atan2),
            T_EQLC => Self::Comparison(Equal),
            T_NEQ => Self::Comparison(NotEqual),
            T_GTR => Self::Comparison(Greater),
            T_LSS => Self::Comparison(Less),
            T_GTE => Self::Comparison(GreaterOrEqual),
            T_LTE => Self::Comparison(LessOrEqual),
            _ => return None,
        })
    }

    /// Returns whether the result is of another kind than the metric, so that it does not have its name.
    pub(crate) fn is_arithmetic(self) -> bool {
        matches!(self, Self::Arithmetic(_))
    }

    /// Computes with scalars. A comparison is 1 or 0.
    pub(crate) fn compute(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Arithmetic(operator) => operator.compute(left, right),
            Self::Comparison(operator) => from_bool(operator.compare(left, right)),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Arithmetic(operator) => match operator {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Power => "^",
                Arithmetic::Remainder => "%",
                Arithmetic::Atan2 => "atan2",
            },
            Self::Comparison(operator) => match operator {
                Comparison::Equal => "==",
                Comparison::NotEqual => "!=",
                Comparison::Greater => ">",
                Comparison::Less => "<",
                Comparison::GreaterOrEqual => ">=",
                Comparison::LessOrEqual => "<=",
            },
        }
    }

    /// Applies the operator to two values. `None`, with an annotation, if it is not defined for their types.
    pub(crate) fn apply(
        self,
        left: &SampleValue,
        right: &SampleValue,
        annotations: &Annotations,
    ) -> Option<Outcome> {
        use SampleValue::{Float, Histogram};
        let outcome = match (self, left, right) {
            (Self::Arithmetic(operator), Float(left), Float(right)) => {
                Some(Outcome::Value(Float(operator.compute(*left, *right))))
            }
            (Self::Comparison(operator), Float(left), Float(right)) => {
                Some(Outcome::Holds(operator.compare(*left, *right)))
            }
            (Self::Arithmetic(Arithmetic::Multiply), Histogram(histogram), Float(factor))
            | (Self::Arithmetic(Arithmetic::Multiply), Float(factor), Histogram(histogram)) => {
                let scaled = mapped(histogram, |product| product.multiply(*factor));
                Some(Outcome::Value(scaled))
            }
            (Self::Arithmetic(Arithmetic::Divide), Histogram(histogram), Float(divisor)) => {
                let scaled = mapped(histogram, |quotient| quotient.divide(*divisor));
                Some(Outcome::Value(scaled))
            }
            (_, Histogram(left), Histogram(right)) => {
                return self.apply_to_histograms(left, right, annotations);
            }
            _ => None,
        };
        if outcome.is_none() {
            self.inform_incompatible(type_name(left), type_name(right), annotations);
        }
        outcome
    }

    fn inform_incompatible(self, left: &str, right: &str, annotations: &Annotations) {
        let operator = self.text();
        annotations.inform(&format!(
            "incompatible sample types encountered for binary operator {operator:?}: \
             {left} {operator} {right}"
        ));
    }

    fn apply_to_histograms(
        self,
        left: &FloatHistogram,
        right: &FloatHistogram,
        annotations: &Annotations,
    ) -> Option<Outcome> {
        let mut result = left.clone();
        let (combined, operation) = match self {
            Self::Comparison(Comparison::Equal) => {
                return Some(Outcome::Holds(left.has_equal_buckets(right)));
            }
            Self::Comparison(Comparison::NotEqual) => {
                return Some(Outcome::Holds(!left.has_equal_buckets(right)));
            }
            Self::Arithmetic(Arithmetic::Add) => (result.add(right), "addition"),
            Self::Arithmetic(Arithmetic::Subtract) => {
                let combined = result.subtract(right);
                result.reset_hint = CounterResetHint::Gauge;
                (combined, "subtraction")
            }
            _ => {
                self.inform_incompatible("histogram", "histogram", annotations);
                return None;
            }
        };
        self.check(combined, operation, annotations)?;
        result.compact();
        Some(Outcome::Value(result.into()))
    }

    /// Adds the annotations of a combination of histograms. `None` if they cannot be combined.
    fn check(
        self,
        combined: Result<Combination, MixedSchemas>,
        operation: &str,
        annotations: &Annotations,
    ) -> Option<()> {
        let Ok(combination) = combined else {
            let text = "incompatible bucket layout encountered for binary operator";
            annotations.warn(&format!("{text} {}", self.text()));
            return None;
        };
        if combination.conflicting_resets {
            let text = "conflicting counter resets during histogram";
            annotations.warn(&format!("{text} {operation}"));
        }
        if combination.reconciled_bounds {
            annotations.inform_reconciled_bounds(operation);
        }
        Some(())
    }
}

fn type_name(value: &SampleValue) -> &'static str {
    match value {
        SampleValue::Float(_) => "float",
        SampleValue::Histogram(_) => "histogram",
    }
}

/// Changes a copy of a histogram.
fn mapped(histogram: &Arc<FloatHistogram>, map: impl Fn(&mut FloatHistogram)) -> SampleValue {
    let mut result = FloatHistogram::clone(histogram);
    map(&mut result);
    result.compact();
    result.into()
}

pub(crate) fn negated(value: &SampleValue) -> SampleValue {
    match value {
        SampleValue::Float(value) => SampleValue::Float(-value),
        SampleValue::Histogram(histogram) => {
            let mut result = FloatHistogram::clone(histogram);
            result.multiply(-1.0);
            result.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(operator: Operator, left: SampleValue, right: SampleValue) -> Option<Outcome> {
        operator.apply(&left, &right, &Annotations::default())
    }

    fn histogram(count: f64) -> SampleValue {
        FloatHistogram {
            count,
            positive: vec![(1, count)],
            ..FloatHistogram::default()
        }
        .into()
    }

    #[test]
    fn scalars_are_computed_and_compared() {
        assert_eq!(Operator::Arithmetic(Arithmetic::Remainder).compute(-7.0, 4.0), -3.0);
        assert_eq!(Operator::Arithmetic(Arithmetic::Power).compute(2.0, 3.0), 8.0);
        assert_eq!(Operator::Comparison(Comparison::LessOrEqual).compute(2.0, 2.0), 1.0);
        assert_eq!(Operator::Comparison(Comparison::Equal).compute(f64::NAN, f64::NAN), 0.0);
    }

    #[test]
    fn histograms_are_added_scaled_and_compared() {
        let add = Operator::Arithmetic(Arithmetic::Add);
        assert_eq!(
            apply(add, histogram(1.0), histogram(2.0)),
            Some(Outcome::Value(histogram(3.0)))
        );
        let multiply = Operator::Arithmetic(Arithmetic::Multiply);
        assert_eq!(
            apply(multiply, SampleValue::Float(2.0), histogram(2.0)),
            Some(Outcome::Value(histogram(4.0)))
        );
        let equal = Operator::Comparison(Comparison::Equal);
        assert_eq!(apply(equal, histogram(1.0), histogram(1.0)), Some(Outcome::Holds(true)));
    }

    #[test]
    fn operators_without_a_meaning_for_the_types_add_a_hint() {
        let annotations = Annotations::default();
        let add = Operator::Arithmetic(Arithmetic::Add);
        assert_eq!(add.apply(&SampleValue::Float(1.0), &histogram(1.0), &annotations), None);
        let (_, infos) = annotations.into_texts();
        assert_eq!(
            infos,
            ["PromQL info: incompatible sample types encountered for binary operator \"+\": \
                 float + histogram"]
        );
    }
}
