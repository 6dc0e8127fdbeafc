//! Connections: statements and writes.

use std::{ffi::CString, path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{
    RecordBatch, RecordBatchIterator, RecordBatchReader, ffi_stream::ArrowArrayStreamReader,
};
use arrow_pyarrow::FromPyArrow;
use arrow_schema::ArrowError;
use neapdb::{ConnectOptions, Parameters, TableWrite};
use pyo3::{
    exceptions::{PyRuntimeWarning, PyTypeError, PyValueError},
    prelude::*,
    types::PyBytes,
};

use crate::{errors::exception, process_runtime::ProcessRuntime, rows::Rows};

/// The start of the name of a column that pandas makes of an index without a name.
const INDEX_PREFIX: &str = "__index_level_";

/// Opens the database `database` in the store at `location`: a directory, or `s3://`, `gs://` or `az://` with a bucket and
/// an optional prefix. Credentials and other settings of the store are the environment variables of `neap serve`, such as
/// `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT`.
///
/// `query_memory_bytes` is the memory of all running queries together; sorts and aggregations that need more spill to disk.
/// `query_timeout` is in seconds, from the start of a query to the end of its rows.
#[pyfunction]
#[pyo3(signature = (location, database=None, *, query_memory_bytes=None, query_timeout=None))]
pub(crate) fn connect(
    py: Python<'_>,
    location: PathBuf,
    database: Option<String>,
    query_memory_bytes: Option<usize>,
    query_timeout: Option<f64>,
) -> PyResult<Connection> {
    let location = location
        .to_str()
        .ok_or_else(|| PyValueError::new_err("the location is not valid Unicode"))?;
    let defaults = ConnectOptions::from_environment().map_err(|error| exception(&error))?;
    let query_timeout = query_timeout
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|error| PyValueError::new_err(format!("query_timeout: {error}")))?;
    let options = ConnectOptions {
        database: database.unwrap_or(defaults.database),
        query_memory_bytes: query_memory_bytes.unwrap_or(defaults.query_memory_bytes),
        query_timeout: query_timeout.unwrap_or(defaults.query_timeout),
        store: defaults.store,
    };
    let runtime = ProcessRuntime::start()?;
    let inner = runtime
        .wait(py, options.connect(location))?
        .map_err(|error| exception(&error))?;
    Ok(Connection { inner, runtime: Arc::new(runtime) })
}

/// A database in a store. Any number of processes may use the store at once.
#[pyclass(frozen, module = "neapdb")]
pub(crate) struct Connection {
    inner: neapdb::Connection,
    runtime: Arc<ProcessRuntime>,
}

