//! Recovery of a lost admin token: a second address where a request replaces the token once, after which it closes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use neap_bucket::World;
use neap_write::{WriteService, recovery_router};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ServeError,
    listener::{Listener, ListenerSettings},
    tls::TlsContext,
};
use crate::console::Console;

/// Maximum time to send the response with the new token.
const GRACE: Duration = Duration::from_secs(10);

/// Service that replaces the admin token.
#[derive(Debug)]
pub(super) struct AdminTokenRecovery {
    router: Router,
    done: Arc<Notify>,
}

impl AdminTokenRecovery {
    /// Creates the recovery service for the cluster that `service` writes to.
    pub(super) fn new(service: Arc<WriteService>) -> Self {
        let done = Arc::new(Notify::new());
        Self { router: recovery_router(service, Arc::clone(&done)), done }
    }

    /// Listens on an address until the token was replaced or `stop`. A loopback address is served without TLS, because
    /// no certificate is valid for it.
    ///
    /// # Errors
    ///
    /// The address can't be listened on.
    pub(super) async fn listen(
        self,
        address: SocketAddr,
        tls: Option<TlsContext>,
        stop: CancellationToken,
        world: World,
        console: &mut Console,
    ) -> Result<(), ServeError> {
        let tls = tls.filter(|_| !address.ip().is_loopback());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let cannot_listen = |error| ServeError::Listen { address: address.to_string(), error };
        let bound = ListenerSettings::with_tls(tls);
        let listener = Listener::bind(&address.to_string(), bound, world)
            .await
            .map_err(cannot_listen)?;
        let address = listener.address().map_err(cannot_listen)?;
        console.report(format_args!(
            "warning: anyone who can reach {address} can replace the admin token, once: \
             neap create token --host {scheme}://{address} --admin --regenerate"
        ));
        let Self { router, done } = self;
        tokio::spawn(async move {
            let is_over = async {
                tokio::select! {
                    () = done.notified() => {
                        tracing::info!("the admin token was replaced: the recovery address is closed");
                    }
                    () = stop.cancelled() => {}
                }
            };
            listener.serve(router, is_over, GRACE).await;
        });
        Ok(())
    }
}
