//! Chunks of floats as Prometheus compresses them: times as differences of differences, values by the bits that change.

/// Maximum number of samples of a chunk, as in Prometheus.
pub const MAX_CHUNK_SAMPLES: u16 = 120;

/// The sizes of a difference of differences, in bits, with the bits that announce them.
const TIME_CLASSES: [(u32, u64, u32); 3] = [(14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4)];

/// Encodes samples as a chunk.
#[derive(Debug)]
pub struct XorChunkBuilder {
    bits: BitWriter,
    samples: u16,
    first_time: i64,
    time: i64,
    delta: i64,
    value: u64,
    /// The number of leading and trailing zeros of the previous difference; `None` before the first one.
    zeros: Option<(u32, u32)>,
}

impl Default for XorChunkBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl XorChunkBuilder {
    /// Creates a chunk without samples.
    pub fn new() -> Self {
        Self {
            // The first two bytes are the number of samples.
            bits: BitWriter { bytes: vec![0, 0], free: 0 },
            samples: 0,
            first_time: 0,
            time: 0,
            delta: 0,
            value: 0,
            zeros: None,
        }
    }

    /// Returns the number of samples.
    pub fn len(&self) -> u16 {
        self.samples
    }

    /// Returns whether the chunk has no samples.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The time of the first sample, in milliseconds since the Unix epoch.
    pub fn first_time(&self) -> i64 {
        self.first_time
    }

    /// The time of the last sample, in milliseconds since the Unix epoch.
    pub fn last_time(&self) -> i64 {
        self.time
    }

    /// Adds a sample, which is later than the previous one. A chunk has at most [`MAX_CHUNK_SAMPLES`].
    pub fn push(&mut self, time_ms: i64, value: f64) {
        let value = value.to_bits();
        match self.samples {
            0 => {
                self.first_time = time_ms;
                self.bits.zigzag_varint(time_ms);
                self.bits.bits(value, 64);
            }
            1 => {
                self.delta = time_ms.wrapping_sub(self.time);
                self.bits.varint(self.delta.cast_unsigned());
                self.push_value(value);
            }
            _ => {
                let delta = time_ms.wrapping_sub(self.time);
                self.push_difference(delta.wrapping_sub(self.delta));
                self.delta = delta;
                self.push_value(value);
            }
        }
        self.time = time_ms;
        self.value = value;
        self.samples = self.samples.saturating_add(1);
    }

    /// Adds the difference of two differences of times.
    fn push_difference(&mut self, difference: i64) {
        if difference == 0 {
            return self.bits.bits(0, 1);
        }
        for (size, prefix, prefix_size) in TIME_CLASSES {
            let half = 1i64 << (size - 1);
            if (1 - half..=half).contains(&difference) {
                self.bits.bits(prefix, prefix_size);
                return self.bits.bits(difference.cast_unsigned(), size);
            }
        }
        self.bits.bits(0b1111, 4);
        self.bits.bits(difference.cast_unsigned(), 64);
    }

    fn push_value(&mut self, value: u64) {
        let changed = value ^ self.value;
        if changed == 0 {
            return self.bits.bits(0, 1);
        }
        self.bits.bits(1, 1);
        // Five bits hold the number of leading zeros.
        let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
        if let Some((known_leading, known_trailing)) = self.zeros
            && leading >= known_leading
            && trailing >= known_trailing
        {
            self.bits.bits(0, 1);
            let size = 64 - known_leading - known_trailing;
            return self.bits.bits(changed >> known_trailing, size);
        }
        self.zeros = Some((leading, trailing));
        let size = 64 - leading - trailing;
        self.bits.bits(1, 1);
        self.bits.bits(u64::from(leading), 5);
        // Six bits hold the size, and 64 is written as 0.
        self.bits.bits(u64::from(size), 6);
        self.bits.bits(changed >> trailing, size);
    }

    /// Returns the bytes of the chunk.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.bits.bytes;
        for (byte, count) in bytes.iter_mut().zip(self.samples.to_be_bytes()) {
            *byte = count;
        }
        bytes
    }
}

/// Appends bits to bytes, the highest bit first.
#[derive(Debug)]
struct BitWriter {
    bytes: Vec<u8>,
    /// The number of unused bits of the last byte.
    free: u32,
}

