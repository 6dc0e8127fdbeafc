//! Tests with instances of the write function over one in-memory store, on a clock that advances only when told to.

mod auto_create;
mod caches;
mod cold_storage;
mod columns;
mod configure;
mod delete;
mod delete_refused;
mod file_index;
mod legacy_writes;
mod lost_registers;
mod malformed;
mod new_tables;
mod pressure;
mod questdb;
mod races;
mod renames;
mod request_costs;
mod row_delete_requests;
mod test_bed;
mod tokens;
mod writes;
