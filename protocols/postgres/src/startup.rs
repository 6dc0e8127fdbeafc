//! The start of a connection: TLS, the password, and the database.
//!
//! ```text
//!   client                       server
//!     |-- SSLRequest ------------> |   S: TLS handshake; N without a certificate
//!     |-- StartupMessage --------> |   user, database, variables
//!     |<- CleartextPassword ------ |   only over TLS or from the same machine
//!     |-- PasswordMessage -------> |   a token, or the password of the user
//!     |<- AuthenticationOk ------- |   then variables, the key for CancelRequest, ReadyForQuery
//! ```

use std::{collections::BTreeMap, net::IpAddr};

use neap_catalog::DatabaseAction;
use neap_http::{Caller, PendingConnection};
use neap_query::QueryError;
use neap_sql_changes::{SqlError, SqlState};
use pgwire::messages::{
    PgWireBackendMessage,
    response::{ReadyForQuery, TransactionStatus},
    startup::{
        Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey,
    },
};

use crate::{
    cancel_registry::RegisteredConnection,
    close_reason::CloseReason,
    context::ConnectionContext,
    credential::Credential,
    error_response::error_info,
    frontend::{FrontendMessage, StartupMessage},
    session::{Session, Transaction},
    variables::SessionVariables,
    wire::Wire,
};

/// The version of the protocol, as one number.
const VERSION: i32 = 3 << 16;

/// A connection whose client may send statements.
#[derive(Debug)]
pub(crate) struct StartedConnection {
    pub(crate) session: Session,
    pub(crate) registered: RegisteredConnection,
}

/// A client that starts a session.
#[derive(Debug)]
pub(crate) struct StartingClient<'a> {
    pub(crate) address: IpAddr,
    pub(crate) is_encrypted: bool,
    /// Its connection, until it has presented its password.
    pub(crate) pending: &'a PendingConnection,
}

/// The reason why a session does not begin: the client gets the error.
struct StartupRefusal {
    reason: CloseReason,
    error: SqlError,
}

impl From<CloseReason> for StartupRefusal {
    fn from(reason: CloseReason) -> Self {
        let error = reason.last_error();
        Self {
            error: error.unwrap_or_else(|| SqlError::new(SqlState::INTERNAL, reason.label())),
            reason,
        }
    }
}

/// Begins a session after the negotiation of TLS.
pub(crate) async fn begin(
    wire: &mut Wire,
    message: StartupMessage,
    client: &StartingClient<'_>,
    context: &ConnectionContext,
) -> Result<StartedConnection, CloseReason> {
    let (version, parameters) = match message {
        StartupMessage::Cancel { process, secret } => {
            context.registry.cancel(process, &secret);
            return Err(CloseReason::Cancelling);
        }
        StartupMessage::Startup { version, parameters } => (version, parameters),
        StartupMessage::Tls | StartupMessage::Gss => return Err(CloseReason::Malformed),
    };
    let opened = open_session(wire, version, parameters, client, context).await;
    let session = match opened {
        Ok(session) => session,
        Err(refusal) => {
            let error =
                PgWireBackendMessage::ErrorResponse(error_info(&refusal.error, "FATAL").into());
            wire.put(&error)?;
            wire.flush().await.ok();
            return Err(refusal.reason);
        }
    };
    let registered = context.registry.register(&context.world);
    wire.put(&PgWireBackendMessage::Authentication(Authentication::Ok))?;
    for (name, value) in session.variables.reported() {
        let status = ParameterStatus::new(name.to_owned(), value.to_owned());
        wire.put(&PgWireBackendMessage::ParameterStatus(status))?;
    }
    let secret = SecretKey::I32(registered.secret);
    let key = BackendKeyData::new(registered.process, secret);
    wire.put(&PgWireBackendMessage::BackendKeyData(key))?;
    let ready = ReadyForQuery::new(TransactionStatus::Idle);
    wire.put(&PgWireBackendMessage::ReadyForQuery(ready))?;
    wire.flush().await?;
    Ok(StartedConnection { session, registered })
}

