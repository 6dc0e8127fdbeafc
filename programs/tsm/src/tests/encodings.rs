//! Decoders return what encoders wrote.

use proptest::{collection::vec, prelude::*};

use super::encoder::{self, Points};
use crate::{
    BlockDecoder, DecodeError, Strings, ValueType, Values,
    encoding::{booleans, floats, integers, simple8b, text::TextDecoder, timestamps},
};

const LIMIT: usize = 2_000;

/// Integers of all magnitudes, and runs of them.
fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -3..3i64,
        (0..62u32).prop_map(|bits| 1i64 << bits),
        Just(i64::MIN),
        Just(i64::MAX),
    ]
}

fn times() -> impl Strategy<Value = Vec<i64>> {
    let steps = prop_oneof![
        vec(0..4u64, 0..600),
        vec(Just(10_000_000_000), 0..600),
        vec((0..5u64).prop_map(|seconds| seconds * 1_000_000_000), 0..600),
        vec(any::<u64>(), 0..10),
    ];
    (any::<i64>(), steps).prop_map(|(first, steps)| {
        let mut time = first;
        let mut times = vec![time];
        for step in steps {
            time = time.wrapping_add_unsigned(step);
            times.push(time);
        }
        times
    })
}

/// Floats that InfluxDB can store, with repeated and similar values.
fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("no NaN", |value| !value.is_nan()),
        (-10..10i8).prop_map(f64::from),
        (0..1000u16).prop_map(|value| f64::from(value) / 10.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn timestamps_are_decoded(times in times()) {
        let mut out = Vec::new();
        timestamps::decode(&encoder::timestamps(&times), LIMIT, &mut out, &mut Vec::new())?;
        prop_assert_eq!(out, times);
    }

    #[test]
    fn integers_are_decoded(values in vec(integer(), 1..600)) {
        let mut out = Vec::new();
        integers::decode(&encoder::integers(&values), LIMIT, &mut out, &mut Vec::new())?;
        prop_assert_eq!(out, values);
    }

    #[test]
    fn integers_at_equal_distances_are_decoded(first: i64, step: i64, count in 1..600i64) {
        let values: Vec<i64> = (0..count)
            .map(|index| first.wrapping_add(step.wrapping_mul(index)))
            .collect();
        let mut out = Vec::new();
        integers::decode(&encoder::integers(&values), LIMIT, &mut out, &mut Vec::new())?;
        prop_assert_eq!(out, values);
    }

    #[test]
    fn packed_integers_are_decoded(values in vec(prop_oneof![Just(1), 0..1u64 << 60, 0..300u64], 0..900)) {
        let mut packed = Vec::new();
        encoder::simple8b(&values, &mut packed);
        let mut out = Vec::new();
        simple8b::decode(&packed, LIMIT, &mut out)?;
        prop_assert_eq!(out, values);
    }

    #[test]
    fn floats_are_decoded(values in vec(float(), 1..600)) {
        let mut out = Vec::new();
        floats::decode(&encoder::floats(&values), LIMIT, &mut out)?;
        let bits = |list: &[f64]| list.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&out), bits(&values));
    }

    #[test]
    fn booleans_are_decoded(values: Vec<bool>) {
        let mut out = Vec::new();
        booleans::decode(&encoder::booleans(&values), LIMIT, &mut out)?;
        prop_assert_eq!(out, values);
    }

    #[test]
    fn strings_are_decoded(values: Vec<String>) {
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let mut out = Strings::default();
        TextDecoder::default().decode(&encoder::strings(&texts), LIMIT, &mut out)?;
        prop_assert_eq!(out.iter().collect::<Vec<_>>(), texts);
    }
}

#[test]
fn runs_of_ones_are_decoded() {
    for count in [119, 120, 121, 239, 240, 241, 360, 601] {
        let values = vec![1; count];
        let mut packed = Vec::new();
        encoder::simple8b(&values, &mut packed);
        let mut out = Vec::new();
        simple8b::decode(&packed, LIMIT, &mut out).unwrap();
        assert_eq!(out, values);
    }
}

#[test]
fn more_values_than_the_limit_are_an_error() {
    let error = Err(DecodeError::TooManyValues(10));
    let mut scratch = Vec::new();
    let mut run = vec![0x20];
    run.extend([0; 8]);
    run.push(1);
    encoder::varint(u64::MAX, &mut run);
    let times = timestamps::decode(&run, 10, &mut Vec::new(), &mut scratch);
    assert_eq!(times, error);
    let values = integers::decode(&run, 10, &mut Vec::<i64>::new(), &mut scratch);
    assert_eq!(values, error);
    let zeros = encoder::floats(&[0.0; 11]);
    assert_eq!(floats::decode(&zeros, 10, &mut Vec::new()), error);
    assert_eq!(floats::decode(&zeros, 11, &mut Vec::new()), Ok(()));
    let texts = encoder::strings(&[""; 11]);
    let strings = TextDecoder::default().decode(&texts, 10, &mut Strings::default());
    assert_eq!(strings, error);
}

#[test]
fn a_size_that_snappy_cannot_reach_is_an_error() {
    let mut bytes = vec![0x10];
    encoder::varint(200 << 20, &mut bytes);
    bytes.push(0);
    let decoded = TextDecoder::default().decode(&bytes, 10, &mut Strings::default());
    assert_eq!(decoded, Err(DecodeError::Invalid("size of compressed bytes")));
}

#[test]
fn a_block_with_a_wrong_checksum_type_or_count_is_an_error_and_adds_nothing() {
    let block = encoder::block(&Points::Integer(vec![(1, 10), (2, 20)]));
    let decode = |block: &[u8], value_type| {
        let (mut times, mut values) = (vec![7], Values::new(value_type));
        let decoded = BlockDecoder::default().decode(block, &mut times, &mut values);
        assert_eq!(times.len() - 1, values.len());
        assert!(decoded.is_ok() || times == [7]);
        decoded
    };
    assert_eq!(decode(&block, ValueType::Integer), Ok(()));
    assert_eq!(
        decode(&block, ValueType::Float),
        Err(DecodeError::OtherType { found: 1, expected: 0 })
    );
    let mut damaged = block.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        decode(&damaged, ValueType::Integer),
        Err(DecodeError::Checksum { .. })
    ));
    let mut body = vec![1];
    let times = encoder::timestamps(&[1, 2, 3]);
    encoder::varint(times.len() as u64, &mut body);
    body.extend(times);
    body.extend(encoder::integers(&[1, 2]));
    let mut short = crc32fast::hash(&body).to_be_bytes().to_vec();
    short.extend(body);
    assert_eq!(
        decode(&short, ValueType::Integer),
        Err(DecodeError::CountMismatch { times: 3, values: 2 })
    );
}
