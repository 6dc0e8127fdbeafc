//! The first token or user of a cluster, which a client without credentials creates. Where anyone can reach the service, a
//! stranger may be the first to ask.

use neap_catalog::ANY_AGE;
use neap_http::{ApiError, Kind};

use crate::WriteService;

/// The answer to a client that asks for the first credentials where clients can't create them.
const NOT_ALLOWED: &str = "this deployment gives no client the first token: its operator sets the hash of one \
                           (NEAP_ADMIN_TOKEN_HASH)";

impl WriteService {
    /// Sets whether clients without credentials create the first ones.
    #[must_use]
    pub fn with_first_credentials(mut self, is_allowed: bool) -> Self {
        self.creates_first_credentials = is_allowed;
        self
    }

    /// Returns whether clients without credentials create the first ones.
    pub fn creates_first_credentials(&self) -> bool {
        self.creates_first_credentials
    }

    /// Verifies that clients without credentials create the first ones. If there is an administrator token already, the
    /// caller answers that.
    ///
    /// # Errors
    /// `Forbidden` if they don't, or the catalog can't be read.
    pub async fn require_first_credentials(&self) -> Result<(), ApiError> {
        if self.creates_first_credentials
            || self.catalog.root(ANY_AGE).await?.value.has_admin_token()
        {
            return Ok(());
        }
        Err(ApiError::refusal(Kind::Forbidden, NOT_ALLOWED))
    }
}
