//! Deduplicates rows: sorts them by tag set and time and merges the versions of each point.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::take::take;
use neap_schema::{
    OnDuplicate, TIME_COLUMN,
    narrow_integers::{concat_parts, narrowest_type, wide_type, widened},
};

use crate::{
    PointsError, SeriesIndex,
    columns::{is_widened, null_column, widened_to_float},
    rows_by_point::RowsByPoint,
    times,
};

/// Maximum number of rows that are deduplicated at once.
const MAX_ROWS: usize = u32::MAX as usize;

/// Deduplicates rows of one table, given from the oldest to the newest. Returns one row for each point, sorted by tag
/// set (tag by tag in the order of `tags`, a missing tag first), then by time.
///
/// Each field has its newest non-null value. The result has the columns of `schema`; the rows may lack some of them.
///
/// # Errors
/// There are more than 2^32 - 1 rows, or a column has another type than in `schema`.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampNanosecondArray};
/// use arrow_schema::Schema;
/// use neap_points::deduplicate;
/// use neap_schema::ColumnType;
///
/// let load = ColumnType::Float.arrow_field("load");
/// let time = ColumnType::Time.arrow_field("time");
/// let schema = Arc::new(Schema::new(vec![load, time]));
/// let batch = |loads: Vec<f64>, times: Vec<i64>| {
///     let loads: ArrayRef = Arc::new(Float64Array::from(loads));
///     let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
///     RecordBatch::try_new(Arc::clone(&schema), vec![loads, times])
/// };
/// let (old, new) = (batch(vec![0.1, 0.2], vec![1, 2])?, batch(vec![0.3], vec![1])?);
/// let points = deduplicate(&[], &schema, vec![old, new])?;
/// assert_eq!(points, batch(vec![0.3, 0.2], vec![1, 2])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn deduplicate(
    tags: &[String],
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<RecordBatch, PointsError> {
    deduplicate_with(tags, schema, batches, OnDuplicate::Replace)
}

/// Deduplicates rows as [`deduplicate`] does, of a table whose earlier values may be kept.
///
/// # Errors
/// Same as [`deduplicate`].
pub fn deduplicate_with(
    tags: &[String],
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
    on_duplicate: OnDuplicate,
) -> Result<RecordBatch, PointsError> {
    let mut sorter = PointSorter::new(tags).with_on_duplicate(on_duplicate);
    let mut fields = FieldColumns::new(tags);
    for batch in batches {
        sorter.add(&batch)?;
        fields.add(batch);
    }
    let points = sorter.sort();
    let all = (0..u32::try_from(points.len()).unwrap_or(u32::MAX)).collect();
    let points = points.divide(vec![all]);
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.extend(points.columns(field, &mut fields)?);
    }
    let options = RecordBatchOptions::new().with_row_count(points.lengths().next());
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Collects the tags and times of rows of one table, and sorts their points.
#[derive(Debug)]
pub struct PointSorter {
    index: SeriesIndex,
    /// The series of each row.
    series: Vec<u32>,
    /// The time of each row.
    time: Vec<i64>,
    on_duplicate: OnDuplicate,
}

impl PointSorter {
    /// Creates a sorter for a table with these tags.
    pub fn new(tags: &[String]) -> Self {
        Self {
            index: SeriesIndex::new(tags),
            series: Vec::new(),
            time: Vec::new(),
            on_duplicate: OnDuplicate::default(),
        }
    }

    /// Sets what a row does to an earlier one of its point. By default, its values replace those.
    #[must_use]
    pub fn with_on_duplicate(self, on_duplicate: OnDuplicate) -> Self {
        Self { on_duplicate, ..self }
    }

