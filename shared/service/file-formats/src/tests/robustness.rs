//! Files with any content are read or refused.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Generates texts from pieces that have a meaning in some format.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-c]{1,3}",
        "(\n|,|\"|\\||#|:|\\{|\\}|\\[|\\]| |1|-|\\.|true|null|é)",
        "(#datatype|#group|#default|#constant|#timezone|_field|_value|_measurement|_time)",
        "(tag|double|long|dateTime|measurement|string|ignored|field)",
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn any_text_is_read_or_refused(text in text(), is_csv in any::<bool>()) {
        let format = if is_csv { Format::Csv } else { Format::JsonLines };
        if let Ok(parts) = read_parts(text, options(format, "m", &["a"])) {
            for part in parts {
                // Columns without a name are left to the rows to refuse.
                neap_rows::columnar::ColumnarRows::from_parts(vec![part]).ok();
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), format in 0..4usize) {
        let format = [Format::Csv, Format::JsonLines, Format::Parquet, Format::Arrow][format];
        let options = ReadOptions { max_decoded_bytes: Some(1 << 20), ..options(format, "m", &[]) };
        read_parts(bytes, options).ok();
    }
}
