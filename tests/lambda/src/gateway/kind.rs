//! The services that turn HTTP requests into events.

use serde::Deserialize;

/// Which service the gateway stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An HTTP API of API Gateway, payload format 2.0.
    #[default]
    HttpApi,
    /// A REST API of API Gateway.
    RestApi,
    /// An application load balancer, with multi-value headers.
    LoadBalancer,
    /// The URL of a function.
    FunctionUrl,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::HttpApi,
        Self::RestApi,
        Self::LoadBalancer,
        Self::FunctionUrl,
    ];

    /// The name in a configuration and in a request's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpApi => "http_api",
            Self::RestApi => "rest_api",
            Self::LoadBalancer => "load_balancer",
            Self::FunctionUrl => "function_url",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The most bytes of the body of a request.
    pub(crate) fn request_limit(self) -> usize {
        match self {
            Self::HttpApi | Self::RestApi => 10 << 20,
            Self::LoadBalancer => 1 << 20,
            Self::FunctionUrl => 6 << 20,
        }
    }

    /// The most bytes of what a function answers, where it is less than what Lambda allows.
    pub(crate) fn response_limit(self) -> usize {
        match self {
            Self::LoadBalancer => 1 << 20,
            Self::HttpApi | Self::RestApi | Self::FunctionUrl => usize::MAX,
        }
    }
}