    /// Adds rows, which are newer than all before. Reads their tags and times only.
    ///
    /// # Errors
    /// There are more than 2^32 - 1 rows, they have no time column, or a tag is no dictionary of texts.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), PointsError> {
        if self.time.len().saturating_add(rows.num_rows()) > MAX_ROWS {
            return Err(PointsError::TooManyRows { limit: MAX_ROWS });
        }
        self.index.resolve(rows, &mut self.series)?;
        self.time.extend_from_slice(times(rows)?.values());
        Ok(())
    }

    /// Sorts the points: by tag set (tag by tag, a missing tag first), then by time.
    pub fn sort(self) -> SortedPoints {
        let Self { index, series, time, on_duplicate } = self;
        let sorted = RowsByPoint::new(&series, &time, &index.ranks());
        let ends = sorted.ends_of_points(&series, &time);
        SortedPoints {
            index,
            series,
            time,
            versions: PointRowNumbers { rows: sorted.into_inner(), ends, on_duplicate },
        }
    }
}

/// The points of rows of one table, sorted by tag set (tag by tag, a missing tag first), then by time.
#[derive(Debug)]
pub struct SortedPoints {
    index: SeriesIndex,
    /// The series of each row.
    series: Vec<u32>,
    /// The time of each row.
    time: Vec<i64>,
    versions: PointRowNumbers,
}

impl SortedPoints {
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
        points.map(|point| time_at(&self.time, self.versions.newest(point)))
    }

    /// Divides the points into parts, given as the numbers of their points in ascending order.
    pub fn divide(self, parts: Vec<Vec<u32>>) -> DividedPoints {
        DividedPoints {
            index: self.index,
            series: self.series,
            time: self.time,
            parts: self.versions.parts(parts),
        }
    }
}

/// Parts of the points of one table. Their columns are built one after the other, so that the rows never have to be in
/// memory with all of their columns.
#[derive(Debug)]
pub struct DividedPoints {
    index: SeriesIndex,
    series: Vec<u32>,
    time: Vec<i64>,
    parts: Vec<PointPart>,
}

impl DividedPoints {
    /// Returns the number of points of each part.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|part| part.newest.len())
    }

    /// Returns the column of a tag, of the time, or of a field, for each part. A field has the newest non-null value of
    /// each point, or the oldest one if earlier values are kept, and is taken from `fields`: the rows in the order in which the
    /// sorter got them. The columns of a tag share a dictionary.
    ///
    /// # Errors
    /// The rows have another type in the column, or there are more or fewer than the sorter got.
    pub fn columns(
        &self,
        field: &Field,
        fields: &mut FieldColumns,
    ) -> Result<Vec<ArrayRef>, PointsError> {
        let parts = self.parts.iter();
        let tag = self.index.tags().iter().position(|tag| tag == field.name());
        if let Some(tag) = tag {
            let of = |row: &u32| self.series.get(*row as usize).copied().unwrap_or(0);
            let parts = parts.map(|part| part.newest.values().iter().map(of));
            return self.index.tag_columns(tag, parts);
        }
        if field.name() == TIME_COLUMN {
            let of_part = |part: &PointPart| -> ArrayRef {
                let rows = part.newest.values().iter();
                let times = rows.map(|row| time_at(&self.time, *row));
                Arc::new(TimestampNanosecondArray::from_iter_values(times))
            };
            return Ok(parts.map(of_part).collect());
        }
        let column = fields.take(field.name(), field.data_type())?;
        if column.len() != self.series.len() {
            return Err(PointsError::OtherRows);
        }
        let column = column.as_ref();
        let of_part = |part: &PointPart| -> Result<ArrayRef, PointsError> {
            let values = take(column, &part.rows_of_values(column), None)?;
            Ok(widened(&values).unwrap_or(values))
        };
        parts.map(of_part).collect()
    }
}

fn time_at(time: &[i64], row: u32) -> i64 {
    time.get(row as usize).copied().unwrap_or_default()
}

#[derive(Debug)]
struct PointRowNumbers {
    /// The rows, sorted by point and age.
    rows: Vec<u32>,
    /// The end of the rows of each point, unless each row is a point.
    ends: Option<Vec<u32>>,
    on_duplicate: OnDuplicate,
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

