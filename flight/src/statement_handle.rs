//! Handles of statements, which clients keep and return.
//!
//! A handle contains all that is needed to execute the statement, so that servers keep nothing. A client can make up
//! handles, which gives it nothing: its permissions are checked when the statement is executed.

use std::io::Cursor;

use arrow::{
    array::RecordBatch,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use neap_query::Language;
use prost::{Message, bytes::Bytes};
use tonic::Status;

/// Maximum size of the values of placeholders in a handle, in bytes.
const MAX_PARAMETER_BYTES: usize = 1 << 20;

/// A statement, with the values of its placeholders.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatementHandle {
    /// The name of the database.
    #[prost(string, tag = "1")]
    pub(crate) database: String,
    /// The text of the statement.
    #[prost(string, tag = "2")]
    pub(crate) text: String,
    /// 0: SQL, 1: InfluxQL.
    #[prost(uint32, tag = "3")]
    language: u32,
    /// The values of the placeholders as an Arrow IPC stream; empty if there are none.
    #[prost(bytes = "bytes", tag = "4")]
    parameters: Bytes,
    /// The id under which the query can be cancelled while it runs; empty in the handle of a prepared statement.
    #[prost(string, tag = "5")]
    pub(crate) query_id: String,
}

impl StatementHandle {
    /// Creates the handle of a statement without values.
    pub(crate) fn new(database: String, text: String, language: Language) -> Self {
        Self {
            database,
            text,
            language: match language {
                Language::Sql => 0,
                Language::InfluxQl => 1,
            },
            parameters: Bytes::new(),
            query_id: String::new(),
        }
    }

    /// Decodes a handle.
    ///
    /// # Errors
    /// `InvalidArgument`: the bytes are not a handle of this server.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Status> {
        let handle = Self::decode(bytes);
        handle.map_err(|error| Status::invalid_argument(format!("invalid handle: {error}")))
    }

    /// Returns the language of the statement.
    ///
    /// # Errors
    /// `InvalidArgument`: the handle names no known language.
    pub(crate) fn statement_language(&self) -> Result<Language, Status> {
        match self.language {
            0 => Ok(Language::Sql),
            1 => Ok(Language::InfluxQl),
            _ => Err(Status::invalid_argument("invalid handle: unknown language")),
        }
    }

    /// Returns the handle with an id under which the query can be cancelled.
    pub(crate) fn with_query_id(self, query_id: String) -> Self {
        Self { query_id, ..self }
    }

    /// Returns the handle with the values of its placeholders.
    ///
    /// # Errors
    /// `InvalidArgument`: the values are too large.
    pub(crate) fn with_parameters(self, values: &RecordBatch) -> Result<Self, Status> {
        let mut writer = StreamWriter::try_new(Vec::new(), values.schema_ref()).map_err(invalid)?;
        writer.write(values).map_err(invalid)?;
        let bytes = writer.into_inner().map_err(invalid)?;
        if bytes.len() > MAX_PARAMETER_BYTES {
            let text = format!(
                "parameters take {} bytes, more than {MAX_PARAMETER_BYTES}",
                bytes.len()
            );
            return Err(Status::invalid_argument(text));
        }
        Ok(Self {
            parameters: bytes.into(),
            ..self
        })
    }

    /// Returns the values of the placeholders; `None` if there are none.
    ///
    /// # Errors
    /// `InvalidArgument`: the values can't be decoded.
    pub(crate) fn parameters(&self) -> Result<Option<RecordBatch>, Status> {
        if self.parameters.is_empty() {
            return Ok(None);
        }
        let reader = StreamReader::try_new(Cursor::new(&self.parameters), None).map_err(invalid)?;
        let values = reader.take(1).next();
        values.transpose().map_err(invalid)
    }
}

fn invalid(error: arrow::error::ArrowError) -> Status {
    Status::invalid_argument(format!("invalid parameters: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_handle_keeps_statement_and_values() {
        let columns: [(&str, ArrayRef); 2] = [
            ("1", Arc::new(Int64Array::from(vec![5]))),
            ("2", Arc::new(StringArray::from(vec![None::<&str>]))),
        ];
        let values = RecordBatch::try_from_iter(columns).unwrap();
        let handle = StatementHandle::new("d".to_owned(), "SELECT $1".to_owned(), Language::Sql);
        assert_eq!(handle.parameters().unwrap(), None);
        let handle = handle.with_parameters(&values).unwrap();
        let decoded = StatementHandle::from_bytes(&handle.encode_to_vec()).unwrap();
        assert_eq!(decoded.parameters().unwrap(), Some(values));
        assert_eq!(decoded, handle);
    }

    #[test]
    fn handles_that_this_server_did_not_make_are_refused() {
        assert!(StatementHandle::from_bytes(b"\xff").is_err());
        let unknown = StatementHandle {
            language: 2,
            ..StatementHandle::default()
        };
        assert!(unknown.statement_language().is_err());
        let damaged = StatementHandle {
            parameters: Bytes::from_static(b"no stream"),
            ..StatementHandle::default()
        };
        assert!(damaged.parameters().is_err());
    }
}
