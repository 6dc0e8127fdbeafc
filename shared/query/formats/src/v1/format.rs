//! The formats of the v1 interface: `Accept` headers, content types and encoders.

use super::{
    csv::CsvEncoder,
    encoder::SeriesEncoder,
    epoch::Epoch,
    json::{ChunkedJsonEncoder, JsonEncoder},
    msgpack::MessagePackEncoder,
};

/// Options of the encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodingOptions {
    /// The unit of times. `None`: times are text.
    pub epoch: Option<Epoch>,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// The number of rows in a chunk. `None`: the answer is not chunked.
    pub chunk_rows: Option<usize>,
}

/// The formats of the v1 interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
