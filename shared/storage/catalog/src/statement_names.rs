//! Names in the text of a statement, whatever its language.

/// The names that the text of a statement may have.
///
/// A name is found without the syntax of the statement: also in texts, comments and the names of other things.
///
/// # Examples
///
/// ```
/// use neap_catalog::StatementNames;
///
/// let names = StatementNames::new("SELECT Host, \"a\"\"b\" FROM cpu");
/// assert!(names.contains("host") && names.contains("a\"b"));
/// assert!(!names.contains("ho"));
/// ```
#[derive(Clone, Debug)]
pub struct StatementNames {
    /// The text in lower case.
    text: String,
}

impl StatementNames {
    /// Takes the text of a statement.
    pub fn new(statement: &str) -> Self {
        Self { text: statement.to_lowercase() }
    }

    /// Returns whether the statement has a name, in letters of any case. A name that is part of a longer one does not count. SQL
    /// doubles the quotes of a name; InfluxQL, PromQL and Flux escape them, backslashes and line breaks.
    pub fn contains(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        if self.has_word(&lower) {
            return true;
        }
        if !lower.contains(['"', '\\', '\n']) {
            return false;
        }
        let escaped = lower.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.has_word(&lower.replace('"', "\"\"")) || self.has_word(&escaped)
    }

    fn has_word(&self, word: &str) -> bool {
        let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        self.text.match_indices(word).any(|(at, found)| {
            let (before, from) = self.text.split_at(at);
            let after = from.strip_prefix(found).unwrap_or_default();
            !before.ends_with(is_of_name) && !after.starts_with(is_of_name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_the_statement() {
        let names = StatementNames::new("SELECT avg(HOST_name), 'é', cpu.load FROM cpu -- disk");
        for name in ["host_name", "Host_Name", "É", "load", "disk", "cpu.load"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["host", "name", "hosts", "oad", "cp", "_name"] {
            assert!(!names.contains(name), "{name}");
        }
        assert!(StatementNames::new("load").contains("load"));
        assert!(!StatementNames::new("").contains("load"));
    }

    #[test]
    fn quotes_and_backslashes_of_a_name_are_escaped_as_in_its_language() {
        for (statement, name) in [
            ("SELECT \"te\"\"mp\" FROM t", "te\"mp"),
            ("SELECT \"te\\\"mp\" FROM t", "te\"mp"),
            ("{\"te\\\"mp\"}", "te\"mp"),
            ("SELECT \"a\\b\" FROM t", "a\\b"),
            ("SELECT \"a\\\\b\" FROM t", "a\\b"),
            ("SELECT \"a\\nb\" FROM t", "a\nb"),
            ("SELECT \"a\\\\\\\"\" FROM t", "a\\\""),
            ("SELECT \"it's\" FROM t", "it's"),
        ] {
            assert!(StatementNames::new(statement).contains(name), "{statement}: {name}");
        }
    }
}
