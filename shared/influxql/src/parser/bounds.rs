//! Limits on the number of elements of each kind in a statement.
//!
//! The time to plan a statement grows at least with the square of some of these numbers, and planning cannot be
//! interrupted. Elements are counted over the whole statement because subqueries are planned together with the query
//! that contains them.

use super::{Parser, Result};

/// A kind of element that is counted.
#[derive(Clone, Copy)]
pub(super) enum Element {
    Field,
    Table,
    Dimension,
    And,
    Or,
    Operator,
}

impl Element {
    /// Returns the maximum number of these elements in a statement.
    fn most(self) -> usize {
        match self {
            Self::Field | Self::Table => 1_000,
            Self::Dimension => 100,
            // Planning time grows with the cube of this number.
            Self::And => 500,
            // Long lists of tag values are looked up as a set.
            Self::Or => 5_000,
            Self::Operator => 2_000,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Field => "fields",
            Self::Table => "tables and subqueries",
            Self::Dimension => "elements of GROUP BY",
            Self::And => "AND operators",
            Self::Or => "OR operators",
            Self::Operator => "arithmetic operators",
        }
    }
}

/// The number of elements of each kind read so far in the current statement.
#[derive(Default)]
pub(super) struct Counts {
    fields: usize,
    tables: usize,
    dimensions: usize,
    ands: usize,
    ors: usize,
    operators: usize,
}

impl Counts {
    fn of(&mut self, element: Element) -> &mut usize {
        match element {
            Element::Field => &mut self.fields,
            Element::Table => &mut self.tables,
            Element::Dimension => &mut self.dimensions,
            Element::And => &mut self.ands,
            Element::Or => &mut self.ors,
            Element::Operator => &mut self.operators,
        }
    }
}

impl Parser<'_> {
    /// Counts the element that starts at the next token.
    pub(super) fn count(&mut self, element: Element) -> Result<()> {
        let count = self.counts.of(element);
        *count += 1;
        match *count <= element.most() {
            true => Ok(()),
            false => {
                let (most, name) = (element.most(), element.name());
                Err(self.expected(format!("more than {most} {name} in a statement")))
            }
        }
    }
}
