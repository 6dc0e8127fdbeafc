//! Conditions on one tag, such as regular expressions, which are evaluated once for each of its values and not for each row of a tail.

use std::sync::Arc;

use arrow::{
    array::{Array, BooleanArray, BooleanBufferBuilder, RecordBatch},
    buffer::BooleanBuffer,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{Result, cast::as_boolean_array},
    physical_expr::{
        PhysicalExpr, split_conjunction,
        utils::{collect_columns, reassign_expr_columns},
    },
};
use neap_points::{MAX_LOOKED_UP_SERIES, SelectedSeries, TailImage};

use crate::required_tags::tag_filters;

/// Values that a condition is evaluated for at once.
const VALUES_AT_ONCE: usize = 2_048;

/// A condition that reads one tag and nothing else.
#[derive(Debug)]
pub(crate) struct TagCondition {
    tag: String,
    /// The condition on rows with only this column.
    condition: Arc<dyn PhysicalExpr>,
    /// The column.
    schema: SchemaRef,
}

/// Returns those conditions of a conjunction that read one tag and nothing else, without those that require values of it.
pub(crate) fn conditions_on_tags(
    conjunction: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    tags: &[String],
) -> Result<Vec<TagCondition>> {
    let mut conditions = Vec::new();
    for condition in split_conjunction(conjunction) {
        let columns = collect_columns(condition);
        let mut tag = columns.iter().filter(|column| tags.iter().any(|tag| tag == column.name()));
        let (Some(tag), 1) = (tag.next(), columns.len()) else {
            continue;
        };
        if !tag_filters(condition).is_empty() {
            continue;
        }
        let field = schema.field_with_name(tag.name())?.clone();
        let schema = Arc::new(Schema::new(vec![field]));
        conditions.push(TagCondition {
            tag: tag.name().to_owned(),
            condition: reassign_expr_columns(Arc::clone(condition), &schema)?,
            schema,
        });
    }
    Ok(conditions)
}

impl TagCondition {
    /// Returns those of the selected series of an image, or of all, that meet the condition. `None` if these are many, or if the
    /// condition fails for a value, which rows that the query reads need not have.
    pub(crate) fn select(
        &self,
        image: &TailImage,
        selected: Option<&SelectedSeries>,
    ) -> Option<SelectedSeries> {
        let count = image.value_count(&self.tag)?;
        let mut values_left = match selected {
            Some(_) => count,
            // Each value but the missing one has a series.
            None => MAX_LOOKED_UP_SERIES + 1,
        };
        let mut chosen = BooleanBufferBuilder::new(count);
        for start in (0..count).step_by(VALUES_AT_ONCE) {
            let numbers = start..count.min(start + VALUES_AT_ONCE);
            let values = image.values(&self.tag, numbers).ok()?;
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), vec![values]).ok()?;
            let holds = self.holds(&rows).ok()?;
            values_left = values_left.checked_sub(holds.count_set_bits())?;
            chosen.append_buffer(&holds);
        }
        Some(image.with_values(selected, &self.tag, &chosen.finish()))
    }

    fn holds(&self, rows: &RecordBatch) -> Result<BooleanBuffer> {
        let holds = self.condition.evaluate(rows)?.into_array(rows.num_rows())?;
        let holds: &BooleanArray = as_boolean_array(&holds)?;
        Ok(match holds.nulls() {
            None => holds.values().clone(),
            Some(nulls) => holds.values() & nulls.inner(),
        })
    }
}
