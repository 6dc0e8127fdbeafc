//! Chooses how the values of a column are stored: their encoding, and whether its pages are compressed. The measurements
//! behind the choice are in the decision records on section encodings and on compressed columns.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, FieldRef, Schema};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    schema::types::ColumnPath,
};

/// Minimum number of values for a trial. With fewer values a trial is not significant, and the column is small in any
/// encoding.
const MIN_TRIAL_ROWS: usize = 1_024;

/// A column is compressed if that saves at least one byte in this number. Less is not worth what a reader pays: a context
/// of the decompressor for each column, and the time for each page.
const MIN_SAVED_DIVISOR: u64 = 10;

/// The values of a tag for which compression must save a byte at least. Runs of few tag values are small anyway.
const TAG_VALUES_OF_SAVED_BYTE: u64 = 16;

/// Maximum size of the different texts of a tag that is stored without compression, in bytes: much less than the size
/// at which a dictionary overflows.
const MAX_TAG_TEXTS: usize = 64 << 10;

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnStorage {
    encoding: ColumnEncoding,
    is_compressed: bool,
}

/// The size of the values of a sample in bytes, with their dictionary.
#[derive(Clone, Copy, Debug)]
struct TrialSize {
    uncompressed: u64,
    compressed: u64,
}

impl TrialSize {
    /// Returns whether a column with this sample of `values` values is compressed.
    fn is_compressible(self, data_type: &DataType, values: usize) -> bool {
        let saved = self.uncompressed.saturating_sub(self.compressed);
        let min_saved = match data_type {
            DataType::Dictionary(..) => values as u64 / TAG_VALUES_OF_SAVED_BYTE,
            _ => 0,
        };
        saved >= (self.uncompressed / MIN_SAVED_DIVISOR).max(min_saved)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ColumnEncoding {
    /// Dictionary indices, until the dictionary grows too large.
    Dictionary {
        /// The encoding used after that.
        fallback: Encoding,
    },
    /// No dictionary.
    Direct(Encoding),
}

const TEXT: [ColumnEncoding; 1] = [ColumnEncoding::Dictionary { fallback: Encoding::PLAIN }];
const TIMES: [ColumnEncoding; 1] = [ColumnEncoding::Direct(Encoding::DELTA_BINARY_PACKED)];
const FLAGS: [ColumnEncoding; 1] = [ColumnEncoding::Direct(Encoding::PLAIN)];
const INTEGERS: [ColumnEncoding; 2] = [
    ColumnEncoding::Direct(Encoding::DELTA_BINARY_PACKED),
    ColumnEncoding::Dictionary { fallback: Encoding::DELTA_BINARY_PACKED },
];
const FLOATS: [ColumnEncoding; 3] = [
    ColumnEncoding::Dictionary { fallback: Encoding::PLAIN },
    ColumnEncoding::Direct(Encoding::BYTE_STREAM_SPLIT),
    ColumnEncoding::Direct(Encoding::PLAIN),
];

impl ColumnEncoding {
    /// Returns the candidate encodings of a type. The first one is always close to the best.
    fn candidates(data_type: &DataType) -> &'static [Self] {
        match data_type {
            DataType::Timestamp(..) => &TIMES,
            DataType::Boolean => &FLAGS,
            DataType::Int64 | DataType::UInt64 => &INTEGERS,
            DataType::Float64 => &FLOATS,
            _ => &TEXT,
        }
    }

    /// Encodes the values of a sample.
    fn trial(
        self,
        field: &FieldRef,
        sample: &ArrayRef,
        compression: Compression,
    ) -> Result<TrialSize, ParquetError> {
        let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(sample)])?;
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_statistics_enabled(EnabledStatistics::None);
        let properties = self.apply(field.name(), properties).build();
        let mut writer = ArrowWriter::try_new(std::io::sink(), schema, Some(properties))?;
        writer.write(&rows)?;
        let metadata = writer.finish()?;
        let groups = metadata.row_groups().iter();
        let (uncompressed, compressed) = groups
            .map(|group| (group.total_byte_size(), group.compressed_size()))
            .fold((0_i64, 0_i64), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        Ok(TrialSize {
            uncompressed: u64::try_from(uncompressed).unwrap_or(u64::MAX),
            compressed: u64::try_from(compressed).unwrap_or(u64::MAX),
        })
    }

    /// Sets this encoding for a column.
    fn apply(self, column: &str, properties: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
        let path = ColumnPath::new(vec![column.to_owned()]);
        match self {
            Self::Dictionary { fallback } => properties.set_column_encoding(path, fallback),
            Self::Direct(encoding) => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding),
        }
    }
}

