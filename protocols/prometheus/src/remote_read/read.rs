//! Remote read: samples in one message, or a stream of chunks.

use std::{collections::VecDeque, convert::Infallible};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};
use neap_query::promql::{LabelMatcher, MatcherKind, MetricSelection, TimeRange, compile_matchers};

use crate::{
    Chunk, ChunkedReadResponse, ChunkedSeries, MatcherType, Message, NAME_LABEL, Query,
    QueryResult, ReadRequest, ReadResponse, ResponseType, TimeSeries, compress, encode_frame,
    remote_read::{
        context::ReadContext,
        failure::{ReadFailure, ReadResult},
        read_permits::{ReadPermit, ReadPermits},
        series::{ReadSeries, SampleForm, SeriesCollector, SeriesData},
    },
};

/// Maximum memory of the series that are sorted together, in bytes: of an answer with samples, or of the metrics of a
/// streamed answer that are sent together, mostly one.
const MAX_SERIES_BYTES: usize = 64 << 20;

/// The size from which chunks are sent in another frame, in bytes. Prometheus accepts 50 MiB.
const FRAME_BYTES: usize = 1 << 20;

/// A query of a request: its index, and the series that it selects.
type SelectedMetrics = (usize, Vec<MetricSelection>);

/// Answers a request, after others have left memory for its answer.
///
/// # Errors
/// The request is invalid, the caller may not read the database, the answer is too large, or other reads use all memory.
pub(crate) async fn answer(
    context: ReadContext,
    request: &ReadRequest,
    permits: &ReadPermits,
) -> ReadResult<Response> {
    let permit = context.permit(permits).await?;
    let metrics = context.metrics().await?.metrics;
    let messages: Vec<Vec<LabelMatcher>> =
        request.queries.iter().map(label_matchers).collect::<Result<_, _>>()?;
    let messages_of_queries: Vec<&[LabelMatcher]> = messages.iter().map(Vec::as_slice).collect();
    let matchers = compile_matchers(&messages_of_queries)?;
    let queries: Vec<SelectedMetrics> = request
        .queries
        .iter()
        .zip(matchers)
        .enumerate()
        .map(|(index, (query, matchers))| {
            let range = query_range(query);
            let selected = metrics.iter().filter_map(|metric| metric.select(&matchers, range));
            (index, selected.collect())
        })
        .collect();
    match response_type(request, &queries) {
        ResponseType::Samples => samples(&context, queries, permit).await,
        ResponseType::StreamedXorChunks => chunks(context, queries, permit).await,
    }
}

/// Returns the conditions of a query.
fn label_matchers(query: &Query) -> ReadResult<Vec<LabelMatcher>> {
    let matchers = query.matchers.iter().map(|matcher| {
        let kind = MatcherType::try_from(matcher.kind);
        Ok(LabelMatcher {
            kind: match kind.map_err(|_| ReadFailure::MatcherType(matcher.kind))? {
                MatcherType::Equal => MatcherKind::Equal,
                MatcherType::NotEqual => MatcherKind::NotEqual,
                MatcherType::Regex => MatcherKind::Regex,
                MatcherType::NotRegex => MatcherKind::NotRegex,
            },
            label: matcher.name.clone(),
            value: matcher.value.clone(),
        })
    });
    matchers.collect()
}

/// Returns the range of a query. Hints may narrow it.
fn query_range(query: &Query) -> TimeRange {
    let mut range = TimeRange {
        start_ms: query.start_timestamp_ms,
        end_ms: query.end_timestamp_ms,
    };
    if let Some(hints) = &query.hints
        && hints.start_ms <= hints.end_ms
        && hints.end_ms != 0
    {
        range.start_ms = range.start_ms.max(hints.start_ms);
        range.end_ms = range.end_ms.min(hints.end_ms);
    }
    range
}

