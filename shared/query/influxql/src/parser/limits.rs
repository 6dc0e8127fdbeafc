//! Limits on the number of elements of each kind in a statement.
//!
//! The time to plan a statement grows at least with the square of some of these numbers, and planning cannot be
//! interrupted. Elements are counted over the whole statement because subqueries are planned together with the query
//! that contains them.

/// A kind of element that is counted.
#[derive(Clone, Copy)]
pub(super) enum StatementElement {
    Field,
    Table,
    Dimension,
    And,
    Or,
    Operator,
}

impl StatementElement {
    /// Returns the maximum number of these elements in a statement.
    fn maximum(self) -> usize {
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
pub(super) struct ElementCounts {
    fields: usize,
    tables: usize,
    dimensions: usize,
    ands: usize,
    ors: usize,
    operators: usize,
}

impl ElementCounts {
    /// Counts an element.
    /// Fails if the statement has too many of these elements. Returns the message about that.
    pub(super) fn add(&mut self, element: StatementElement) -> Result<(), String> {
        let count = self.of(element);
        *count += 1;
        if *count <= element.maximum() {
            Ok(())
        } else {
            let (most, name) = (element.maximum(), element.name());
            Err(format!("more than {most} {name} in a statement"))
        }
    }

    fn of(&mut self, element: StatementElement) -> &mut usize {
        match element {
            StatementElement::Field => &mut self.fields,
            StatementElement::Table => &mut self.tables,
            StatementElement::Dimension => &mut self.dimensions,
            StatementElement::And => &mut self.ands,
            StatementElement::Or => &mut self.ors,
            StatementElement::Operator => &mut self.operators,
        }
    }
}
