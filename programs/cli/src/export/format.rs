//! The formats of exported files, and how they are compressed.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The format of exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object in each line.
    #[value(alias = "json_lines")]
    Jsonl,
    /// Line protocol with timestamps in nanoseconds, which can be imported again.
    Lp,
    /// An Arrow IPC file (Feather version 2).
    Arrow,
}

/// The compression of exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportCompression {
    /// No compression. The default of formats other than Parquet.
    None,
    /// Snappy, for Parquet.
    Snappy,
    /// Gzip, for Parquet and text formats.
    Gzip,
    /// LZ4, for Parquet and Arrow.
    Lz4,
    /// Zstandard, for all formats. The default of Parquet.
    Zstd,
}

impl ExportFormat {
    /// The compression without an option.
    pub(crate) fn default_compression(self) -> ExportCompression {
        match self {
            Self::Parquet => ExportCompression::Zstd,
            Self::Csv | Self::Jsonl | Self::Lp | Self::Arrow => ExportCompression::None,
        }
    }

    /// Returns the compressions of the format.
    pub(crate) fn compressions(self) -> &'static [ExportCompression] {
        use ExportCompression::{Gzip, Lz4, None, Snappy, Zstd};
        match self {
            Self::Parquet => &[Zstd, Snappy, Gzip, Lz4, None],
            Self::Arrow => &[None, Lz4, Zstd],
            Self::Csv | Self::Jsonl | Self::Lp => &[None, Gzip, Zstd],
        }
    }

    /// Returns the extension of the files. Compressed text has two.
    pub(super) fn extension(self, compression: ExportCompression) -> String {
        let is_text = matches!(self, Self::Csv | Self::Jsonl | Self::Lp);
        match compression {
            ExportCompression::Gzip if is_text => format!("{self}.gz"),
            ExportCompression::Zstd if is_text => format!("{self}.zst"),
            _ => self.to_string(),
        }
    }

    /// Whether the file that the server sends is the exported file.
    pub(super) fn is_sent(self, compression: ExportCompression) -> bool {
        self == Self::Parquet && compression == self.default_compression()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_text_has_two_extensions() {
        for (format, compression, expected) in [
            (ExportFormat::Parquet, ExportCompression::Zstd, "parquet"),
            (ExportFormat::Arrow, ExportCompression::Lz4, "arrow"),
            (ExportFormat::Csv, ExportCompression::None, "csv"),
            (ExportFormat::Lp, ExportCompression::Gzip, "lp.gz"),
            (ExportFormat::Jsonl, ExportCompression::Zstd, "jsonl.zst"),
        ] {
            assert!(format.compressions().contains(&compression));
            assert_eq!(format.extension(compression), expected);
        }
    }
}
