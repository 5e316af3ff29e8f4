//! Functions that PostgreSQL's clients call and DataFusion does not have. Those that ask for what is the same for
//! everybody here have one constant as their answer.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr_fn::SimpleScalarUDF;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::{DATABASE, PostgresType, SERVER_VERSION};

/// Parameters of a session that clients read and set. They have these values whatever is set.
pub(super) const SETTINGS: [(&str, &str); 30] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("escape_string_warning", "on"),
    ("extra_float_digits", "1"),
    ("geqo", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "150000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
];

/// Made once: every question registers them.
static FUNCTIONS: LazyLock<Vec<ScalarUDF>> = LazyLock::new(functions);

/// Makes all of them known to `context`.
pub(super) fn register(context: &SessionContext) {
    FUNCTIONS.iter().for_each(|function| context.register_udf(function.clone()));
}

fn functions() -> Vec<ScalarUDF> {
    let constants = constants().into_iter();
    let mut functions: Vec<ScalarUDF> =
        constants.flat_map(|(names, value)| names.iter().map(move |name| constant(name, value.clone()))).collect();
    let text = || vec![DataType::Utf8];
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let number = || vec![DataType::Int64, DataType::Int64];
    let setting = Signature::one_of(
        vec![
            datafusion::logical_expr::TypeSignature::Exact(text()),
            datafusion::logical_expr::TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]),
        ],
        Volatility::Stable,
    );
    let exact = |types| Signature::exact(types, Volatility::Immutable);
    for (name, signature, returned, body) in [
        ("quote_ident", exact(text()), DataType::Utf8, body(|text| Ok(texts(text, |text| Some(quote_ident(text)))))),
        ("quote_literal", exact(text()), DataType::Utf8, body(|text| Ok(texts(text, |text| Some(quote(text)))))),
        ("parse_ident", exact(text()), list, body(|text| Ok(parse_ident(text)))),
        ("to_regclass", exact(text()), DataType::Int64, body(|text| Ok(regclass(text)))),
        ("current_setting", setting, DataType::Utf8, Arc::new(current_setting) as ScalarFunctionImplementation),
        ("format_type", exact(number()), DataType::Utf8, Arc::new(format_type) as ScalarFunctionImplementation),
    ] {
        let function = SimpleScalarUDF::new_with_signature(name, signature, returned, body);
        functions.push(ScalarUDF::from(function));
    }
    functions
}

type Constants = Vec<(&'static [&'static str], ScalarValue)>;

/// Functions whose answer is always the same, whatever they are asked.
fn constants() -> Constants {
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let schemas = ScalarValue::new_list_nullable(&[text("pg_catalog"), text("public")], &DataType::Utf8);
    vec![
        (&["version"], text(&format!("PostgreSQL {SERVER_VERSION} (Tongmai {})", env!("CARGO_PKG_VERSION")))),
        (&["current_database", "current_catalog"], text(DATABASE)),
        (&["current_schema"], text("public")),
        (&["current_schemas"], ScalarValue::List(schemas)),
        (&["pg_get_userbyid"], text(DATABASE)),
        (&["pg_encoding_to_char"], text("UTF8")),
        (&["pg_backend_pid", "pg_my_temp_schema"], ScalarValue::Int32(Some(0))),
        (
            &[
                "pg_table_is_visible",
                "pg_type_is_visible",
                "pg_function_is_visible",
                "has_table_privilege",
                "has_schema_privilege",
                "has_database_privilege",
                "has_column_privilege",
                "has_any_column_privilege",
            ],
            ScalarValue::Boolean(Some(true)),
        ),
        (
            &["pg_is_in_recovery", "pg_relation_is_publishable", "pg_is_other_temp_schema"],
            ScalarValue::Boolean(Some(false)),
        ),
        (
            &[
                "pg_get_expr",
                "pg_get_constraintdef",
                "pg_get_indexdef",
                "pg_get_viewdef",
                "pg_get_partkeydef",
                "pg_get_function_result",
                "obj_description",
                "col_description",
                "shobj_description",
                "pg_tablespace_location",
                "pg_size_pretty",
                "pg_get_serial_sequence",
                "pg_advisory_unlock_all",
            ],
            ScalarValue::Utf8(None),
        ),
        (
            &["pg_relation_size", "pg_total_relation_size", "pg_table_size", "pg_indexes_size", "pg_database_size"],
            ScalarValue::Int64(None),
        ),
    ]
}

