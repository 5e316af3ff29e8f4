//! Vectors in questions: lists of wire integers as lists of physical values, and lists whose elements know their number.
//! Knows nothing of tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr_fn::SimpleScalarUDF;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use model::Scale;

/// The name under which plans show it.
const NAME: &str = "physical";

/// The physical values of the column `raw` of lists of integers.
///
/// # Errors
/// When `raw` is no column of `schema`.
pub(crate) fn physical_list(
    raw: Arc<dyn PhysicalExpr>,
    scale: Scale,
    schema: &SchemaRef,
) -> Result<Arc<dyn PhysicalExpr>> {
    let list = store::vector_type();
    let convert = move |arguments: &[ColumnarValue]| match arguments {
        [ColumnarValue::Array(raw)] => Ok(ColumnarValue::Array(physical(raw, scale)?)),
        _ => Err(DataFusionError::Internal(format!("{NAME} takes one column"))),
    };
    let signature = vec![raw.data_type(schema)?];
    let function = SimpleScalarUDF::new(NAME, signature, list.clone(), Volatility::Immutable, Arc::new(convert));
    let returned = Arc::new(Field::new(NAME, list, true));
    let (function, options) = (Arc::new(ScalarUDF::from(function)), Arc::new(ConfigOptions::default()));
    Ok(Arc::new(ScalarFunctionExpr::new(NAME, function, vec![raw], returned, options)))
}

/// `indexed(vector)`: a list of the elements, each with its number from 1, for `unnest`.
pub(crate) fn indexed() -> ScalarUDF {
    let list = DataType::List(Arc::new(indexed_element()));
    let number = |arguments: &[ColumnarValue]| {
        let [vector] = ColumnarValue::values_to_arrays(arguments)?
            .try_into()
            .map_err(|_| DataFusionError::Plan("indexed takes one vector".to_owned()))?;
        Ok(ColumnarValue::Array(with_index(&vector)?))
    };
    let signature = vec![store::vector_type()];
    ScalarUDF::from(SimpleScalarUDF::new("indexed", signature, list, Volatility::Immutable, Arc::new(number)))
}

/// `grouped(vector, counts, groups, firsts)`: a list of the elements, each with the group that it belongs to and its number
/// in that, for `unnest`. Each of `counts` says how many elements belong to a group, `groups` its number and `firsts` the
/// number of its first element here; without them all belong to one group, which is 1 and begins with 1.
pub(crate) fn grouped() -> ScalarUDF {
    let list = DataType::List(Arc::new(grouped_element()));
    let number = |arguments: &[ColumnarValue]| {
        let vectors: [ArrayRef; 4] = ColumnarValue::values_to_arrays(arguments)?
            .try_into()
            .map_err(|_| DataFusionError::Plan("grouped takes four vectors".to_owned()))?;
        Ok(ColumnarValue::Array(with_groups(&vectors)?))
    };
    let signature = vec![store::vector_type(); 4];
    ScalarUDF::from(SimpleScalarUDF::new("grouped", signature, list, Volatility::Immutable, Arc::new(number)))
}

fn grouped_element() -> Field {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let fields = vec![number("group"), number("index"), Field::new("value", DataType::Float64, true)];
    Field::new("item", DataType::Struct(Fields::from(fields)), false)
}

fn with_groups(vectors: &[ArrayRef; 4]) -> Result<ArrayRef> {
    let wrong = || DataFusionError::Plan("grouped takes vectors".to_owned());
    let lists = vectors.each_ref().map(|vector| vector.as_list_opt::<i32>());
    let [Some(values), counts, groups, firsts] = lists else { return Err(wrong()) };
    let numbers = values.values().as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    let of_row = |list: Option<&ListArray>, row: usize| {
        let list = list.filter(|list| list.is_valid(row)).map(|list| list.value(row));
        list.and_then(|list| list.as_primitive_opt::<Float64Type>().cloned())
    };
    let (mut group, mut index) = (vec![0_i64; numbers.len()], vec![0_i64; numbers.len()]);
    for (row, pair) in values.value_offsets().windows(2).enumerate() {
        let [counts, groups, firsts] = [counts, groups, firsts].map(|list| of_row(list, row));
        let told = |list: &Option<Float64Array>, place: usize| {
            let list = list.as_ref().filter(|list| place < list.len() && list.is_valid(place))?;
            Some(list.value(place) as i64)
        };
        let (mut at, end) = (pair[0] as usize, pair[1] as usize);
        let of_groups = counts.as_ref().map_or(0, Float64Array::len).max(1);
        for place in 0..of_groups {
            // What goes beyond the counts belongs to the last group.
            let count =
                told(&counts, place).filter(|_| place + 1 < of_groups).map_or(end - at, |count| count.max(0) as usize);
            let stop = end.min(at.saturating_add(count));
            let first = told(&firsts, place).unwrap_or(1);
            group[at..stop].fill(told(&groups, place).unwrap_or(place as i64 + 1));
            index[at..stop].iter_mut().zip(0..).for_each(|(element, number)| *element = first.saturating_add(number));
            at = stop;
        }
    }
    let DataType::Struct(fields) = grouped_element().data_type().clone() else { return Err(wrong()) };
    let (group, index) = (Int64Array::from(group), Int64Array::from(index));
    let elements =
        StructArray::try_new(fields, vec![Arc::new(group), Arc::new(index), Arc::new(numbers.clone())], None)?;
    let (offsets, nulls) = (values.offsets().clone(), values.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(Arc::new(grouped_element()), offsets, Arc::new(elements), nulls)?))
}

fn indexed_element() -> Field {
    let fields = vec![Field::new("index", DataType::Int64, false), Field::new("value", DataType::Float64, true)];
    Field::new("item", DataType::Struct(Fields::from(fields)), false)
}

fn with_index(vector: &ArrayRef) -> Result<ArrayRef> {
    let wrong = || DataFusionError::Plan("indexed takes a vector".to_owned());
    let lists = vector.as_list_opt::<i32>().ok_or_else(wrong)?;
    let values = lists.values().as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    let mut index = Int64Array::from(vec![0; values.len()]).into_builder().map_err(|_| wrong())?;
    for pair in lists.value_offsets().windows(2) {
        let elements = &mut index.values_slice_mut()[pair[0] as usize..pair[1] as usize];
        elements.iter_mut().zip(1..).for_each(|(element, number)| *element = number);
    }
    let DataType::Struct(fields) = indexed_element().data_type().clone() else { return Err(wrong()) };
    let elements = StructArray::try_new(fields, vec![Arc::new(index.finish()), Arc::new(values.clone())], None)?;
    let nulls = lists.nulls().cloned();
    let offsets = lists.offsets().clone();
    Ok(Arc::new(ListArray::try_new(Arc::new(indexed_element()), offsets, Arc::new(elements), nulls)?))
}

/// The physical values of `raw`; what has no value has none.
fn physical(raw: &ArrayRef, scale: Scale) -> Result<ArrayRef> {
    let wrong = || DataFusionError::Internal("a vector is no list of integers".to_owned());
    let lists = raw.as_list_opt::<i32>().ok_or_else(wrong)?;
    let integers = lists.values().as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let numbers: Float64Array = integers.unary(|raw| scale.physical(raw));
    let DataType::List(element) = store::vector_type() else { return Err(wrong()) };
    let nulls = lists.nulls().cloned();
    Ok(Arc::new(ListArray::try_new(element, lists.offsets().clone(), Arc::new(numbers), nulls)?))
}