async fn open_session(
    wire: &mut Wire,
    (major, minor): (u16, u16),
    mut parameters: BTreeMap<String, String>,
    client: &StartingClient<'_>,
    context: &ConnectionContext,
) -> Result<Session, StartupRefusal> {
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0");
        return Err(StartupRefusal {
            reason: CloseReason::Malformed,
            error: SqlError::protocol(message),
        });
    }
    let unknown: Vec<String> =
        parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if minor != 0 || !unknown.is_empty() {
        let negotiate = NegotiateProtocolVersion::new(VERSION, unknown);
        wire.put(&PgWireBackendMessage::NegotiateProtocolVersion(negotiate))?;
    }
    parameters.retain(|name, _| !name.starts_with("_pq_."));
    let user = parameters.remove("user").unwrap_or_default();
    let database = parameters.remove("database").unwrap_or_else(|| user.clone());
    parameters.remove("replication");
    let variables = SessionVariables::from_startup(&user, parameters)
        .map_err(|error| StartupRefusal { reason: CloseReason::Malformed, error })?;
    let (caller, credential) = authenticate(wire, &user, client, context).await?;
    if let Err(error) = check_database(context, &caller, &database).await {
        context.credentials.sign_out(&caller).await;
        return Err(StartupRefusal { reason: CloseReason::Database, error });
    }
    Ok(Session {
        user,
        database,
        peer: client.address,
        caller,
        credential,
        variables,
        transaction: Transaction::None,
        written: None,
    })
}

async fn authenticate(
    wire: &mut Wire,
    user: &str,
    client: &StartingClient<'_>,
    context: &ConnectionContext,
) -> Result<(Caller, Credential), StartupRefusal> {
    let credentials = &context.credentials;
    if !credentials.needs_password() {
        client.pending.release();
        return Ok((Caller::unrestricted(), Credential::Open));
    }
    check_encryption(client.address, client.is_encrypted)
        .map_err(|error| StartupRefusal { reason: CloseReason::Unencrypted, error })?;
    let request = Authentication::CleartextPassword;
    wire.put(&PgWireBackendMessage::Authentication(request))?;
    wire.flush().await?;
    let FrontendMessage::Password(password) = wire.receive_password().await? else {
        return Err(CloseReason::Malformed.into());
    };
    client.pending.release();
    let password = std::str::from_utf8(&password).map_err(|_| CloseReason::Malformed)?;
    let checked = credentials.check(user, password, client.address).await;
    checked.map_err(|error| StartupRefusal { reason: CloseReason::Unauthenticated, error })
}

/// Refuses a password that others in the network could read.
fn check_encryption(peer: IpAddr, is_encrypted: bool) -> Result<(), SqlError> {
    if is_encrypted || peer.to_canonical().is_loopback() {
        return Ok(());
    }
    let message = "this server accepts passwords only over TLS";
    let hint = "Connect with sslmode=require. The server needs --tls-cert and --tls-key.";
    Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, message).with_hint(hint))
}

/// Refuses a database that does not exist, or that the client may neither read nor write.
async fn check_database(
    context: &ConnectionContext,
    caller: &Caller,
    name: &str,
) -> Result<(), SqlError> {
    let found = context.queries.find_database(name).await;
    let actions = [DatabaseAction::Read, DatabaseAction::Append];
    if let Ok(_) | Err(QueryError::DatabaseNotFound(_)) = found {
        caller.require_any(&actions, found.as_ref().ok().copied())?;
    }
    match found {
        Ok(_) => Ok(()),
        Err(QueryError::DatabaseNotFound(_)) => Err(SqlError::undefined_database(name)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_without_tls_is_refused_except_from_the_same_machine() {
        for (peer, is_encrypted) in [
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("192.0.2.7", true),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(check_encryption(peer, is_encrypted), Ok(()), "{peer}");
        }
        for peer in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"] {
            let error = check_encryption(peer.parse().unwrap(), false).unwrap_err();
            assert_eq!(error.state, SqlState::INVALID_AUTHORIZATION, "{peer}");
            assert!(error.hint.is_some_and(|hint| hint.contains("sslmode=require")), "{peer}");
        }
    }
}
