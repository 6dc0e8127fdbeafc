//! The answers as streams of chunks.

use arrow::{
    compute::{cast, concat_batches},
    datatypes::DataType,
    ipc::reader::StreamReader,
};
use futures::{StreamExt, stream as batch_streams};

use super::*;

async fn chunks(
    format: Format,
    batches: Vec<Result<RecordBatch, FormatError>>,
) -> Vec<Result<Bytes, FormatError>> {
    let schema = awkward().schema();
    stream(format, schema, batch_streams::iter(batches), FormatLimits::default())
        .collect()
        .await
}

#[tokio::test]
async fn streamed_chunks_add_up_to_the_encoded_answer() {
    let one = awkward();
    let large = concat_batches(&one.schema(), &vec![one.clone(); 4_000]).unwrap();
    let batches = vec![one.clone(), RecordBatch::new_empty(one.schema()), large];
    for format in ALL {
        let chunks: Vec<Bytes> = chunks(format, batches.iter().cloned().map(Ok).collect())
            .await
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(chunks.concat() == encode(format, &batches), "{format}");
        assert!(
            chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= 1 << 20),
            "{format}"
        );
        if format.is_row_wise() {
            let (last, middle) = chunks[1..].split_last().unwrap();
            assert!(chunks[0].len() < 1_000, "the first batch leaves alone");
            assert!(middle.len() > 3 && middle.iter().all(|chunk| chunk.len() >= 200 << 10));
            assert!(last.len() <= 300 << 10);
        }
    }
}

fn read_arrow(bytes: &[u8]) -> Vec<RecordBatch> {
    let reader = StreamReader::try_new(bytes, None).unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn an_arrow_stream_has_the_rows_of_the_batches_with_plain_types() {
    let one = awkward();
    let large = concat_batches(&one.schema(), &vec![one.clone(); 4_000]).unwrap();
    let batches = vec![Ok(one.clone()), Ok(large.clone())];
    let chunks: Vec<Bytes> = chunks(Format::Arrow, batches)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(chunks[0].len() < 8_000, "the first batch leaves alone");
    assert!(chunks.iter().all(|chunk| chunk.len() <= 1 << 20));
    let read = read_arrow(&chunks.concat());
    assert!(read.len() > 3, "messages are about as large as a chunk");
    assert_eq!(
        read.iter().map(RecordBatch::num_rows).sum::<usize>(),
        one.num_rows() + large.num_rows()
    );
    let plain = &read[0];
    for (column, original) in plain.columns().iter().zip(one.columns()) {
        assert_eq!(&cast(original, column.data_type()).unwrap(), column);
    }
    let schema = plain.schema();
    let mut types = schema.fields().iter().map(|field| field.data_type());
    assert!(types.all(|of| !matches!(of, DataType::Dictionary(..))));
}

#[tokio::test]
async fn an_arrow_stream_without_rows_has_the_columns() {
    for batches in [vec![], vec![Ok(RecordBatch::new_empty(awkward().schema()))]] {
        let chunks: Vec<Bytes> = chunks(Format::Arrow, batches)
            .await
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        let bytes = chunks.concat();
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        let (schema, expected) = (reader.schema(), awkward().schema());
        let names = |schema: &Schema| -> Vec<String> {
            let fields = schema.fields().iter();
            fields.map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(&schema), names(&expected));
        let rows = reader.map(|batch| batch.unwrap().num_rows());
        assert_eq!(rows.sum::<usize>(), 0);
    }
}

#[tokio::test]
async fn an_error_breaks_an_arrow_stream_off_before_its_end() {
    let failure = FormatError::Columns { expected: 1, found: 2 };
    let sent = chunks(Format::Arrow, vec![Ok(awkward()), Err(failure)]).await;
    let (last, sent) = sent.split_last().unwrap();
    assert!(last.is_err() && sent.len() == 1 && sent[0].is_ok());
}

#[tokio::test]
async fn streams_without_rows_have_no_chunk_but_the_empty_answer() {
    for (format, answer) in
        ALL.into_iter().zip([vec!["[]"], vec![], vec![], vec!["++\n++"], vec![]])
    {
        let chunks: Vec<Bytes> =
            chunks(format, vec![]).await.into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(chunks, answer, "{format}");
    }
}

#[tokio::test]
async fn an_error_ends_the_stream_and_comes_first_if_nothing_was_sent() {
    let failure = || Err(FormatError::Columns { expected: 1, found: 2 });
    for format in ALL {
        let early = chunks(format, vec![failure(), Ok(awkward())]).await;
        assert!(early.len() == 1 && early[0].is_err(), "{format}");
        let late = chunks(format, vec![Ok(awkward()), failure(), Ok(awkward())]).await;
        let (last, sent) = late.split_last().unwrap();
        assert!(last.is_err() && sent.iter().all(Result::is_ok), "{format}");
        assert_eq!(sent.len(), usize::from(format.is_row_wise()), "{format}");
    }
}

#[test]
fn streams_can_be_sent_to_other_threads() {
    fn check<T: Send>(_: T) {}
    let batches = batch_streams::empty::<Result<RecordBatch, FormatError>>();
    check(stream(Format::Json, awkward().schema(), batches, FormatLimits::default()));
}
