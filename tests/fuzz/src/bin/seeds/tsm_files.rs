//! Files of InfluxDB 1, with the simplest encodings of all types.

use crate::Seeds;

/// Values of a field with their times.
enum Points<'a> {
    Float(&'a [(i64, f64)]),
    Integer(&'a [(i64, i64)]),
    Boolean(&'a [(i64, bool)]),
    String(&'a [(i64, &'a str)]),
    Unsigned(&'a [(i64, u64)]),
}

/// All types of values.
const FIELDS: [(&str, Points<'_>); 5] = [
    ("m,a=1#!~#b", Points::Boolean(&[(1, true), (2, false), (3, true)])),
    ("m,a=1#!~#f", Points::Float(&[(1, 0.5), (2, 0.5)])),
    ("m,a=1#!~#i", Points::Integer(&[(1, -5), (2, 9)])),
    ("m,a=1#!~#s", Points::String(&[(2, "x"), (4, "yz")])),
    ("m,a=2#!~#u", Points::Unsigned(&[(7, u64::MAX)])),
];

pub(crate) fn add_files(seeds: &mut Seeds) {
    seeds.add("tsm-file", tsm_file());
    for (_, points) in &FIELDS {
        let mut block = vec![points.block_type()];
        block.extend(points.encode());
        seeds.add("tsm-block", block);
    }
    // Packed and repeated timestamps and integers.
    seeds.add("tsm-block", block_of(1, &packed_times(), &packed_integers()));
    seeds.add("tsm-block", block_of(1, &repeated(0x20, 5, 10, 4), &repeated(0x20, 4, 2, 3)));
    let deletes = tombstone("m,a=1#!~#f", 1, 2);
    seeds.add("tsm-tombstone", [&0x1502_u32.to_be_bytes()[..], &deletes].concat());
    seeds.add("tsm-tombstone", b"m,a=1#!~#f\nm,a=1#!~#i\n".to_vec());
    add_logs(seeds);
}

fn block_of(kind: u8, times: &[u8], values: &[u8]) -> Vec<u8> {
    let mut block = vec![kind, u8::try_from(times.len()).expect("few times")];
    block.extend(times);
    block.extend(values);
    block
}

/// Returns three times, packed by simple8b with 1 bit each.
fn packed_times() -> Vec<u8> {
    let word = 8_u64 << 60 | 1 << 7 | 2;
    [&[0x10][..], &5_u64.to_be_bytes(), &word.to_be_bytes()].concat()
}

fn packed_integers() -> Vec<u8> {
    packed_times()
}

/// Returns a first number, a difference, and how often it repeats.
fn repeated(encoding: u8, first: u64, difference: u8, count: u8) -> Vec<u8> {
    [&[encoding][..], &first.to_be_bytes(), &[difference, count]].concat()
}

impl Points<'_> {
    fn block_type(&self) -> u8 {
        match self {
            Self::Float(_) => 0,
            Self::Integer(_) => 1,
            Self::Boolean(_) => 2,
            Self::String(_) => 3,
            Self::Unsigned(_) => 4,
        }
    }

    fn times(&self) -> Vec<i64> {
        match self {
            Self::Float(points) => points.iter().map(|point| point.0).collect(),
            Self::Integer(points) => points.iter().map(|point| point.0).collect(),
            Self::Boolean(points) => points.iter().map(|point| point.0).collect(),
            Self::String(points) => points.iter().map(|point| point.0).collect(),
            Self::Unsigned(points) => points.iter().map(|point| point.0).collect(),
        }
    }

    /// Returns the times and the values of a block.
    fn encode(&self) -> Vec<u8> {
        let times = uncompressed(&self.times(), i64::cast_unsigned);
        let values = match self {
            Self::Float(points) => floats(points),
            Self::Integer(points) => {
                let values: Vec<i64> = points.iter().map(|point| point.1).collect();
                uncompressed(&values, zigzag)
            }
            Self::Boolean(points) => booleans(points),
            Self::String(points) => strings(points),
            Self::Unsigned(points) => {
                let values = points.iter().map(|point| point.1.cast_signed());
                uncompressed(&values.collect::<Vec<_>>(), zigzag)
            }
        };
        let length = u8::try_from(times.len()).expect("few times");
        [&[length][..], &times, &values].concat()
    }
}

/// Returns the first number and the differences, without compression.
fn uncompressed(values: &[i64], encode: fn(i64) -> u64) -> Vec<u8> {
    let mut out = vec![0];
    let mut last = 0;
    for value in values {
        out.extend(encode(value.wrapping_sub(last)).to_be_bytes());
        last = *value;
    }
    out
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Returns equal floats: the first one in full, a zero bit for each other one, and the end.
fn floats(points: &[(i64, f64)]) -> Vec<u8> {
    const END: u64 = 0x7ff8_0000_0000_0001;
    let first = points[0].1.to_bits();
    let mut bits = format!("{:08b}{first:064b}", 0x10);
    bits.extend(points[1..].iter().map(|_| '0'));
    let difference = first ^ END;
    let leading = difference.leading_zeros().min(31);
    let significant = 64 - leading - difference.trailing_zeros();
    let value = difference >> difference.trailing_zeros();
    bits += &format!("11{leading:05b}{:06b}", significant & 0x3f);
    bits += &format!("{value:0width$b}", width = significant as usize);
    bytes_of(&bits)
}

fn booleans(points: &[(i64, bool)]) -> Vec<u8> {
    let bits: String = points.iter().map(|point| if point.1 { '1' } else { '0' }).collect();
    let count = u8::try_from(points.len()).expect("few values");
    [vec![0x10, count], bytes_of(&bits)].concat()
}

/// Returns the bytes of a text of zeros and ones.
fn bytes_of(bits: &str) -> Vec<u8> {
    let bits = bits.as_bytes().chunks(8);
    let byte = |bits: &[u8]| {
        let ones = bits.iter().enumerate().filter(|(_, bit)| **bit == b'1');
        ones.fold(0, |byte, (at, _)| byte | 0x80 >> at)
    };
    bits.map(byte).collect()
}

/// Returns strings as a literal of snappy.
fn strings(points: &[(i64, &str)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (_, text) in points {
        plain.push(u8::try_from(text.len()).expect("a short string"));
        plain.extend(text.as_bytes());
    }
    [vec![0x10], snappy(&plain)].concat()
}

/// Returns bytes as a block of snappy with one literal, of at most 60 bytes.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let length = u8::try_from(plain.len()).expect("few bytes");
    [&[length, (length - 1) << 2][..], plain].concat()
}

fn tsm_file() -> Vec<u8> {
    let mut file = vec![0x16, 0xd1, 0x16, 0xd1, 1];
    let mut index = Vec::new();
    for (key, points) in &FIELDS {
        let times = points.times();
        let mut block = vec![points.block_type()];
        block.extend(points.encode());
        let checksum = crc32fast::hash(&block).to_be_bytes();
        index.extend(u16::try_from(key.len()).expect("a short key").to_be_bytes());
        index.extend(key.as_bytes());
        index.extend([points.block_type(), 0, 1]);
        index.extend(times[0].to_be_bytes());
        index.extend(times[times.len() - 1].to_be_bytes());
        index.extend((file.len() as u64).to_be_bytes());
        let length = u32::try_from(4 + block.len()).expect("a short block");
        index.extend(length.to_be_bytes());
        file.extend(checksum);
        file.extend(block);
    }
    let offset = (file.len() as u64).to_be_bytes();
    [file, index, offset.to_vec()].concat()
}

fn tombstone(key: &str, min: i64, max: i64) -> Vec<u8> {
    let length = u32::try_from(key.len()).expect("a short key");
    let times = [min.to_be_bytes(), max.to_be_bytes()].concat();
    [&length.to_be_bytes(), key.as_bytes(), times.as_slice()].concat()
}

/// Adds a write, a delete of keys, and a delete of a range to logs.
fn add_logs(seeds: &mut Seeds) {
    let key = "m,a=1#!~#i";
    let mut write = vec![2];
    write.extend(u16::try_from(key.len()).expect("a short key").to_be_bytes());
    write.extend(key.as_bytes());
    write.extend(1_u32.to_be_bytes());
    write.extend([5_i64.to_be_bytes(), 7_i64.to_be_bytes()].concat());
    let keys = format!("{key}\n");
    let times = [1_i64.to_be_bytes(), 9_i64.to_be_bytes()].concat();
    let length = u32::try_from(key.len()).expect("a short key").to_be_bytes();
    let range = [&times, &length[..], key.as_bytes()].concat();
    let entries = [(1, write), (2, keys.into_bytes()), (3, range)];
    let mut all = Vec::new();
    for (kind, body) in entries {
        let body = snappy(&body);
        let length = u32::try_from(body.len()).expect("a short body").to_be_bytes();
        let entry = [&[kind][..], &length, &body].concat();
        seeds.add("tsm-log", entry.clone());
        all.splice(0..0, entry);
    }
    seeds.add("tsm-log", all);
}
