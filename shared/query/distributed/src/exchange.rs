//! Where stages exchange rows.

/// The places where stages may exchange rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Between any two workers, and with the coordinator.
    Workers,
    /// Each stage sends its rows to the coordinator. Operators above the first exchange run there.
    Coordinator,
}