/// Returns the first accepted type. Chunks have no native histograms, so a request that may select some gets samples if
/// it accepts them.
fn response_type(request: &ReadRequest, queries: &[SelectedMetrics]) -> ResponseType {
    let accepted: Vec<_> = request.accepted_response_types().collect();
    let mut selections = queries.iter().flat_map(|(_, selections)| selections);
    let has_histograms = selections.any(|selection| selection.metric.has_histograms());
    match accepted.first() {
        Some(ResponseType::StreamedXorChunks)
            if !has_histograms || !accepted.contains(&ResponseType::Samples) =>
        {
            ResponseType::StreamedXorChunks
        }
        _ => ResponseType::Samples,
    }
}

/// Returns all series in one message.
async fn samples(
    context: &ReadContext,
    queries: Vec<SelectedMetrics>,
    permit: ReadPermit,
) -> ReadResult<Response> {
    let mut response = ReadResponse::default();
    let mut free_bytes = MAX_SERIES_BYTES;
    for (_, tables) in queries {
        let mut collector = SeriesCollector::new(SampleForm::Plain, free_bytes);
        collect(context, &tables, &mut collector).await.map_err(of_whole_answer)?;
        free_bytes = free_bytes.saturating_sub(collector.size_bytes());
        let series = collector.finish().into_iter();
        response
            .results
            .push(QueryResult { timeseries: series.map(time_series).collect() });
    }
    let message = response.encode_to_vec();
    drop(response);
    let body = compress(&message)?;
    let length = body.len();
    let mut response = held_body(body.into(), permit).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let content_type = HeaderValue::from_static("application/x-protobuf");
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(response)
}

/// Returns a body that holds a permit until all of it is sent.
fn held_body(body: Bytes, permit: ReadPermit) -> Body {
    let pieces = stream::unfold((body, permit), |(mut rest, permit)| async {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(FRAME_BYTES));
        Some((Ok::<_, Infallible>(piece), (rest, permit)))
    });
    Body::from_stream(pieces)
}

/// Names the limit of the whole answer, not what is left of it.
fn of_whole_answer(failure: ReadFailure) -> ReadFailure {
    match failure {
        ReadFailure::TooLarge(_) => ReadFailure::TooLarge(MAX_SERIES_BYTES),
        other => other,
    }
}

fn time_series(series: ReadSeries) -> TimeSeries {
    let (samples, histograms) = match series.data {
        SeriesData::Samples { samples, histograms } => (samples, histograms),
        SeriesData::Chunks { .. } => (Vec::new(), Vec::new()),
    };
    TimeSeries { labels: series.labels, samples, histograms }
}

/// Reads the samples of metrics.
async fn collect(
    context: &ReadContext,
    tables: &[MetricSelection],
    collector: &mut SeriesCollector,
) -> ReadResult {
    for selection in tables {
        let add = |batch: &_| collector.add_rows(&selection.metric, batch);
        context.for_each_sample_batch(selection.samples_sql(), add).await?;
    }
    Ok(())
}