impl BitWriter {
    /// Adds the lowest `count` bits of a value.
    fn bits(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            left -= taken;
            let mask = (1u64 << taken) - 1;
            let bits = ((value >> left) & mask) << (self.free - taken);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bits.to_le_bytes()[0];
            }
            self.free -= taken;
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bits(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.bits(value, 8);
    }

    fn zigzag_varint(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    struct BitReader<'a> {
        bytes: &'a [u8],
        position: usize,
    }

    impl BitReader<'_> {
        fn bits(&mut self, count: u32) -> u64 {
            let mut value = 0;
            for _ in 0..count {
                let byte = self.bytes[self.position / 8];
                value = value << 1 | u64::from(byte >> (7 - self.position % 8) & 1);
                self.position += 1;
            }
            value
        }

        fn varint(&mut self) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = self.bits(8);
                value |= (byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }

        fn difference(&mut self) -> i64 {
            for size in [0, 14, 17, 20] {
                if self.bits(1) == 0 {
                    let bits = self.bits(size);
                    let half = 1u64 << size >> 1;
                    return if size > 0 && bits > half {
                        bits.cast_signed() - (1 << size)
                    } else {
                        bits.cast_signed()
                    };
                }
            }
            self.bits(64).cast_signed()
        }
    }

    fn decode(bytes: &[u8]) -> Vec<(i64, u64)> {
        let count = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut reader = BitReader { bytes, position: 16 };
        let (mut time, mut delta, mut value, mut zeros) = (0i64, 0i64, 0u64, (0, 0));
        let mut samples = Vec::new();
        for index in 0..count {
            if index == 0 {
                let zigzag = reader.varint();
                time = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                value = reader.bits(64);
            } else {
                delta = match index {
                    1 => reader.varint().cast_signed(),
                    _ => delta.wrapping_add(reader.difference()),
                };
                time = time.wrapping_add(delta);
                if reader.bits(1) == 1 {
                    if reader.bits(1) == 1 {
                        let leading = u32::try_from(reader.bits(5)).unwrap();
                        let size = match u32::try_from(reader.bits(6)).unwrap() {
                            0 => 64,
                            size => size,
                        };
                        zeros = (leading, 64 - leading - size);
                    }
                    value ^= reader.bits(64 - zeros.0 - zeros.1) << zeros.1;
                }
            }
            samples.push((time, value));
        }
        samples
    }

    #[test]
    fn a_chunk_has_the_bytes_of_prometheus() {
        let mut chunk = XorChunkBuilder::new();
        for (time, value) in [(1_000, 1.0), (2_000, 1.0), (3_000, 2.0), (4_001, 2.0)] {
            chunk.push(time, value);
        }
        assert_eq!((chunk.len(), chunk.first_time(), chunk.last_time()), (4, 1_000, 4_001));
        // 2000 as zigzag, 1.0, 1000 as varint, then bits: 0 | 0 | 1 1 00001 001011 11111111111 | 10 + 14 bits | 0
        let bytes = chunk.finish();
        assert_eq!(
            bytes,
            [
                0,
                4,
                0xd0,
                0x0f,
                0x3f,
                0xf0,
                0,
                0,
                0,
                0,
                0,
                0,
                0xe8,
                0x07,
                0b0011_0000,
                0b1001_0111,
                0b1111_1111,
                0b1110_0000,
                0b0000_0000,
                0b0100_0000,
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_chunk_can_be_decoded(
            start in any::<i64>(),
            samples in vec((prop_oneof![
                0i64..3,
                Just(15_000i64),
                14_000i64..16_000,
                0i64..2_000_000,
                any::<i64>(),
            ], prop_oneof![Just(1.0f64), any::<f64>()]), 0..120),
        ) {
            let mut time = start;
            let mut chunk = XorChunkBuilder::new();
            let mut expected = Vec::new();
            for (delta, value) in samples {
                time = time.wrapping_add(delta);
                chunk.push(time, value);
                expected.push((time, value.to_bits()));
            }
            prop_assert_eq!(decode(&chunk.finish()), expected);
        }
    }
}
