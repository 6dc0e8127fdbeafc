//! The formats of files, and how they are recognized.

use std::{path::Path, str::FromStr};

/// The format of a file.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use neap_file_formats::Format;
///
/// assert_eq!(Format::from_extension(Path::new("rows.csv.gz")), Some(Format::Csv));
/// assert_eq!(Format::from_content_type("application/x-ndjson"), Some(Format::JsonLines));
/// assert_eq!(Format::sniff(b"PAR1"), Some(Format::Parquet));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Comma-separated values with a header, or annotated CSV of InfluxDB 2.
    Csv,
    /// One JSON object in each line.
    JsonLines,
    /// Parquet.
    Parquet,
    /// An Arrow IPC file (Feather version 2) or an Arrow IPC stream.
    Arrow,
}

/// The compression of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// None, or one that is part of the format.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// The first lines of annotated CSV begin with one of these.
const CSV_ANNOTATIONS: [&[u8]; 6] = [
    b"#datatype",
    b"#group",
    b"#default",
    b"#constant",
    b"#timezone",
    b",result,table,",
];

impl Format {
    /// Returns the format that the extension of a path names, below an extension of a compression.
    pub fn from_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "gz" | "gzip" | "zst" | "zstd" => {
                let stem = Path::new(path.file_stem()?);
                // A name like `.gz` is its own stem.
                match stem.extension() {
                    Some(_) => Self::from_extension(stem),
                    None => None,
                }
            }
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" | "pq" => Some(Self::Parquet),
            "arrow" | "arrows" | "feather" | "ipc" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// Returns the format that a `Content-Type` header names.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "text/csv" | "application/csv" => Some(Self::Csv),
            "application/jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/x-ndjson"
            | "application/ndjson" => Some(Self::JsonLines),
            "application/vnd.apache.parquet" | "application/parquet" | "application/x-parquet" => {
                Some(Self::Parquet)
            }
            "application/vnd.apache.arrow.file" | "application/vnd.apache.arrow.stream" => {
                Some(Self::Arrow)
            }
            _ => None,
        }
    }

    /// Returns the format that the first bytes of a file show. Plain CSV cannot be told from other texts.
    pub fn sniff(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        if start.starts_with(b"ARROW1") || start.starts_with(&[0xff; 4]) {
            return Some(Self::Arrow);
        }
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        if text.starts_with(b"{") {
            return Some(Self::JsonLines);
        }
        let is_annotated = CSV_ANNOTATIONS.iter().any(|annotation| text.starts_with(annotation));
        is_annotated.then_some(Self::Csv)
    }
}

impl FromStr for Format {
    type Err = ();

    /// Parses the value of an option.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            "arrow" | "feather" => Ok(Self::Arrow),
            _ => Err(()),
        }
    }
}

impl Compression {
    /// Returns the compression that the first bytes of a file show.
    pub fn sniff(start: &[u8]) -> Self {
        const GZIP: &[u8] = &[0x1f, 0x8b];
        const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
        if start.starts_with(GZIP) {
            Self::Gzip
        } else if start.starts_with(ZSTD) {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_formats_also_of_compressed_files() {
        for (path, format) in [
            ("a.csv", Some(Format::Csv)),
            ("dir.csv/a.JSONL", Some(Format::JsonLines)),
            ("a.b.parquet", Some(Format::Parquet)),
            ("a.feather", Some(Format::Arrow)),
            ("a.csv.gz", Some(Format::Csv)),
            ("a.ndjson.zst", Some(Format::JsonLines)),
            ("a.gz", None),
            (".gz", None),
            ("a.lp", None),
            ("csv", None),
        ] {
            assert_eq!(Format::from_extension(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn content_types_may_have_parameters() {
        for (content_type, format) in [
            ("text/csv; charset=utf-8", Some(Format::Csv)),
            ("application/x-ndjson", Some(Format::JsonLines)),
            ("Application/vnd.apache.parquet", Some(Format::Parquet)),
            ("application/vnd.apache.arrow.stream", Some(Format::Arrow)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Format::from_content_type(content_type), format, "{content_type}");
        }
    }

    #[test]
    fn the_first_bytes_show_all_formats_but_plain_csv() {
        for (start, format) in [
            (&b"PAR1..."[..], Some(Format::Parquet)),
            (b"ARROW1\0\0", Some(Format::Arrow)),
            (b"\xff\xff\xff\xff\x10", Some(Format::Arrow)),
            (b"\xef\xbb\xbf\n {\"a\":1}", Some(Format::JsonLines)),
            (b"#datatype,string", Some(Format::Csv)),
            (b"time,host,value\n", None),
            (b"cpu value=1", None),
            (b"", None),
        ] {
            assert_eq!(Format::sniff(start), format);
        }
        assert_eq!(Compression::sniff(&[0x1f, 0x8b, 8]), Compression::Gzip);
        assert_eq!(Compression::sniff(b"{}"), Compression::None);
    }
}