    fn parts(self, parts: Vec<Vec<u32>>) -> Vec<PointPart> {
        let newest: Vec<UInt32Array> = parts
            .iter()
            .map(|part| part.iter().map(|point| self.newest(*point)))
            .map(UInt32Array::from_iter_values)
            .collect();
        if self.ends.is_none() {
            let whole = |newest| PointPart { newest, versions: None };
            return newest.into_iter().map(whole).collect();
        }
        let all = Arc::new(self);
        let parts = newest.into_iter().zip(parts).map(|(newest, points)| PointPart {
            newest,
            versions: Some((points, Arc::clone(&all))),
        });
        parts.collect()
    }
}

/// Some points, in their order.
#[derive(Debug)]
struct PointPart {
    /// The newest row of each point.
    newest: UInt32Array,
    /// The points, and the rows of all points; `None` if each row is a point.
    versions: Option<(Vec<u32>, Arc<PointRowNumbers>)>,
}

impl PointPart {
    /// Returns the row of each point whose value in `column` counts: the newest or the oldest one that has a value, or the
    /// newest row of the point if none has.
    fn rows_of_values(&self, column: &dyn Array) -> UInt32Array {
        let Some((points, versions)) = &self.versions else {
            return self.newest.clone();
        };
        let keeps_first = versions.on_duplicate == OnDuplicate::Keep;
        if column.null_count() == 0 && !keeps_first {
            return self.newest.clone();
        }
        let newest_of_points = points.iter().zip(self.newest.values());
        let rows = newest_of_points.map(|(point, newest)| {
            let mut rows = versions.of(*point).iter();
            let has_value = |row: &&u32| column.is_valid(**row as usize);
            let valid = if keeps_first {
                rows.find(has_value)
            } else {
                rows.rfind(has_value)
            };
            valid.copied().unwrap_or(*newest)
        });
        UInt32Array::from_iter_values(rows)
    }
}

/// The fields of rows of one table. A field is dropped when it is taken.
#[derive(Debug)]
pub struct FieldColumns {
    tags: Vec<String>,
    batches: Vec<InputColumns>,
}

/// The columns of a batch that were not taken yet.
#[derive(Debug)]
struct InputColumns {
    schema: SchemaRef,
    rows: usize,
    /// By the index in the schema.
    columns: Vec<Option<ArrayRef>>,
}

impl FieldColumns {
    /// Creates a collection for rows of a table with these tags.
    pub fn new(tags: &[String]) -> Self {
        Self { tags: tags.to_vec(), batches: Vec::new() }
    }

    /// Adds rows, which follow all before. Drops their tags and times. Integers may have narrower types than in the table.
    pub fn add(&mut self, rows: RecordBatch) {
        let (schema, columns, rows) = rows.into_parts();
        let mut input = InputColumns {
            schema,
            rows,
            columns: columns.into_iter().map(Some).collect(),
        };
        for key in self.tags.iter().map(String::as_str).chain([TIME_COLUMN]) {
            drop(input.take(key));
        }
        self.batches.push(input);
    }

    /// Takes one field of all rows: null where they lack it. Integers may be narrow.
    fn take(&mut self, name: &str, data_type: &DataType) -> Result<ArrayRef, PointsError> {
        let columns = self
            .batches
            .iter_mut()
            .map(|input| match input.take(name) {
                Some(column) if wide_type(column.data_type()) == data_type => Ok(column),
                Some(column) if is_widened(column.data_type(), data_type) => {
                    Ok(widened_to_float(&column)?)
                }
                Some(column) => Err(PointsError::ColumnType {
                    column: name.to_owned(),
                    found: column.data_type().to_string(),
                    expected: data_type.to_string(),
                }),
                None => Ok(null_column(narrowest_type(data_type), input.rows)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            [] => Ok(null_column(data_type, 0)),
            parts => Ok(concat_parts(parts)?),
        }
    }
}

impl InputColumns {
    fn take(&mut self, name: &str) -> Option<ArrayRef> {
        let (at, _) = self.schema.column_with_name(name)?;
        self.columns.get_mut(at)?.take()
    }
}
