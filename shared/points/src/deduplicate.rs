//! Deduplicates rows: sorts them by tag set and time and merges the versions of each point.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::{concat::concat, take::take};

use crate::{PointsError, SeriesIndex, columns::null_column, rows_by_point::RowsByPoint, times};

/// Maximum number of rows that are deduplicated at once.
const MAX_ROWS: usize = u32::MAX as usize;

/// Deduplicates rows of one table, given from the oldest to the newest. Returns one row for each point, sorted by tag
/// set (tag by tag in the order of `tags`, a missing tag first), then by time.
///
/// Each field keeps its newest non-null value. The result has the columns of `schema`; the rows may lack some of them.
///
/// # Errors
/// There are more than 2^32 - 1 rows, or a column has another type than in `schema`.
pub fn deduplicate(
    tags: &[String],
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<RecordBatch, PointsError> {
    let points = SortedPoints::new(tags, batches)?;
    let all = (0..u32::try_from(points.len()).unwrap_or(u32::MAX)).collect();
    let parts = points.into_batches(schema, vec![all])?;
    let none = || RecordBatch::new_empty(Arc::clone(schema));
    Ok(parts.into_iter().next().unwrap_or_else(none))
}

/// The points of rows of one table, sorted by tag set (tag by tag, a missing tag first), then by time. Their columns are
/// built when it is known into which batches they are divided.
#[derive(Debug)]
pub struct SortedPoints {
    index: SeriesIndex,
    /// The series of each row.
    series: Vec<u32>,
    /// The time of each row.
    time: Vec<i64>,
    versions: PointRowNumbers,
    inputs: Vec<InputColumns>,
}

impl SortedPoints {
    /// Sorts rows, given from the oldest to the newest.
    ///
    /// # Errors
    /// There are more than 2^32 - 1 rows, they have no time column, or a tag is no dictionary of texts.
    pub fn new(tags: &[String], batches: Vec<RecordBatch>) -> Result<Self, PointsError> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows > MAX_ROWS {
            return Err(PointsError::TooManyRows { limit: MAX_ROWS });
        }
        let mut index = SeriesIndex::new(tags);
        let mut series = Vec::with_capacity(rows);
        let mut time = Vec::with_capacity(rows);
        let mut inputs = Vec::with_capacity(batches.len());
        for batch in batches {
            index.resolve(&batch, &mut series)?;
            time.extend_from_slice(times(&batch)?.values());
            let mut input = InputColumns::new(batch);
            // The index has them.
            for tag in tags {
                drop(input.take(tag));
            }
            inputs.push(input);
        }
        let sorted = RowsByPoint::new(&series, &time, &index.ranks());
        let ends = sorted.ends_of_points(&series, &time);
        Ok(Self {
            index,
            series,
            time,
            versions: PointRowNumbers {
                rows: sorted.into_inner(),
                ends,
            },
            inputs,
        })
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Returns whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the times of the points in their order, in nanoseconds since the Unix epoch.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        let points = 0..u32::try_from(self.len()).unwrap_or(u32::MAX);
        points.map(|point| {
            let row = self.versions.newest(point);
            self.time.get(row as usize).copied().unwrap_or_default()
        })
    }

    /// Returns a batch with the columns of `schema` for each part: the numbers of its points, in ascending order. Each
    /// field has its newest non-null value.
    ///
    /// A column of the rows is dropped when those of the parts are built, so rows that nothing else holds are in memory
    /// about once. The columns of a tag share a dictionary.
    ///
    /// # Errors
    /// A column has another type than in `schema`.
    pub fn into_batches(
        self,
        schema: &SchemaRef,
        parts: Vec<Vec<u32>>,
    ) -> Result<Vec<RecordBatch>, PointsError> {
        let Self {
            index,
            series,
            time,
            versions,
            mut inputs,
        } = self;
        drop(time);
        let parts = versions.parts(parts);
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); parts.len()];
        for field in schema.fields() {
            let tag = index.tags().iter().position(|tag| tag == field.name());
            let of_parts = match tag {
                Some(tag) => {
                    let of = |row: &u32| series.get(*row as usize).copied().unwrap_or(0);
                    let parts = parts.iter();
                    let parts = parts.map(|part| part.newest.values().iter().map(of));
                    index.tag_columns(tag, parts)?
                }
                None => {
                    let column = take_concatenated(&mut inputs, field.name(), field.data_type())?;
                    let column = column.as_ref();
                    let of_part = |part: &PointPart| take(column, &part.newest_valid(column), None);
                    parts.iter().map(of_part).collect::<Result<Vec<_>, _>>()?
                }
            };
            for (columns, column) in columns.iter_mut().zip(of_parts) {
                columns.push(column);
            }
        }
        let batches = parts.iter().zip(columns).map(|(part, columns)| {
            let options = RecordBatchOptions::new().with_row_count(Some(part.newest.len()));
            let schema = Arc::clone(schema);
            Ok(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?)
        });
        batches.collect()
    }
}

