//! Instances of the write function over one store in memory, on a clock that stands still until it is moved.

mod budget;
mod caches;
mod configure;
mod delete;
mod delete_refused;
mod file_index;
mod malformed;
mod pressure;
mod questdb;
mod races;
mod stage;
mod storing;
mod tokens;
