//! The rows of an answer, as an Arrow stream.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{
    RecordBatch, RecordBatchIterator, RecordBatchReader, ffi::FFI_ArrowSchema,
    ffi_stream::FFI_ArrowArrayStream,
};
use arrow_schema::{ArrowError, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use neapdb::BatchStream;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyCapsule};

use crate::{errors::exception, process_runtime::ProcessRuntime};

/// The rows of an answer. They are computed while they are read, and can be read once.
///
/// Everything that reads Arrow's PyCapsule interface reads them: `pyarrow.table(rows)`, `polars.DataFrame(rows)`.
#[pyclass(frozen, module = "neapdb")]
pub(crate) struct Rows {
    schema: SchemaRef,
    reader: Mutex<Option<RowReader>>,
}

impl Rows {
    pub(crate) fn new(rows: neapdb::Rows, runtime: Arc<ProcessRuntime>) -> Self {
        Self {
            schema: Arc::clone(&rows.schema),
            reader: Mutex::new(Some(RowReader {
                schema: rows.schema,
                batches: rows.batches,
                runtime,
            })),
        }
    }

    fn take_reader(&self) -> PyResult<RowReader> {
        let unread = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        unread.ok_or_else(|| PyValueError::new_err("the rows were read before"))
    }

    fn read_all(&self, py: Python<'_>) -> PyResult<ReadRows> {
        let RowReader { schema, batches, runtime } = self.take_reader()?;
        let read = runtime.wait(py, batches.try_collect::<Vec<_>>())?;
        let batches = read.map_err(|error| exception(&error.into()))?;
        Ok(ReadRows { schema, batches })
    }
}

#[pymethods]
impl Rows {
    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Returns the rows as a `pyarrow.Table`.
    fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pyarrow = py.import("pyarrow")?;
        pyarrow.call_method1("table", (self.read_all(py)?,))
    }

    /// Returns the rows as a `pandas.DataFrame`. Needs pyarrow.
    fn to_pandas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_arrow(py)?.call_method0("to_pandas")
    }

    /// Returns the rows as a `polars.DataFrame`.
    fn to_polars<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let polars = py.import("polars")?;
        polars.call_method1("DataFrame", (self.read_all(py)?,))
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref())
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The rows as they are: a producer need not convert them to the schema that a consumer would prefer.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        stream(py, self.take_reader()?)
    }
}

/// Rows in memory, for libraries that a method of [`Rows`] calls. They may release the interpreter's lock before they read a
/// stream, which the bindings do not see within a call of their own, so that waiting for rows there would end the process.
#[pyclass(frozen)]
struct ReadRows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[pymethods]
impl ReadRows {
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let batches = self.batches.clone().into_iter().map(Ok);
        stream(py, RecordBatchIterator::new(batches, Arc::clone(&self.schema)))
    }
}

fn stream<'py>(
    py: Python<'py>,
    reader: impl RecordBatchReader + Send + 'static,
) -> PyResult<Bound<'py, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(reader));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// Reads batches for a consumer of the stream, who may hold the interpreter's lock or not.
struct RowReader {
    schema: SchemaRef,
    batches: BatchStream,
    runtime: Arc<ProcessRuntime>,
}

impl Iterator for RowReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batches = &mut self.batches;
        let runtime = &self.runtime;
        let read = Python::try_attach(|py| runtime.wait(py, batches.next()));
        match read {
            Some(Ok(batch)) => batch.map(|batch| batch.map_err(|error| external(&error))),
            Some(Err(error)) => Some(Err(external(&error))),
            None => Some(Err(external(&"the interpreter ends"))),
        }
    }
}

impl RecordBatchReader for RowReader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

fn external(error: &dyn ToString) -> ArrowError {
    ArrowError::ExternalError(error.to_string().into())
}
