//! The parameters of handlers.

use axum::extract::{Path, Request, State};

use crate::Caller;

/// The parameters of a handler: the state of its routes, the sender of the request, and the request.
pub type Call<S> = (State<S>, Caller, Request);

/// The parameters of a handler whose path names a resource.
pub type ResourceCall<S, I> = (State<S>, Caller, Path<I>);
