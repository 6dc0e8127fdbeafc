//! The words of texts.

use std::collections::BTreeSet;

/// Returns whether a character belongs to a word. Symbols outside of ASCII do, because they may be values.
pub(super) fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || !character.is_ascii()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !is_of_word(character))
        .filter(|word| !word.is_empty())
}

/// A set of words without regard to case.
#[derive(Debug)]
pub(super) struct WordSet(BTreeSet<String>);

impl WordSet {
    /// Returns the words of some texts.
    pub(super) fn new(texts: &[&str]) -> Self {
        Self(texts.iter().flat_map(|text| words(text)).map(str::to_lowercase).collect())
    }

    /// Returns whether a word is one of the set.
    pub(super) fn contains(&self, word: &str) -> bool {
        self.0.contains(&word.to_lowercase())
    }

    /// Returns whether a name has words, and all of them are of the set.
    pub(super) fn contains_name(&self, name: &str) -> bool {
        let mut of_name = words(name).peekable();
        of_name.peek().is_some() && of_name.all(|word| self.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_words() {
        let words = WordSet::new(&["SELECT * FROM \"Cpu Load\"", "avg(soil_moisture)"]);
        for (name, is_named) in [
            ("cpu load", true),
            ("soil", true),
            ("soil_moisture", true),
            ("air", false),
            ("cpu_idle", false),
            ("--", false),
        ] {
            assert_eq!(words.contains_name(name), is_named, "{name}");
        }
    }
}
