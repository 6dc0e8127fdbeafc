//! The test for values that serialization leaves out.

/// Returns whether a value is the default of its type, which a missing field has.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
