//! The known name that a misspelt one probably means.

/// Maximum number of edits between a misspelt name and the one that it means, and the number of characters per edit.
const MAX_EDITS: usize = 2;
const CHARACTERS_PER_EDIT: usize = 4;

/// Returns the known name from which a name differs in the fewest letters; `None` if all differ too much.
pub(crate) fn nearest_name<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let max_edits = (name.chars().count() / CHARACTERS_PER_EDIT).clamp(1, MAX_EDITS);
    let edits = known.into_iter().map(|known| (strsim::osa_distance(name, known), known));
    let near = edits.filter(|(edits, _)| *edits <= max_edits).min();
    near.map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_few_wrong_letters_is_recognized() {
        let known = ["HOST", "HTTP_BIND", "MODE", "DATA_DIR"];
        for (name, expected) in [
            ("HTP_BIND", Some("HTTP_BIND")),
            ("HTTPBIND", Some("HTTP_BIND")),
            ("MOED", Some("MODE")),
            ("DATADIR", Some("DATA_DIR")),
            ("PORT", None),
            ("SERVICE_HOST", None),
            ("", None),
        ] {
            assert_eq!(nearest_name(name, known), expected, "{name}");
        }
    }
}
