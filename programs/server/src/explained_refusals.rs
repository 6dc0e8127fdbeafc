//! Texts in the answers to requests whose head is too large.
//!
//! The HTTP library answers these itself, before a request exists, with an empty body. So the answer is replaced on its way to
//! the client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The beginnings of answers with an empty body, and the texts that they get.
const TEXTS: [(&[u8], &str); 2] = [
    (
        b"HTTP/1.1 414 ",
        "the path and the query string have more than 65534 bytes: send the query in the body of a POST request",
    ),
    (
        b"HTTP/1.1 431 ",
        "the head of the request has more than 131072 bytes or 100 headers: send the query in the body of a POST request",
    ),
];

/// The end of the head of such an answer, in the case of HTTP/1 that the library uses.
const EMPTY_BODY: &str = "content-length: 0\r\n";

/// A connection of a server that explains refusals.
pub(super) struct ExplainedRefusals<S> {
    stream: S,
    /// The rest of an answer that replaces another one.
    replacement: Vec<u8>,
}

impl<S> ExplainedRefusals<S> {
    /// Wraps a connection.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, replacement: Vec::new() }
    }
}

/// Returns the answer to send in the place of a refusal without a text.
fn explained(answer: &[u8]) -> Option<Vec<u8>> {
    let (_, text) = TEXTS.iter().find(|(begin, _)| answer.starts_with(begin))?;
    let head = str::from_utf8(answer).ok()?;
    if !head.contains(EMPTY_BODY) || !head.ends_with("\r\n\r\n") {
        return None;
    }
    let body = serde_json::json!({ "error": text }).to_string();
    let length = body.len();
    let headers = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    let mut explained = head.replace(EMPTY_BODY, &headers);
    explained.push_str(&body);
    Some(explained.into_bytes())
}

impl<S: AsyncWrite + Unpin> ExplainedRefusals<S> {
    /// Sends the rest of a replacement.
    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.replacement);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.replacement.drain(..written),
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ExplainedRefusals<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ExplainedRefusals<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(context))?;
        match explained(bytes) {
            Some(replacement) => {
                self.replacement = replacement;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(context))?;
        let first = pieces.iter().find(|piece| !piece.is_empty());
        match first.and_then(|piece| Some((piece.len(), explained(piece)?))) {
            Some((length, replacement)) => {
                self.replacement = replacement;
                Poll::Ready(Ok(length))
            }
            None => Pin::new(&mut self.stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_without_a_text_get_one() {
        let refusal =
            b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let explained_refusal = explained(refusal).unwrap();
        insta::assert_snapshot!(String::from_utf8(explained_refusal).unwrap().replace('\r', ""), @r#"
        HTTP/1.1 414 URI Too Long
        connection: close
        content-type: application/json
        content-length: 114

        {"error":"the path and the query string have more than 65534 bytes: send the query in the body of a POST request"}
        "#);
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 4\r\n\r\ntext",
        ] {
            assert_eq!(explained(other.as_bytes()), None);
        }
    }
}
