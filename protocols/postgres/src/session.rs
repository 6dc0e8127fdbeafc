//! The state of a session: the sender, variables, and the transaction.

use std::{net::IpAddr, time::Duration};

use neap_bucket::{Stamp, World};
use neap_catalog::ChangeOrigin;
use neap_http::Caller;
use neap_query::{ClientQuery, Language, Parameters, QueryRequest};
use neap_sql_changes::{PendingRows, SqlError, SqlState};
use pgwire::messages::response::TransactionStatus;

use crate::{
    credential::Credential,
    savepoints::{Savepoints, undefined_savepoint},
    variables::SessionVariables,
};

/// The state of a session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) peer: IpAddr,
    pub(crate) caller: Caller,
    pub(crate) credential: Credential,
    pub(crate) variables: SessionVariables,
    pub(crate) transaction: Transaction,
    /// The stamp of the newest write of this session, which its queries include.
    pub(crate) written: Option<Stamp>,
}

/// The transaction of a session.
#[derive(Debug, Default)]
pub(crate) enum Transaction {
    /// Each statement is a transaction.
    #[default]
    None,
    /// `BEGIN` was executed.
    Open(Box<OpenTransaction>),
    /// A statement of the transaction failed. `ROLLBACK TO` continues one that has savepoints.
    Failed(Option<Box<OpenTransaction>>),
}

/// A transaction after `BEGIN`.
#[derive(Debug, Default)]
pub(crate) struct OpenTransaction {
    /// The state that all its queries read; `None` before the first query.
    snapshot: Option<TransactionSnapshot>,
    /// The rows that `COMMIT` stores.
    pub(crate) rows: PendingRows,
    pub(crate) savepoints: Savepoints,
}

/// The state that the queries of a transaction read.
#[derive(Clone, Copy, Debug)]
struct TransactionSnapshot {
    stamp: Stamp,
    /// When the first query read it, by the monotonic clock.
    taken_at: Duration,
}

impl Session {
    /// Returns the status that `ReadyForQuery` reports.
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.transaction {
            Transaction::None => TransactionStatus::Idle,
            Transaction::Open(_) => TransactionStatus::Transaction,
            Transaction::Failed(_) => TransactionStatus::Error,
        }
    }

    /// Returns whether statements belong to a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    /// Returns whether rows wait for `COMMIT`.
    pub(crate) fn has_pending_rows(&self) -> bool {
        match &self.transaction {
            Transaction::Open(open) | Transaction::Failed(Some(open)) => open.rows.rows() > 0,
            Transaction::None | Transaction::Failed(None) => false,
        }
    }

    /// Marks an open transaction as failed, and drops its rows if no savepoint keeps them.
    pub(crate) fn fail_transaction(&mut self) {
        self.transaction = match std::mem::take(&mut self.transaction) {
            Transaction::Open(open) => {
                Transaction::Failed(Some(open).filter(|open| !open.savepoints.is_empty()))
            }
            unchanged => unchanged,
        };
    }

    /// Returns the open transaction.
    ///
    /// # Errors
    /// There is none. `statement` needs one.
    pub(crate) fn open_transaction(
        &mut self,
        statement: &str,
    ) -> Result<&mut OpenTransaction, SqlError> {
        match &mut self.transaction {
            Transaction::Open(open) => Ok(open),
            Transaction::None | Transaction::Failed(_) => {
                let message = format!("{statement} can only be used in transaction blocks");
                Err(SqlError::new(SqlState::NO_ACTIVE_TRANSACTION, message))
            }
        }
    }

    /// Drops the rows that were written since a savepoint, and continues the transaction.
    ///
    /// # Errors
    /// There is no such savepoint.
    pub(crate) fn roll_back_to(&mut self, savepoint: &str) -> Result<(), SqlError> {
        if let Transaction::Failed(failed) = &mut self.transaction {
            let open = failed.take().ok_or_else(|| undefined_savepoint(savepoint))?;
            self.transaction = Transaction::Open(open);
        }
        let open = self.open_transaction("ROLLBACK TO SAVEPOINT")?;
        let rows = open.savepoints.roll_back_to(savepoint)?;
        open.rows.truncate(rows);
        Ok(())
    }

    /// Returns the origin of changes.
    pub(crate) fn origin(&self, process: i32) -> ChangeOrigin {
        self.caller.change_origin(Some(self.peer), format!("postgres-{process}"))
    }

    /// Returns the stamp that queries and writes include: that of the newest write, or that of the variable.
    pub(crate) fn after(&self) -> Option<Stamp> {
        self.written.max(self.variables.after())
    }

    /// Remembers a write, which later queries include.
    pub(crate) fn record_write(&mut self, stamp: Option<Stamp>) {
        self.written = self.written.max(stamp);
    }

    /// Remembers the state that a query of a transaction read. Later queries of the transaction read the same.
    pub(crate) fn record_snapshot(&mut self, as_of: Option<Stamp>, now: Duration) {
        if let (Transaction::Open(open), Some(stamp)) = (&mut self.transaction, as_of) {
            open.snapshot.get_or_insert(TransactionSnapshot { stamp, taken_at: now });
        }
    }

    /// Returns a statement for the engine.
    ///
    /// # Errors
    /// The snapshot of the transaction is too old.
    pub(crate) fn query(
        &self,
        text: &str,
        parameters: Parameters,
        process: i32,
        max_snapshot_age: Duration,
        world: &World,
    ) -> Result<ClientQuery, SqlError> {
        let now = world.clock.monotonic();
        let snapshot = match &self.transaction {
            Transaction::Open(open) => open.snapshot,
            Transaction::None | Transaction::Failed(_) => None,
        };
        let is_old = |snapshot: TransactionSnapshot| {
            now.saturating_sub(snapshot.taken_at) > max_snapshot_age
        };
        if snapshot.is_some_and(is_old) {
            let message = format!(
                "the snapshot of the transaction is older than {} s",
                max_snapshot_age.as_secs()
            );
            let hint = "ROLLBACK, and begin another transaction.";
            return Err(
                SqlError::new(SqlState::IDLE_IN_TRANSACTION_TIMEOUT, message).with_hint(hint)
            );
        }
        let timeout = self.variables.statement_timeout();
        let request = QueryRequest {
            text: text.to_owned(),
            parameters,
            max_staleness: self.variables.max_staleness(),
            after: self.after().filter(|_| snapshot.is_none()),
            as_of: snapshot.map(|snapshot| snapshot.stamp),
            may_delete: !self.is_in_transaction(),
            may_copy: !self.is_in_transaction(),
            ends: timeout.map(|timeout| now.saturating_add(timeout)),
            ..QueryRequest::default()
        };
        Ok(ClientQuery {
            caller: self.caller.clone(),
            origin: self.origin(process),
            database: Some(self.database.clone()),
            language: Language::Sql,
            request,
        })
    }
}
