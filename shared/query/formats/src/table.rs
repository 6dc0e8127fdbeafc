//! The format `pretty`: a text table whose columns are as wide as their widest cell.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use unicode_width::UnicodeWidthStr;

use super::column::{ColumnState, ColumnWriter};
use super::error::FormatError;
use super::text::Dialect;

/// The number of lines drawn above and below the header and below the rows.
const BORDERS: usize = 3;

/// The table of a result without rows.
const NO_ROWS: &[u8] = b"++\n++";

/// Returns the table of a result without rows with its columns; `None` if `table` has rows, or if there are no columns.
///
/// InfluxDB 3 leaves the columns out, so [`crate::Format::Pretty`] does, too.
pub fn empty_table_with_columns(table: &[u8], schema: &Schema) -> Option<Vec<u8>> {
    if table != NO_ROWS || schema.fields().is_empty() {
        return None;
    }
    let mut out = Vec::new();
    TableWriter::new(schema, usize::MAX).cells.lay_out(&mut out);
    Some(out)
}

/// Collects the texts of all cells and lays them out at the end.
///
/// The layout is that of arrow's `pretty_format_batches`: lines of a cell below each other, columns aligned left by
/// display width, no line end after the last border.
#[derive(Debug)]
pub(crate) struct TableWriter {
    columns: Vec<ColumnState>,
    cells: TableCells,
    rows: usize,
    /// Number of rows that are left out, because the table has reached its limit.
    omitted: usize,
    limit: usize,
}

impl TableWriter {
    /// Creates a table with the columns of `schema` that takes at most `limit` bytes.
    pub(crate) fn new(schema: &Schema, limit: usize) -> Self {
        let mut cells = TableCells::new(schema.fields().len());
        let lines = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(i, field)| cells.push(i, field.name()))
            .max()
            .unwrap_or(1);
        cells.lines += lines;
        let columns = schema.fields().iter().map(|_| ColumnState::new(Vec::new())).collect();
        Self { columns, cells, rows: 0, omitted: 0, limit }
    }

    /// Adds the rows of `batch` up to the limit.
    ///
    /// # Errors
    ///
    /// The type of a column has no text form.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), FormatError> {
        self.rows += batch.num_rows();
        if self.omitted > 0 {
            self.omitted += batch.num_rows();
            return Ok(());
        }
        let schema = batch.schema_ref();
        let mut columns = self
            .columns
            .iter_mut()
            .zip(schema.fields())
            .zip(batch.columns())
            .map(|((state, field), array)| ColumnWriter::new(state, field, array, Dialect::Plain))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let mut cell = Vec::new();
        for row in 0..batch.num_rows() {
            self.cells.begin_row();
            let mut lines = 1;
            for (index, column) in columns.iter_mut().enumerate() {
                cell.clear();
                if !column.is_null(row) {
                    column.write(row, &mut cell);
                }
                lines = lines.max(self.cells.push(index, &String::from_utf8_lossy(&cell)));
            }
            self.cells.lines += lines;
            if self.cells.bytes().max(self.cells.layout_bytes()) > self.limit {
                self.cells.discard_row(lines);
                self.omitted = batch.num_rows() - row;
                break;
            }
        }
        Ok(())
    }

    /// Appends the table, and the number of rows that it lacks.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.rows == 0 {
            out.extend_from_slice(NO_ROWS);
            return;
        }
        self.cells.lay_out(out);
        if self.omitted > 0 {
            let noun = if self.omitted == 1 { "row" } else { "rows" };
            let text = format!(
                "\n… {} more {noun}, use --format csv (format=csv over HTTP)",
                self.omitted
            );
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The cells of a table, row by row, starting with the header.
#[derive(Debug)]
struct TableCells {
    /// The concatenated texts.
    text: String,
    /// The end of each cell in `text`.
    ends: Vec<usize>,
    /// Display width of the widest line of each column.
    widths: Vec<usize>,
    /// The number of lines of all rows.
    lines: usize,
    /// The length of `text` and of `ends` before the last row.
    row_start: (usize, usize),
    /// The columns that the last row has made wider, with their widths before.
    widened: Vec<(usize, usize)>,
}

impl TableCells {
    fn new(columns: usize) -> Self {
        Self {
            text: String::new(),
            ends: Vec::new(),
            widths: vec![0; columns],
            lines: 0,
            row_start: (0, 0),
            widened: Vec::new(),
        }
    }

    /// Begins a row, which [`discard_row`](Self::discard_row) can remove.
    fn begin_row(&mut self) {
        self.row_start = (self.text.len(), self.ends.len());
        self.widened.clear();
    }

    /// Removes the last row, which has this number of lines.
    fn discard_row(&mut self, lines: usize) {
        let (text, ends) = self.row_start;
        self.text.truncate(text);
        self.ends.truncate(ends);
        self.lines -= lines;
        for (column, width) in self.widened.drain(..).rev() {
            if let Some(widest) = self.widths.get_mut(column) {
                *widest = width;
            }
        }
    }

    /// Adds the cell of `column` and returns its number of lines.
    fn push(&mut self, column: usize, cell: &str) -> usize {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
        let printable = cell.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let (width, lines) = if printable {
            (cell.len(), 1)
        } else {
            (cell.split('\n').map(str::width).max().unwrap_or(0), cell.split('\n').count())
        };
        if let Some(widest) = self.widths.get_mut(column)
            && width > *widest
        {
            self.widened.push((column, *widest));
            *widest = width;
        }
        lines
    }

    /// The memory of the cells, in bytes.
    fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }

    /// The maximum size of the layout, in bytes.
    fn layout_bytes(&self) -> usize {
        let line: usize = self.widths.iter().map(|width| width + 3).sum::<usize>() + 2;
        (self.lines + BORDERS).saturating_mul(line).saturating_add(self.text.len())
    }

    /// Appends the table with its borders.
    fn lay_out(&self, out: &mut Vec<u8>) {
        out.reserve(self.layout_bytes());
        self.push_border(out);
        let mut start = 0;
        let mut lines = Vec::with_capacity(self.widths.len());
        for (row, ends) in self.ends.chunks_exact(self.widths.len().max(1)).enumerate() {
            lines.clear();
            for &end in ends {
                lines.push(self.text.get(start..end).unwrap_or_default().split('\n').peekable());
                start = end;
            }
            while lines.iter_mut().any(|cell| cell.peek().is_some()) {
                self.push_line(lines.iter_mut().map(|cell| cell.next().unwrap_or_default()), out);
            }
            if row == 0 {
                self.push_border(out);
            }
        }
        self.push_border(out);
        out.pop();
    }

    fn push_border(&self, out: &mut Vec<u8>) {
        for &width in &self.widths {
            out.push(b'+');
            out.resize(out.len() + width + 2, b'-');
        }
        out.extend_from_slice(b"+\n");
    }

    fn push_line<'a>(&self, texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        for (text, &width) in texts.zip(&self.widths) {
            out.extend_from_slice(b"| ");
            out.extend_from_slice(text.as_bytes());
            out.resize(out.len() + width.saturating_sub(text.width()) + 1, b' ');
        }
        out.extend_from_slice(b"|\n");
    }
}
