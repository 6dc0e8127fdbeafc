//! Handles of statements, which clients keep and return.
//!
//! A handle contains all that is needed to execute the statement, so that servers keep nothing. A client can make up
//! handles, which gives it nothing: its permissions are checked when the statement is executed.

use std::panic::AssertUnwindSafe;

use arrow::{array::RecordBatch, ipc::root_as_message};
use arrow_flight::{FlightData, decode::FlightRecordBatchStream, encode::FlightDataEncoderBuilder};
use futures::{FutureExt, TryStreamExt, stream};
use neap_query::Language;
use neap_sql_changes::Change;
use prost::Message;
use tonic::Status;

use crate::{message_check::check_message, status};

/// Maximum size of the values of placeholders, in bytes, in a handle and when they are decompressed.
pub(crate) const MAX_PARAMETER_BYTES: usize = 1 << 20;

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
    /// The values of the placeholders: a schema and a record batch; empty if there are none.
    #[prost(message, repeated, tag = "4")]
    parameters: Vec<FlightData>,
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
            parameters: Vec::new(),
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

    /// Returns the change that the statement is; `None`: another statement.
    ///
    /// # Errors
    /// `InvalidArgument`: the handle names no known language, or the change is malformed or not supported.
    pub(crate) fn change(&self) -> Result<Option<Change>, Status> {
        match self.statement_language()? {
            Language::Sql => {
                Change::from_text(&self.text).map_err(|error| status::of_change(error.into()))
            }
            Language::InfluxQl => Ok(None),
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
    pub(crate) async fn with_parameters(self, values: RecordBatch) -> Result<Self, Status> {
        let encoder = FlightDataEncoderBuilder::new();
        let messages = encoder.build(stream::iter([Ok(values)]));
        let handle = Self { parameters: messages.try_collect().await?, ..self };
        handle.check_parameters()?;
        Ok(handle)
    }

    /// Returns whether the handle has values of placeholders.
    pub(crate) fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    /// Returns the values of the placeholders; `None` if there are none.
    ///
    /// # Errors
    /// `InvalidArgument`: the values can't be decoded, or are too large.
    pub(crate) async fn parameters(&self) -> Result<Option<RecordBatch>, Status> {
        self.check_parameters()?;
        let messages: Vec<_> = self.parameters.iter().cloned().map(Ok).collect();
        let mut values = FlightRecordBatchStream::new_from_flight_data(stream::iter(messages));
        // The decoder of Arrow may panic for malformed messages.
        AssertUnwindSafe(values.try_next())
            .catch_unwind()
            .await
            .map_err(|_| invalid("malformed Arrow message"))?
            .map_err(|error| invalid(&error.to_string()))
    }

    /// Refuses values that are too large, or whose messages this server does not make.
    fn check_parameters(&self) -> Result<(), Status> {
        let size: usize = self.parameters.iter().map(Message::encoded_len).sum();
        if size > MAX_PARAMETER_BYTES {
            return Err(invalid(&format!(
                "they take {size} bytes, more than {MAX_PARAMETER_BYTES}"
            )));
        }
        for message in &self.parameters {
            check_message(message, MAX_PARAMETER_BYTES)?;
            let header = root_as_message(&message.data_header)
                .map_err(|error| invalid(&error.to_string()))?;
            if header.header_as_dictionary_batch().is_some() {
                return Err(invalid("unexpected dictionary"));
            }
        }
        Ok(())
    }
}

fn invalid(reason: &str) -> Status {
    Status::invalid_argument(format!("invalid parameters: {reason}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[tokio::test]
    async fn a_handle_keeps_statement_and_values() {
        let columns: [(&str, ArrayRef); 2] = [
            ("1", Arc::new(Int64Array::from(vec![5]))),
            ("2", Arc::new(StringArray::from(vec![None::<&str>]))),
        ];
        let values = RecordBatch::try_from_iter(columns).unwrap();
        let handle = StatementHandle::new("d".to_owned(), "SELECT $1".to_owned(), Language::Sql);
        assert_eq!(handle.parameters().await.unwrap(), None);
        let handle = handle.with_parameters(values.clone()).await.unwrap();
        let decoded = StatementHandle::from_bytes(&handle.encode_to_vec()).unwrap();
        assert_eq!(decoded.parameters().await.unwrap(), Some(values));
        assert_eq!(decoded, handle);
    }

    #[tokio::test]
    async fn handles_that_this_server_did_not_make_are_refused() {
        assert!(StatementHandle::from_bytes(b"\xff").is_err());
        let unknown = StatementHandle { language: 2, ..StatementHandle::default() };
        assert!(unknown.statement_language().is_err());
        let damaged = StatementHandle {
            parameters: vec![FlightData::new().with_data_header("no message")],
            ..StatementHandle::default()
        };
        assert!(damaged.parameters().await.is_err());
        let large = StatementHandle {
            parameters: vec![FlightData::new().with_data_body(vec![0; MAX_PARAMETER_BYTES])],
            ..StatementHandle::default()
        };
        assert!(large.parameters().await.is_err());
    }
}
