//! The entry point of the fuzz targets (`tests/fuzz`): the messages of clients, without a connection.

use arrow::array::ArrayRef;
use bytes::Bytes;
use neap_sql_changes::{SqlError, StatementText};

use crate::{
    command::Command,
    copy_in::CopyParser,
    copy_options::{CopyLayout, CopyOptions},
    frontend::{BindMessage, FrontendMessage, StartupMessage},
    parameters::decode_parameters,
};

/// Maximum bytes of a row.
const MAX_ROW_BYTES: usize = 1 << 10;

/// Decodes the message whose type is the first byte, and its contents: statements, values of placeholders, rows.
///
/// # Panics
/// Rows that arrive in two parts differ from the same rows in one.
pub fn decode_message(input: &[u8]) {
    let Some((message_type, body)) = input.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(body);
    StartupMessage::decode(bytes.clone()).ok();
    match FrontendMessage::decode(*message_type, bytes) {
        Ok(FrontendMessage::Query(text) | FrontendMessage::Parse { text, .. }) => {
            for statement in StatementText::split(&text).unwrap_or_default() {
                Command::parse(&statement).ok();
            }
        }
        Ok(FrontendMessage::Bind(bind)) => decode_values(&bind),
        Ok(FrontendMessage::CopyData(rows)) => copy_rows(&rows),
        _ => {}
    }
}

/// Decodes values of the types that the formats of the answer name.
fn decode_values(bind: &BindMessage) {
    let formats = bind.result_formats.iter();
    let types: Vec<u32> = formats.map(|format| u32::from(format.unsigned_abs())).collect();
    let inferred = vec![None; bind.parameters.len()];
    decode_parameters(bind, &types, &inferred).ok();
}

fn copy_rows(rows: &[u8]) {
    let (first, second) = rows.split_at(rows.len() / 2);
    for layout in [CopyLayout::Text, CopyLayout::Csv] {
        let parts = parsed_rows(layout, &[first, second]);
        // The length of an incomplete row is checked when a part ends.
        if parts.is_ok() {
            assert_eq!(parts, parsed_rows(layout, &[rows]));
        }
    }
}

fn parsed_rows(layout: CopyLayout, parts: &[&[u8]]) -> Result<Option<Vec<ArrayRef>>, SqlError> {
    let mut parser = CopyParser::new(CopyOptions::new(layout), "t", 2, MAX_ROW_BYTES);
    for part in parts {
        parser.push(part)?;
    }
    parser.finish()?;
    Ok(parser.take().map(|copied| copied.columns))
}
