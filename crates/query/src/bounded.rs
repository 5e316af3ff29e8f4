//! Functions that make much of little, past every limit on memory: some are withheld, others refused where they would
//! make too much. Knows nothing of tables or answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::kernels::length::length;
use arrow::compute::{cast, max, min, sum};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Functions whose outcome is as large as a number says, made in one step that nothing can end. `generate_series` and
/// `range` after FROM are others: their rows come batch by batch. Arrow's own casts know types of a fixed size.
const WITHHELD: [&str; 9] = [
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "array_resize",
    "range",
    "generate_series",
    "arrow_cast",
    "arrow_try_cast",
];
/// What one of the other functions may make of one batch of rows.
const GROWN_BYTES_MAX: u64 = 256 << 20;
/// Functions that put one text into others, as often as these have a place for it.
const GROWING: [(&str, Growth); 4] = [
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Matched),
    ("array_to_string", Growth::Joined),
    ("concat_ws", Growth::Separated),
];

/// Takes out of `state` what is withheld, and puts bounds to what is not.
///
/// # Errors
/// When the engine refuses; that is a mistake in this program.
pub(crate) fn bound(state: &mut SessionState) -> Result<()> {
    for function in WITHHELD {
        state.deregister_udf(function)?;
    }
    for (name, growth) in GROWING {
        let function = state.udf(name)?;
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded { function, growth })))?;
    }
    Ok(())
}

/// What decides on the size of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// The third text stands wherever the second one stood in the first.
    Replaced,
    /// The same, where the second one is a pattern, and the third may say what was found.
    Matched,
    /// The second text stands between the elements of a list, the third in place of those without a value.
    Joined,
    /// The first text stands between all others.
    Separated,
}

/// A function that is refused what would be too much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.inner().return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.inner().coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = self.growth.bytes(&arguments.args, arguments.number_rows)?;
        if bytes > GROWN_BYTES_MAX {
            let (name, limit) = (self.name(), GROWN_BYTES_MAX >> 20);
            return exec_err!("{name} could make more than {limit} MiB of these texts: ask for fewer or shorter ones");
        }
        self.function.inner().invoke_with_args(arguments)
    }
}

impl Growth {
    /// The bytes that `rows` rows of the outcome have at most, all together.
    fn bytes(self, arguments: &[ColumnarValue], rows: usize) -> Result<u64> {
        let size = |place: usize| arguments.get(place).map_or(Ok(Size::default()), |argument| Size::of(argument, rows));
        let (first, second, third, rows) = (size(0)?, size(1)?, size(2)?, rows as u64);
        Ok(match self {
            Self::Replaced => {
                let places = (first.total / second.least.max(1)).saturating_add(rows);
                first.total.saturating_add(places.saturating_mul(third.longest))
            }
            // What was found in one text is not longer than the text, and is said as often as the third has signs.
            Self::Matched => {
                let places = first.total.saturating_add(rows);
                first.total.saturating_add(places.saturating_mul(third.longest).saturating_mul(2))
            }
            Self::Joined => {
                let between = second.longest.saturating_add(third.longest);
                first.total.saturating_add(first.count.saturating_mul(between))
            }
            Self::Separated => {
                let others = (1..arguments.len()).map(|place| size(place).map(|size| size.total));
                let others = others.sum::<Result<u64>>()?;
                let places = rows.saturating_mul(arguments.len() as u64);
                others.saturating_add(places.saturating_mul(first.longest))
            }
        })
    }
}

/// How large texts, or lists of them, are.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// The bytes of all of them.
    total: u64,
    /// The bytes of the longest one; of lists 0.
    longest: u64,
    /// The bytes of the shortest one; of lists 0.
    least: u64,
    /// Elements of all lists.
    count: u64,
}

impl Size {
    fn of(argument: &ColumnarValue, rows: usize) -> Result<Self> {
        let (array, times) = match argument {
            ColumnarValue::Array(array) => (Arc::clone(array), 1),
            ColumnarValue::Scalar(value) => (value.to_array()?, rows as u64),
        };
        let size = match array.data_type() {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::of_lists(&array)?,
            DataType::Null => Self::default(),
            _ => Self::of_texts(&array)?,
        };
        Ok(Self { total: size.total.saturating_mul(times), count: size.count.saturating_mul(times), ..size })
    }

    fn of_texts(array: &ArrayRef) -> Result<Self> {
        let lengths = cast(&length(array)?, &DataType::UInt64)?;
        let lengths: &UInt64Array = lengths.as_primitive();
        let [longest, least] = [max(lengths), min(lengths)].map(Option::unwrap_or_default);
        Ok(Self { total: sum(lengths).unwrap_or_default(), longest, least, count: 0 })
    }

    fn of_lists(array: &ArrayRef) -> Result<Self> {
        let mut elements = Arc::clone(array);
        loop {
            elements = match elements.data_type() {
                DataType::List(_) => Arc::clone(elements.as_list::<i32>().values()),
                DataType::LargeList(_) => Arc::clone(elements.as_list::<i64>().values()),
                DataType::FixedSizeList(..) => Arc::clone(elements.as_fixed_size_list().values()),
                _ => break,
            };
        }
        let (count, bytes) = (elements.len() as u64, elements.to_data().get_slice_memory_size()?);
        // A number may be longer as text than as it is kept.
        Ok(Self { total: (bytes as u64).saturating_add(count.saturating_mul(24)), count, ..Self::default() })
    }
}
