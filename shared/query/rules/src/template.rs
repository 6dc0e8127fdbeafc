//! The templates of labels and annotations: `{{ $labels.NAME }}` and `{{ $value }}`.

use crate::{LabelSet, RuleError};

enum TemplatePart<'a> {
    Text(&'a str),
    Label(&'a str),
    Value,
}

/// Divides a template into its parts.
fn parts(template: &str) -> Result<Vec<TemplatePart<'_>>, RuleError> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        parts.push(TemplatePart::Text(text));
        let Some((action, after_action)) = after.split_once("}}") else {
            return Err(unsupported(template));
        };
        parts.push(match action.trim() {
            "$value" | ".Value" => TemplatePart::Value,
            name => {
                let label = name.strip_prefix("$labels.").or(name.strip_prefix(".Labels."));
                let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
                match label.filter(|label| !label.is_empty() && label.chars().all(is_name)) {
                    Some(label) => TemplatePart::Label(label),
                    None => return Err(unsupported(template)),
                }
            }
        });
        rest = after_action;
    }
    parts.push(TemplatePart::Text(rest));
    Ok(parts)
}

fn unsupported(template: &str) -> RuleError {
    RuleError::Invalid(format!(
        "template {template:?}: only {{{{ $labels.NAME }}}} and {{{{ $value }}}} are supported"
    ))
}

/// Checks that a template has supported parts only.
/// Fails with `Invalid`.
pub(crate) fn check_template(template: &str) -> Result<(), RuleError> {
    parts(template).map(|_| ())
}

/// Returns the text of a template for a result, of which what is beyond `max_bytes` is cut off. A label that the result does not
/// have is empty. A template that is not supported, which no definition has, remains as it is.
pub(crate) fn expand(template: &str, labels: &LabelSet, value: &str, max_bytes: usize) -> String {
    let parts = parts(template).unwrap_or_else(|_| vec![TemplatePart::Text(template)]);
    let mut expanded = String::new();
    for part in parts {
        let text = match part {
            TemplatePart::Text(text) => text,
            TemplatePart::Label(name) => labels.get(name).map_or("", String::as_str),
            TemplatePart::Value => value,
        };
        let end = text.floor_char_boundary(max_bytes.saturating_sub(expanded.len()));
        expanded.push_str(text.get(..end).unwrap_or_default());
        if end < text.len() {
            break;
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_the_value_are_inserted() {
        let labels = LabelSet::from([("job".to_owned(), "api".to_owned())]);
        for (template, expected) in [
            ("{{ $labels.job }}: {{$value}}", "api: 0.5"),
            ("{{ .Labels.job }} {{ .Value }}", "api 0.5"),
            ("<{{ $labels.absent }}>", "<>"),
            ("no parts }}", "no parts }}"),
        ] {
            assert_eq!(expand(template, &labels, "0.5", 100), expected);
        }
    }

    #[test]
    fn a_text_has_a_maximum_size() {
        let labels = LabelSet::from([("job".to_owned(), "ä".repeat(1_000))]);
        let text = expand(&"{{ $labels.job }}".repeat(1_000), &labels, "1", 101);
        assert_eq!(text, "ä".repeat(50));
        assert_eq!(expand("{{ $value", &labels, "1", 4), "{{ $");
    }

    #[test]
    fn other_actions_are_refused() {
        for template in ["{{ $value | humanize }}", "{{ if 1 }}", "{{ $labels.a-b }}", "{{ $value"]
        {
            assert!(check_template(template).is_err(), "{template}");
        }
    }
}
