//! Chooses the encoding of a column. The measurements behind the choice are in the decision record on section
//! encodings.

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

/// Encoding of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnEncoding {
    /// Dictionary indices, until the dictionary grows too large.
    Dictionary {
        /// The encoding used after that.
        fallback: Encoding,
    },
    /// No dictionary.
    Direct(Encoding),
}

const TEXT: [ColumnEncoding; 1] = [ColumnEncoding::Dictionary {
    fallback: Encoding::PLAIN,
}];
const TIMES: [ColumnEncoding; 1] = [ColumnEncoding::Direct(Encoding::DELTA_BINARY_PACKED)];
const FLAGS: [ColumnEncoding; 1] = [ColumnEncoding::Direct(Encoding::PLAIN)];
const INTEGERS: [ColumnEncoding; 2] = [
    ColumnEncoding::Direct(Encoding::DELTA_BINARY_PACKED),
    ColumnEncoding::Dictionary {
        fallback: Encoding::DELTA_BINARY_PACKED,
    },
];
const FLOATS: [ColumnEncoding; 3] = [
    ColumnEncoding::Dictionary {
        fallback: Encoding::PLAIN,
    },
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

    /// Returns the encoding with the smallest output for the values of a sample, or the first candidate if the sample
    /// is too small.
    pub(super) fn choose(
        field: &FieldRef,
        sample: &ArrayRef,
        compression: Compression,
    ) -> Result<Self, ParquetError> {
        let candidates = Self::candidates(field.data_type());
        let [first, others @ ..] = candidates else {
            return Ok(Self::Direct(Encoding::PLAIN));
        };
        let values = sample.len() - sample.null_count();
        if others.is_empty() || values < MIN_TRIAL_ROWS {
            return Ok(*first);
        }
        let mut best = (first.trial(field, sample, compression)?, *first);
        for other in others {
            let bytes = other.trial(field, sample, compression)?;
            if bytes < best.0 {
                best = (bytes, *other);
            }
        }
        Ok(best.1)
    }

    /// Returns the encoded and compressed size of the values in bytes.
    fn trial(
        self,
        field: &FieldRef,
        sample: &ArrayRef,
        compression: Compression,
    ) -> Result<u64, ParquetError> {
        let schema = Arc::new(Schema::new(vec![Arc::clone(field)]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(sample)])?;
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_statistics_enabled(EnabledStatistics::None);
        let properties = self.apply(field.name(), properties).build();
        let mut writer = ArrowWriter::try_new(std::io::sink(), schema, Some(properties))?;
        writer.write(&rows)?;
        let metadata = writer.finish()?;
        let sizes = metadata
            .row_groups()
            .iter()
            .map(|group| group.compressed_size());
        Ok(u64::try_from(sizes.sum::<i64>()).unwrap_or(u64::MAX))
    }

    /// Sets this encoding for a column.
    pub(super) fn apply(
        self,
        column: &str,
        properties: WriterPropertiesBuilder,
    ) -> WriterPropertiesBuilder {
        let path = ColumnPath::new(vec![column.to_owned()]);
        match self {
            Self::Dictionary { fallback } => properties.set_column_encoding(path, fallback),
            Self::Direct(encoding) => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array};
    use neap_schema::ColumnType;
    use parquet::basic::ZstdLevel;

    use super::*;

    const COMPRESSION: fn() -> Compression = || Compression::ZSTD(ZstdLevel::try_new(3).unwrap());

    /// Returns a cheap pseudo-random sequence (xorshift).
    fn numbers() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x9E37_79B9_7F4A_7C15_u64), |last| {
            let mut next = last ^ (last << 13);
            next ^= next >> 7;
            Some(next ^ (next << 17))
        })
    }

    fn chosen(kind: ColumnType, sample: impl Array + 'static) -> ColumnEncoding {
        let sample: ArrayRef = Arc::new(sample);
        ColumnEncoding::choose(&kind.arrow_field("x"), &sample, COMPRESSION()).unwrap()
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
            ColumnEncoding::Dictionary {
                fallback: Encoding::DELTA_BINARY_PACKED
            }
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
            ColumnEncoding::Dictionary {
                fallback: Encoding::PLAIN
            }
        );
    }

    #[test]
    fn columns_with_few_values_get_the_default_encoding() {
        let few = Float64Array::from_iter_values((0..100).map(f64::from));
        assert_eq!(chosen(ColumnType::Float, few), FLOATS[0]);
    }
}
