//! The exceptions of the module.

use pyo3::{PyErr, create_exception, exceptions::PyException};

create_exception!(
    neapdb,
    Error,
    PyException,
    "The reason why a connection, a statement or a write failed."
);
create_exception!(
    neapdb,
    Unavailable,
    Error,
    "A failure after which the same call may succeed later."
);

pub(crate) fn exception(error: &neapdb::Error) -> PyErr {
    if error.is_temporary() {
        Unavailable::new_err(error.to_string())
    } else {
        Error::new_err(error.to_string())
    }
}
