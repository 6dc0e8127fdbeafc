//! What was asked of the server and how it answered, for whoever wants to know.

use std::{borrow::Cow, fmt};

use http::{HeaderMap, Method, Request, Response, header};
use percent_encoding::percent_decode_str;

/// Is told of every request, on the server's own task: it must not wait.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A request was answered.
    fn answered(&self, request: &Answered<'_>);
}

/// What a request asks for, as S3 bills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A read of an object or a part of it.
    Get,
    /// A look at what an object is.
    Head,
    /// A write of an object, of a part of one, or the end of such parts.
    Put,
    /// A copy within the server.
    Copy,
    /// A delete of one object.
    Delete,
    /// A delete of several objects.
    BulkDelete,
    /// A page of a listing.
    List,
    /// Anything else.
    Other,
}

impl Operation {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Put => "put",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::BulkDelete => "bulk_delete",
            Self::List => "list",
            Self::Other => "other",
        }
    }
}

/// A request and how it was answered.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// The access key that signed it, if any did.
    pub user: Option<&'a str>,
    /// What it asked for.
    pub operation: Operation,
    /// The bucket.
    pub bucket: &'a str,
    /// The key; of a listing its prefix.
    pub key: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of the body that was sent, as far as the client said.
    pub size_bytes: u64,
    /// The tag of the object in the answer, without quotes.
    pub etag: Option<&'a str>,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) user: Option<String>,
    pub(crate) operation: Operation,
    pub(crate) bucket: String,
    pub(crate) key: String,
    size_bytes: u64,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let key = decode(key).into_owned();
        let operation = operation(request, &key, query);
        let key = match operation {
            Operation::List => parameter(query, "prefix").unwrap_or_default(),
            _ => key,
        };
        Self {
            user: user(request.headers(), query),
            operation,
            bucket: bucket.to_owned(),
            key,
            size_bytes: size(request.headers()),
        }
    }

    pub(crate) fn tell<B>(&self, observer: &dyn Observer, response: &Response<B>) {
        let etag = response.headers().get(header::ETAG);
        let etag = etag.and_then(|etag| etag.to_str().ok());
        observer.answered(&Answered {
            user: self.user.as_deref(),
            operation: self.operation,
            bucket: &self.bucket,
            key: &self.key,
            status: response.status().as_u16(),
            size_bytes: self.size_bytes,
            etag: etag.map(|etag| etag.trim_matches('"')),
        });
    }
}

fn operation<B>(request: &Request<B>, key: &str, query: &str) -> Operation {
    let has = |name: &str| parameter(query, name).is_some();
    let method = request.method();
    match (method, key.is_empty()) {
        (&Method::GET, false) => Operation::Get,
        (&Method::HEAD, false) => Operation::Head,
        (&Method::PUT, false) if request.headers().contains_key("x-amz-copy-source") => {
            Operation::Copy
        }
        (&Method::PUT, false) => Operation::Put,
        (&Method::POST, false) if has("uploads") || has("uploadId") => Operation::Put,
        (&Method::DELETE, false) if !has("uploadId") => Operation::Delete,
        (&Method::GET, true) if has("list-type") => Operation::List,
        (&Method::POST, true) if has("delete") => Operation::BulkDelete,
        _ => Operation::Other,
    }
}

/// The access key of a signature in the header or in the address.
fn user(headers: &HeaderMap, query: &str) -> Option<String> {
    let scope = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (_, rest) = value.to_str().ok()?.split_once("Credential=")?;
            rest.to_owned()
        }
        None => parameter(query, "X-Amz-Credential")?,
    };
    let (user, _) = scope.split_once('/')?;
    Some(user.to_owned())
}

/// How long the body is before it was cut into signed chunks, or as it is.
fn size(headers: &HeaderMap) -> u64 {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    number("x-amz-decoded-content-length")
        .or_else(|| number("content-length"))
        .unwrap_or(0)
}

/// The value of a parameter in a query string, decoded; empty if it has none.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(&value.replace('+', " ")).into_owned())
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> (Operation, String, Option<String>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:1{target}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host",
            )
            .body(())
            .unwrap();
        let asked = Asked::of(&request);
        (asked.operation, asked.key, asked.user)
    }

    #[test]
    fn requests_are_told_apart() {
        for (method, target, operation, key) in [
            ("GET", "/b/tail/1/x%2Dy", Operation::Get, "tail/1/x-y"),
            ("HEAD", "/b/k", Operation::Head, "k"),
            ("PUT", "/b/k", Operation::Put, "k"),
            ("POST", "/b/k?uploads", Operation::Put, "k"),
            ("DELETE", "/b/k", Operation::Delete, "k"),
            ("DELETE", "/b/k?uploadId=1", Operation::Other, "k"),
            ("POST", "/b?delete=", Operation::BulkDelete, ""),
            (
                "GET",
                "/b?list-type=2&prefix=tail%2F1%2F",
                Operation::List,
                "tail/1/",
            ),
            ("GET", "/", Operation::Other, ""),
        ] {
            let expected = (operation, key.to_owned(), Some("AKID".to_owned()));
            assert_eq!(asked(method, target), expected, "{method} {target}");
        }
    }
}
