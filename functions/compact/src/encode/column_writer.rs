//! Encodes a section column by column, so that its rows are never in memory with all of their columns.

use std::{io, mem, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch, TimestampNanosecondArray, cast::AsArray,
    types::TimestampNanosecondType,
};
use arrow_schema::{FieldRef, Schema};
use arrow_select::concat::concat;
use neap_points::PointsError;
use neap_schema::TIME_COLUMN;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_writer::{ArrowColumnChunk, ArrowWriterOptions, compute_leaves},
    },
    errors::ParquetError,
};

use super::{
    EncodeError, EncodedSection, SectionProfile,
    column_encoding::ColumnStorage,
    encoded_section,
    section_stats::{SectionStatsBuilder, text_bytes},
    sorting_columns,
};

/// Sections are written column by column by flushes only.
const PROFILE: SectionProfile = SectionProfile::Flush;

/// The number of places of a column from which its sample is taken.
const SAMPLE_SLICES: usize = 8;

/// Encodes deduplicated rows, sorted by `tags` and time, with the profile of a flush. Leaves out fields without a value.
///
/// # Errors
/// `Points` if there is no time column; `Parquet` if the rows can't be encoded, or the file would be too large.
pub fn encode_section(tags: &[String], rows: &RecordBatch) -> Result<EncodedSection, EncodeError> {
    let mut writer = ColumnwiseWriter::new(tags, rows.num_rows());
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        writer.add(field, column)?;
    }
    writer.finish()
}

/// Encodes the rows of a section, one column after the other. The encoded columns are in memory.
#[derive(Debug)]
pub(crate) struct ColumnwiseWriter {
    tags: Vec<String>,
    rows: usize,
    row_group_rows: usize,
    extent: SectionStatsBuilder,
    fields: Vec<FieldRef>,
    /// The encoded columns of each row group.
    row_groups: Vec<Vec<ArrowColumnChunk>>,
}

impl ColumnwiseWriter {
    /// Creates a writer for a number of rows, sorted by `tags` and time.
    pub(crate) fn new(tags: &[String], rows: usize) -> Self {
        let row_group_rows = PROFILE.row_group_rows();
        Self {
            tags: tags.to_vec(),
            rows,
            row_group_rows,
            extent: SectionStatsBuilder::new(tags),
            fields: Vec::new(),
            row_groups: (0..rows.div_ceil(row_group_rows)).map(|_| Vec::new()).collect(),
        }
    }

    /// Adds the next column. A field without a value is left out; a tag is not, because it defines the order of the rows.
    /// Fails with `Points` if the column of times has another type; `Parquet` if the column has another number of rows,
    /// or can't be encoded.
    pub(crate) fn add(&mut self, field: &FieldRef, column: &ArrayRef) -> Result<(), EncodeError> {
        if column.len() != self.rows {
            let (name, rows) = (field.name(), column.len());
            let reason = format!("column '{name}' has {rows} rows instead of {}", self.rows);
            return Err(ParquetError::General(reason).into());
        }
        if field.name() == TIME_COLUMN {
            self.extent.add_times(times(column)?);
        } else if self.tags.contains(field.name()) {
            self.extent.add_tag(field.name(), column);
        } else if column.null_count() == column.len() {
            return Ok(());
        }
        self.encode(field, column)?;
        self.fields.push(Arc::clone(field));
        Ok(())
    }

    fn encode(&mut self, field: &FieldRef, column: &ArrayRef) -> Result<(), ParquetError> {
        let sample = sample(column)?;
        let (candidates, compression) = (PROFILE.max_candidates(), PROFILE.compression()?);
        let texts = text_bytes(column);
        let storage = ColumnStorage::choose(field, &sample, texts, candidates, compression)?;
        let properties = storage.apply(field.name(), PROFILE.properties()?).build();
        let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
        // The file of this column alone is not kept.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(io::sink(), schema, options)?;
        let (_, writers) = writer.into_serialized_writer()?;
        for (number, chunks) in self.row_groups.iter_mut().enumerate() {
            let begin = number * self.row_group_rows;
            let rows = column.slice(begin, self.row_group_rows.min(self.rows - begin));
            let leaves = compute_leaves(field, &rows)?;
            for (mut writer, leaf) in writers.create_column_writers(number)?.into_iter().zip(leaves)
            {
                writer.write(&leaf)?;
                chunks.push(writer.close()?);
            }
        }
        Ok(())
    }

    /// Completes the section.
    /// Fails with `Points` if there was no column of times; `Parquet` if the file would be too large.
    pub(crate) fn finish(mut self) -> Result<EncodedSection, EncodeError> {
        self.extent.series.end_rows();
        let schema = Arc::new(Schema::new(self.fields));
        if schema.index_of(TIME_COLUMN).is_err() {
            return Err(PointsError::MissingTimeColumn.into());
        }
        let properties = PROFILE
            .properties()?
            .set_sorting_columns(Some(sorting_columns(&self.tags, &schema)));
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?;
        let (mut file, _) = writer.into_serialized_writer()?;
        for chunks in self.row_groups {
            let mut row_group = file.next_row_group()?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut row_group)?;
            }
            row_group.close()?;
        }
        let metadata = file.finish()?;
        let bytes = mem::take(file.inner_mut());
        encoded_section(bytes, &metadata, self.extent)
    }
}

/// Returns a sample of a column: rows from all parts of it, because its series may differ.
fn sample(column: &ArrayRef) -> Result<ArrayRef, ParquetError> {
    let (rows, length) = (column.len(), PROFILE.sample_rows(column.len() as u64) / SAMPLE_SLICES);
    let slices: Vec<ArrayRef> = (0..SAMPLE_SLICES)
        .map(|slice| column.slice(rows / SAMPLE_SLICES * slice, length))
        .collect();
    let arrays: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}

