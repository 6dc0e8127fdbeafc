//! A statement of a client, and its description.

use arrow::datatypes::{DataType, SchemaRef};
use neap_catalog::ChangeOrigin;
use neap_http::Caller;

use crate::{Language, QueryRequest};

/// A statement of a client.
#[derive(Clone, Debug)]
pub struct ClientQuery {
    /// The sender.
    pub caller: Caller,
    /// The origin that is recorded with changes.
    pub origin: ChangeOrigin,
    /// The name of the database; `None`: an InfluxQL statement names it.
    pub database: Option<String>,
    /// The language of the statement.
    pub language: Language,
    /// The statement and its options. The statement may delete rows or write files only if the caller may write to the database,
    /// too.
    pub request: QueryRequest,
}

/// The columns of the answer to a statement, and its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementDescription {
    /// The columns of the answer.
    pub columns: SchemaRef,
    /// The placeholders by name without the `$`, each with its type if the statement determines one. Numbered
    /// placeholders come first, in the order of their numbers.
    pub placeholders: Vec<(String, Option<DataType>)>,
}
