//! A section with a header and without annotations.

use std::sync::Arc;

use arrow_array::{ArrayRef, NullArray, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart, TagColumns};

use super::chunk::{Chunk, refuse};
use crate::cells::{CellType, TypeOrigin};

/// The columns of the section. Their types are inferred from the first rows with a value.
pub(super) struct PlainSection {
    names: Vec<String>,
    /// `None` until a row has a value.
    types: Vec<Option<CellType>>,
    mapping: ColumnMapping,
}

impl PlainSection {
    pub(super) fn new(header: &[&str], mapping: ColumnMapping) -> Self {
        let time = mapping.time.name.as_deref().unwrap_or("time");
        // Tags and times keep their text.
        let is_text = |name: &str| match &mapping.tags {
            TagColumns::Named(names) => name == time || names.iter().any(|tag| tag == name),
            TagColumns::ByType => name == time,
        };
        Self {
            types: header.iter().map(|name| is_text(name).then_some(CellType::Text)).collect(),
            names: header.iter().map(|name| (*name).to_owned()).collect(),
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
        for ((name, cell_type), cells) in columns {
            if cell_type.is_none() {
                *cell_type = CellType::infer(cells);
            }
            let array = match cell_type {
                Some(cell_type) => {
                    let (array, invalid) = cell_type.convert(name, cells, TypeOrigin::Inferred);
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
