//! Answers to requests, which tell Prometheus whether to send a request again.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use neap_bucket::Stamp;
use neap_http::{ApiError, ErrorBody, Kind, STAMP_HEADER, text_prefix};
use neap_rows::line_protocol::LineError;
use neap_write::{AcceptedWrite, WriteFailure};

use crate::{DecodeError, RefusedValues, RowKind};

/// The numbers of stored samples, histograms and exemplars.
const WRITTEN_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// Maximum size of an error, in bytes. Prometheus logs the first line.
const MAX_MESSAGE_BYTES: usize = 1_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct RequestRows {
    /// The kinds of the rows by their numbers, from 1.
    pub(crate) kinds: Vec<RowKind>,
    /// The values without a row.
    pub(crate) refused: RefusedValues,
}

/// The outcome of a request whose rows were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOutcome {
    pub(crate) samples: usize,
    pub(crate) histograms: usize,
    pub(crate) exemplars: usize,
    pub(crate) stamp: Option<Stamp>,
    /// The number of values that are not stored.
    pub(crate) refused: usize,
    /// The first error.
    message: Option<String>,
    is_limit: bool,
}

impl WriteOutcome {
    /// Evaluates the result of a write. The outer error is one after which nothing is stored, or the outcome is
    /// unknown.
    pub(crate) fn new(
        rows: &RequestRows,
        written: Result<AcceptedWrite, WriteFailure>,
    ) -> Result<Self, WriteFailure> {
        let count = |kind| rows.kinds.iter().filter(|row| **row == kind).count();
        let mut outcome = Self {
            samples: count(RowKind::Sample),
            histograms: count(RowKind::Histogram),
            exemplars: count(RowKind::Exemplar),
            refused: rows.refused.count,
            message: rows.refused.messages.first().cloned(),
            ..Self::default()
        };
        match written {
            Ok(accepted) => outcome.stamp = accepted.stamp,
            Err(failure @ WriteFailure::Partial { .. }) => {
                outcome.add_refused(&rows.kinds, &failure)
            }
            Err(failure) => return Err(failure),
        }
        Ok(outcome)
    }

    /// Subtracts the rows that were refused.
    fn add_refused(&mut self, kinds: &[RowKind], failure: &WriteFailure) {
        let WriteFailure::Partial { errors, refused, stamp, .. } = failure else {
            return;
        };
        self.stamp = *stamp;
        let kind_of = |error: &LineError| kinds.get(error.line_number.saturating_sub(1));
        for error in errors {
            match kind_of(error) {
                Some(RowKind::Sample) => self.samples = self.samples.saturating_sub(1),
                Some(RowKind::Histogram) => self.histograms = self.histograms.saturating_sub(1),
                // Prometheus does not send samples again because of exemplars, and knows nothing about rows of metadata.
                Some(RowKind::Exemplar) => {
                    self.exemplars = self.exemplars.saturating_sub(1);
                    continue;
                }
                _ => continue,
            }
            self.refused += 1;
            self.message
                .get_or_insert_with(|| format!("{}: {}", error.original_line, error.error_message));
        }
        // Not all errors are reported. The others are probably samples.
        let more = refused.saturating_sub(errors.len());
        let samples = more.min(self.samples);
        self.samples -= samples;
        self.histograms = self.histograms.saturating_sub(more - samples);
        self.refused += more;
        self.is_limit = failure.is_limit();
    }

    /// Returns the answer: 204 if all values are stored.
    pub(crate) fn into_response(self) -> Response {
        let mut response = match (self.refused, self.stamp) {
            (0, _) => StatusCode::NO_CONTENT.into_response(),
            (refused, _) => {
                let values = refused + self.samples + self.histograms;
                let message = self.message.as_deref().unwrap_or_default();
                let text = format!("{refused} of {values} samples are refused, such as {message}");
                let kind = if self.is_limit {
                    Kind::Limit
                } else {
                    Kind::Invalid
                };
                ApiError::text(kind, text_prefix(&text, MAX_MESSAGE_BYTES)).into_response()
            }
        };
        let headers = response.headers_mut();
        let counts = [self.samples, self.histograms, self.exemplars];
        for (name, count) in WRITTEN_HEADERS.into_iter().zip(counts) {
            headers.insert(name, HeaderValue::from(count as u64));
        }
        if let Some(stamp) = self.stamp {
            headers.insert(STAMP_HEADER, HeaderValue::from(stamp.as_u64()));
        }
        response
    }
}

