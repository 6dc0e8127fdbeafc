//! AWS gateways that convert HTTP requests to events.

use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

/// The emulated AWS gateway.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum GatewayKind {
    /// An HTTP API of API Gateway, payload format 2.0.
    #[default]
    HttpApi,
    /// A REST API of API Gateway.
    RestApi,
    /// An application load balancer, with multi-value headers.
    LoadBalancer,
    /// A function URL.
    FunctionUrl,
}

impl GatewayKind {
    /// All kinds.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the name in configurations and request headers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Returns the maximum size of a request body in bytes.
    pub(crate) fn request_limit(self) -> usize {
        match self {
            Self::HttpApi | Self::RestApi => 10 << 20,
            Self::LoadBalancer => 1 << 20,
            Self::FunctionUrl => 6 << 20,
        }
    }

    /// Returns the maximum size of the request line and the values of all headers together, in bytes.
    pub(crate) fn head_limit(self) -> usize {
        match self {
            Self::HttpApi | Self::RestApi => 10_240,
            Self::LoadBalancer | Self::FunctionUrl => usize::MAX,
        }
    }

    /// Returns the maximum size of a function's response in bytes, where it is below Lambda's limit.
    pub(crate) fn response_limit(self) -> usize {
        match self {
            Self::LoadBalancer => 1 << 20,
            Self::HttpApi | Self::RestApi | Self::FunctionUrl => usize::MAX,
        }
    }
}
