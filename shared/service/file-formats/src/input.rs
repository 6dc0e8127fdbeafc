//! Where the bytes of a file come from.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::{Compression, ReadError};

/// The number of bytes that are enough to recognize a format.
const SNIFFED_BYTES: u64 = 4096;

/// The bytes of a file.
#[derive(derive_more::Debug)]
pub enum FileInput {
    /// A file, read as needed.
    File(File),
    /// A file in memory.
    #[debug("Bytes({})", _0.len())]
    Bytes(Bytes),
    /// A stream, such as the standard input.
    #[debug("Stream")]
    Stream(Box<dyn Read + Send>),
}

impl FileInput {
    /// Returns the first bytes. The input still has them afterwards.
    pub(crate) fn peek(&mut self) -> io::Result<Vec<u8>> {
        let mut start = Vec::new();
        match self {
            Self::File(file) => {
                file.take(SNIFFED_BYTES).read_to_end(&mut start)?;
                // A pipe cannot be read again from its start, but keeps what was read.
                if file.seek(SeekFrom::Start(0)).is_err() {
                    let rest = file.try_clone()?;
                    *self = Self::Stream(Box::new(Cursor::new(start.clone()).chain(rest)));
                }
            }
            Self::Bytes(bytes) => {
                let end = bytes.len().min(usize::try_from(SNIFFED_BYTES).unwrap_or(usize::MAX));
                start.extend_from_slice(bytes.get(..end).unwrap_or_default());
            }
            Self::Stream(stream) => {
                stream.take(SNIFFED_BYTES).read_to_end(&mut start)?;
                let rest = std::mem::replace(stream, Box::new(io::empty()));
                *stream = Box::new(Cursor::new(start.clone()).chain(rest));
            }
        }
        Ok(start)
    }

    /// Decompresses the input if it is compressed as a whole. Counts the bytes of the compressed input that are read.
    /// With a limit, reading more decompressed bytes is an error.
    pub(crate) fn decompress(
        mut self,
        consumed: &Arc<AtomicU64>,
        limit: Option<u64>,
    ) -> Result<Self, ReadError> {
        let compression = Compression::sniff(&self.peek()?);
        if compression == Compression::None {
            return Ok(self);
        }
        let counted = CountingReader { reader: self.into_stream(), consumed: Arc::clone(consumed) };
        let plain: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(counted)),
            _ => Box::new(zstd::Decoder::new(counted)?),
        };
        let whole: Box<dyn Read + Send> = Box::new(DecompressedReader(plain));
        Ok(Self::Stream(match limit {
            Some(limit) => Box::new(LimitedReader { reader: whole, limit, left: limit }),
            None => whole,
        }))
    }

    /// Returns the compression of the input as a whole, and a reader of its decompressed contents.
    ///
    /// # Errors
    ///
    /// The start of the input can't be read.
    pub fn into_reader(mut self) -> Result<(Compression, Box<dyn Read + Send>), ReadError> {
        let compression = Compression::sniff(&self.peek()?);
        let plain = self.decompress(&Arc::default(), None)?;
        Ok((compression, plain.into_stream()))
    }

    /// Reads the whole input.
    pub(crate) fn into_bytes(self) -> io::Result<Self> {
        let mut contents = Vec::new();
        self.into_stream().read_to_end(&mut contents)?;
        Ok(Self::Bytes(contents.into()))
    }

    pub(crate) fn into_stream(self) -> Box<dyn Read + Send> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::Stream(stream) => stream,
        }
    }

    /// Returns a reader that counts the bytes that are read.
    pub(crate) fn into_counted(self, consumed: &Arc<AtomicU64>) -> CountingReader {
        CountingReader { reader: self.into_stream(), consumed: Arc::clone(consumed) }
    }
}

/// Counts the bytes that are read.
pub(crate) struct CountingReader {
    reader: Box<dyn Read + Send>,
    consumed: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Decompressed bytes. The early end of a compressed file is damage, and not an early end of the decompressed file, which
/// readers of Arrow streams take for a regular one.
struct DecompressedReader(Box<dyn Read + Send>);

impl Read for DecompressedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                io::Error::new(io::ErrorKind::InvalidData, "the compressed file is cut off")
            } else {
                error
            }
        })
    }
}

/// The error of a [`LimitedReader`] inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("the file has more than {limit} bytes when it is decoded")]
pub(crate) struct LimitExceeded {
    pub(crate) limit: u64,
}

/// Fails when more bytes than a limit are read.
struct LimitedReader {
    reader: Box<dyn Read + Send>,
    limit: u64,
    left: u64,
}

impl Read for LimitedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::other(LimitExceeded { limit: self.limit }));
            }
        }
        Ok(read)
    }
}