/// The rows of each point.
#[derive(Debug)]
struct PointRowNumbers {
    /// The rows, sorted by point and age.
    rows: Vec<u32>,
    /// The end of the rows of each point, unless each row is a point.
    ends: Option<Vec<u32>>,
}

impl PointRowNumbers {
    fn len(&self) -> usize {
        self.ends.as_ref().map_or(self.rows.len(), Vec::len)
    }

    /// Returns the rows of a point, from the oldest to the newest.
    fn of(&self, point: u32) -> &[u32] {
        let point = point as usize;
        let range = match &self.ends {
            None => point..point + 1,
            Some(ends) => {
                let end = |point: usize| ends.get(point).copied().unwrap_or(0) as usize;
                point.checked_sub(1).map_or(0, end)..end(point)
            }
        };
        self.rows.get(range).unwrap_or(&[])
    }

    fn newest(&self, point: u32) -> u32 {
        self.of(point).last().copied().unwrap_or(0)
    }

    /// Returns parts of the points.
    fn parts(self, parts: Vec<Vec<u32>>) -> Vec<PointPart> {
        let newest: Vec<UInt32Array> = parts
            .iter()
            .map(|part| part.iter().map(|point| self.newest(*point)))
            .map(UInt32Array::from_iter_values)
            .collect();
        if self.ends.is_none() {
            let whole = |newest| PointPart {
                newest,
                versions: None,
            };
            return newest.into_iter().map(whole).collect();
        }
        let all = Arc::new(self);
        let parts = newest
            .into_iter()
            .zip(parts)
            .map(|(newest, points)| PointPart {
                newest,
                versions: Some((points, Arc::clone(&all))),
            });
        parts.collect()
    }
}

/// Some points, in their order.
struct PointPart {
    /// The newest row of each point.
    newest: UInt32Array,
    /// The points, and the rows of all points; `None` if each row is a point.
    versions: Option<(Vec<u32>, Arc<PointRowNumbers>)>,
}

impl PointPart {
    /// Returns the newest row of each point that has a value in `column`, or the newest row of the point if none has.
    fn newest_valid(&self, column: &dyn Array) -> UInt32Array {
        let versions = self.versions.as_ref();
        let Some((points, versions)) = versions.filter(|_| column.null_count() > 0) else {
            return self.newest.clone();
        };
        let rows = points.iter().zip(self.newest.values());
        let rows = rows.map(|(point, newest)| {
            let rows = versions.of(*point).iter().rev();
            let valid = rows.copied().find(|row| column.is_valid(*row as usize));
            valid.unwrap_or(*newest)
        });
        UInt32Array::from_iter_values(rows)
    }
}

/// The columns of a batch that were not taken yet.
#[derive(Debug)]
struct InputColumns {
    schema: SchemaRef,
    rows: usize,
    /// By the index in the schema.
    columns: Vec<Option<ArrayRef>>,
}

impl InputColumns {
    fn new(batch: RecordBatch) -> Self {
        let (schema, columns, rows) = batch.into_parts();
        Self {
            schema,
            rows,
            columns: columns.into_iter().map(Some).collect(),
        }
    }

    fn take(&mut self, name: &str) -> Option<ArrayRef> {
        let (at, _) = self.schema.column_with_name(name)?;
        self.columns.get_mut(at)?.take()
    }
}

/// Takes one column of all rows.
fn take_concatenated(
    inputs: &mut [InputColumns],
    name: &str,
    data_type: &DataType,
) -> Result<ArrayRef, PointsError> {
    let parts = inputs
        .iter_mut()
        .map(|input| match input.take(name) {
            Some(column) if column.data_type() == data_type => Ok(column),
            Some(column) => Err(PointsError::ColumnType {
                column: name.to_owned(),
                found: column.data_type().to_string(),
                expected: data_type.to_string(),
            }),
            None => Ok(null_column(data_type, input.rows)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        [] => Ok(null_column(data_type, 0)),
        parts => Ok(concat(parts)?),
    }
}
