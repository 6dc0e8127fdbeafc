//! The savepoints of a transaction.

use neap_sql_changes::{SqlError, SqlState};

/// Maximum bytes of the savepoints of a transaction.
const MAX_BYTES: usize = 64 << 10;

/// The savepoints of a transaction, in the order of their statements.
#[derive(Debug, Default)]
pub(crate) struct Savepoints(Vec<Savepoint>);

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// The number of rows that the transaction had written.
    rows: usize,
}

impl Savepoints {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a savepoint. It hides an earlier one of the same name.
    pub(crate) fn add(&mut self, name: &str, rows: usize) -> Result<(), SqlError> {
        let held: usize =
            self.0.iter().map(|known| size_of::<Savepoint>() + known.name.len()).sum();
        if held + size_of::<Savepoint>() + name.len() > MAX_BYTES {
            let message =
                format!("the savepoints of the transaction are larger than {MAX_BYTES} bytes");
            let hint = "RELEASE ends a savepoint.";
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message).with_hint(hint));
        }
        self.0.push(Savepoint { name: name.to_owned(), rows });
        Ok(())
    }

    /// Ends a savepoint and those after it.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn release(&mut self, name: &str) -> Result<(), SqlError> {
        self.0.truncate(self.position(name)?);
        Ok(())
    }

    /// Ends the savepoints after this one, and returns the number of rows at it.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn roll_back_to(&mut self, name: &str) -> Result<usize, SqlError> {
        self.0.truncate(self.position(name)? + 1);
        Ok(self.0.last().map_or(0, |savepoint| savepoint.rows))
    }

    fn position(&self, name: &str) -> Result<usize, SqlError> {
        let found = self.0.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| undefined_savepoint(name))
    }
}

/// Creates the error of a savepoint that does not exist.
pub(crate) fn undefined_savepoint(name: &str) -> SqlError {
    let message = format!("savepoint \"{name}\" does not exist");
    SqlError::new(SqlState::UNDEFINED_SAVEPOINT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_savepoint_ends_those_after_it() {
        let mut savepoints = Savepoints::default();
        for (name, rows) in [("a", 1), ("b", 2), ("a", 3)] {
            savepoints.add(name, rows).unwrap();
        }
        assert_eq!(savepoints.roll_back_to("a"), Ok(3));
        savepoints.release("a").unwrap();
        assert_eq!(savepoints.roll_back_to("a"), Ok(1));
        let error = savepoints.roll_back_to("b").unwrap_err();
        assert_eq!(error.state, SqlState::UNDEFINED_SAVEPOINT);
        savepoints.release("a").unwrap();
        assert!(savepoints.is_empty());
    }

    #[test]
    fn the_savepoints_of_a_transaction_are_bounded() {
        let mut savepoints = Savepoints::default();
        let error = (0..MAX_BYTES).find_map(|rows| savepoints.add("a", rows).err()).unwrap();
        assert_eq!(error.state, SqlState::LIMIT_EXCEEDED);
    }
}
