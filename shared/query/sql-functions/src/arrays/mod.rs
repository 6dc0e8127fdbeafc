//! Functions of arrays of numbers that are stored as text: JSON such as `[[1.0,2.0],[3.0,null]]`.
//!
//! Arrays that QuestDB's clients write are stored in this form. All sub-arrays of a dimension have the same length, and
//! an element is a number or `null`. For any other text, the functions return null.

mod function;
mod number_array;

pub(crate) use function::{ArrayFunction, ArrayFunctionKind};

#[cfg(test)]
mod tests;
