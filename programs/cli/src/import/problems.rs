//! What is missing of a part of an import, kept in its state.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::client::RefusedLines;

/// Maximum number of messages that are kept for a unit.
const MAX_TEXTS: usize = 10;
/// Maximum number of characters of a message.
const MAX_TEXT_CHARS: usize = 1_000;

/// The refused rows and the damage of a unit. The first messages are kept, so that a continued import shows them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnitProblems {
    /// Refused rows by database.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Number of parts that cannot be read.
    pub(crate) damaged: u64,
    /// The first messages.
    pub(crate) texts: Vec<String>,
}

impl UnitProblems {
    /// Adds rows that were refused.
    pub(crate) fn add_refused(&mut self, database: &str, refused: &RefusedLines) {
        *self.refused.entry(database.to_owned()).or_default() += refused.count();
        self.add_text(refused);
    }

    /// Adds a part that cannot be read. Returns whether it is new: a part may be found again after an interruption.
    pub(crate) fn add_damage(&mut self, damage: impl fmt::Display) -> bool {
        let text = shorten(damage);
        if self.texts.contains(&text) {
            return false;
        }
        self.damaged += 1;
        self.add_text(text);
        true
    }

    /// Adds the problems of a later part.
    pub(crate) fn merge(&mut self, later: Self) {
        for (database, rows) in later.refused {
            *self.refused.entry(database).or_default() += rows;
        }
        self.damaged += later.damaged;
        later.texts.into_iter().for_each(|text| self.add_text(text));
    }

    fn add_text(&mut self, text: impl fmt::Display) {
        if self.texts.len() < MAX_TEXTS {
            self.texts.push(shorten(text));
        }
    }
}

fn shorten(text: impl fmt::Display) -> String {
    text.to_string().chars().take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_that_is_found_again_counts_once() {
        let mut problems = UnitProblems::default();
        assert!(problems.add_damage("a"));
        assert!(!problems.add_damage("a"));
        assert!(problems.add_damage("b"));
        assert_eq!((problems.damaged, problems.texts.len()), (2, 2));
    }

    #[test]
    fn messages_have_a_bound() {
        let mut problems = UnitProblems::default();
        for number in 0..100 {
            problems.add_damage(format!("{number} {}", "ä".repeat(5_000)));
        }
        assert_eq!(problems.damaged, 100);
        let chars: usize = problems.texts.iter().map(|text| text.chars().count()).sum();
        assert_eq!(chars, MAX_TEXTS * MAX_TEXT_CHARS);
    }
}
