//! The tar format, as far as archives of small files with ASCII names need it (POSIX ustar).

/// The size of a header, and the unit of file sizes in an archive, in bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// The end of an archive: two blocks of zeros.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Returns the header of a file. A name above 100 bytes is cut, and so is a size above 8 GiB.
pub(super) fn header(name: &str, size_bytes: usize) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |start: usize, value: &[u8]| {
        let field = header.iter_mut().skip(start);
        field.zip(value).for_each(|(byte, value)| *byte = *value);
    };
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size_bytes:011o}").as_bytes());
    put(136, b"00000000000\0");
    // The checksum is computed with blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let field = header.iter_mut().skip(148);
    let digits = format!("{sum:06o}\0 ");
    field
        .zip(digits.as_bytes())
        .for_each(|(byte, value)| *byte = *value);
    header
}

/// The number of zeros after a file of this size.
pub(super) fn padding(size_bytes: usize) -> usize {
    size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_name_the_size_and_a_checksum() {
        let header = header("2026-01-15/0001.parquet", 1_000);
        assert_eq!(&header[..24], b"2026-01-15/0001.parquet\0");
        assert_eq!(&header[124..136], b"00000001750\0");
        assert_eq!(&header[257..265], b"ustar\x0000");
        let stored = std::str::from_utf8(&header[148..154]).unwrap();
        let stored = u32::from_str_radix(stored, 8).unwrap();
        let mut blank = header;
        blank[148..156].fill(b' ');
        let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(stored, sum);
    }

    #[test]
    fn files_end_at_a_block() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
