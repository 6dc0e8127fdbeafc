//! Reads bits, most significant bit first.

/// A reader of bits. It holds the next bits in the upper part of a word, at least 57 of them after
/// [`refill`](Self::refill), unless the bytes end.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    word: u64,
    /// Number of valid bits in `word`. The bits below them are those that follow in `bytes`, or 0.
    valid: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, word: 0, valid: 0 }
    }

    /// Loads as many whole bytes as fit.
    #[inline]
    pub(crate) fn refill(&mut self) {
        if self.valid > 56 {
            return;
        }
        if let Some(head) = self.bytes.first_chunk::<8>() {
            // Bits beyond the whole bytes are loaded again, with the same value, by the next call.
            self.word |= u64::from_be_bytes(*head) >> self.valid;
            let loaded = (64 - self.valid) / 8;
            self.bytes = self.bytes.get(loaded as usize..).unwrap_or_default();
            self.valid += loaded * 8;
        } else {
            self.refill_from_end();
        }
    }

    #[cold]
    fn refill_from_end(&mut self) {
        while self.valid <= 56
            && let Some((&byte, rest)) = self.bytes.split_first()
        {
            self.word |= u64::from(byte) << (56 - self.valid);
            self.bytes = rest;
            self.valid += 8;
        }
    }

    /// Takes `count` bits, from 1 to 57, of those that [`refill`](Self::refill) has loaded; `None` if there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Option<u64> {
        if self.valid < count {
            return None;
        }
        let bits = self.word >> (64 - count);
        self.word <<= count;
        self.valid -= count;
        Some(bits)
    }

    /// Reads `count` bits, from 1 to 64; `None` if there are fewer.
    #[inline]
    pub(crate) fn read(&mut self, count: u32) -> Option<u64> {
        self.refill();
        if count <= 56 {
            return self.take(count);
        }
        let upper = self.take(32)?;
        self.refill();
        let lower = self.take(count - 32)?;
        Some((upper << (count - 32)) | lower)
    }
}
