//! The handshake of a connection.
//!
//! ```text
//!   client                              server
//!     |-- name of the key, LF ------------> |
//!     |<- 512 printable characters, LF ---- |
//!     |-- signature in base64, LF --------> |   no answer: lines follow, or the connection is closed
//!     |-- lines …
//! ```
//!
//! A client without a key begins with its lines. The name of a key contains no character that every line has, so the
//! first bytes tell which of the two they are.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::{
    close_reason::CloseReason,
    connection_access::{ConnectionAccess, KeyPolicy, KeyReader},
    receive_buffer::ReceiveBuffer,
    signature::{MAX_SIGNATURE_BYTES, draw_challenge, is_signed_by},
};

/// Maximum time of a handshake. The clients of QuestDB wait for 15 s as well.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// Maximum bytes of the name of a key.
const MAX_NAME_BYTES: usize = 255;

const NO_KEY: &str = "the client used no key, which this server requires";

/// The start of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FirstBytes {
    /// The name of a key, without its newline.
    KeyName(String),
    /// Line protocol.
    Lines,
}

impl FirstBytes {
    /// Classifies the first bytes; `None` if more are needed.
    fn classify(bytes: &[u8]) -> Option<Self> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:@+/".contains(byte);
        let length = bytes.iter().take_while(|byte| is_part(byte)).count();
        if length > MAX_NAME_BYTES {
            return Some(Self::Lines);
        }
        match (length, bytes.get(length)?) {
            (1.., b'\n') => {
                let name = bytes.get(..length).unwrap_or_default();
                Some(Self::KeyName(String::from_utf8_lossy(name).into_owned()))
            }
            _ => Some(Self::Lines),
        }
    }
}

/// Determines the access of a connection. The bytes after the handshake stay in the buffer. A client that needs no key
/// may connect as long as `idle_limit` before its first line.
pub(crate) async fn shake_hands(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut ReceiveBuffer,
    policy: KeyPolicy,
    keys: &KeyReader,
    idle_limit: Duration,
) -> Result<ConnectionAccess, CloseReason> {
    let (limit, too_slow) = match policy {
        KeyPolicy::Required => (HANDSHAKE_LIMIT, CloseReason::SlowHandshake),
        KeyPolicy::Open | KeyPolicy::Optional => (idle_limit, CloseReason::Idle),
    };
    let first = keys.world.timeout(limit, receive_first(stream, buffer));
    match first.await.unwrap_or(Err(too_slow))? {
        FirstBytes::Lines if policy == KeyPolicy::Required => {
            Err(CloseReason::Unauthenticated(NO_KEY))
        }
        FirstBytes::Lines => Ok(ConnectionAccess::WithoutKey),
        FirstBytes::KeyName(name) => {
            buffer.remove_prefix(name.len() + 1);
            authenticate(stream, buffer, &name, policy, keys).await
        }
    }
}

async fn receive_first(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut ReceiveBuffer,
) -> Result<FirstBytes, CloseReason> {
    loop {
        match FirstBytes::classify(buffer.bytes()) {
            Some(first) => return Ok(first),
            None => receive(stream, buffer).await?,
        }
    }
}

async fn authenticate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut ReceiveBuffer,
    name: &str,
    policy: KeyPolicy,
    keys: &KeyReader,
) -> Result<ConnectionAccess, CloseReason> {
    let known = match policy {
        KeyPolicy::Open => Some(ConnectionAccess::WithoutKey),
        KeyPolicy::Optional | KeyPolicy::Required => {
            keys.find(name).await.map_err(CloseReason::from)?
        }
    };
    let challenge = draw_challenge(&keys.world);
    let exchange = exchange(stream, buffer, &challenge);
    let answer = keys
        .world
        .timeout(HANDSHAKE_LIMIT, exchange)
        .await
        .unwrap_or(Err(CloseReason::SlowHandshake))?;
    let key = match &known {
        Some(ConnectionAccess::Key { key, .. }) => Some(key),
        Some(ConnectionAccess::WithoutKey) => return Ok(ConnectionAccess::WithoutKey),
        None => None,
    };
    let is_signed = is_signed_by(key, &challenge, &answer);
    known.filter(|_| is_signed).ok_or(CloseReason::Unauthenticated(
        "the client's key is unknown or has expired, or its signature is wrong",
    ))
}

/// Sends the challenge and receives the line that answers it.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut ReceiveBuffer,
    challenge: &[u8],
) -> Result<Vec<u8>, CloseReason> {
    let message = [challenge, b"\n"].concat();
    stream.write_all(&message).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    loop {
        // A newline within the longest signature.
        let begin = buffer.bytes().iter().take(MAX_SIGNATURE_BYTES + 1);
        if let Some(length) = begin.clone().position(|byte| *byte == b'\n') {
            let answer = buffer.bytes().get(..length).unwrap_or_default().to_vec();
            buffer.remove_prefix(length + 1);
            return Ok(answer);
        }
        if begin.len() > MAX_SIGNATURE_BYTES {
            return Err(CloseReason::Unauthenticated(NO_KEY));
        }
        receive(stream, buffer).await?;
    }
}

async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut ReceiveBuffer,
) -> Result<(), CloseReason> {
    match buffer.read(stream).await.map_err(broken)? {
        0 if buffer.bytes().is_empty() => Err(CloseReason::Client),
        0 => Err(CloseReason::IncompleteLine),
        _ => Ok(()),
    }
}

fn broken(error: std::io::Error) -> CloseReason {
    CloseReason::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_whether_a_client_has_a_key() {
        let key = |name: &str| Some(FirstBytes::KeyName(name.to_owned()));
        for (bytes, first) in [
            ("", None),
            ("sensors", None),
            ("sensors\nMEUC", key("sensors")),
            ("a-b_c.d:e@f+g/1\n", key("a-b_c.d:e@f+g/1")),
            ("cpu ", Some(FirstBytes::Lines)),
            ("cpu,", Some(FirstBytes::Lines)),
            ("cpu\\ x", Some(FirstBytes::Lines)),
            ("#", Some(FirstBytes::Lines)),
            ("\n", Some(FirstBytes::Lines)),
            ("cpu\r\n", Some(FirstBytes::Lines)),
            ("é", Some(FirstBytes::Lines)),
        ] {
            assert_eq!(FirstBytes::classify(bytes.as_bytes()), first, "{bytes:?}");
        }
        let long = "n".repeat(MAX_NAME_BYTES);
        assert_eq!(FirstBytes::classify(format!("{long}\n").as_bytes()), key(&long));
        assert_eq!(FirstBytes::classify(long.as_bytes()), None);
        let longer = format!("{long}n");
        assert_eq!(FirstBytes::classify(longer.as_bytes()), Some(FirstBytes::Lines));
    }
}
