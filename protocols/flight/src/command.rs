//! Requests decoded from descriptors and tickets.

use arrow_flight::{
    FlightDescriptor,
    flight_descriptor::DescriptorType,
    sql::{Any, Command, CommandPreparedStatementQuery, ProstMessageExt, TicketStatementQuery},
};
use neap_query::Parameters;
use prost::Message;
use tonic::Status;

use crate::{
    catalog_commands::CatalogCommand,
    prepared::planned_text,
    request_metadata::RequestMetadata,
    statement_handle::StatementHandle,
    ticket::{DecodedTicket, NativeQuery, TicketError},
};

/// The rows that a client requests.
#[derive(Debug)]
pub(crate) enum RequestedRows {
    /// The rows of a statement, with the values of a native ticket.
    Statement(StatementHandle, Option<Parameters>),
    /// The answer to a command about catalogs, with the metadata of the request.
    Catalog(CatalogCommand, Box<RequestMetadata>),
}

impl RequestedRows {
    /// Decodes the bytes of a ticket.
    ///
    /// # Errors
    /// `InvalidArgument` if the ticket or the metadata are malformed; `Unimplemented` for commands that Neap does not
    /// have.
    pub(crate) fn of_ticket(ticket: &[u8], metadata: &RequestMetadata) -> Result<Self, Status> {
        let decoded = DecodedTicket::decode(ticket)
            .map_err(|error: TicketError| Status::invalid_argument(error.to_string()))?;
        match decoded {
            DecodedTicket::Native(query) => Ok(of_native(query)),
            DecodedTicket::Sql(command, None) => Self::of_command(command, metadata),
            DecodedTicket::Sql(command, Some(database)) => {
                Self::of_command(command, &metadata.with_database(&database)?)
            }
        }
    }

    /// Decodes a descriptor.
    ///
    /// # Errors
    /// Same as [`of_ticket`](Self::of_ticket).
    pub(crate) fn of_descriptor(
        descriptor: &FlightDescriptor,
        metadata: &RequestMetadata,
    ) -> Result<Self, Status> {
        match descriptor.r#type() {
            DescriptorType::Cmd => Self::of_ticket(&descriptor.cmd, metadata),
            DescriptorType::Path | DescriptorType::Unknown => {
                Err(Status::invalid_argument("the descriptor must be a command, not a path"))
            }
        }
    }

    fn of_command(command: Command, metadata: &RequestMetadata) -> Result<Self, Status> {
        if let Some(catalog) = CatalogCommand::from_command(&command) {
            return Ok(Self::Catalog(catalog, Box::new(metadata.clone())));
        }
        let handle = match command {
            Command::CommandStatementQuery(query) => {
                refuse_transaction(query.transaction_id.as_deref())?;
                let language = metadata.language()?;
                let text = planned_text(&query.query, language);
                StatementHandle::new(metadata.required_database()?, text, language)
            }
            Command::TicketStatementQuery(ticket) => {
                StatementHandle::from_bytes(&ticket.statement_handle)?
            }
            Command::CommandPreparedStatementQuery(CommandPreparedStatementQuery {
                prepared_statement_handle,
            }) => StatementHandle::from_bytes(&prepared_statement_handle)?,
            other => return Err(unsupported(&other)),
        };
        Ok(Self::Statement(handle, None))
    }
}

pub(crate) fn statement_ticket(handle: &StatementHandle) -> Any {
    TicketStatementQuery { statement_handle: handle.encode_to_vec().into() }.as_any()
}

/// Refuses commands within a transaction.
///
/// # Errors
/// `InvalidArgument`: there are no transactions.
pub(crate) fn refuse_transaction(transaction: Option<&[u8]>) -> Result<(), Status> {
    match transaction {
        None | Some([]) => Ok(()),
        Some(_) => Err(Status::invalid_argument("there are no transactions")),
    }
}

/// Returns the error for a command that Neap does not have.
pub(crate) fn unsupported(command: &Command) -> Status {
    let type_url = command.type_url();
    let name = type_url.rsplit('.').next().unwrap_or(type_url);
    Status::unimplemented(format!("{name} is not supported"))
}

fn of_native(query: NativeQuery) -> RequestedRows {
    let NativeQuery { database, text, language, parameters } = query;
    RequestedRows::Statement(StatementHandle::new(database, text, language), Some(parameters))
}
