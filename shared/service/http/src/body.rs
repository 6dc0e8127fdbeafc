//! Reads and decodes request bodies as they arrive, within a size limit.

use std::{
    io::{self, Write},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body_util::BodyExt;
use neap_bucket::World;

use crate::{ApiError, Kind};

/// Limits on the size of a body and on the time until it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Maximum size in bytes, as sent and decoded (InfluxDB 3 `--max-http-request-size`).
    pub max_bytes: usize,
    /// Maximum time from the head of a request to the end of its body.
    pub timeout: Duration,
}

impl BodyLimits {
    /// Returns limits with this maximum size, and the default timeout.
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }
}

impl Default for BodyLimits {
    /// 10 MiB as in InfluxDB 3, and 30 s.
    fn default() -> Self {
        Self { max_bytes: 10 << 20, timeout: Duration::from_secs(30) }
    }
}

/// Reasons why a body can't be read, with the texts of InfluxDB 3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum BodyError {
    /// The body is larger than allowed, as sent or decoded.
    #[error("max request size ({limit} bytes) exceeded")]
    TooLarge { limit: usize },
    /// The encoding is neither `gzip` nor `identity`.
    #[error("unacceptable content-encoding: {0}")]
    Encoding(String),
    #[error("error decoding gzip stream: {0}")]
    Gzip(String),
    #[error("the request body did not arrive within {} s", limit.as_secs_f64())]
    TooSlow { limit: Duration },
    /// The connection broke, or the client does not speak HTTP.
    #[error("client hung up while sending body: {0}")]
    Broken(String),
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::TooLarge { .. } => Kind::TooLarge,
            BodyError::TooSlow { .. } => Kind::RequestTimeout,
            BodyError::Encoding(_) | BodyError::Gzip(_) | BodyError::Broken(_) => Kind::Invalid,
        };
        Self::text(kind, error.to_string())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentEncoding {
    Identity,
    Gzip,
}

fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, BodyError> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(ContentEncoding::Identity);
    };
    match value.as_bytes() {
        b"gzip" => Ok(ContentEncoding::Gzip),
        b"identity" => Ok(ContentEncoding::Identity),
        other => {
            let other = String::from_utf8_lossy(other).into_owned();
            Err(BodyError::Encoding(other))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The expected ratio of the decoded size of a body to its gzip size. The ratio of line protocol is often higher, which
/// costs a copy.
const GZIP_FACTOR: usize = 6;

/// The expected size of a body without `Content-Length`, in bytes.
const UNANNOUNCED_BYTES: usize = 64 << 10;

/// Estimates the number of bytes that a body takes up, from the headers alone.
pub fn expected_bytes(headers: &HeaderMap, limits: &BodyLimits) -> usize {
    let announced = content_length(headers).unwrap_or(UNANNOUNCED_BYTES);
    let decoded = match encoding(headers) {
        Ok(ContentEncoding::Gzip) => announced.saturating_mul(GZIP_FACTOR),
        _ => announced,
    };
    decoded.min(limits.max_bytes)
}

/// Reads and decodes a body as it arrives. Its memory does not exceed the limit. A body that arrives in one piece and
/// needs no decoding is not copied.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
    world: &World,
) -> Result<Bytes, BodyError> {
    let encoding = encoding(headers)?;
    if content_length(headers).is_some_and(|length| length > limits.max_bytes) {
        let limit = limits.max_bytes;
        return Err(BodyError::TooLarge { limit });
    }
    let capacity = expected_bytes(headers, limits);
    let read = async {
        match encoding {
            ContentEncoding::Identity => read_plain(body, capacity, limits.max_bytes).await,
            ContentEncoding::Gzip => read_gzip(body, capacity, limits.max_bytes).await,
        }
    };
    let limit = limits.timeout;
    let outcome = world.timeout(limit, read).await;
    outcome.unwrap_or(Err(BodyError::TooSlow { limit }))
}

/// Returns the next piece of a body; `None` at its end.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        // Frames without data are trailers, which are ignored.
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

async fn read_plain(mut body: Body, capacity: usize, limit: usize) -> Result<Bytes, BodyError> {
    let too_large = BodyError::TooLarge { limit };
    let Some(first) = next_piece(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(capacity.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(piece) = next_piece(&mut body).await? {
        if whole.len() + piece.len() > limit {
            return Err(too_large);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// A buffer with a size limit.
struct BoundedBuffer {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Write for BoundedBuffer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.limit {
            self.is_full = true;
            return Err(io::Error::other("too large"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a body that consists of any number of gzip members.
async fn read_gzip(mut body: Body, capacity: usize, limit: usize) -> Result<Bytes, BodyError> {
    let mut decoder = MultiGzDecoder::new(BoundedBuffer {
        bytes: Vec::with_capacity(capacity),
        limit,
        is_full: false,
    });
    let mut raw_bytes = 0;
    while let Some(piece) = next_piece(&mut body).await? {
        raw_bytes += piece.len();
        if raw_bytes > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let written = decoder.write_all(&piece);
        written.map_err(|error| gzip_error(&decoder, &error))?;
    }
    let finished = decoder.try_finish();
    finished.map_err(|error| gzip_error(&decoder, &error))?;
    match decoder.finish() {
        Ok(decoded) => Ok(decoded.bytes.into()),
        Err(error) => Err(BodyError::Gzip(error.to_string())),
    }
}

fn gzip_error(decoder: &MultiGzDecoder<BoundedBuffer>, error: &io::Error) -> BodyError {
    let decoded = decoder.get_ref();
    if decoded.is_full {
        BodyError::TooLarge { limit: decoded.limit }
    } else {
        BodyError::Gzip(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use futures::stream;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { max_bytes: 1000, timeout: Duration::from_secs(5) };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn pieces(bytes: &[u8], size: usize) -> Body {
        let pieces: Vec<_> = bytes
            .chunks(size)
            .map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn read(encoding: Option<&'static str>, body: Body) -> Result<Bytes, BodyError> {
        let headers = encoding.map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(headers);
        read_body(&headers, body, &LIMITS, &World::system()).await
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn bodies_are_read_whole_for_all_piece_sizes(
            members in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4),
            size in 1_usize..300,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let plain = members.concat();
                let zipped: Vec<u8> = members.iter().flat_map(|member| gzip(member)).collect();
                assert_eq!(read(None, pieces(&plain, size)).await.unwrap(), plain);
                assert_eq!(read(Some("gzip"), pieces(&zipped, size)).await.unwrap(), plain);
            });
        }
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let body = Bytes::from_static(b"cpu v=1");
        let read = read(Some("identity"), Body::from(body.clone())).await;
        assert_eq!(read.unwrap().as_ptr(), body.as_ptr());
    }

    #[tokio::test]
    async fn bodies_are_limited_as_sent_and_as_decoded() {
        let limit = Err(BodyError::TooLarge { limit: 1000 });
        let (fits, exceeds) = (vec![b'x'; 1000], vec![b'x'; 1001]);
        assert!(read(None, Body::from(fits.clone())).await.is_ok());
        assert!(read(Some("gzip"), Body::from(gzip(&fits))).await.is_ok());
        assert_eq!(read(None, Body::from(exceeds.clone())).await, limit);
        assert_eq!(read(None, pieces(&exceeds, 10)).await, limit);
        let zipped = gzip(&exceeds);
        assert_eq!(read(Some("gzip"), Body::from(zipped.clone())).await, limit);
        assert_eq!(read(Some("gzip"), pieces(&zipped, 1)).await, limit);
        let bomb = gzip(&vec![0; 2_000_000]);
        assert_eq!(read(Some("gzip"), Body::from(bomb)).await, limit);
        let empty_members = gzip(b"").repeat(100);
        assert_eq!(read(Some("gzip"), Body::from(empty_members)).await, limit);
    }

    #[tokio::test]
    async fn a_body_announced_as_too_large_is_not_read() {
        let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let length = (CONTENT_LENGTH, HeaderValue::from_static("1001"));
        let headers = HeaderMap::from_iter([length]);
        let read = read_body(&headers, never, &LIMITS, &World::system()).await;
        assert_eq!(read, Err(BodyError::TooLarge { limit: 1000 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_times_out() {
        let never = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let error = read(None, never).await.unwrap_err();
        let limit = LIMITS.timeout;
        assert_eq!(error, BodyError::TooSlow { limit });
    }

    #[tokio::test]
    async fn invalid_gzip_is_refused_with_the_texts_of_influxdb() {
        let message = async |body: &[u8]| {
            let read = read(Some("gzip"), Body::from(body.to_vec())).await;
            read.unwrap_err().to_string()
        };
        let expected = "error decoding gzip stream: invalid gzip header";
        assert_eq!(message(b"this is not gzip").await, expected);
        let mut garbage = gzip(b"a");
        garbage.extend_from_slice(b"and what is not gzip");
        assert_eq!(message(&garbage).await, expected);
        let member = gzip(b"a body that is cut");
        let whole = [&member[..], &member[..]].concat();
        // The body without its second member is complete.
        for length in (0..whole.len()).filter(|length| *length != member.len()) {
            let message = message(&whole[..length]).await;
            assert!(message.starts_with("error decoding gzip stream: "), "{length}: {message}");
        }
        let mut damaged = gzip(b"a body that is damaged");
        let place = damaged.len() - 6;
        damaged[place] ^= 1;
        assert!(message(&damaged).await.starts_with("error decoding gzip stream: "));
    }

    #[tokio::test]
    async fn other_encodings_are_refused() {
        for other in ["br", "deflate", "gzip, gzip", "GZIP", ""] {
            let error = read(Some(other), Body::empty()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("unacceptable content-encoding: {other}"));
        }
    }

    #[test]
    fn the_expected_size_follows_from_the_headers() {
        let expected = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers
                .iter()
                .cloned()
                .map(|(name, value)| (name, HeaderValue::from_static(value)));
            expected_bytes(&HeaderMap::from_iter(headers), &LIMITS)
        };
        assert_eq!(expected(&[(CONTENT_LENGTH, "77")]), 77);
        assert_eq!(expected(&[(CONTENT_LENGTH, "77"), (CONTENT_ENCODING, "gzip")]), 462);
        assert_eq!(expected(&[(CONTENT_LENGTH, "770"), (CONTENT_ENCODING, "gzip")]), 1000);
        assert_eq!(expected(&[]), 1000);
    }
}
