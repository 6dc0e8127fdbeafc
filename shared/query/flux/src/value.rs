//! The values of expressions outside of rows.

use std::sync::Arc;

use crate::{Constant, FluxDuration, Pipeline, ast::Expr};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Constant(Constant),
    Duration(FluxDuration),
    /// The pattern of a regular expression.
    Regex(String),
    Array(Vec<Self>),
    Record(Vec<(String, Self)>),
    Function(Arc<FunctionValue>),
    Builtin(BuiltinName),
    /// A package, by its path.
    Package(String),
    Tables(Pipeline),
}

/// A function of the query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FunctionValue {
    pub(crate) parameters: Vec<String>,
    pub(crate) body: Expr,
}

/// The name of a function of Flux. It may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuiltinName {
    /// The path of its package; empty if it needs no import.
    pub(crate) package: String,
    pub(crate) name: String,
}

impl BuiltinName {
    /// The name as queries write it.
    pub(crate) fn shown(&self) -> String {
        match self.package.rsplit('/').next() {
            Some(package) if !package.is_empty() => format!("{package}.{}", self.name),
            _ => self.name.clone(),
        }
    }
}

impl Value {
    /// The name of the type in messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Constant(constant) => match constant {
                Constant::Boolean(_) => "bool",
                Constant::Integer(_) => "int",
                Constant::Unsigned(_) => "uint",
                Constant::Float(_) => "float",
                Constant::Text(_) => "string",
                Constant::Time(_) => "time",
            },
            Self::Duration(_) => "duration",
            Self::Regex(_) => "regexp",
            Self::Array(_) => "array",
            Self::Record(_) => "record",
            Self::Function(_) | Self::Builtin(_) => "function",
            Self::Package(_) => "package",
            Self::Tables(_) => "stream of tables",
        }
    }

    /// The number of elements that a copy of the value has.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Array(elements) => elements.iter().map(Self::size).sum::<usize>() + 1,
            Self::Record(properties) => {
                properties.iter().map(|(_, value)| value.size()).sum::<usize>() + 1
            }
            Self::Tables(pipeline) => pipeline.steps.len() + 1,
            _ => 1,
        }
    }
}
