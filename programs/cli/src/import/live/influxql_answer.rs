//! Answers of `/query`: JSON objects, one after the other if they are in chunks.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;

/// Maximum size of a chunk in bytes.
const MAX_CHUNK_BYTES: usize = 512 << 20;

/// An answer, or a chunk of one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) results: Vec<StatementResult>,
    #[serde(default)]
    pub(super) error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StatementResult {
    #[serde(default)]
    pub(super) series: Vec<SeriesRows>,
    #[serde(default)]
    pub(super) error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SeriesRows {
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) columns: Vec<String>,
    #[serde(default)]
    pub(super) values: Vec<Vec<Value>>,
}

impl Answer {
    /// Returns the rows, or the error that the server reports.
    pub(super) fn into_series(self) -> Result<Vec<SeriesRows>, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut series = Vec::new();
        for result in self.results {
            match result.error {
                Some(error) => return Err(error),
                None => series.extend(result.series),
            }
        }
        Ok(series)
    }
}

/// Splits a stream of JSON objects, each on a line of its own.
#[derive(Debug, Default)]
pub(super) struct AnswerSplitter {
    buffer: BytesMut,
    /// Bytes of the buffer without a line break.
    searched: usize,
}

impl AnswerSplitter {
    /// Adds bytes of the stream.
    ///
    /// # Errors
    ///
    /// An object is too large.
    pub(super) fn push(&mut self, bytes: &Bytes) -> Result<(), String> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > MAX_CHUNK_BYTES {
            Err(format!("a chunk of more than {MAX_CHUNK_BYTES} bytes"))
        } else {
            Ok(())
        }
    }

    /// Returns the next complete object; at the end of the stream, also the one without a line break.
    ///
    /// # Errors
    ///
    /// The text is not an answer.
    pub(super) fn next(&mut self, is_at_end: bool) -> Result<Option<Answer>, String> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let end = match memchr::memchr(b'\n', rest) {
                Some(at) => self.searched + at + 1,
                None if is_at_end => self.buffer.len(),
                None => {
                    self.searched = self.buffer.len();
                    return Ok(None);
                }
            };
            self.searched = 0;
            let text = self.buffer.split_to(end);
            if text.chunk().trim_ascii().is_empty() {
                if end == 0 || self.buffer.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            let answer = serde_json::from_slice(&text);
            return answer.map(Some).map_err(|error| error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: &str = "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"tags\":{\"a\":\"b\"},\"columns\":[\"time\",\"v\"],\"values\":[[1,0.5],[2,null]],\"partial\":true}],\"partial\":true}]}\n\
        {\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\"values\":[[3,9223372036854775807]]}]}]}\n";

    #[test]
    fn chunks_are_split_wherever_the_stream_is() {
        for size in [1, 7, 1_000] {
            let mut splitter = AnswerSplitter::default();
            let mut rows = Vec::new();
            let mut take = |splitter: &mut AnswerSplitter, is_at_end| {
                while let Some(answer) = splitter.next(is_at_end).unwrap() {
                    for series in answer.into_series().unwrap() {
                        rows.extend(series.values);
                    }
                }
            };
            for bytes in CHUNKS.as_bytes().chunks(size) {
                splitter.push(&Bytes::copy_from_slice(bytes)).unwrap();
                take(&mut splitter, false);
            }
            take(&mut splitter, true);
            assert_eq!(rows.len(), 3);
            assert_eq!(rows[2][1], serde_json::json!(i64::MAX));
        }
    }

    #[test]
    fn errors_of_the_server_are_errors() {
        let answer = |text: &str| {
            let mut splitter = AnswerSplitter::default();
            splitter.push(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
            splitter.next(true).unwrap().unwrap().into_series().unwrap_err()
        };
        assert_eq!(answer(r#"{"error":"a"}"#), "a");
        assert_eq!(answer(r#"{"results":[{"statement_id":0,"error":"b"}]}"#), "b");
    }
}
