//! Plans InfluxQL statements over the tables of a database.
//!
//! `SELECT` becomes a DataFusion plan; `SHOW` becomes rows, read from the catalog and the tables. The crate depends
//! neither on requests nor on answer formats.

mod plan;
mod select;
mod show;
mod table_rows;

pub use plan::{InfluxqlPlan, plan_delete, plan_statement};
pub use select::{LiftedSelect, LiftedValue, compile_pattern, depends_on_now};
pub use show::batch_of;
pub use table_rows::ShowRows;