fn constant(name: &str, value: ScalarValue) -> ScalarUDF {
    let signature = Signature::one_of(
        vec![datafusion::logical_expr::TypeSignature::Nullary, datafusion::logical_expr::TypeSignature::VariadicAny],
        Volatility::Stable,
    );
    let returned = value.data_type();
    let body: ScalarFunctionImplementation = Arc::new(move |_| Ok(ColumnarValue::Scalar(value.clone())));
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, signature, returned, body))
}

/// A function of one text.
fn body(of: impl Fn(&StringArray) -> Result<ArrayRef> + Send + Sync + 'static) -> ScalarFunctionImplementation {
    Arc::new(move |args| {
        let arrays = ColumnarValue::values_to_arrays(args)?;
        let Some(text) = arrays.first().and_then(|array| array.as_string_opt::<i32>()) else {
            return plan_err!("expected a text");
        };
        Ok(ColumnarValue::Array(of(text)?))
    })
}

fn texts(text: &StringArray, of: impl Fn(&str) -> Option<String>) -> ArrayRef {
    Arc::new(text.iter().map(|text| text.and_then(&of)).collect::<StringArray>())
}

/// The identifier as it has to be written in SQL.
fn quote_ident(name: &str) -> String {
    let mut letters = name.bytes();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == b'_');
    let rest = letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_');
    if first && rest && !is_reserved(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Words that cannot be a name as they are. Quoting one too many harms nobody.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 40] = [
        "all",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "between",
        "case",
        "cast",
        "check",
        "column",
        "current_date",
        "default",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "for",
        "from",
        "group",
        "having",
        "in",
        "into",
        "limit",
        "not",
        "null",
        "on",
        "or",
        "order",
        "select",
        "table",
        "then",
        "to",
        "true",
        "union",
        "user",
        "where",
    ];
    RESERVED.contains(&name)
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The parts of a qualified name, without their quotes.
fn parse_ident(text: &StringArray) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for name in text {
        for part in name.map(parts).into_iter().flatten() {
            lists.values().append_value(part);
        }
        lists.append(name.is_some());
    }
    Arc::new(lists.finish())
}

fn parts(name: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for letter in name.chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            letter => {
                let letter = if quoted { letter } else { letter.to_ascii_lowercase() };
                if let Some(part) = parts.last_mut() {
                    part.push(letter);
                }
            }
        }
    }
    parts
}

fn regclass(text: &StringArray) -> ArrayRef {
    let oid = |name: &str| parts(name).pop().map(|table| super::catalog::table_oid(&table));
    Arc::new(text.iter().map(|name| name.and_then(oid)).collect::<Int64Array>())
}

fn current_setting(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let Some(names) = arrays.first().and_then(|array| array.as_string_opt::<i32>()) else {
        return plan_err!("current_setting expects a name");
    };
    let missing_ok = args.len() == 2;
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        let lower = name.map(str::to_ascii_lowercase);
        let found = SETTINGS.iter().find(|(known, _)| Some(*known) == lower.as_deref());
        if let (None, Some(name), false) = (found, name, missing_ok) {
            return plan_err!("unrecognized configuration parameter \"{name}\"");
        }
        values.push(found.map(|(_, value)| *value));
    }
    Ok(ColumnarValue::Array(Arc::new(StringArray::from(values))))
}

fn format_type(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(args)?;
    let Some(oids) = arrays.first().and_then(|array| array.as_primitive_opt::<Int64Type>()) else {
        return plan_err!("format_type expects the number of a type");
    };
    let name = |oid: i64| match u32::try_from(oid).ok().and_then(PostgresType::with_oid) {
        Some(found) => found.name(),
        None if oid == 0 => "-".to_owned(),
        None => "???".to_owned(),
    };
    let names = oids.iter().map(|oid| oid.map(name)).collect::<StringArray>();
    Ok(ColumnarValue::Array(Arc::new(names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_where_they_have_to_be() {
        for (name, quoted) in [
            ("speed", "speed"),
            ("_a1", "_a1"),
            ("Speed", "\"Speed\""),
            ("1a", "\"1a\""),
            ("user", "\"user\""),
            ("a\"b", "\"a\"\"b\""),
            ("转速", "\"转速\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote_ident(name), quoted);
        }
        assert_eq!(parts("public.\"A.b\""), ["public", "A.b"]);
        assert_eq!(parts("W"), ["w"]);
    }
}
