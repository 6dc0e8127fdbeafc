//! Fuzz tests: no request panics, and each item is either stored or refused.

use super::*;

fn check(bytes: &[u8]) {
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let converted = try_convert(signal, encoding, bytes, &MappingOptions::default());
            match converted {
                Ok(converted) => {
                    assert_eq!(converted.rejected > 0, converted.message.contains(" of "));
                }
                Err(message) => assert!(!message.is_empty()),
            }
        }
    }
}

#[test]
fn any_bytes_are_stored_or_refused() {
    bolero::check!().with_iterations(5_000).for_each(check);
}

/// Messages in messages, whose lengths fit.
#[test]
fn any_messages_are_stored_or_refused() {
    bolero::check!().with_iterations(5_000).for_each(|choices: &[u8]| {
        let mut message = Vec::new();
        for choice in choices {
            let tag = *choice & 0x7f;
            let mut outer = vec![tag];
            match tag & 7 {
                2 => prost::encoding::encode_varint(message.len() as u64, &mut outer),
                0 => outer.push(choice >> 7),
                1 => outer.extend_from_slice(&[1; 8]),
                5 => outer.extend_from_slice(&[1; 4]),
                _ => continue,
            }
            match tag & 7 {
                2 => outer.append(&mut message),
                _ => outer.splice(0..0, std::mem::take(&mut message)).for_each(drop),
            }
            message = outer;
        }
        check(&message);
    });
}
