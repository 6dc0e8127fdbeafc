//! The subset of Flux that Neap answers: the text of a query becomes pipelines of operations on tables.
//!
//! ```text
//!   text --parser--> syntax tree --evaluator--> Program: a pipeline for each result
//!                                               source, operations with constants and row expressions
//! ```
//!
//! The parser knows the expressions of Flux. What is outside of the subset is refused with its position, its name, and the SQL
//! that does the same where there is some. The crate knows neither tables nor plans.

mod arguments;
mod ast;
mod calls;
mod duration;
mod error;
mod evaluator;
mod extern_file;
mod functions;
mod lexer;
mod parser;
mod pipeline;
mod row;
mod row_functions;
mod sources;
mod value;

pub use duration::FluxDuration;
pub use error::{FluxError, Position, Span};
pub use evaluator::{Environment, MAX_TEXT_BYTES, Program, ResultTables, compile};
pub use pipeline::{
    Aggregate, ColumnChoice, GroupMode, MapFunction, Operation, Pipeline, Pivot, Selector, Source,
    Step, TimeSource, WindowFunction, WindowedAggregate,
};
pub use row::{Arithmetic, Comparison, Constant, RowExpr, RowExprKind, ValueType};

#[cfg(test)]
mod tests;
