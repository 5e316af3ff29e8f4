//! The SQL function `signal_quality(exceptions, signal)`: the quality of one signal of a frame.

use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use model::Quality;

/// See the module.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SignalQuality {
    signature: Signature,
}

/// The function, to be called with the column `exceptions` and a constant signal.
pub(crate) fn signal_quality() -> ScalarUDF {
    ScalarUDF::new_from_impl(SignalQuality { signature: Signature::any(2, Volatility::Immutable) })
}

impl ScalarUDFImpl for SignalQuality {
    fn name(&self) -> &'static str {
        "signal_quality"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(store::table::word_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wrong = || DataFusionError::Execution("signal_quality expects the column exceptions and a signal".into());
        let [exceptions, ColumnarValue::Scalar(ScalarValue::Utf8(Some(signal)))] = &args.args[..] else {
            return Err(wrong());
        };
        let exceptions = exceptions.to_array(args.number_rows)?;
        let lists = exceptions.as_list_opt::<i32>().ok_or_else(wrong)?;
        let elements = lists.values().as_struct_opt().ok_or_else(wrong)?;
        let signals = elements.column(0).as_string_opt::<i32>().ok_or_else(wrong)?;
        let qualities = elements.column(1).as_string_opt::<i32>().ok_or_else(wrong)?;
        let offsets = lists.value_offsets();
        let codes = (0..lists.len()).map(|row| {
            let mut places = offsets[row] as usize..offsets[row + 1] as usize;
            let place = places.find(|place| lists.is_valid(row) && signals.value(*place) == signal)?;
            Quality::ALL.iter().position(|quality| quality.as_str() == qualities.value(place))
        });
        let codes: Int32Array = codes.map(|code| code.unwrap_or(0) as i32).collect::<Vec<_>>().into();
        let words = Arc::new(StringArray::from_iter_values(Quality::ALL.map(Quality::as_str)));
        Ok(ColumnarValue::Array(Arc::new(DictionaryArray::new(codes, words))))
    }
}
