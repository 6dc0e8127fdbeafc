//! A listener with the functions behind it, and clients of `tokio-postgres`.

mod access;
mod limits;
mod malformed;
mod queries;
mod test_bed;
mod tools;
mod transactions;
mod writes;
