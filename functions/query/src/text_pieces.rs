//! Results that are texts of an interface, piece by piece.
//!
//! The task of a query makes the pieces when they are sent, like the rows of a plan. So a query whose client reads slowly holds its
//! permit as long as its memory, and the time limit and `KILL QUERY` release both.

use std::{pin::Pin, sync::Arc};

use arrow::{
    array::{AsArray, BinaryArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use crate::QueryError;

/// The column of the rows that contain a piece each.
const PIECE_COLUMN: &str = "piece";

/// The pieces of a text, as a stream. An error ends it.
pub type PieceStream = Pin<Box<dyn Stream<Item = Result<Bytes, QueryError>> + Send>>;

/// The pieces of a text, none of which is made before it is sent.
#[derive(derive_more::Debug)]
#[debug("TextPieces {{ .. }}")]
pub struct TextPieces(Box<dyn Iterator<Item = Bytes> + Send + Sync>);

impl TextPieces {
    /// Creates a text from the iterator that makes its pieces.
    #[must_use]
    pub fn new(pieces: impl Iterator<Item = Bytes> + Send + Sync + 'static) -> Self {
        Self(Box::new(pieces))
    }

    /// Returns the columns of the rows that contain the pieces.
    pub(crate) fn schema() -> SchemaRef {
        let piece = Field::new(PIECE_COLUMN, DataType::Binary, false);
        Arc::new(Schema::new(vec![piece]))
    }

    /// Returns the pieces as rows.
    pub(crate) fn into_batches(self) -> impl Stream<Item = Result<RecordBatch, QueryError>> + Send {
        let schema = Self::schema();
        stream::iter(self.0.map(move |piece| {
            let column = Arc::new(BinaryArray::from_iter_values([piece]));
            RecordBatch::try_new(Arc::clone(&schema), vec![column])
                .map_err(|error| QueryError::Execution(error.into()))
        }))
    }
}

/// Returns the pieces that rows contain.
pub(crate) fn pieces_of(
    batches: impl Stream<Item = Result<RecordBatch, QueryError>> + Send + 'static,
) -> PieceStream {
    Box::pin(batches.map(|batch| batch.map(|rows| piece_of(&rows))))
}

fn piece_of(rows: &RecordBatch) -> Bytes {
    let column = rows.columns().first().and_then(|column| column.as_binary_opt::<i32>());
    let piece = column.and_then(|pieces| pieces.iter().flatten().next());
    Bytes::copy_from_slice(piece.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn pieces_are_the_same_after_they_were_rows() {
        let pieces = [Bytes::from_static(b"a"), Bytes::new(), Bytes::from_static(b"bc")];
        let batches = TextPieces::new(pieces.clone().into_iter()).into_batches();
        let sent: Vec<Bytes> = pieces_of(batches).try_collect().await.unwrap();
        assert_eq!(sent, pieces);
    }
}