/// Returns a stream of frames. The first one is read before the answer begins, because an error after it can only break
/// the connection.
async fn chunks(
    context: ReadContext,
    queries: Vec<SelectedMetrics>,
    permit: ReadPermit,
) -> ReadResult<Response> {
    let mut groups = VecDeque::new();
    for (index, tables) in queries {
        groups.extend(sorted_groups(tables).into_iter().map(|group| (index, group)));
    }
    let frames = FrameStream { context, groups, _permit: permit };
    let mut frames = Box::pin(frames.into_stream());
    let first = frames.next().await.transpose()?;
    let body = stream::iter(first.map(Ok)).chain(frames);
    let mut response = Body::from_stream(body).into_response();
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// Divides metrics into groups whose series follow each other in the order of their labels. The name of the metric is
/// mostly the first label; otherwise all metrics are one group.
fn sorted_groups(tables: Vec<MetricSelection>) -> Vec<Vec<MetricSelection>> {
    let is_first = |selection: &MetricSelection| {
        let labels = selection.metric.labels();
        labels.first().is_none_or(|label| *label == NAME_LABEL)
    };
    if tables.iter().all(is_first) {
        tables.into_iter().map(|table| vec![table]).collect()
    } else {
        vec![tables]
    }
}

/// The rest of a streamed answer.
struct FrameStream {
    context: ReadContext,
    groups: VecDeque<SelectedMetrics>,
    _permit: ReadPermit,
}

impl FrameStream {
    fn into_stream(self) -> impl Stream<Item = ReadResult<Bytes>> + Send {
        let groups = stream::unfold(Some(self), |open| async {
            let mut open = open?;
            let (index, tables) = open.groups.pop_front()?;
            Some(match open.read_group(index, &tables).await {
                Ok(frames) => (Ok(frames), Some(open)),
                Err(failure) => (Err(failure), None),
            })
        });
        groups.flat_map(|group| {
            let (frames, failure) = match group {
                Ok(frames) => (frames, None),
                Err(failure) => (Vec::new(), Some(Err(failure))),
            };
            stream::iter(frames.into_iter().map(Ok).chain(failure))
        })
    }

    /// Reads the series of a group as frames.
    async fn read_group(
        &mut self,
        query_index: usize,
        tables: &[MetricSelection],
    ) -> ReadResult<Vec<Bytes>> {
        let mut collector = SeriesCollector::new(SampleForm::Compressed, MAX_SERIES_BYTES);
        collect(&self.context, tables, &mut collector).await?;
        let mut frames = Vec::new();
        for series in collector.finish() {
            push_frames(query_index, series, &mut frames);
        }
        Ok(frames)
    }
}

/// Appends the frames of a series. A frame has chunks of about [`FRAME_BYTES`].
fn push_frames(query_index: usize, series: ReadSeries, frames: &mut Vec<Bytes>) {
    let labels = series.labels;
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut bytes = 0;
    let mut push = |chunks: Vec<Chunk>| {
        let message = ChunkedReadResponse {
            chunked_series: vec![ChunkedSeries { labels: labels.clone(), chunks }],
            query_index: i64::try_from(query_index).unwrap_or_default(),
        };
        let mut frame = Vec::new();
        encode_frame(&message, &mut frame);
        frames.push(frame.into());
    };
    for chunk in series.data.into_chunks() {
        bytes += chunk.data.len();
        chunks.push(chunk);
        if bytes >= FRAME_BYTES {
            push(std::mem::take(&mut chunks));
            bytes = 0;
        }
    }
    if !chunks.is_empty() {
        push(chunks);
    }
}

#[cfg(test)]
mod tests {
    use crate::ReadHints;

    use super::*;

    fn request(accepted: &[ResponseType]) -> ReadRequest {
        ReadRequest {
            queries: Vec::new(),
            accepted_response_types: accepted.iter().map(|kind| i32::from(*kind)).collect(),
        }
    }

    #[test]
    fn the_first_accepted_type_is_chosen() {
        use ResponseType::{Samples, StreamedXorChunks};
        for (accepted, chosen) in [
            (&[][..], Samples),
            (&[Samples, StreamedXorChunks], Samples),
            (&[StreamedXorChunks, Samples], StreamedXorChunks),
            (&[StreamedXorChunks], StreamedXorChunks),
        ] {
            assert_eq!(response_type(&request(accepted), &[]), chosen);
        }
    }

    #[test]
    fn hints_narrow_the_range() {
        let query = |hints: Option<(i64, i64)>| Query {
            start_timestamp_ms: 10,
            end_timestamp_ms: 20,
            matchers: Vec::new(),
            hints: hints.map(|(start_ms, end_ms)| ReadHints {
                start_ms,
                end_ms,
                ..ReadHints::default()
            }),
        };
        let range = |hints| {
            let range = query_range(&query(hints));
            (range.start_ms, range.end_ms)
        };
        assert_eq!(range(None), (10, 20));
        assert_eq!(range(Some((0, 0))), (10, 20));
        assert_eq!(range(Some((12, 15))), (12, 15));
        assert_eq!(range(Some((5, 25))), (10, 20));
        assert_eq!(range(Some((15, 12))), (10, 20));
    }
}