fn times(column: &ArrayRef) -> Result<&TimestampNanosecondArray, PointsError> {
    let times = column.as_primitive_opt::<TimestampNanosecondType>();
    times.ok_or(PointsError::MissingTimeColumn)
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        DictionaryArray, Float64Array, Int64Array,
        types::{Int32Type, Int64Type},
    };
    use arrow_cast::cast;
    use arrow_schema::DataType;
    use arrow_select::concat::concat_batches;
    use bytes::Bytes;
    use neap_schema::ColumnType;
    use parquet::{
        arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Compression,
        file::metadata::ParquetMetaDataReader,
    };

    use super::*;
    use crate::SectionWriter;

    fn tags() -> Vec<String> {
        vec!["host".to_owned()]
    }

    /// Returns rows of 50 hosts, with an integer, a float that some rows lack, and a field that all rows lack.
    fn rows(count: i64) -> RecordBatch {
        let each = (count / 50).max(1);
        let names: Vec<String> = (0..count).map(|row| format!("host-{:04}", row / each)).collect();
        let host: DictionaryArray<Int32Type> =
            names.iter().map(|name| Some(name.as_str())).collect();
        let time =
            TimestampNanosecondArray::from_iter_values((0..count).map(|row| row % each * 10));
        let noise = (0..count).map(|row| {
            let mixed = row.wrapping_mul(0x2545_F491_4F6C_DD1D);
            (mixed ^ mixed >> 29).wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40
        });
        let noise = Int64Array::from_iter_values(noise);
        let load: Float64Array =
            (0..count).map(|row| (row % 3 > 0).then_some(row as f64 / 7.0)).collect();
        let none = Float64Array::from(vec![None; load.len()]);
        let columns: [(&str, ColumnType, ArrayRef); 5] = [
            ("host", ColumnType::Tag, Arc::new(host)),
            ("load", ColumnType::Float, Arc::new(load)),
            ("none", ColumnType::Float, Arc::new(none)),
            ("time", ColumnType::Time, Arc::new(time)),
            ("value", ColumnType::Integer, Arc::new(noise)),
        ];
        let fields = columns.iter().map(|(name, kind, _)| kind.arrow_field(name));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let columns = columns.into_iter().map(|(_, _, column)| column).collect();
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn decoded(section: EncodedSection) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(section.bytes)).unwrap();
        let schema = Arc::clone(reader.schema());
        let batches: Result<Vec<_>, _> = reader.build().unwrap().collect();
        concat_batches(&schema, &batches.unwrap()).unwrap()
    }

    #[test]
    fn columns_one_by_one_give_the_file_of_rows() {
        // With this number of rows, there is no trial.
        for count in [2, 5_000] {
            let rows = rows(count);
            let section = encode_section(&tags(), &rows).unwrap();
            let rows = rows.project(&[0, 1, 3, 4]).unwrap();
            let mut writer = SectionWriter::new(&tags(), rows.schema(), PROFILE);
            writer.write(&rows).unwrap();
            let expected = writer.finish().unwrap();
            assert!(section.bytes == expected.bytes, "{count} rows");
            assert_eq!(section.rows, expected.rows);
            assert_eq!(section.tags, expected.tags);
            assert!(section.series.is_some());
            assert_eq!(section.series, expected.series);
            let times = |section: &EncodedSection| (section.min_time, section.max_time);
            assert_eq!(times(&section), times(&expected));
        }
    }

    #[test]
    fn rows_of_several_row_groups_are_read_as_they_were_written() {
        let rows = rows(300_000);
        let section = encode_section(&tags(), &rows).unwrap();
        let read = decoded(section);
        assert_eq!(read.num_columns(), 4);
        for (name, column) in read.schema().fields().iter().zip(read.columns()) {
            let expected = rows.column_by_name(name.name()).unwrap();
            let text = |values: &ArrayRef| cast(values, &DataType::Utf8).unwrap();
            assert!(text(column) == text(expected), "{name}");
        }
    }

    #[test]
    fn the_sample_has_values_from_all_parts_of_a_column() {
        let noise = rows(140_000).column_by_name("value").unwrap().slice(0, 20_000);
        let same: ArrayRef = Arc::new(Int64Array::from(vec![7; 140_000]));
        let column = concat(&[noise.as_ref(), same.as_ref()]).unwrap();
        let sampled = sample(&column).unwrap();
        let values = sampled.as_primitive::<Int64Type>().values();
        let is_same = values.iter().filter(|value| **value == 7).count();
        assert_eq!((values.len(), is_same), (8_192, 7_168));
    }

    #[test]
    fn columns_that_compress_little_are_stored_plain() {
        let section = encode_section(&tags(), &rows(140_000)).unwrap();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(section.bytes))
            .unwrap();
        let columns = metadata.row_groups()[0].columns().iter();
        let are_plain = columns.map(|column| {
            let name = column.column_path().string();
            (name, column.compression() == Compression::UNCOMPRESSED)
        });
        let expected = [("host", true), ("load", false), ("time", false), ("value", true)]
            .map(|(name, is_plain)| (name.to_owned(), is_plain));
        assert_eq!(are_plain.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn columns_of_other_lengths_and_missing_times_are_refused() {
        let rows = rows(100);
        let mut writer = ColumnwiseWriter::new(&tags(), 100);
        let field = rows.schema_ref().fields();
        let error = writer.add(&field[0], &rows.column(0).slice(0, 99)).unwrap_err();
        assert!(error.to_string().contains("column 'host' has 99 rows"), "{error}");
        writer.add(&field[0], rows.column(0)).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(matches!(error, EncodeError::Points(PointsError::MissingTimeColumn)));
    }
}
