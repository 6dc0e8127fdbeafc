//! Functions and operators of JSON that is stored as text, in fields and in tags.
//!
//! ```text
//!   function    the functions of the crate datafusion-functions-json, with one result type each
//!   operators   text -> key, text ->> key, text ? key   as calls
//!   casts       CAST(text -> key AS type)               as the call that reads this type
//! ```
//!
//! `->` returns JSON text. The crate returns a union of types, which answers, groups and files can't have.

mod casts;
mod function;
mod operators;
#[cfg(test)]
mod tests;

pub(crate) use casts::JsonCastRule;
pub(crate) use function::json_functions;
pub(crate) use operators::JsonOperatorPlanner;
