//! Reads rows in JSON lines until a limit is reached.

use bytes::{Buf, BytesMut};
use futures::StreamExt;
use serde_json::Value;

use crate::{api::ApiResponseBody, error::ToolError};

/// Limits on the rows that a tool returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowLimits {
    /// Maximum number of rows.
    pub(crate) rows: usize,
    /// Maximum bytes of the rows in JSON.
    pub(crate) bytes: usize,
}

/// The limit at which rows were cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowCut {
    Rows,
    Bytes,
}

impl RowCut {
    /// Returns the name in results.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
        }
    }
}

/// The first rows of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct FirstRows {
    /// Each row as an object. A column that is null may be absent.
    pub(crate) rows: Vec<Value>,
    /// The limit that was reached, if the answer has more rows.
    pub(crate) cut: Option<RowCut>,
}

/// Reads rows until the end or a limit. At a limit the answer is dropped, which cancels the query.
///
/// # Errors
/// [`ToolError::Unavailable`] or [`ToolError::UnexpectedAnswer`].
pub(crate) async fn read_rows(
    mut body: ApiResponseBody,
    limits: RowLimits,
) -> Result<FirstRows, ToolError> {
    let mut first = FirstRows::default();
    let (mut buffer, mut used) = (BytesMut::new(), 0_usize);
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end);
            buffer.advance(1);
            first.add(&line, &mut used, limits)?;
            if first.cut.is_some() {
                return Ok(first);
            }
        }
        // A row that is longer than the limit is not kept as a whole.
        if used.saturating_add(buffer.len()) > limits.bytes {
            first.cut = Some(RowCut::Bytes);
            return Ok(first);
        }
        match body.next().await.transpose()? {
            Some(chunk) => buffer.extend_from_slice(&chunk),
            None => break,
        }
    }
    first.add(&buffer, &mut used, limits)?;
    Ok(first)
}

impl FirstRows {
    /// Adds the row of a line, or records the limit that it exceeds.
    fn add(&mut self, line: &[u8], used: &mut usize, limits: RowLimits) -> Result<(), ToolError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.rows.len() >= limits.rows {
            self.cut = Some(RowCut::Rows);
            return Ok(());
        }
        *used = used.saturating_add(line.len());
        if *used > limits.bytes {
            self.cut = Some(RowCut::Bytes);
            return Ok(());
        }
        let row = serde_json::from_slice(line)
            .map_err(|error| ToolError::UnexpectedAnswer(error.to_string()))?;
        self.rows.push(row);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use serde_json::json;

    use super::*;

    async fn read(chunks: &[&'static str], rows: usize, bytes: usize) -> FirstRows {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        let limits = RowLimits { rows, bytes };
        read_rows(stream::iter(chunks).boxed(), limits).await.unwrap()
    }

    #[tokio::test]
    async fn rows_are_read_across_chunks() {
        let read = read(&["{\"a\":1}\n{\"a\"", ":2}\n", "{\"a\":3}"], 10, 100).await;
        assert_eq!(read.rows, [json!({"a":1}), json!({"a":2}), json!({"a":3})]);
        assert_eq!(read.cut, None);
    }

    #[tokio::test]
    async fn rows_beyond_a_limit_are_cut() {
        let lines = ["{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n"];
        assert_eq!(read(&lines, 3, 100).await.cut, None);
        let two = read(&lines, 2, 100).await;
        assert_eq!((two.rows.len(), two.cut), (2, Some(RowCut::Rows)));
        let short = read(&lines, 10, 14).await;
        assert_eq!((short.rows.len(), short.cut), (2, Some(RowCut::Bytes)));
    }

    #[tokio::test]
    async fn a_row_without_end_is_cut_at_the_limit_of_bytes() {
        let read = read(&["{\"a\":\"xxxxxxxx", "xxxxxxxxxxxxxxxxxxx"], 10, 20).await;
        assert_eq!((read.rows.len(), read.cut), (0, Some(RowCut::Bytes)));
    }

    #[tokio::test]
    async fn text_that_is_no_row_is_an_error() {
        let body = stream::iter([Ok(Bytes::from_static(b"<html>\n"))]).boxed();
        let limits = RowLimits { rows: 1, bytes: 100 };
        let error = read_rows(body, limits).await.unwrap_err();
        assert!(matches!(error, ToolError::UnexpectedAnswer(_)));
    }
}
