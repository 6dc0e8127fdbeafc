use arrow_array::{Float64Array, Int64Array, StringArray, UInt64Array};
use proptest::prelude::*;

use super::*;

/// Narrows a column, checks that the wide one is as before, and returns the narrow one.
fn narrow(column: ArrayRef) -> ArrayRef {
    let Some(narrow) = narrowed(&column) else {
        return column;
    };
    assert_eq!(wide_type(narrow.data_type()), column.data_type());
    assert_eq!(wide_type(narrowest_type(column.data_type())), column.data_type());
    assert_eq!(&widened(&narrow).unwrap(), &column);
    narrow
}

fn signed_type(values: &[i64]) -> DataType {
    let column = narrow(Arc::new(Int64Array::from(values.to_vec())));
    column.data_type().clone()
}

fn unsigned_type(values: &[u64]) -> DataType {
    let column = narrow(Arc::new(UInt64Array::from(values.to_vec())));
    column.data_type().clone()
}

#[test]
fn integers_get_the_narrowest_type_that_has_all_of_them() {
    let types = [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
    for (bits, at) in [(7, 0), (8, 1), (15, 1), (16, 2), (31, 2), (32, 3), (63, 3)] {
        let below = (1_u64 << bits).cast_signed().wrapping_sub(1);
        for values in [[below, 0], [-1 - below, 1], [below, -1 - below]] {
            assert_eq!(signed_type(&values), types[at], "{values:?}");
        }
    }
    assert_eq!(signed_type(&[]), DataType::Int8);
    assert_eq!(unsigned_type(&[0, 255]), DataType::UInt8);
    assert_eq!(unsigned_type(&[256, 0]), DataType::UInt16);
    assert_eq!(unsigned_type(&[0xffff, 1]), DataType::UInt16);
    assert_eq!(unsigned_type(&[0x1_0000]), DataType::UInt32);
    assert_eq!(unsigned_type(&[u64::from(u32::MAX)]), DataType::UInt32);
    assert_eq!(unsigned_type(&[1 << 32]), DataType::UInt64);
    assert_eq!(unsigned_type(&[u64::MAX]), DataType::UInt64);
}

#[test]
fn other_columns_have_no_narrow_type() {
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert!(narrowed(&floats).is_none());
    assert!(widened(&floats).is_none());
    assert_eq!(wide_type(floats.data_type()), floats.data_type());
    let joined = concat_parts(&[&floats, &floats]).unwrap();
    let both = interleave_parts(&[&floats, &floats], &[(1, 0), (0, 0)]).unwrap();
    assert_eq!(&joined, &both);
}

#[test]
fn parts_of_different_types_and_places_outside_of_them_are_errors() {
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let narrow = narrowed(&signed).unwrap();
    for other in [&unsigned, &texts] {
        for one in [&signed, &narrow] {
            assert!(concat_parts(&[one, other]).is_err());
            assert!(interleave_parts(&[one, other], &[(0, 0), (1, 0)]).is_err());
        }
    }
    assert!(concat_parts(&[]).is_err());
    assert!(interleave_parts(&[], &[]).is_err());
    for outside in [(0, 1), (2, 0)] {
        assert!(interleave_parts(&[&signed, &narrow], &[outside]).is_err());
    }
}

/// Parts of a column: values with as many bits, and nulls.
fn parts() -> impl Strategy<Value = Vec<Vec<Option<i64>>>> {
    let part = (0_u32..64).prop_flat_map(|shift| {
        let value = proptest::option::of(any::<i64>().prop_map(move |value| value >> shift));
        proptest::collection::vec(value, 1..20)
    });
    proptest::collection::vec(part, 1..6)
}

/// Checks that narrow parts of a column give the same columns as wide ones.
fn check(wide: &[ArrayRef], start: usize, places: &[(prop::sample::Index, prop::sample::Index)]) {
    let slices: Vec<ArrayRef> = wide
        .iter()
        .map(|part| {
            let start = start.min(part.len() - 1);
            part.slice(start, part.len() - start)
        })
        .collect();
    let narrow: Vec<ArrayRef> = slices.iter().map(|part| narrow(Arc::clone(part))).collect();
    let places: Vec<(usize, usize)> = places
        .iter()
        .map(|(part, row)| {
            let part = part.index(slices.len());
            (part, row.index(slices[part].len()))
        })
        .collect();
    let [of_wide, of_narrow] = [&slices, &narrow].map(|parts| {
        let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let joined = concat_parts(&arrays).unwrap();
        [interleave_parts(&arrays, &places).unwrap(), widened(&joined).unwrap_or(joined)]
    });
    assert_eq!(of_narrow, of_wide);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn narrow_parts_have_the_values_and_nulls_of_wide_ones(
        parts in parts(),
        start in 0_usize..5,
        places in proptest::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..30),
    ) {
        let signed = parts.iter().map(|part| -> ArrayRef { Arc::new(Int64Array::from(part.clone())) });
        check(&signed.collect::<Vec<_>>(), start, &places);
        let unsigned = parts.iter().map(|part| -> ArrayRef {
            let values = part.iter().map(|value| value.map(i64::cast_unsigned));
            Arc::new(values.collect::<UInt64Array>())
        });
        check(&unsigned.collect::<Vec<_>>(), start, &places);
    }
}
