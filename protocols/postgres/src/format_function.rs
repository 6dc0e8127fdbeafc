//! The function `format` of PostgreSQL.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, StringArray},
    datatypes::DataType,
};
use datafusion::{
    common::{Result, exec_err},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    },
};
use neap_query::{quoted_name, quoted_text};

/// `format(text, values ...)` with the specifiers `%s`, `%I`, `%L` and `%%`, without widths, which have no bound in
/// PostgreSQL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct FormatFunction {
    signature: Signature,
}

impl Default for FormatFunction {
    fn default() -> Self {
        Self {
            signature: Signature::new(TypeSignature::VariadicAny, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for FormatFunction {
    fn name(&self) -> &str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let count = arguments.number_rows;
        let mut columns = Vec::with_capacity(arguments.args.len());
        for argument in &arguments.args {
            columns.push(argument.cast_to(&DataType::Utf8, None)?.into_array(count)?);
        }
        let texts: Vec<&StringArray> =
            columns.iter().map(|column| column.as_string::<i32>()).collect();
        let [templates, others @ ..] = texts.as_slice() else {
            return exec_err!("format needs a text");
        };
        let rows = (0..count).map(|row| {
            let values: Vec<Option<&str>> = others.iter().map(|column| cell(column, row)).collect();
            cell(templates, row).map(|template| format_text(template, &values)).transpose()
        });
        let formatted = rows.collect::<Result<StringArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(formatted)))
    }
}

fn cell(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn format_text(template: &str, values: &[Option<&str>]) -> Result<String> {
    let mut formatted = String::new();
    let mut remaining = values.iter().copied();
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            formatted.push(character);
            continue;
        }
        let specifier = characters.next();
        if specifier == Some('%') {
            formatted.push('%');
            continue;
        }
        let Some(value) = remaining.next() else {
            return exec_err!("too few arguments for format()");
        };
        match (specifier, value) {
            (Some('s'), text) => formatted.push_str(text.unwrap_or_default()),
            (Some('I'), Some(name)) if is_plain(name) => formatted.push_str(name),
            (Some('I'), Some(name)) => formatted.push_str(&quoted_name(name)),
            (Some('I'), None) => {
                return exec_err!("null values cannot be formatted as an SQL identifier");
            }
            (Some('L'), Some(text)) => formatted.push_str(&quoted_text(text)),
            (Some('L'), None) => formatted.push_str("NULL"),
            _ => return exec_err!("format() knows the specifiers %s, %I and %L"),
        }
    }
    Ok(formatted)
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_names_and_literals_are_formatted() {
        for (template, values, expected) in [
            ("%s", &[Some("text")][..], "text"),
            ("%I.%I", &[Some("iox"), Some("My \"t\"")], "iox.\"My \"\"t\"\"\""),
            ("%L, %L", &[Some("it's"), None], "'it''s', NULL"),
            ("<%s> 100%%", &[None], "<> 100%"),
            ("é", &[Some("unused")], "é"),
        ] {
            assert_eq!(format_text(template, values).unwrap(), expected);
        }
        for (template, values) in [
            ("%s", &[][..]),
            ("%I", &[None]),
            ("%d", &[Some("1")]),
            ("%9s", &[Some("1")]),
            ("%", &[Some("1")]),
        ] {
            assert!(format_text(template, values).is_err(), "{template}");
        }
    }
}