#[pymethods]
impl Connection {
    /// Answers one SQL statement. `params` are the values of placeholders such as `$bed`: None, booleans, numbers and
    /// strings by name.
    #[pyo3(signature = (statement, params=None))]
    fn sql(
        &self,
        py: Python<'_>,
        statement: String,
        params: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Rows> {
        let parameters = params.as_ref().map(parameters).transpose()?.unwrap_or_default();
        let rows = self
            .runtime
            .wait(py, self.inner.sql_with(&statement, parameters))?
            .map_err(|error| exception(&error))?;
        Ok(Rows::new(rows, Arc::clone(&self.runtime)))
    }

    /// Stores rows, and returns their number when they are in the store.
    ///
    /// `data` is line protocol, as text, bytes or a list of lines; or rows for `table`, as an object with Arrow's PyCapsule
    /// interface, such as a DataFrame of pandas or polars, or a table of pyarrow. `tags` are the columns that identify a
    /// series; without them, dictionaries (categories) of texts are tags. `time` is the column with the time.
    ///
    /// Lines are stored all or none. Other rows are stored in parts of some MiB; an error says how many are stored.
    #[pyo3(signature = (data, table=None, *, tags=None, time=None, allow_duplicates=false))]
    fn write(
        &self,
        data: &Bound<'_, PyAny>,
        table: Option<String>,
        tags: Option<Vec<String>>,
        time: Option<String>,
        allow_duplicates: bool,
    ) -> PyResult<usize> {
        if let Some(lines) = lines(data)? {
            if table.is_some() || tags.is_some() || time.is_some() {
                let text = "lines name their tables and tags: only rows of Arrow have arguments";
                return Err(PyValueError::new_err(text));
            }
            let written = self.runtime.wait(data.py(), self.inner.write_lines(lines))?;
            return Ok(written.map_err(|error| exception(&error))?.rows);
        }
        let table = table.ok_or_else(|| PyValueError::new_err("rows need the name of a table"))?;
        let mut write = TableWrite::new(&table);
        if let Some(tags) = &tags {
            write = write.with_tags(tags.iter().map(String::as_str));
        }
        if let Some(time) = &time {
            write = write.with_time_column(time);
        }
        write.allow_duplicates = allow_duplicates;
        self.write_rows(data, &write)
    }

    /// Returns another database of the same store.
    fn database(&self, name: String) -> Self {
        Self {
            inner: self.inner.with_database(&name),
            runtime: Arc::clone(&self.runtime),
        }
    }
}

impl Connection {
    fn write_rows(&self, data: &Bound<'_, PyAny>, write: &TableWrite) -> PyResult<usize> {
        let py = data.py();
        let batches = batches(data)?;
        let written = self
            .runtime
            .wait(py, self.inner.write(write, batches))?
            .map_err(|error| exception(&error))?;
        if let Some(duplicates) = written.duplicates {
            let text = CString::new(duplicates.to_string())?;
            PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1)?;
        }
        Ok(written.rows)
    }
}

/// Returns line protocol, if the data are lines.
fn lines(data: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Some(bytes.as_bytes().to_vec()));
    }
    if let Ok(text) = data.extract::<String>() {
        return Ok(Some(text.into_bytes()));
    }
    if data.hasattr("__arrow_c_stream__")? || data.hasattr("__arrow_c_array__")? {
        return Ok(None);
    }
    let lines = data.extract::<Vec<String>>().map_err(|_| {
        PyTypeError::new_err(
            "data is neither line protocol nor an object with Arrow's PyCapsule interface \
             (pandas has it since 2.2, with pyarrow)",
        )
    })?;
    Ok(Some(lines.join("\n").into_bytes()))
}

/// Returns the rows of an object with Arrow's PyCapsule interface, without the index of a DataFrame.
fn batches(
    data: &Bound<'_, PyAny>,
) -> PyResult<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + use<>> {
    let mut reader = reader(data)?;
    let schema = reader.schema();
    let fields = schema.fields().iter().enumerate();
    let columns: Vec<usize> = fields
        .filter(|(_, field)| !field.name().starts_with(INDEX_PREFIX))
        .map(|(index, _)| index)
        .collect();
    // The rows of a statement wait for a runtime themselves, which a thread that waits for a write must not do.
    let next = move || tokio::task::block_in_place(|| reader.next());
    Ok(std::iter::from_fn(next).map(move |batch| batch?.project(&columns)))
}

/// Returns a reader of all columns of such an object.
fn reader(data: &Bound<'_, PyAny>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    if data.hasattr("__arrow_c_stream__")? {
        return Ok(Box::new(ArrowArrayStreamReader::from_pyarrow_bound(data)?));
    }
    let batch = RecordBatch::from_pyarrow_bound(data)?;
    let schema = batch.schema();
    Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)))
}

/// Converts values of placeholders by way of JSON, as those of other clients.
fn parameters(values: &Bound<'_, PyAny>) -> PyResult<Parameters> {
    let json = values.py().import("json")?.call_method1("dumps", (values,))?;
    serde_json::from_str(&json.extract::<String>()?)
        .map_err(|error| PyValueError::new_err(format!("params: {error}")))
}
