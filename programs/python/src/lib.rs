//! The module `neapdb` of Python: the crate of the same name, with rows that pass by the Arrow PyCapsule interface.
//!
//! ```text
//!   thread of Python ── lock released ── block_on ──► runtime of the connection ──► store
//!        ▲                    │                       query threads
//!        └── signals, each ───┘
//!            100 ms
//! ```
//!
//! No call holds the interpreter's lock while it waits.

mod connection;
mod errors;
mod process_runtime;
mod rows;

use pyo3::prelude::*;

use crate::{
    connection::{Connection, connect},
    errors::{Error, Unavailable},
    rows::Rows,
};

/// Queries and writes of a Neap database without a server.
#[pymodule]
#[pyo3(name = "neapdb")]
fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_function(wrap_pyfunction!(connect, module)?)?;
    module.add_class::<Connection>()?;
    module.add_class::<Rows>()?;
    module.add("Error", py.get_type::<Error>())?;
    module.add("Unavailable", py.get_type::<Unavailable>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
