//! Prepared statements and portals.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use neap_query::Parameters;
use neap_sql_changes::{SqlError, StatementText};
use pgwire::api::Type;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    columns::columns, command::Command, error_response::CHANGED_RESULT_TYPE, rows::OpenRows,
};

/// About the bytes of a column of an answer.
const COLUMN_BYTES: usize = 200;

/// A statement that a client has prepared.
#[derive(Debug)]
pub(crate) struct PreparedStatement {
    pub(crate) statement: StatementText,
    pub(crate) command: Command,
    /// The types of placeholders that the client has declared, or 0.
    pub(crate) declared: Vec<u32>,
    /// The types of placeholders that the statement determines.
    pub(crate) inferred: Vec<Option<DataType>>,
    /// The columns of the answer, if they were described.
    pub(crate) schema: OnceLock<SchemaRef>,
}

impl PreparedStatement {
    /// Returns the bytes that the parts of the statement need in memory, about. The command has parts of the text.
    pub(crate) fn content_bytes(&self) -> usize {
        self.statement.text.len() * 2
            + self.declared.len() * size_of::<u32>()
            + self.inferred.len() * size_of::<Option<DataType>>()
            + self.schema.get().map_or(0, |schema| schema_bytes(schema))
    }

    /// Refuses rows of other types than those that were described, because the client decodes them by that description.
    pub(crate) fn check_rows(&self, rows: &OpenRows) -> Result<(), SqlError> {
        let Some(schema) = self.schema.get() else {
            return Ok(());
        };
        let described = columns(schema, &[])?;
        let types = described.iter().map(|column| column.datatype());
        let actual: Vec<&Type> = rows.fields.iter().map(|column| column.datatype()).collect();
        if types.eq(actual) {
            Ok(())
        } else {
            Err(SqlError::unsupported(CHANGED_RESULT_TYPE))
        }
    }
}

/// Returns the bytes that the columns of an answer need in memory, about.
pub(crate) fn schema_bytes(schema: &Schema) -> usize {
    schema.fields().len() * COLUMN_BYTES
}

/// A statement with the values of its placeholders, or a cursor.
#[derive(Debug)]
pub(crate) struct Portal {
    /// The statement; `None` if it is empty.
    pub(crate) prepared: Option<Arc<PreparedStatement>>,
    pub(crate) parameters: Parameters,
    /// The formats of the columns of the answer.
    pub(crate) formats: Vec<i16>,
    pub(crate) state: PortalState,
    /// The memory of large values.
    pub(crate) _memory: Option<OwnedSemaphorePermit>,
}

/// The progress of a portal.
#[derive(Debug)]
pub(crate) enum PortalState {
    /// It was not executed.
    New,
    /// The client has not received all rows.
    Open(Box<OpenRows>),
    /// The client has received all rows.
    Complete,
}

impl Portal {
    /// Creates the portal of a cursor.
    pub(crate) fn cursor(rows: OpenRows) -> Self {
        Self {
            prepared: None,
            parameters: Parameters::default(),
            formats: Vec::new(),
            state: PortalState::Open(Box::new(rows)),
            _memory: None,
        }
    }
}
