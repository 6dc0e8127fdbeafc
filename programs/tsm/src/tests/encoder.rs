//! Minimal encoders of the formats, for tests and benchmarks.

use std::{collections::BTreeMap, io::Write, path::Path};

/// Values of a field with their times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Points {
    Float(Vec<(i64, f64)>),
    Integer(Vec<(i64, i64)>),
    Boolean(Vec<(i64, bool)>),
    String(Vec<(i64, String)>),
    Unsigned(Vec<(i64, u64)>),
}

impl Points {
    pub(crate) fn block_type(&self) -> u8 {
        match self {
            Self::Float(_) => 0,
            Self::Integer(_) => 1,
            Self::Boolean(_) => 2,
            Self::String(_) => 3,
            Self::Unsigned(_) => 4,
        }
    }

    pub(crate) fn times(&self) -> Vec<i64> {
        match self {
            Self::Float(points) => points.iter().map(|(time, _)| *time).collect(),
            Self::Integer(points) => points.iter().map(|(time, _)| *time).collect(),
            Self::Boolean(points) => points.iter().map(|(time, _)| *time).collect(),
            Self::String(points) => points.iter().map(|(time, _)| *time).collect(),
            Self::Unsigned(points) => points.iter().map(|(time, _)| *time).collect(),
        }
    }

    fn encode_values(&self) -> Vec<u8> {
        match self {
            Self::Float(points) => {
                floats(&points.iter().map(|(_, value)| *value).collect::<Vec<_>>())
            }
            Self::Integer(points) => {
                integers(&points.iter().map(|(_, value)| *value).collect::<Vec<_>>())
            }
            Self::Boolean(points) => {
                booleans(&points.iter().map(|(_, value)| *value).collect::<Vec<_>>())
            }
            Self::String(points) => {
                let texts: Vec<_> = points.iter().map(|(_, value)| value.as_str()).collect();
                strings(&texts)
            }
            Self::Unsigned(points) => {
                let values = points.iter().map(|(_, value)| value.cast_signed());
                integers(&values.collect::<Vec<_>>())
            }
        }
    }
}

pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Packs integers of less than 60 bits.
pub(crate) fn simple8b(mut values: &[u64], out: &mut Vec<u8>) {
    const WIDTHS: [(usize, u32); 14] = [
        (60, 1),
        (30, 2),
        (20, 3),
        (15, 4),
        (12, 5),
        (10, 6),
        (8, 7),
        (7, 8),
        (6, 10),
        (5, 12),
        (4, 15),
        (3, 20),
        (2, 30),
        (1, 60),
    ];
    while !values.is_empty() {
        let ones = values.iter().take_while(|value| **value == 1).count();
        let (word, count) = if ones >= 240 {
            (0, 240)
        } else if ones >= 120 {
            (1 << 60, 120)
        } else {
            let fits = |(count, bits): (usize, u32)| {
                let head = values.get(..count)?;
                head.iter().all(|value| value >> bits == 0).then_some(head)
            };
            let found = WIDTHS.iter().enumerate().find_map(|(index, width)| {
                let head = fits(*width)?;
                let packed = head.iter().enumerate().map(|(at, value)| {
                    let shift = u32::try_from(at).unwrap() * width.1;
                    value << shift
                });
                let selector = (index as u64 + 2) << 60;
                Some((packed.fold(selector, |word, bits| word | bits), width.0))
            });
            found.expect("integers of less than 60 bits")
        };
        out.extend(u64::to_be_bytes(word));
        values = &values[count..];
    }
}

pub(crate) fn timestamps(times: &[i64]) -> Vec<u8> {
    let mut deltas: Vec<u64> = Vec::new();
    for pair in times.windows(2) {
        deltas.push(pair[1].wrapping_sub(pair[0]).cast_unsigned());
    }
    let first = times[0].to_be_bytes();
    let mut out = Vec::new();
    let scale = (0..=12u8)
        .rev()
        .find(|scale| {
            let divisor = 10u64.pow(u32::from(*scale));
            deltas.iter().all(|delta| delta % divisor == 0)
        })
        .unwrap();
    let divisor = 10u64.pow(u32::from(scale));
    if deltas.len() > 1 && deltas.iter().all(|delta| *delta == deltas[0]) {
        out.push(0x20 | scale);
        out.extend(first);
        varint(deltas[0] / divisor, &mut out);
        varint(times.len() as u64, &mut out);
    } else if deltas.iter().any(|delta| delta >> 60 != 0) {
        out.push(0);
        out.extend(first);
        out.extend(deltas.iter().flat_map(|delta| delta.to_be_bytes()));
    } else {
        out.push(0x10 | scale);
        out.extend(first);
        let scaled: Vec<u64> = deltas.iter().map(|delta| delta / divisor).collect();
        simple8b(&scaled, &mut out);
    }
    out
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(crate) fn integers(values: &[i64]) -> Vec<u8> {
    let first = zigzag(values[0]);
    let mut deltas: Vec<u64> = Vec::new();
    for pair in values.windows(2) {
        deltas.push(zigzag(pair[1].wrapping_sub(pair[0])));
    }
    let mut out = Vec::new();
    if deltas.len() > 1 && deltas.iter().all(|delta| *delta == deltas[0]) {
        out.push(0x20);
        out.extend(first.to_be_bytes());
        varint(deltas[0], &mut out);
        varint(deltas.len() as u64, &mut out);
    } else if deltas.iter().any(|delta| delta >> 60 != 0) {
        out.push(0);
        out.extend(first.to_be_bytes());
        out.extend(deltas.iter().flat_map(|delta| delta.to_be_bytes()));
    } else {
        out.push(0x10);
        out.extend(first.to_be_bytes());
        simple8b(&deltas, &mut out);
    }
    out
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    fn write(&mut self, value: u64, count: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if value >> bit & 1 == 1 {
                *self.bytes.last_mut().unwrap() |= 0x80 >> (self.used % 8);
            }
            self.used += 1;
        }
    }
}

