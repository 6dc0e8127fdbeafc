//! The emulated account, and the credentials of its functions.

/// The emulated region.
pub(crate) const REGION: &str = "us-east-1";
/// The emulated account.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The access key with which a function signs its requests. On Lambda it comes from the function's role.
#[derive(Clone)]
pub struct FunctionCredentials {
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl std::fmt::Debug for FunctionCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}
