//! How many elements of each kind a statement may have.
//!
//! The work of planning a statement grows with the square or more of some of these numbers, and nothing can interrupt it.
//! They are counted over the whole of a statement, since subqueries are planned together with what is around them.

use super::{Parser, Result};

/// What is counted.
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
    /// The most of these in a statement.
    fn most(self) -> usize {
        match self {
            Self::Field | Self::Table => 1_000,
            Self::Dimension => 100,
            // The work grows with the third power of their number.
            Self::And => 500,
            // Long lists of values of a tag are looked up as a set.
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

/// How many elements of each kind have been read of a statement.
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
    /// Counts an element that is ahead.
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
