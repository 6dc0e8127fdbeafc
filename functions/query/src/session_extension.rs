//! Extensions of the sessions that plan statements.

use std::fmt;

use datafusion::{common::Result, execution::SessionState};

/// Extends the session that plans a statement, by the schemas and functions that the clients of a protocol expect.
pub trait SessionExtension: fmt::Debug + Send + Sync {
    /// Returns a statement as the session plans it, in the dialect of PostgreSQL. Called on a thread with the stack for long
    /// statements.
    ///
    /// # Errors
    /// The statement is malformed.
    fn rewrite(&self, statement: &str) -> Result<String>;

    /// Returns the session with the extension.
    ///
    /// # Errors
    /// The extension does not fit the session.
    fn extend(&self, session: SessionState) -> Result<SessionState>;
}
