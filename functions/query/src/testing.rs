//! Assertions of the tests.

/// Asserts that a text contains another, and shows it otherwise.
macro_rules! assert_contains {
    ($text:expr, $part:expr $(,)?) => {
        assert!($text.contains($part), "{}", $text)
    };
}