/// Returns whether a column of a type may be stored without compression. Other series than those of the sample may have
/// values that repeat: deltas store equal values in few bits, and so does a dictionary that does not overflow. Floats and
/// texts may fall back to an encoding that does not.
fn may_be_uncompressed(data_type: &DataType, texts: Option<usize>) -> bool {
    match data_type {
        DataType::Float64 | DataType::Utf8 => false,
        DataType::Dictionary(..) => texts.is_some_and(|bytes| bytes <= MAX_TAG_TEXTS),
        _ => true,
    }
}

impl ColumnStorage {
    /// Returns how the values of a column need the fewest bytes, judged by a sample: in which of the first
    /// `max_candidates` encodings for its type, and whether compressed. A sample that is too small gives the first one,
    /// compressed. `texts` is the size of the different texts of the whole column in bytes, if it is known.
    /// Fails if the values are not of the type of the field.
    pub(super) fn choose(
        field: &FieldRef,
        sample: &ArrayRef,
        texts: Option<usize>,
        max_candidates: usize,
        compression: Compression,
    ) -> Result<Self, ParquetError> {
        let candidates = ColumnEncoding::candidates(field.data_type());
        let first = candidates.first().copied();
        let mut best = Self {
            encoding: first.unwrap_or(ColumnEncoding::Direct(Encoding::PLAIN)),
            is_compressed: true,
        };
        let data_type = field.data_type();
        let may_be_uncompressed = may_be_uncompressed(data_type, texts);
        let has_choice = may_be_uncompressed || candidates.len().min(max_candidates) > 1;
        let values = sample.len() - sample.null_count();
        if !has_choice || values < MIN_TRIAL_ROWS {
            return Ok(best);
        }
        let mut smallest = u64::MAX;
        for encoding in candidates.iter().copied().take(max_candidates) {
            let size = encoding.trial(field, sample, compression)?;
            let is_compressed = !may_be_uncompressed || size.is_compressible(data_type, values);
            let stored = if is_compressed {
                size.compressed
            } else {
                size.uncompressed
            };
            if stored < smallest {
                smallest = stored;
                best = Self { encoding, is_compressed };
            }
        }
        Ok(best)
    }