pub(crate) fn floats(values: &[f64]) -> Vec<u8> {
    const END: u64 = 0x7ff8_0000_0000_0001;
    let mut bits = BitWriter::default();
    bits.write(0x10, 8);
    let mut all = values.iter().map(|value| value.to_bits()).chain([END]);
    let mut last = all.next().unwrap();
    bits.write(last, 64);
    let mut window: Option<(u32, u32)> = None;
    for value in all {
        let difference = value ^ last;
        last = value;
        if difference == 0 {
            bits.write(0, 1);
            continue;
        }
        bits.write(1, 1);
        // InfluxDB takes the remainder here, too.
        let leading = difference.leading_zeros() & 0x1f;
        let trailing = difference.trailing_zeros();
        match window {
            Some((before, after)) if leading >= before && trailing >= after => {
                bits.write(0, 1);
                bits.write(difference >> after, 64 - before - after);
            }
            _ => {
                window = Some((leading, trailing));
                let significant = 64 - leading - trailing;
                bits.write(1, 1);
                bits.write(u64::from(leading), 5);
                bits.write(u64::from(significant & 0x3f), 6);
                bits.write(difference >> trailing, significant);
            }
        }
    }
    bits.bytes
}

pub(crate) fn booleans(values: &[bool]) -> Vec<u8> {
    let mut out = vec![0x10];
    varint(values.len() as u64, &mut out);
    let mut bits = BitWriter::default();
    values.iter().for_each(|value| bits.write((*value).into(), 1));
    out.extend(bits.bytes);
    out
}

pub(crate) fn strings(values: &[&str]) -> Vec<u8> {
    let mut plain = Vec::new();
    for value in values {
        varint(value.len() as u64, &mut plain);
        plain.extend(value.as_bytes());
    }
    let mut out = vec![0x10];
    out.extend(snap::raw::Encoder::new().compress_vec(&plain).unwrap());
    out
}

/// Encodes a block with its checksum.
pub(crate) fn block(points: &Points) -> Vec<u8> {
    let times = timestamps(&points.times());
    let mut body = vec![points.block_type()];
    varint(times.len() as u64, &mut body);
    body.extend(times);
    body.extend(points.encode_values());
    let mut block = crc32fast::hash(&body).to_be_bytes().to_vec();
    block.extend(body);
    block
}

/// Encodes a TSM file with the blocks of each key.
pub(crate) fn tsm_file(keys: &[(&str, Vec<Points>)]) -> Vec<u8> {
    let keys: BTreeMap<&str, &Vec<Points>> = keys.iter().map(|(key, list)| (*key, list)).collect();
    let mut file = vec![0x16, 0xd1, 0x16, 0xd1, 1];
    let mut index = Vec::new();
    for (key, list) in keys {
        index.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
        index.extend(key.as_bytes());
        index.push(list[0].block_type());
        index.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        for points in list {
            let (times, block) = (points.times(), block(points));
            index.extend(times.iter().min().unwrap().to_be_bytes());
            index.extend(times.iter().max().unwrap().to_be_bytes());
            index.extend((file.len() as u64).to_be_bytes());
            index.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
            file.extend(block);
        }
    }
    let offset = (file.len() as u64).to_be_bytes();
    file.extend(index);
    file.extend(offset);
    file
}

/// Encodes a tombstone without its header.
pub(crate) fn tombstone(key: &str, min: i64, max: i64) -> Vec<u8> {
    let mut out = u32::try_from(key.len()).unwrap().to_be_bytes().to_vec();
    out.extend(key.as_bytes());
    out.extend(min.to_be_bytes());
    out.extend(max.to_be_bytes());
    out
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Encodes an entry of the log.
pub(crate) fn log_entry(entry_type: u8, body: &[u8]) -> Vec<u8> {
    let compressed = snap::raw::Encoder::new().compress_vec(body).unwrap();
    let mut out = vec![entry_type];
    out.extend(u32::try_from(compressed.len()).unwrap().to_be_bytes());
    out.extend(compressed);
    out
}

/// Encodes the body of a write in the log.
pub(crate) fn log_write(keys: &[(&str, Points)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, points) in keys {
        body.push(points.block_type() + 1);
        body.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
        body.extend(key.as_bytes());
        body.extend(u32::try_from(points.times().len()).unwrap().to_be_bytes());
        for (index, time) in points.times().iter().enumerate() {
            body.extend(time.to_be_bytes());
            match points {
                Points::Float(list) => body.extend(list[index].1.to_be_bytes()),
                Points::Integer(list) => body.extend(list[index].1.to_be_bytes()),
                Points::Unsigned(list) => body.extend(list[index].1.to_be_bytes()),
                Points::Boolean(list) => body.push(list[index].1.into()),
                Points::String(list) => {
                    let text = &list[index].1;
                    body.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend(text.as_bytes());
                }
            }
        }
    }
    body
}

/// Encodes the body of a deletion of a range of times in the log.
pub(crate) fn log_delete_range(keys: &[&str], min: i64, max: i64) -> Vec<u8> {
    let mut body = [min.to_be_bytes(), max.to_be_bytes()].concat();
    for key in keys {
        body.extend(u32::try_from(key.len()).unwrap().to_be_bytes());
        body.extend(key.as_bytes());
    }
    body
}

/// Writes files into a folder.
pub(crate) fn write_files(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
