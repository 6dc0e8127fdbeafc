//! The interface that the v1 formats share.

use std::{fmt::Debug, ops::Range};

use super::{
    cell::InfiniteFloatError,
    csv::CsvEncoder,
    epoch::Epoch,
    json::{ChunkedJsonEncoder, JsonEncoder},
    msgpack::MessagePackEncoder,
    rows::AnswerRows,
};

/// Options of the encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingOptions {
    /// The unit of times. `None`: times are text.
    pub epoch: Option<Epoch>,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// The number of rows in a chunk. `None`: the answer is not chunked.
    pub chunk_rows: Option<usize>,
}

/// The identity of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesKey {
    /// The table.
    pub name: Option<String>,
    /// The tags of `GROUP BY` with their values. The value is empty if the rows lack the tag.
    pub tags: Vec<(String, String)>,
}

/// Encodes answers in one format. Statements come in order, each with its series in order, each with its rows.
pub trait SeriesEncoder: Debug + Send {
    /// Begins the answer of a statement whose rows have these columns.
    fn begin(&mut self, statement: usize, columns: &[String], out: &mut Vec<u8>);

    /// Begins a series and ends the previous one, if any.
    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>);

    /// Writes existing rows of the series.
    ///
    /// # Errors
    /// A value can't be encoded. In that case nothing of its row and of later rows is written.
    fn rows(
        &mut self,
        rows: &mut AnswerRows<'_>,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), InfiniteFloatError>;

    /// Ends the answer of a statement, with its error, if any.
    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>);

    /// Ends the answer.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// The formats of the v1 interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V1Format {
    /// JSON, in one piece or in chunks.
    Json,
    /// CSV.
    Csv,
    /// MessagePack.
    MessagePack,
}

impl V1Format {
    /// Returns the first supported format of an `Accept` header; JSON without the header.
    pub fn accepted(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept else {
            return Some(Self::Json);
        };
        let mut types = accept.split(',').map(|entry| entry.split(';').next());
        types.find_map(|media_type| match media_type?.trim() {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/csv" | "text/csv" => Some(Self::Csv),
            "application/x-msgpack" => Some(Self::MessagePack),
            _ => None,
        })
    }

    /// Returns the format for a request. Chunked answers use JSON if MessagePack is requested, because its clients read
    /// chunks line by line and MessagePack has no lines.
    pub fn of_request(self, options: &EncodingOptions) -> Self {
        match self {
            Self::MessagePack if options.chunk_rows.is_some() => Self::Json,
            format => format,
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "application/csv",
            Self::MessagePack => "application/x-msgpack",
        }
    }

    /// Creates an encoder of this format.
    pub fn encoder(self, options: &EncodingOptions) -> Box<dyn SeriesEncoder> {
        match (self, options.chunk_rows) {
            (Self::Json, None) => Box::new(JsonEncoder::new(options.epoch, options.pretty)),
            (Self::Json, Some(rows)) => {
                Box::new(ChunkedJsonEncoder::new(options.epoch, options.pretty, rows))
            }
            (Self::Csv, _) => Box::new(CsvEncoder::new(options.epoch)),
            (Self::MessagePack, _) => Box::new(MessagePackEncoder::new(options.epoch)),
        }
    }
}
