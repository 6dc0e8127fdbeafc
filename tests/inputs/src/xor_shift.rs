//! Random numbers that are the same in each run.

/// Marsaglia's generator of 64 bits (xorshift): cheap, and without the quality that cryptography or statistics need.
///
/// ```
/// use neap_test_inputs::XorShift;
///
/// let mut random = XorShift::new(1);
/// assert_eq!(random.draw(), 1_082_269_761);
/// assert!(random.below(6) < 6);
/// ```
#[derive(Clone, Debug)]
pub struct XorShift(u64);

impl XorShift {
    /// Starts with a state other than 0, of which all numbers would be 0.
    pub const fn new(state: u64) -> Self {
        Self(state)
    }

    /// Returns the next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns the next number modulo `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }
}
