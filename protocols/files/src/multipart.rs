//! Reads a body of the type `multipart/form-data` piece by piece, so that a part may be larger than memory.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use http::HeaderMap;
use memchr::memmem;
use neap_bucket::World;
use neap_http::{ApiError, Kind, PartHead, multipart_boundary};

/// Maximum bytes of the headers of a part.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// Maximum number of parts.
const MAX_PARTS: usize = 16;

/// The time of waiting for a client over which its speed is averaged.
const SPAN: Duration = Duration::from_secs(30);

/// Minimum bytes that a client must send in a [`SPAN`]: 1 KiB/s, as it must read answers.
const MIN_SPAN_BYTES: u64 = SPAN.as_secs() << 10;

/// Maximum time from the first to the last byte of a body: 4 GiB at 50 kB/s.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The reason why a body can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    /// The content type is another one, or has no valid boundary.
    #[error("the content type must be multipart/form-data with a boundary")]
    ContentType,
    #[error("the multipart body is malformed: {0}")]
    Malformed(&'static str),
    #[error("the part '{name}' has more than {limit} bytes")]
    TooLarge {
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    #[error("less than 1 KiB/s of the request body arrived for {} s", SPAN.as_secs())]
    TooSlow,
    #[error("the request body did not arrive within {} s", MAX_TIME.as_secs())]
    TooLong,
    #[error("client hung up while sending body: {0}")]
    Broken(String),
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let kind = match error {
            MultipartError::TooLarge { .. } => Kind::TooLarge,
            MultipartError::TooSlow | MultipartError::TooLong => Kind::RequestTimeout,
            _ => Kind::Invalid,
        };
        Self::json(kind, error.to_string())
    }
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Multipart {
    stream: BodyDataStream,
    world: World,
    buffer: BytesMut,
    /// `CRLF--boundary`, which ends the content of each part.
    delimiter: Vec<u8>,
    parts: usize,
    is_over: bool,
    /// The monotonic time at which reading began.
    started_at: Duration,
    /// The time of waiting and the bytes in the present span. The time in which the server is busy does not count.
    waited: Duration,
    span_bytes: u64,
}

impl Multipart {
    /// Begins to read a body.
    ///
    /// # Errors
    /// `ContentType`.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        world: &World,
    ) -> Result<Self, MultipartError> {
        let boundary = multipart_boundary(headers).ok_or(MultipartError::ContentType)?;
        Ok(Self {
            stream: body.into_data_stream(),
            world: world.clone(),
            // The first delimiter may be at the very start, without the line break that belongs to it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            parts: 0,
            is_over: false,
            started_at: world.clock.monotonic(),
            waited: Duration::ZERO,
            span_bytes: 0,
        })
    }

    /// Skips the rest of the present part and returns the head of the next one; `None` after the last.
    ///
    /// # Errors
    /// The body is malformed, or its rest does not arrive.
    pub(crate) async fn next_part(&mut self) -> Result<Option<PartHead>, MultipartError> {
        while !self.is_over && self.next_chunk().await?.is_some() {}
        if self.is_over {
            return Ok(None);
        }
        self.buffer.advance(self.delimiter.len());
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.is_over = true;
            return Ok(None);
        }
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(MultipartError::Malformed("too many parts"));
        }
        let head = self.read_head().await?;
        Ok(Some(head))
    }

    /// Returns the next bytes of the present part; `None` at its end.
    ///
    /// # Errors
    /// The body is malformed, or its rest does not arrive.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            let found = memmem::find(&self.buffer, &self.delimiter);
            let available = match found {
                Some(0) => return Ok(None),
                Some(end) => end,
                // The delimiter may have begun in the last bytes.
                None => (self.buffer.len() + 1).saturating_sub(self.delimiter.len()),
            };
            if available > 0 {
                return Ok(Some(self.buffer.split_to(available).freeze()));
            }
            self.fill().await?;
        }
    }

    /// Returns the rest of the present part as text.
    ///
    /// # Errors
    /// `TooLarge`, `Malformed`, or the rest does not arrive.
    pub(crate) async fn text(
        &mut self,
        name: &str,
        max_bytes: usize,
    ) -> Result<String, MultipartError> {
        let mut text = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            if text.len() + chunk.len() > max_bytes {
                return Err(MultipartError::TooLarge {
                    name: name.to_owned(),
                    limit: max_bytes as u64,
                });
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_| MultipartError::Malformed("a part is not UTF-8"))
    }

    async fn read_head(&mut self) -> Result<PartHead, MultipartError> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end);
                self.buffer.advance(4);
                return parse_head(&head);
            }
            if self.buffer.len() > MAX_HEADER_BYTES {
                return Err(MultipartError::Malformed("the headers of a part are too long"));
            }
            self.fill().await?;
        }
    }

    /// Waits for more bytes.
    async fn fill(&mut self) -> Result<(), MultipartError> {
        let arrived = loop {
            let now = self.world.clock.monotonic();
            self.check_speed(now)?;
            let left = SPAN.saturating_sub(self.waited);
            let next = self.world.timeout(left, self.stream.next()).await;
            let elapsed = self.world.clock.monotonic().saturating_sub(now);
            match next {
                Some(next) => {
                    self.waited = self.waited.saturating_add(elapsed);
                    break next;
                }
                None => self.waited = SPAN,
            }
        };
        match arrived {
            Some(Ok(bytes)) => {
                self.span_bytes = self.span_bytes.saturating_add(bytes.len() as u64);
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
            Some(Err(error)) => Err(MultipartError::Broken(error.to_string())),
            None => Err(MultipartError::Malformed("its end is missing")),
        }
    }

    /// Refuses a client that holds its place among the uploads with a few bytes now and then.
    fn check_speed(&mut self, now: Duration) -> Result<(), MultipartError> {
        if now.saturating_sub(self.started_at) >= MAX_TIME {
            return Err(MultipartError::TooLong);
        }
        if self.waited < SPAN {
            return Ok(());
        }
        if self.span_bytes < MIN_SPAN_BYTES {
            return Err(MultipartError::TooSlow);
        }
        (self.waited, self.span_bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

fn parse_head(head: &[u8]) -> Result<PartHead, MultipartError> {
    let text =
        str::from_utf8(head).map_err(|_| MultipartError::Malformed("a header is not UTF-8"))?;
    PartHead::parse(text)
        .filter(|head| !head.name.is_empty())
        .ok_or(MultipartError::Malformed("a part has no name"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::stream;
    use http::{HeaderValue, header::CONTENT_TYPE};
    use neap_bucket::{Clock, PausedClock};

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x-1";
    const BODY: &[u8] = b"--x-1\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\nhome\r\n--x-1\r\n\
        content-disposition: form-data; name=file_bytes; filename=\"a \\\"b\\\".parquet\"\r\nContent-Type: x\r\n\r\n\
        PAR1\r\n--x\r\n\x00PAR1\r\n--x-1\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--x-1--\r\n";

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
    }

    fn reader(content_type: &'static str, chunks: &[&[u8]]) -> Result<Multipart, MultipartError> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)))
            .collect();
        let body = Body::from_stream(stream::iter(chunks));
        Multipart::new(&headers(content_type), body, &World::system())
    }

    /// Reads a part of which `bytes` arrive after each pause, until an error.
    async fn read_slow_part(pause: Duration, bytes: usize) -> MultipartError {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new(0));
        let world = World::seeded(Arc::clone(&clock), 1);
        let head = &b"--x-1\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\n"[..];
        let pieces = stream::repeat(Bytes::from(vec![b'a'; bytes])).then(move |piece| {
            let sleep = clock.sleep(pause);
            async move {
                sleep.await;
                piece
            }
        });
        let chunks = stream::iter([Bytes::from_static(head)]).chain(pieces);
        let body = Body::from_stream(chunks.map(Ok::<_, std::io::Error>));
        let mut reader = Multipart::new(&headers(TYPE), body, &world).unwrap();
        reader.next_part().await.unwrap();
        loop {
            if let Err(error) = reader.next_chunk().await {
                return error;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_cannot_hold_its_place_with_a_few_bytes_now_and_then() {
        let second = Duration::from_secs(1);
        for (pause, bytes) in [(second * 5, 1), (second, 1_000), (second * 40, 1 << 20)] {
            assert_eq!(read_slow_part(pause, bytes).await, MultipartError::TooSlow);
        }
        let error = read_slow_part(second * 10, 16 << 10).await;
        assert_eq!(error, MultipartError::TooLong);
    }

    async fn read_all(chunks: &[&[u8]]) -> Result<Vec<(PartHead, Vec<u8>)>, MultipartError> {
        let mut reader = reader(TYPE, chunks)?;
        let mut parts = Vec::new();
        while let Some(head) = reader.next_part().await? {
            let mut content = Vec::new();
            while let Some(chunk) = reader.next_chunk().await? {
                content.extend_from_slice(&chunk);
            }
            parts.push((head, content));
        }
        Ok(parts)
    }

    #[tokio::test]
    async fn parts_are_the_same_wherever_the_body_is_split() {
        let head = |name: &str, filename: Option<&str>| PartHead {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
        };
        let expected = vec![
            (head("db", None), b"home".to_vec()),
            (head("file_bytes", Some("a \"b\".parquet")), b"PAR1\r\n--x\r\n\x00PAR1".to_vec()),
            (head("empty", None), Vec::new()),
        ];
        assert_eq!(read_all(&[BODY]).await.unwrap(), expected);
        let bytes: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(read_all(&bytes).await.unwrap(), expected);
        for split in 1..BODY.len() {
            let (first, second) = BODY.split_at(split);
            assert_eq!(read_all(&[first, second]).await.unwrap(), expected, "{split}");
        }
    }

    #[tokio::test]
    async fn parts_that_are_not_read_are_skipped() {
        let mut reader = reader(TYPE, &[BODY]).unwrap();
        assert_eq!(reader.next_part().await.unwrap().unwrap().name, "db");
        let second = reader.next_part().await.unwrap().unwrap();
        assert_eq!(second.name, "file_bytes");
        let text = reader.text("file_bytes", 3).await.unwrap_err();
        assert!(matches!(text, MultipartError::TooLarge { limit: 3, .. }));
    }

    #[tokio::test]
    async fn bodies_that_are_cut_or_malformed_are_errors() {
        for end in 0..BODY.len() - 4 {
            assert!(read_all(&[&BODY[..end]]).await.is_err(), "{end}");
        }
        for body in [
            &b"--x-1\r\nContent-Type: a\r\n\r\nb\r\n--x-1--"[..],
            b"--x-1\r\nContent-Disposition: form-data\r\n\r\nb\r\n--x-1--",
            b"--x-1\r\nContent-Disposition: \xff; name=a\r\n\r\nb\r\n--x-1--",
        ] {
            assert!(read_all(&[body]).await.is_err());
        }
        for content_type in [
            "text/csv",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ] {
            let refused = reader(content_type, &[BODY]).map(|_| ());
            assert_eq!(refused, Err(MultipartError::ContentType));
        }
    }
}
