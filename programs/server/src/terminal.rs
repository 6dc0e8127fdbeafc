//! Escapes control characters in untrusted text, so that a row can't move the cursor, recolour, or retitle the
//! terminal.
//!
//! C0 characters except tab and line feed, DEL, and C1 characters are shown as `\x1b`. A C1 character is two bytes in
//! UTF-8, the first of them 0xC2, and may be split across two chunks.

use std::io::{self, Write};

/// First UTF-8 byte of C1 characters.
const C1_LEAD: u8 = 0xC2;

/// Escaping state for the control characters of one text, which arrives in chunks.
#[derive(Debug)]
pub struct ControlCharEscaper {
    /// Whether the output is a terminal. If not, the text is unchanged.
    is_terminal: bool,
    after_lead: bool,
}

impl ControlCharEscaper {
    /// Escapes texts for a terminal, or passes them on.
    pub fn new(is_terminal: bool) -> Self {
        Self { is_terminal, after_lead: false }
    }

    /// Returns a writer that escapes the next chunks and forwards them to `into`.
    pub fn over<'a, W: Write + ?Sized>(&'a mut self, into: &'a mut W) -> EscapedWriter<'a, W> {
        EscapedWriter { controls: self, into }
    }

    fn shown(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let after_lead = std::mem::replace(&mut self.after_lead, byte == C1_LEAD);
            let is_c1 = after_lead && matches!(byte, 0x80..=0x9f);
            if after_lead && !is_c1 {
                shown.push(C1_LEAD);
            }
            match byte {
                C1_LEAD => {}
                b'\t' | b'\n' => shown.push(byte),
                0..0x20 | 0x7f => write!(shown, "\\x{byte:02x}")?,
                _ if is_c1 => write!(shown, "\\x{byte:02x}")?,
                _ => shown.push(byte),
            }
        }
        Ok(shown)
    }
}

/// See [`ControlCharEscaper::over`].
#[derive(Debug)]
pub struct EscapedWriter<'a, W: ?Sized> {
    controls: &'a mut ControlCharEscaper,
    into: &'a mut W,
}

impl<W: Write + ?Sized> Write for EscapedWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.controls.is_terminal {
            return self.into.write(bytes);
        }
        let shown = self.controls.shown(bytes)?;
        self.into.write_all(&shown)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Escapes the control characters of a text.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' | '\n' => shown.push(character),
            _ if character.is_control() => {
                shown.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the written text when it arrives in chunks of `size` bytes.
    fn written(text: &str, is_terminal: bool, size: usize) -> String {
        let mut out = Vec::new();
        let mut controls = ControlCharEscaper::new(is_terminal);
        for piece in text.as_bytes().chunks(size) {
            let mut place = controls.over(&mut out);
            place.write_all(piece).unwrap();
            place.flush().unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_are_escaped_on_terminals() {
        let text = "é\u{c2}\u{80}a\t\u{1b}]0;x\u{7}\r\n\u{9b}31m\u{7f}Â\u{a0}";
        assert_eq!(
            written(text, true, 1),
            "é\u{c2}\\x80a\t\\x1b]0;x\\x07\\x0d\n\\x9b31m\\x7fÂ\u{a0}"
        );
        assert_eq!(written(text, false, 1), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn escaping_is_independent_of_chunk_sizes(text in "[a-é\u{7f}-\u{c3}\u{1b}\t\n]{0,40}", size in 1..5_usize) {
            let expected = shown(&text);
            prop_assert!(!expected.chars().any(|c| c.is_control() && c != '\t' && c != '\n'));
            prop_assert_eq!(written(&text, true, size), expected);
        }
    }
}
