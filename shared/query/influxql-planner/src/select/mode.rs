//! `mode`: the most frequent value of a group. Among equally frequent ones, the one that occurs first.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem::size_of,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit},
};
use datafusion::{
    common::{Result, ScalarValue, exec_err, plan_err, utils::SingleRowListArrayBuilder},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::format_state_name,
    },
};

static MODE: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| Arc::new(ModeFunction::new().into()));

/// Returns the most frequent `value`; `time` breaks ties.
pub(super) fn mode(value: Expr, time: Expr) -> Expr {
    MODE.call(vec![value, time])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ModeFunction {
    signature: Signature,
}

impl ModeFunction {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ModeFunction {
    fn name(&self) -> &str {
        "mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, time @ DataType::Timestamp(TimeUnit::Nanosecond, _)] => {
                Ok(vec![value.clone(), time.clone()])
            }
            _ => plan_err!("mode takes a value and a time"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value, _] => Ok(value.clone()),
            _ => plan_err!("mode takes a value and a time"),
        }
    }

    /// The distinct values, their counts, and the times of their first occurrence.
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let name = format_state_name(args.name, name);
            Arc::new(Field::new_list(name, Field::new_list_field(item, true), true))
        };
        Ok(vec![
            list("values", args.return_type().clone()),
            list("counts", DataType::Int64),
            list("times", DataType::Int64),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ModeAccumulator {
            data_type: args.return_type().clone(),
            values: HashMap::new(),
            bytes: 0,
        }))
    }
}

/// The count of a value, and the time of its first occurrence.
#[derive(Debug, Clone, Copy)]
struct ValueFrequency {
    count: i64,
    first: i64,
}

#[derive(Debug)]
struct ModeAccumulator {
    data_type: DataType,
    values: HashMap<ScalarValue, ValueFrequency>,
    /// The memory of the values.
    bytes: usize,
}

impl ModeAccumulator {
    fn add(&mut self, mut value: ScalarValue, count: i64, first: i64) {
        value.compact();
        let bytes = value.size() + size_of::<ValueFrequency>();
        match self.values.entry(value) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.count += count;
                known.first = known.first.min(first);
            }
            Entry::Vacant(new) => {
                new.insert(ValueFrequency { count, first });
                self.bytes += bytes;
            }
        }
    }
}

impl Accumulator for ModeAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, times] = values else {
            return exec_err!("mode takes a value and a time");
        };
        let integers = arrow::compute::cast(times, &DataType::Int64)?;
        let times = integers.as_primitive::<Int64Type>();
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let value = ScalarValue::try_from_array(values, row)?;
            self.add(value, 1, times.value(row));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, counts, times] = states else {
            return exec_err!("the state of mode has three columns");
        };
        let (values, counts, times) =
            (values.as_list::<i32>(), counts.as_list::<i32>(), times.as_list::<i32>());
        for group in (0..values.len()).filter(|group| values.is_valid(*group)) {
            let (counts, times) = (counts.value(group), times.value(group));
            let counts = counts.as_primitive::<Int64Type>();
            let times = times.as_primitive::<Int64Type>();
            let values = values.value(group);
            for row in 0..values.len() {
                let value = ScalarValue::try_from_array(&values, row)?;
                self.add(value, counts.value(row), times.value(row));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |items: Vec<ScalarValue>, item: &DataType| -> Result<ScalarValue> {
            let array = if items.is_empty() {
                arrow::array::new_empty_array(item)
            } else {
                ScalarValue::iter_to_array(items)?
            };
            Ok(SingleRowListArrayBuilder::new(array).build_list_scalar())
        };
        let (mut values, mut counts, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (value, ValueFrequency { count, first }) in self.values.drain() {
            values.push(value);
            counts.push(ScalarValue::from(count));
            times.push(ScalarValue::from(first));
        }
        self.bytes = 0;
        Ok(vec![
            list(values, &self.data_type)?,
            list(counts, &DataType::Int64)?,
            list(times, &DataType::Int64)?,
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let most = self
            .values
            .iter()
            .max_by_key(|(_, frequency)| (frequency.count, std::cmp::Reverse(frequency.first)));
        match most {
            Some((value, _)) => Ok(value.clone()),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<ValueFrequency>() + self.bytes
    }
}
