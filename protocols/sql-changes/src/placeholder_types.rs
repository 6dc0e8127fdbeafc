//! The placeholders of `INSERT ... VALUES`, whose types are those of the columns.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::{row_store::WrittenColumns, sql_error::SqlError, statement::StatementText};

/// Returns the types of the placeholders that stand alone in a row of `VALUES`. Those of others are unknown.
///
/// # Errors
/// The number of a placeholder is too large.
pub(crate) fn placeholder_types(
    source: &StatementText,
    columns: &WrittenColumns,
) -> Result<Vec<Option<DataType>>, SqlError> {
    let mut types = vec![None; source.placeholders()?];
    let mut cursor = source.cursor();
    if !cursor.eat("VALUES") {
        return Ok(types);
    }
    let (mut depth, mut column) = (0_usize, 0_usize);
    while let Some(token) = cursor.take_token() {
        match token {
            Token::LParen => {
                depth += 1;
                if depth == 1 {
                    column = 0;
                }
            }
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 => column += 1,
            Token::Placeholder(name) if depth == 1 => {
                let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
                let slot = number
                    .and_then(|number| number.checked_sub(1))
                    .and_then(|index| types.get_mut(index));
                if let (Some(slot), Some(field)) = (slot, columns.fields.get(column)) {
                    *slot = Some(field.data_type().clone());
                }
            }
            _ => {}
        }
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use neap_schema::ColumnType;

    use super::*;
    use crate::WriteTarget;

    #[test]
    fn placeholders_have_the_types_of_their_columns() {
        let schema = Schema::new(vec![
            ColumnType::Time.arrow_field("time"),
            ColumnType::Float.arrow_field("v"),
        ]);
        let target = WriteTarget { table: "t".to_owned(), columns: Vec::new() };
        let columns = WrittenColumns::resolve(&schema, &target).unwrap();
        let source = "VALUES ($1, $2), (now(), abs($3)), ($4, 1)";
        let source = &StatementText::split(source).unwrap()[0];
        let (time, float) = (ColumnType::Time.data_type(), ColumnType::Float.data_type());
        assert_eq!(
            placeholder_types(source, &columns),
            Ok(vec![Some(time.clone()), Some(float), None, Some(time)])
        );
    }
}
