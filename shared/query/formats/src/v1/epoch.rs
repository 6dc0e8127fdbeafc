//! Units of times in answers.

/// The unit of times in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The length in nanoseconds, greater than zero.
    nanos: i64,
}

impl Epoch {
    /// Nanoseconds.
    pub const NANOS: Self = Self { nanos: 1 };

    /// Returns the unit with this name in the parameter `epoch`. As in InfluxDB 1, any other name stands for nanoseconds.
    pub fn from_name(name: &str) -> Self {
        let nanos = match name {
            "u" | "µ" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return Self::NANOS,
        };
        Self { nanos }
    }

    /// Converts nanoseconds to this unit.
    pub fn count(self, nanos: i64) -> i64 {
        nanos / self.nanos
    }
}
