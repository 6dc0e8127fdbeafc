//! The former names of a database, a table or a column, which still stand for it: its aliases.

use crate::LimitError;

/// Maximum number of aliases of a database, a table or a column.
pub const MAX_ALIASES: usize = 32;

/// Replaces a name. The name before becomes the newest alias, and an alias that is the new name is none any more.
/// Fails if there are [`MAX_ALIASES`] already.
pub(crate) fn rename(
    name: &mut String,
    aliases: &mut Vec<String>,
    new: &str,
) -> Result<(), LimitError> {
    aliases.retain(|alias| alias != new);
    if aliases.len() >= MAX_ALIASES {
        return Err(LimitError::Aliases { limit: MAX_ALIASES });
    }
    aliases.push(std::mem::replace(name, new.to_owned()));
    Ok(())
}

/// Removes an alias. Returns whether it was one.
pub(crate) fn remove(aliases: &mut Vec<String>, alias: &str) -> bool {
    let before = aliases.len();
    aliases.retain(|other| other != alias);
    aliases.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_alias_change_places() {
        let (mut name, mut aliases) = ("a".to_owned(), Vec::new());
        rename(&mut name, &mut aliases, "b").unwrap();
        rename(&mut name, &mut aliases, "c").unwrap();
        assert_eq!(
            (name.as_str(), aliases.as_slice()),
            ("c", &["a".to_owned(), "b".to_owned()][..])
        );
        rename(&mut name, &mut aliases, "a").unwrap();
        assert_eq!(
            (name.as_str(), aliases.as_slice()),
            ("a", &["b".to_owned(), "c".to_owned()][..])
        );
        assert!(remove(&mut aliases, "b"));
        assert!(!remove(&mut aliases, "b"));
    }

    #[test]
    fn the_number_of_aliases_is_limited() {
        let (mut name, mut aliases) = ("0".to_owned(), Vec::new());
        for number in 1..=MAX_ALIASES {
            rename(&mut name, &mut aliases, &number.to_string()).unwrap();
        }
        let limit = rename(&mut name, &mut aliases, "one too many").unwrap_err();
        assert_eq!(limit, LimitError::Aliases { limit: MAX_ALIASES });
        // Names that are there already change places.
        rename(&mut name, &mut aliases, "7").unwrap();
    }
}
