//! The number of distinct values, with a standard error of 1.6 %.
//!
//! The algorithm is HyperLogLog with 4,096 registers, and the estimator of Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (arXiv 1702.01284), which needs neither bias tables nor ranges.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{Result, internal_err};
use prost::Message;
use twox_hash::XxHash64;

use super::{Sketch, SketchKind};

/// The number of bits of a hash that choose a register.
const INDEX_BITS: u32 = 12;

const REGISTERS: usize = 1 << INDEX_BITS;

/// The highest rank: the number of other bits, and 1 if all of them are 0.
const MAX_RANK: u8 = 64 - 12 + 1;

/// The maximum number of registers above 0 that are stored with their indexes.
const MAX_SPARSE: usize = REGISTERS / 4;

/// The registers above 0: for each value of the first bits of a hash, the highest rank of the others, which is the number of
/// leading zeros and 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DistinctSketch {
    Sparse(BTreeMap<u16, u8>),
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for DistinctSketch {
    fn default() -> Self {
        Self::Sparse(BTreeMap::new())
    }
}

/// The form in which states are stored.
#[derive(Clone, PartialEq, Message)]
struct StoredRegisters {
    /// Up to [`MAX_SPARSE`] registers, strictly ascending: the index times 64, and the rank.
    #[prost(uint32, repeated, tag = "1")]
    sparse: Vec<u32>,
    /// All registers, if there are more.
    #[prost(bytes = "vec", tag = "2")]
    dense: Vec<u8>,
}

impl DistinctSketch {
    /// Adds a value by the bytes that identify it.
    fn add_bytes(&mut self, bytes: &[u8]) {
        let hash = XxHash64::oneshot(0, bytes);
        #[allow(clippy::cast_possible_truncation, reason = "12 bits remain")]
        let index = (hash >> (64 - INDEX_BITS)) as u16;
        // The bit below the others ends a row of zeros.
        let others = (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1));
        #[allow(clippy::cast_possible_truncation, reason = "at most 53")]
        self.raise(index, others.leading_zeros() as u8 + 1);
    }

    /// Raises a register to a rank.
    fn raise(&mut self, index: u16, rank: u8) {
        match self {
            Self::Sparse(registers) => {
                let register = registers.entry(index).or_default();
                *register = rank.max(*register);
                if registers.len() > MAX_SPARSE {
                    self.make_dense();
                }
            }
            Self::Dense(registers) => {
                if let Some(register) = registers.get_mut(usize::from(index)) {
                    *register = rank.max(*register);
                }
            }
        }
    }

    fn make_dense(&mut self) {
        if let Self::Sparse(sparse) = self {
            let sparse = std::mem::take(sparse);
            *self = Self::Dense(Box::new([0; REGISTERS]));
            for (index, rank) in sparse {
                self.raise(index, rank);
            }
        }
    }

    fn add_numbers<T: ArrowPrimitiveType>(
        &mut self,
        values: &ArrayRef,
        bytes: impl Fn(T::Native) -> [u8; 8],
    ) {
        if let Some(numbers) = values.as_primitive_opt::<T>() {
            for number in numbers.iter().flatten() {
                self.add_bytes(&bytes(number));
            }
        }
    }

    /// Estimates the number of distinct values.
    pub(super) fn estimate(&self) -> u64 {
        let mut registers_of = [0_u32; MAX_RANK as usize + 1];
        let mut count = |rank: u8, number: u32| {
            if let Some(registers) = registers_of.get_mut(usize::from(rank)) {
                *registers += number;
            }
        };
        match self {
            Self::Sparse(registers) => {
                registers.values().for_each(|rank| count(*rank, 1));
                let raised = u32::try_from(registers.len()).unwrap_or(u32::MAX);
                count(0, (1 << INDEX_BITS) - raised);
            }
            Self::Dense(registers) => registers.iter().for_each(|rank| count(*rank, 1)),
        }
        let all = f64::from(1_u32 << INDEX_BITS);
        let [zeros, middle @ .., highest] = registers_of;
        let mut sum = all * tau(1.0 - f64::from(highest) / all);
        for registers in middle.iter().rev() {
            sum = 0.5 * (sum + f64::from(*registers));
        }
        sum += all * sigma(f64::from(zeros) / all);
        let estimate = all * all / (2.0 * std::f64::consts::LN_2 * sum);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate is not negative, and the cast saturates"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }
}

