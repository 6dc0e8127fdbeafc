//! Decodes a file in parts, and reserves memory for each of them.

use bytes::Bytes;
use neap_file_formats::{FileInput, FileReader, ReadError, ReadOptions};
use neap_http::{ApiError, Kind};
use neap_rows::columnar::{ColumnarRows, MappingError, TablePart, batch_bytes};
use neap_write::{RequestMemoryReservation, WriteService};
use tokio::sync::mpsc;

/// Decodes a file. Adds a reservation for the decoded rows to `reservation`, which is for the file.
///
/// # Errors
/// The file cannot be read, its columns do not fit the mapping, or there is no memory.
pub(crate) async fn decode(
    service: &WriteService,
    reservation: &mut RequestMemoryReservation,
    file: Bytes,
    options: ReadOptions,
) -> Result<ColumnarRows, ApiError> {
    // One part is decoded while memory is reserved for another one.
    let (sender, mut receiver) = mpsc::channel(1);
    let mut reserved_bytes = file.len();
    tokio::task::spawn_blocking(move || send_parts(file, options, &sender));
    let mut parts = Vec::new();
    let mut decoded_bytes = 0usize;
    let mut is_complete = false;
    while let Some(message) = receiver.recv().await {
        let part = match message {
            Ok(DecodedPart::Rows(part)) => part,
            Ok(DecodedPart::End) => {
                is_complete = true;
                break;
            }
            Err(error) => return Err(read_error(&error)),
        };
        let batches = part.batches.iter();
        let bytes = batches.map(|numbered| batch_bytes(&numbered.batch));
        decoded_bytes = decoded_bytes.saturating_add(bytes.sum());
        if decoded_bytes > reserved_bytes {
            let missing = decoded_bytes - reserved_bytes;
            reservation.merge(service.reserve(missing).await?);
            reserved_bytes = decoded_bytes;
        }
        parts.push(part);
    }
    if !is_complete {
        // The thread panicked, which must not pass for the end of the file.
        return Err(ApiError::json(Kind::Invalid, "the file cannot be decoded"));
    }
    let rows = ColumnarRows::from_parts(parts);
    rows.map_err(|error: MappingError| ApiError::json(Kind::Invalid, error.to_string()))
}

/// A message of the thread that decodes.
#[derive(derive_more::Debug)]
enum DecodedPart {
    #[debug("Rows({} batches)", _0.batches.len())]
    Rows(TablePart),
    End,
}

/// Reads all parts into the channel, until the receiver is dropped.
fn send_parts(
    file: Bytes,
    options: ReadOptions,
    sender: &mpsc::Sender<Result<DecodedPart, ReadError>>,
) {
    let send = |message| sender.blocking_send(message).is_ok();
    let mut reader = match FileReader::open(FileInput::Bytes(file), options) {
        Ok(reader) => reader,
        Err(error) => {
            send(Err(error));
            return;
        }
    };
    loop {
        let message = match reader.next_part() {
            Ok(Some(part)) => Ok(DecodedPart::Rows(part)),
            Ok(None) => Ok(DecodedPart::End),
            Err(error) => Err(error),
        };
        let is_last = !matches!(message, Ok(DecodedPart::Rows(_)));
        if !send(message) || is_last {
            return;
        }
    }
}

fn read_error(error: &ReadError) -> ApiError {
    let kind = match error {
        ReadError::TooLarge { .. } => Kind::TooLarge,
        ReadError::UnknownFormat => Kind::UnsupportedMediaType,
        _ => Kind::Invalid,
    };
    ApiError::json(kind, error.to_string())
}