/// Returns the error of a message that cannot be decoded.
pub(crate) fn undecodable(error: &DecodeError) -> ApiError {
    let kind = match error {
        DecodeError::TooLarge { .. } | DecodeError::TooManyPoints(_) => Kind::TooLarge,
        _ => Kind::Invalid,
    };
    ApiError::text(kind, error.to_string())
}

/// Returns an error as plain text. A body that arrives too slowly is sent again, unlike after 408.
pub(crate) fn failed(error: ApiError) -> ApiError {
    match error.kind() {
        Kind::RequestTimeout => ApiError::text(Kind::Unavailable, error.message()),
        _ => error.with_body(ErrorBody::Text),
    }
}

#[cfg(test)]
mod tests {
    use neap_rows::line_protocol::LineErrorKind;

    use super::*;

    fn rows(refused: usize) -> RequestRows {
        RequestRows {
            kinds: vec![
                RowKind::Sample,
                RowKind::Sample,
                RowKind::Discarded,
                RowKind::Histogram,
                RowKind::Metadata,
                RowKind::Exemplar,
            ],
            refused: RefusedValues {
                count: refused,
                messages: vec!["m: the series has no label __name__".to_owned(); refused],
            },
        }
    }

    fn partial(lines: &[usize], refused: usize, kind: LineErrorKind) -> WriteFailure {
        let errors = lines.iter().map(|line| LineError {
            line_number: *line,
            original_line: "value=1".to_owned(),
            error_message: "no".to_owned(),
            kind,
            conflict: None,
        });
        WriteFailure::Partial {
            errors: errors.collect(),
            refused,
            rows: 1,
            stamp: Some(Stamp::from_u64(7)),
            duplicates: None,
        }
    }

    fn describe(outcome: WriteOutcome) -> String {
        let response = outcome.into_response();
        let header = |name| match response.headers().get(name) {
            Some(value) => value.to_str().unwrap_or_default().to_owned(),
            None => "-".to_owned(),
        };
        let [samples, histograms, exemplars] = WRITTEN_HEADERS.map(header);
        let stamp = header(STAMP_HEADER);
        let status = response.status().as_u16();
        format!(
            "{status}: {samples} samples, {histograms} histograms, {exemplars} exemplars, stamp {stamp}"
        )
    }

    #[test]
    fn stored_samples_are_counted_by_kind() {
        let accepted = AcceptedWrite { rows: 4, stamp: Some(Stamp::from_u64(5)), duplicates: None };
        let outcome = WriteOutcome::new(&rows(0), Ok(accepted)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"204: 2 samples, 1 histograms, 1 exemplars, stamp 5");
        let outcome = WriteOutcome::new(&rows(1), Ok(accepted)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"400: 2 samples, 1 histograms, 1 exemplars, stamp 5");
    }

    #[test]
    fn refused_rows_are_subtracted() {
        let failure = partial(&[2, 4], 2, LineErrorKind::Schema);
        let outcome = WriteOutcome::new(&rows(0), Err(failure)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"400: 1 samples, 0 histograms, 1 exemplars, stamp 7");
        let failure = partial(&[4], 3, LineErrorKind::Limit);
        let outcome = WriteOutcome::new(&rows(0), Err(failure)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"422: 0 samples, 0 histograms, 1 exemplars, stamp 7");
        let metadata = partial(&[5], 1, LineErrorKind::Limit);
        let outcome = WriteOutcome::new(&rows(0), Err(metadata)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"204: 2 samples, 1 histograms, 1 exemplars, stamp 7");
        let exemplar = partial(&[6], 1, LineErrorKind::Limit);
        let outcome = WriteOutcome::new(&rows(0), Err(exemplar)).unwrap();
        insta::assert_snapshot!(describe(outcome), @"204: 2 samples, 1 histograms, 0 exemplars, stamp 7");
    }

    #[test]
    fn other_failures_are_sent_again() {
        let busy = WriteOutcome::new(&rows(0), Err(WriteFailure::Busy)).unwrap_err();
        assert_eq!(failed(busy.into()).kind(), Kind::Unavailable);
        let slow = ApiError::text(Kind::RequestTimeout, "slow");
        assert_eq!(failed(slow).kind(), Kind::Unavailable);
    }
}
