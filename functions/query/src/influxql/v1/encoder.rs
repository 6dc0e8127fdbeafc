//! What is common to the formats of an answer.

use std::fmt::Debug;

use super::{
    cell::{Cell, Infinite},
    csv::Csv,
    json::{ChunkedJson, Json},
    msgpack::MessagePack,
    params::{Epoch, Params},
};

/// What tells a series apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeriesKey {
    /// The table.
    pub(super) name: Option<String>,
    /// The tags of `GROUP BY` with their values, which are empty where a row lacks them.
    pub(super) tags: Vec<(String, String)>,
}

/// A format of answers. Statements come in order, each with its series in order, each with its rows.
pub(super) trait Encoder: Debug + Send {
    /// What times are counted in; as text if absent.
    fn epoch(&self) -> Option<Epoch>;

    /// Begins the answer of a statement whose rows have these columns.
    fn begin(&mut self, statement: usize, columns: &[String], out: &mut Vec<u8>);

    /// Begins a series, after the one before if there was one.
    fn series(&mut self, key: &SeriesKey, out: &mut Vec<u8>);

    /// Writes a row.
    ///
    /// # Errors
    /// A value can't be written. The row is left out then, as a whole.
    fn row(
        &mut self,
        cells: &mut dyn Iterator<Item = Cell<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Infinite>;

    /// Ends the answer of a statement, with what went wrong if anything did.
    fn end(&mut self, error: Option<&str>, out: &mut Vec<u8>);

    /// Ends the answer.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// The formats of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    MessagePack,
}

impl Format {
    /// The first format of an `Accept` header that there is; JSON without the header.
    pub(super) fn accepted(accept: Option<&str>) -> Option<Self> {
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

    /// The format that a request gets. Chunks are JSON if MessagePack is asked for: its clients read chunks line
    /// by line, and MessagePack has no lines.
    pub(super) fn of_request(self, params: &Params) -> Self {
        match self {
            Self::MessagePack if params.chunk_rows.is_some() => Self::Json,
            format => format,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "application/csv",
            Self::MessagePack => "application/x-msgpack",
        }
    }

    pub(super) fn encoder(self, params: &Params) -> Box<dyn Encoder> {
        match (self, params.chunk_rows) {
            (Self::Json, None) => Box::new(Json::new(params.epoch, params.pretty)),
            (Self::Json, Some(rows)) => {
                Box::new(ChunkedJson::new(params.epoch, params.pretty, rows))
            }
            (Self::Csv, _) => Box::new(Csv::new(params.epoch)),
            (Self::MessagePack, _) => Box::new(MessagePack::new(params.epoch)),
        }
    }
}
