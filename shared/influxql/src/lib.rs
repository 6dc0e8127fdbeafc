//! InfluxQL: the text of statements to a tree, and back.
//!
//! ```text
//!   text -> parse -> [Statement] -> bind -> lift_database -> (planned elsewhere)
//!                        |
//!                        Display: the same statement in canonical form
//! ```
//!
//! [`parse`] takes one or more statements separated by `;`. It never panics, and neither the depth of the
//! trees nor the length of the text is without a bound. [`Statement::bind`] puts values in place of
//! placeholders; [`Statement::lift_database`] takes the one database that a statement names out of it.

mod bind;
mod display;
mod error;
mod expr;
mod lexer;
mod lift;
mod parser;
mod select;
mod statement;

pub use bind::BindError;
pub use display::quoted_if_needed;
pub use error::ParseError;
pub use expr::{
    BinaryOp, Call, Cast, Column, ColumnKind, CompareOp, Condition, Expr, Literal, Regex,
};
pub use lift::{LiftError, NamedDatabase};
pub use parser::{MAX_DEPTH, MAX_STATEMENT_BYTES, parse};
pub use select::{Dimension, Field, Fill, Measurement, MeasurementName, Order, Select, Source};
pub use statement::{
    Counted, Deletion, Explain, NameMatch, PolicyOptions, Retention, RetentionPolicy, Show,
    ShowCardinality, ShowMeasurements, ShowTagValues, Statement,
};

#[cfg(test)]
mod tests;
