//! A section with a header and without annotations.

use std::sync::Arc;

use arrow_array::{ArrayRef, NullArray, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart, TagColumns};

use super::{
    chunk::{Chunk, refuse},
    dialect::CsvDialect,
};
use crate::cells::{CellType, DecimalMark, TypeOrigin};

/// The columns of the section. Types that are not declared are inferred from the first rows with a value.
pub(super) struct PlainSection {
    names: Vec<String>,
    /// The type of each column, `None` until a row has a value, and where it is from.
    types: Vec<(Option<CellType>, TypeOrigin)>,
    decimal_mark: DecimalMark,
    mapping: ColumnMapping,
}

impl PlainSection {
    pub(super) fn new(header: &[&str], mapping: ColumnMapping, dialect: &CsvDialect) -> Self {
        let time = mapping.time.name.as_deref().unwrap_or("time");
        // Tags and times keep their text.
        let is_text = |name: &str| match &mapping.tags {
            TagColumns::Named(names) => name == time || names.iter().any(|tag| tag == name),
            TagColumns::ByType => name == time,
        };
        let type_of = |name: &&str| match dialect.declared_type(name) {
            Some(declared) => (Some(declared), TypeOrigin::Declared),
            None => (is_text(name).then_some(CellType::Text), TypeOrigin::Inferred),
        };
        Self {
            types: header.iter().map(type_of).collect(),
            names: header.iter().map(|name| (*name).to_owned()).collect(),
            decimal_mark: dialect.decimal_mark,
            mapping,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    pub(super) fn convert(&mut self, chunk: Chunk) -> Result<Vec<TablePart>, ArrowError> {
        let mut refused = chunk.refused;
        let mut fields = Vec::with_capacity(self.names.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.names.len());
        let columns = self.names.iter().zip(&mut self.types).zip(&chunk.columns);
        let mark = self.decimal_mark;
        for ((name, (cell_type, origin)), cells) in columns {
            if cell_type.is_none() {
                *cell_type = CellType::infer(cells, mark);
            }
            let array = match cell_type {
                Some(cell_type) => {
                    let (array, invalid) = cell_type.convert(name, cells, *origin, mark);
                    refuse(&mut refused, invalid);
                    array
                }
                None => Arc::new(NullArray::new(chunk.rows)),
            };
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        Ok(vec![TablePart {
            mapping: self.mapping.clone(),
            batches: vec![NumberedBatch {
                first_row: chunk.first_row,
                batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?,
                refused,
                has_tag_dictionaries: false,
            }],
        }])
    }
}
