//! Who a change comes from: set around a request, found again where the change is committed.

use std::future::Future;

use crate::TokenId;

/// Who a change comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The token that was presented, with its name; `None`: none is asked for there.
    pub token: Option<(TokenId, String)>,
    /// The address of the client, or `local` for whoever works at the store itself; `None`: unknown.
    pub address: Option<String>,
    /// The id of the request; empty: there is none.
    pub request: String,
}

impl Origin {
    /// Whoever works at the store itself, without a server.
    pub fn local() -> Self {
        Self {
            token: None,
            address: Some("local".to_owned()),
            request: String::new(),
        }
    }
}

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Runs `future` with `origin` as where its changes come from. Tasks that it spawns don't inherit it.
pub async fn scope<F: Future>(origin: Origin, future: F) -> F::Output {
    ORIGIN.scope(origin, future).await
}

/// Where changes come from that are made now; unknown outside of [`scope`].
pub fn current() -> Origin {
    ORIGIN.try_with(Clone::clone).unwrap_or_default()
}
