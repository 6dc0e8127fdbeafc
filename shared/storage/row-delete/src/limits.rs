//! Limits on the size of a condition. A condition is stored with every manifest until no section needs it, and
//! evaluated on every batch that a query reads.

use crate::{Condition, RowDelete};

/// Maximum number of terms (comparisons) in a condition.
pub const MAX_TERMS: usize = 100;

/// Maximum bytes of the text of a predicate, and of all names and values in a condition (16 KiB).
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// Maximum nesting depth.
pub const MAX_DEPTH: usize = 32;

/// Bytes of a recorded delete besides its condition, such as its stamp.
const DELETE_BYTES: u64 = 128;

/// Bytes of a part of a condition besides its text.
const PART_BYTES: u64 = 48;

impl RowDelete {
    /// Returns about how many bytes the delete takes up in a manifest: the measure of the work that unapplied deletes
    /// cause.
    pub fn stored_bytes(&self) -> u64 {
        DELETE_BYTES + self.condition.stored_bytes()
    }
}

/// A condition exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionLimitError {
    /// It has too many comparisons.
    #[error("the condition of a delete has more than {MAX_TERMS} terms")]
    Terms,
    /// Its names and values are too long.
    #[error("the condition of a delete has more than {MAX_TEXT_BYTES} bytes of text")]
    Text,
    /// It is nested too deeply.
    #[error("the condition of a delete is nested more than {MAX_DEPTH} deep")]
    Depth,
}

#[derive(Default)]
struct ConditionSize {
    terms: usize,
    bytes: usize,
}

impl Condition {
    fn stored_bytes(&self) -> u64 {
        let inner = match self {
            Self::Time { .. } => 0,
            Self::Tag { name, value } => {
                (name.len() + value.as_ref().map_or(0, String::len)) as u64
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::stored_bytes).sum(),
        };
        PART_BYTES + inner
    }

    /// Checks that the condition is within the limits.
    ///
    /// # Errors
    /// The limit that it exceeds.
    pub fn check_limits(&self) -> Result<(), ConditionLimitError> {
        self.add_to(&mut ConditionSize::default(), 0)
    }

    fn add_to(&self, size: &mut ConditionSize, depth: usize) -> Result<(), ConditionLimitError> {
        if depth > MAX_DEPTH {
            return Err(ConditionLimitError::Depth);
        }
        match self {
            Self::All(parts) | Self::Any(parts) if !parts.is_empty() => {
                for part in parts {
                    part.add_to(size, depth + 1)?;
                }
            }
            Self::Tag { name, value } => {
                size.terms += 1;
                size.bytes += name.len() + value.as_ref().map_or(0, String::len);
            }
            Self::Time { .. } | Self::All(_) | Self::Any(_) => size.terms += 1,
        }
        if size.terms > MAX_TERMS {
            return Err(ConditionLimitError::Terms);
        }
        if size.bytes > MAX_TEXT_BYTES {
            return Err(ConditionLimitError::Text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use neap_schema::TableId;

    use super::*;
    use crate::condition::tests::tag;

    #[test]
    fn a_delete_counts_by_its_stored_size() {
        let delete = |condition| RowDelete { table: TableId::new(1), condition };
        let short = delete(Condition::between(1, 2).and(tag("host", "a")));
        let long = delete(tag("host", &"x".repeat(1_000)));
        assert_eq!(short.stored_bytes(), 128 + 3 * 48 + 5);
        assert_eq!(long.stored_bytes(), 128 + 48 + 1_004);
    }

    #[test]
    fn conditions_are_bounded_in_terms_text_and_depth() {
        let terms = |number| Condition::Any(vec![tag("t", "a"); number]);
        assert_eq!(terms(MAX_TERMS).check_limits(), Ok(()));
        assert_eq!(terms(MAX_TERMS + 1).check_limits(), Err(ConditionLimitError::Terms));
        let empty = Condition::All(vec![Condition::EVERYTHING; MAX_TERMS + 1]);
        assert_eq!(empty.check_limits(), Err(ConditionLimitError::Terms));
        let long = |bytes| tag("t", &"x".repeat(bytes));
        assert_eq!(long(MAX_TEXT_BYTES - 1).check_limits(), Ok(()));
        assert_eq!(long(MAX_TEXT_BYTES).check_limits(), Err(ConditionLimitError::Text));
        let nested = |depth| (0..depth).fold(tag("t", "a"), |inner, _| Condition::All(vec![inner]));
        assert_eq!(nested(MAX_DEPTH).check_limits(), Ok(()));
        assert_eq!(nested(MAX_DEPTH + 1).check_limits(), Err(ConditionLimitError::Depth));
    }
}
