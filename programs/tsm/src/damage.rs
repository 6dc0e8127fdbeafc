//! Errors, and parts of files that cannot be read.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reason why bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early.
    #[error("the {0} ends early")]
    Truncated(&'static str),
    /// The checksum of a block does not match its bytes.
    #[error("the checksum is {computed:08x} instead of {stored:08x}")]
    Checksum {
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The type of a block or of an entry of the log is unknown.
    #[error("unknown type {0}")]
    UnknownType(u8),
    /// The type of a block is not that of its key in the index.
    #[error("a block of type {found} is indexed as {expected}")]
    OtherType {
        /// The type in the block.
        found: u8,
        /// The type in the index.
        expected: u8,
    },
    /// The encoding of timestamps or values is unknown.
    #[error("unknown encoding {encoding} of {of}")]
    UnknownEncoding {
        /// The encoding.
        encoding: u8,
        /// What is encoded.
        of: &'static str,
    },
    /// A block has other times than the index names, so that it may be of another key.
    #[error("the index names other times than the block has")]
    OtherTimes,
    /// A series key or the name of a field is not UTF-8.
    #[error("the names or tags are not UTF-8")]
    NameNotUtf8,
    /// Strings are not UTF-8. They are not left out.
    #[error("{0} strings are not UTF-8, their invalid bytes are replaced")]
    TextNotUtf8(u64),
    /// A length or a count is impossible.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// A block has more values than the limit.
    #[error("more than {0} values in a block")]
    TooManyValues(usize),
    /// A block has more timestamps than values, or fewer.
    #[error("{values} values for {times} times")]
    CountMismatch {
        /// Number of timestamps.
        times: usize,
        /// Number of values.
        values: usize,
    },
    /// Compressed bytes cannot be decompressed.
    #[error("cannot decompress: {0}")]
    Compression(String),
    /// The file is not a TSM file.
    #[error("not a TSM file: it starts with {0:08x}")]
    Magic(u32),
    /// The version of the format is unknown.
    #[error("unknown version {0} of the format")]
    Version(u8),
    /// The keys of an index are not in order.
    #[error("the keys of the index are not in order")]
    KeyOrder,
    /// The file cannot be read at this place.
    #[error("{0}")]
    Read(String),
}

/// A part of a file that is left out because it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Offset of the part in bytes.
    pub offset: u64,
    /// The key in the index whose values are lost; `None` if it is unknown.
    pub key: Option<String>,
    /// The reason.
    pub reason: DecodeError,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, key, reason } = self;
        write!(f, "{} at byte {offset}: {reason}", path.display())?;
        match (key, reason) {
            (Some(key), DecodeError::TextNotUtf8(_)) => write!(f, " in {key}"),
            (Some(key), _) => write!(f, ", values of {key} are left out"),
            (None, _) => Ok(()),
        }
    }
}

/// Error of reading a shard.
#[derive(Debug, thiserror::Error)]
pub enum TsmError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file or folder.
        path: String,
        /// The cause.
        error: io::Error,
    },
    /// A file is not a TSM file, or has lost its index.
    #[error("{0}")]
    Damaged(Damage),
    /// The values of a write-ahead log exceed the limit of memory.
    #[error("the write-ahead log in {path} has more than {limit} bytes of values")]
    LogTooLarge {
        /// The folder of the log.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The tombstones of a file exceed the limit of memory.
    #[error("{path} has more than {limit} bytes of deletes")]
    TooManyTombstones {
        /// The file.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Creates the error of a file operation.
pub(crate) fn io_error(path: &Path, error: io::Error) -> TsmError {
    TsmError::Io { path: path.display().to_string(), error }
}