    /// Sets this for a column of a section whose columns are compressed by default.
    pub(super) fn apply(
        self,
        column: &str,
        properties: WriterPropertiesBuilder,
    ) -> WriterPropertiesBuilder {
        let properties = self.encoding.apply(column, properties);
        if self.is_compressed {
            properties
        } else {
            let path = ColumnPath::new(vec![column.to_owned()]);
            properties.set_column_compression(path, Compression::UNCOMPRESSED)
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        DictionaryArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
        types::Int32Type,
    };
    use neap_schema::ColumnType;
    use neap_test_inputs::XorShift;
    use parquet::basic::ZstdLevel;

    use super::*;

    const COMPRESSION: fn() -> Compression = || Compression::ZSTD(ZstdLevel::try_new(3).unwrap());

    /// Returns random numbers.
    fn numbers() -> impl Iterator<Item = u64> {
        let mut random = XorShift::new(0x9E37_79B9_7F4A_7C15);
        std::iter::repeat_with(move || random.draw())
    }

    fn chosen(kind: ColumnType, sample: impl Array + 'static) -> ColumnEncoding {
        let sample: ArrayRef = Arc::new(sample);
        storage(kind, &sample, usize::MAX).encoding
    }

    fn storage(kind: ColumnType, sample: &ArrayRef, max_candidates: usize) -> ColumnStorage {
        let field = kind.arrow_field("x");
        let texts = Some(MAX_TAG_TEXTS);
        ColumnStorage::choose(&field, sample, texts, max_candidates, COMPRESSION()).unwrap()
    }

    #[test]
    fn random_walk_integers_use_deltas_and_low_cardinality_integers_use_a_dictionary() {
        let walk = numbers().scan(1_i64 << 40, |at, number| {
            *at += i64::try_from(number % 7).unwrap() - 3;
            Some(*at)
        });
        let walk = Int64Array::from_iter_values(walk.take(20_000));
        assert_eq!(
            chosen(ColumnType::Integer, walk),
            ColumnEncoding::Direct(Encoding::DELTA_BINARY_PACKED)
        );
        let codes = [7, 3_000_000_000, 1 << 50, -5_000_000_000_000];
        let jumps = numbers().map(|number| codes[usize::try_from(number >> 62).unwrap()]);
        let jumps = Int64Array::from_iter_values(jumps.take(20_000));
        assert_eq!(
            chosen(ColumnType::Integer, jumps),
            ColumnEncoding::Dictionary { fallback: Encoding::DELTA_BINARY_PACKED }
        );
    }

    #[test]
    fn floats_without_a_pattern_are_split_and_floats_that_repeat_are_a_dictionary() {
        let noise = numbers().map(|number| 1.0 + (number >> 40) as f64 / 1e9);
        let noise = Float64Array::from_iter_values(noise.take(20_000));
        assert_eq!(
            chosen(ColumnType::Float, noise),
            ColumnEncoding::Direct(Encoding::BYTE_STREAM_SPLIT)
        );
        let steps = numbers().map(|number| 20.0 + (number % 5) as f64 * 0.1);
        let steps = Float64Array::from_iter_values(steps.take(20_000));
        assert_eq!(
            chosen(ColumnType::Float, steps),
            ColumnEncoding::Dictionary { fallback: Encoding::PLAIN }
        );
    }

    #[test]
    fn columns_with_few_values_get_the_default_encoding() {
        let few = Float64Array::from_iter_values((0..100).map(f64::from));
        assert_eq!(chosen(ColumnType::Float, few), FLOATS[0]);
    }

    #[test]
    fn a_column_is_compressed_if_that_saves_a_tenth() {
        let is_compressed = |kind, sample: ArrayRef| storage(kind, &sample, 1).is_compressed;
        let noise = numbers().map(|number| i64::try_from(number >> 1).unwrap());
        let noise = Int64Array::from_iter_values(noise.take(20_000));
        assert!(!is_compressed(ColumnType::Integer, Arc::new(noise.clone())));
        // The same values, but too few for a trial.
        assert!(is_compressed(ColumnType::Integer, Arc::new(noise.slice(0, 100))));
        let regular = TimestampNanosecondArray::from_iter_values((0..20_000).map(|row| row * 10));
        assert!(is_compressed(ColumnType::Time, Arc::new(regular)));
        let tags = |texts: &mut dyn Iterator<Item = String>| {
            let values: Vec<String> = texts.collect();
            let tags = values.iter().map(|value| Some(value.as_str()));
            Arc::new(tags.collect::<DictionaryArray<Int32Type>>()) as ArrayRef
        };
        let runs = tags(&mut (0..15_000).map(|row| format!("host-{}", row / 5_000)));
        assert!(!is_compressed(ColumnType::Tag, runs));
        let devices = tags(&mut (0..15_000).map(|row| format!("device-{row}")));
        assert!(is_compressed(ColumnType::Tag, devices));
    }

    #[test]
    fn a_tag_whose_dictionary_may_overflow_is_compressed() {
        let runs = [["a"; 5_000], ["b"; 5_000]].into_iter().flatten().map(Some);
        let runs: ArrayRef = Arc::new(runs.collect::<DictionaryArray<Int32Type>>());
        let field = ColumnType::Tag.arrow_field("x");
        for (texts, is_compressed) in
            [(Some(MAX_TAG_TEXTS), false), (Some(MAX_TAG_TEXTS + 1), true), (None, true)]
        {
            let storage = ColumnStorage::choose(&field, &runs, texts, 1, COMPRESSION()).unwrap();
            assert_eq!(storage.is_compressed, is_compressed, "{texts:?}");
        }
    }

    #[test]
    fn floats_and_texts_are_compressed_because_other_series_may_be_compressible() {
        let noise = numbers().map(|number| f64::from_bits(number >> 2));
        let noise: ArrayRef = Arc::new(Float64Array::from_iter_values(noise.take(20_000)));
        assert!(storage(ColumnType::Float, &noise, usize::MAX).is_compressed);
        let same: ArrayRef = Arc::new(StringArray::from_iter_values(["ok"; 20_000]));
        assert!(storage(ColumnType::String, &same, usize::MAX).is_compressed);
    }

    #[test]
    fn encodings_beyond_the_limit_are_not_tried() {
        let noise = numbers().map(|number| 1.0 + (number >> 40) as f64 / 1e9);
        let noise: ArrayRef = Arc::new(Float64Array::from_iter_values(noise.take(20_000)));
        let first = storage(ColumnType::Float, &noise, 1);
        assert_eq!(first.encoding, FLOATS[0]);
    }
}
