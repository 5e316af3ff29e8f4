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
