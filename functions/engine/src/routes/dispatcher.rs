//! The interface of the routes to the engine that runs triggers.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use neap_catalog::{CatalogError, Trigger};
use neap_schema::DatabaseId;

use crate::{PluginResponse, RunError};

/// The trigger that serves a path.
#[derive(Clone, Debug)]
pub struct RequestTrigger {
    /// The database of the trigger.
    pub database: DatabaseId,
    /// The name of the database.
    pub database_name: Arc<str>,
    /// The trigger.
    pub trigger: Arc<Trigger>,
}

/// A request to a plugin.
#[derive(Clone, Debug)]
pub struct PluginRequest {
    /// The HTTP method.
    pub method: String,
    /// The parameters of the query string, in their order.
    pub query: Vec<(String, String)>,
    /// The headers, with names in lower case and without those that hold credentials.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Bytes,
    /// The time limit of the plugin, if the client's request has one.
    pub time: Option<Duration>,
}

/// The interface of the routes to the engine that runs triggers.
#[async_trait]
pub trait RequestDispatcher: fmt::Debug + Send + Sync + 'static {
    /// Finds the enabled trigger of a path. If there are several, the trigger that was created or enabled last wins.
    ///
    /// # Errors
    /// The catalogs can't be read.
    async fn find(&self, path: &str) -> Result<Option<RequestTrigger>, CatalogError>;

    /// Runs the plugin of a trigger for a request. Dropping the future means that the client has disconnected.
    ///
    /// # Errors
    /// The run failed.
    async fn request(
        self: Arc<Self>,
        trigger: RequestTrigger,
        request: PluginRequest,
    ) -> Result<PluginResponse, RunError>;

    /// Notifies the engine that triggers were created, changed or deleted through this instance.
    fn changed(&self);
}
