//! The origin of a change: set for the duration of a request, read where the change is committed.

use std::future::Future;

use crate::{Actor, TokenId, UserId};

/// The origin of a change: token or user, address and request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOrigin {
    /// The id and name of the presented token; `None`: the server does not require one.
    pub token: Option<(TokenId, String)>,
    /// The id and name of the user of the presented session.
    pub user: Option<(UserId, String)>,
    /// The first token or user of the chain of creators that leads to the token; `None`: the token has no creator.
    pub authority: Option<Actor>,
    /// The address of the client, or `local` for a program that accesses the store directly; `None`: unknown.
    pub address: Option<String>,
    /// The id of the request; empty if there is none.
    pub request: String,
}

impl ChangeOrigin {
    /// Returns the origin of changes by a program that accesses the store directly, without a server.
    pub fn local() -> Self {
        Self {
            token: None,
            user: None,
            authority: None,
            address: Some("local".to_owned()),
            request: String::new(),
        }
    }
}

tokio::task_local! {
    static ORIGIN: ChangeOrigin;
}

/// Runs `future` with `origin` as the origin of its changes. Tasks that it spawns do not inherit it.
pub async fn scope<F: Future>(origin: ChangeOrigin, future: F) -> F::Output {
    ORIGIN.scope(origin, future).await
}

/// Returns the origin of the current scope; unknown outside of [`scope`].
pub fn current() -> ChangeOrigin {
    ORIGIN.try_with(Clone::clone).unwrap_or_default()
}
