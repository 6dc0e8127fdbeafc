//! InfluxQL: parses statements to syntax trees, and writes the trees as text.
//!
//! ```text
//!   text -> parse -> [Statement] -> bind -> lift_database -> (planned elsewhere)
//!                        |
//!                        Display: the same statement in canonical form
//! ```
//!
//! [`parse`] reads one or more statements separated by `;`. It never panics, and it limits the depth of the trees
//! and the length of the text. [`Statement::bind`] replaces placeholders with values. [`Statement::extract_database`]
//! removes the one database that a statement names, and returns it.

mod bind;
mod continuous_query;
mod display;
mod error;
mod expr;
mod lexer;
mod named_database;
mod parser;
mod select;
mod server_statement;
mod statement;
mod user_statement;

pub use bind::BindError;
pub use continuous_query::{ContinuousQuery, ContinuousQueryStatement};
pub use display::quoted_if_needed;
pub use error::ParseError;
pub use expr::{
    BinaryOp, Call, Cast, Column, ColumnKind, CompareOp, Condition, Expr, Literal, Regex,
};
pub use named_database::{MultipleDatabasesError, NamedDatabase};
pub use parser::{MAX_DEPTH, MAX_STATEMENT_BYTES, parse, unknown_show_error};
pub use select::{
    Dimension, Field, Fill, IntoTarget, Measurement, MeasurementName, Select, SelectInto,
    SelectSource, TimeOrder, WindowLength,
};
pub use server_statement::ServerStatement;
pub use statement::{
    CardinalityTarget, DeleteClauses, Explain, NameMatch, PolicyOptions, RetentionDuration,
    RetentionPolicy, ShowCardinality, ShowClauses, ShowMeasurements, ShowTagKeys, ShowTagValues,
    Statement,
};
pub use user_statement::{Password, Privilege, UserPrivilege, UserStatement};

#[cfg(test)]
mod tests;