/// The function σ of the estimator: the share of the registers that are 0.
fn sigma(mut share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, share);
    loop {
        share *= share;
        let before = sum;
        sum += share * factor;
        factor += factor;
        if sum <= before {
            return sum;
        }
    }
}

/// The function τ of the estimator: the share of the registers that are below the highest rank.
fn tau(mut share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - share);
    loop {
        share = share.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - share).powi(2) * factor;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// Returns the bytes that identify a float: zeros are equal, whatever their sign.
fn float_bytes(number: f64) -> [u8; 8] {
    if number == 0.0 {
        [0; 8]
    } else {
        number.to_le_bytes()
    }
}

impl Sketch for DistinctSketch {
    const KIND: SketchKind = SketchKind::Distinct;

    fn value_type(data_type: &DataType) -> Option<DataType> {
        match data_type {
            DataType::Dictionary(_, values) => Self::value_type(values),
            DataType::Null => Some(DataType::Int64),
            DataType::Boolean | DataType::UInt64 => Some(data_type.clone()),
            DataType::Timestamp(..) => Some(DataType::Int64),
            text if text.is_string() => Some(DataType::Utf8),
            integer if integer.is_integer() => Some(DataType::Int64),
            float if float.is_floating() => Some(DataType::Float64),
            _ => None,
        }
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        match values.data_type() {
            DataType::Int64 => self.add_numbers::<Int64Type>(values, i64::to_le_bytes),
            DataType::UInt64 => self.add_numbers::<UInt64Type>(values, u64::to_le_bytes),
            DataType::Float64 => self.add_numbers::<Float64Type>(values, float_bytes),
            DataType::Boolean => {
                let values = values.as_boolean().iter().flatten();
                values.for_each(|value| self.add_bytes(&[u8::from(value)]));
            }
            DataType::Utf8 => {
                let texts = values.as_string::<i32>().iter().flatten();
                texts.for_each(|text| self.add_bytes(text.as_bytes()));
            }
            other => return internal_err!("values of the type {other}"),
        }
        Ok(())
    }

    fn merge(&mut self, other: &Self) {
        match other {
            Self::Sparse(registers) => {
                for (index, rank) in registers {
                    self.raise(*index, *rank);
                }
            }
            Self::Dense(registers) => {
                self.make_dense();
                for (index, rank) in (0_u16..).zip(registers.iter()) {
                    self.raise(index, *rank);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Sparse(registers) if registers.is_empty())
    }

    fn encode(&self) -> Vec<u8> {
        let mut stored = StoredRegisters::default();
        match self {
            Self::Sparse(registers) => {
                let registers = registers.iter();
                let registers =
                    registers.map(|(index, rank)| u32::from(*index) << 6 | u32::from(*rank));
                stored.sparse = registers.collect();
            }
            Self::Dense(registers) => stored.dense = registers.to_vec(),
        }
        stored.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let stored = StoredRegisters::decode(bytes).ok()?;
        if !stored.dense.is_empty() {
            let registers: Box<[u8; REGISTERS]> =
                stored.dense.into_boxed_slice().try_into().ok()?;
            let is_valid = registers.iter().all(|rank| *rank <= MAX_RANK);
            return (is_valid && stored.sparse.is_empty()).then_some(Self::Dense(registers));
        }
        let mut sketch = Self::default();
        let is_ascending = stored.sparse.is_sorted_by(|one, two| one >> 6 < two >> 6);
        for register in stored.sparse {
            let index = u16::try_from(register >> 6).ok()?;
            let rank = u8::try_from(register & 63).ok()?;
            let is_valid = usize::from(index) < REGISTERS && (1..=MAX_RANK).contains(&rank);
            is_valid.then(|| sketch.raise(index, rank))?;
        }
        is_ascending.then_some(sketch)
    }

    fn allocated_bytes(&self) -> usize {
        match self {
            // A node of a B-tree is at least half full.
            Self::Sparse(registers) => registers.len() * 2 * size_of::<(u16, u8)>(),
            Self::Dense(_) => REGISTERS,
        }
    }
}
