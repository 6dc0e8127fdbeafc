//! Decodes a CSV file as record batches, within the memory of requests.

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use neap_file_formats::{FileInput, FileReader, Format, ReadError, ReadOptions};
use neap_http::{ApiError, Kind};
use neap_rows::columnar::{ColumnMapping, ColumnarRows, TablePart, batch_bytes};
use neap_write::{RequestMemoryReservation, WriteService};
use tokio::sync::mpsc;

use super::params::invalid;

/// The decoded size that a file may have, as a multiple of the largest body.
const MAX_DECODED_FACTOR: usize = 8;

/// Returns the names of the columns in the first line.
///
/// # Errors
/// `Invalid`: the file is empty or its first line is not text.
pub(crate) fn header_names(data: &[u8]) -> Result<Vec<String>, ApiError> {
    let header = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(header.strip_suffix(b"\r").unwrap_or(header))
        .map_err(|_| invalid("the header of the file is not UTF-8"))?;
    let header = text.strip_prefix('\u{feff}').unwrap_or(text);
    if header.trim().is_empty() {
        return Err(invalid("the file has no header"));
    }
    let unquoted = |name: &str| {
        let content = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        content.map_or_else(|| name.to_owned(), |content| content.replace("\"\"", "\""))
    };
    Ok(split_header(header).into_iter().map(unquoted).collect())
}

/// Splits a line at the commas outside of quotes.
fn split_header(header: &str) -> Vec<&str> {
    let mut in_quotes = false;
    let at_comma = |char: char| {
        in_quotes ^= char == '"';
        char == ',' && !in_quotes
    };
    header.split(at_comma).collect()
}

/// Decodes a file. Extends `reservation`, which is for the file, by the memory of its rows. Returns the rows, and the
/// columns of the first ones.
///
/// # Errors
/// The file can't be read, is too large, or there is no memory. `TooLarge`: its rows need more than all memory of
/// requests.
pub(crate) async fn decode(
    service: &WriteService,
    reservation: &mut RequestMemoryReservation,
    file: Bytes,
    mapping: ColumnMapping,
) -> Result<(ColumnarRows, Option<SchemaRef>), ApiError> {
    let file_bytes = file.len();
    let max_memory_bytes = service.settings().max_bytes_in_flight;
    let max_bytes = service.settings().max_request_bytes;
    let options = ReadOptions {
        format: Some(Format::Csv),
        mapping,
        max_decoded_bytes: Some(max_bytes.saturating_mul(MAX_DECODED_FACTOR) as u64),
        ..ReadOptions::default()
    };
    // One part is decoded while memory is reserved for another one.
    let (sender, mut receiver) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || send_parts(file, options, &sender));
    let mut parts = Vec::new();
    let mut decoded_bytes = 0usize;
    while let Some(part) = receiver.recv().await {
        let part: TablePart = part.map_err(|error| read_error(&error))?;
        let batches = part.batches.iter();
        let bytes = batches.map(|numbered| batch_bytes(&numbered.batch));
        decoded_bytes = decoded_bytes.saturating_add(bytes.sum());
        let needed_bytes = needed_bytes(file_bytes, decoded_bytes);
        if needed_bytes > max_memory_bytes {
            return Err(too_large(needed_bytes, max_memory_bytes));
        }
        service.grow_reservation(reservation, needed_bytes).await?;
        parts.push(part);
    }
    // A panic must not pass for the end of the file.
    reading.await.map_err(|_| invalid("the file cannot be decoded"))?;
    let first = parts.first().and_then(|part| part.batches.first());
    let columns = first.map(|numbered| numbered.batch.schema());
    let rows = ColumnarRows::from_parts(parts).map_err(|error| invalid(error.to_string()))?;
    Ok((rows, columns))
}

/// Returns the memory for a file with these decoded rows: the file, the rows, and their columns in the order of the table.
fn needed_bytes(file_bytes: usize, decoded_bytes: usize) -> usize {
    file_bytes.saturating_add(decoded_bytes.saturating_mul(2))
}

fn too_large(needed_bytes: usize, max_bytes: usize) -> ApiError {
    let text = format!(
        "the rows of the file need {needed_bytes} bytes of memory, more than the {max_bytes} bytes for all requests: \
         send the file in several parts"
    );
    ApiError::text(Kind::TooLarge, text)
}

/// Reads all parts into the channel, until an error or until the receiver is dropped.
fn send_parts(
    file: Bytes,
    options: ReadOptions,
    sender: &mpsc::Sender<Result<TablePart, ReadError>>,
) {
    let mut reader = match FileReader::open(FileInput::Bytes(file), options) {
        Ok(reader) => reader,
        Err(error) => {
            sender.blocking_send(Err(error)).ok();
            return;
        }
    };
    while let Some(part) = reader.next_part().transpose() {
        let is_error = part.is_err();
        if sender.blocking_send(part).is_err() || is_error {
            return;
        }
    }
}

fn read_error(error: &ReadError) -> ApiError {
    let kind = match error {
        ReadError::TooLarge { .. } => Kind::TooLarge,
        _ => Kind::Invalid,
    };
    ApiError::text(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_columns() {
        let names = header_names("\u{feff}a,\"b, \"\"c\"\"\",d\r\n1,2,3\n".as_bytes());
        assert_eq!(names.unwrap(), ["a", "b, \"c\"", "d"]);
        assert_eq!(header_names(b"a").unwrap(), ["a"]);
        for data in [&b""[..], b"\na", b"\xff,a\n"] {
            assert!(header_names(data).is_err());
        }
    }
}
