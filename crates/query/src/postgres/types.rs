//! PostgreSQL's types, as far as answers have them: number, names, and which type of ours becomes which. Knows no
//! bytes of the protocol.

use arrow::datatypes::{DataType, TimeUnit};

/// A type that PostgreSQL's clients know without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Truth.
    Bool,
    /// Integer of 16 bits.
    Int2,
    /// Integer of 32 bits.
    Int4,
    /// Integer of 64 bits.
    Int8,
    /// Binary floating point of 32 bits.
    Float4,
    /// Binary floating point of 64 bits.
    Float8,
    /// Decimal number.
    Numeric,
    /// Text in UTF-8.
    Text,
    /// Bytes.
    Bytea,
    /// Days.
    Date,
    /// Microseconds of a day.
    Time,
    /// Microseconds on some clock.
    Timestamp,
    /// Microseconds in UTC.
    Timestamptz,
    /// Months, days and microseconds.
    Interval,
    /// JSON as text.
    Json,
}

/// The type of a column or of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresType {
    /// The type, or that of the elements.
    pub scalar: Scalar,
    /// Whether it is a list of them.
    pub list: bool,
}

/// Number, number of its array, internal name, name in SQL, bytes (-1: they vary).
type Row = (Scalar, u32, u32, &'static str, &'static str, i16);

/// From PostgreSQL's catalogue `pg_type`, whose numbers are part of the protocol.
const ROWS: [Row; 15] = [
    (Scalar::Bool, 16, 1000, "bool", "boolean", 1),
    (Scalar::Int2, 21, 1005, "int2", "smallint", 2),
    (Scalar::Int4, 23, 1007, "int4", "integer", 4),
    (Scalar::Int8, 20, 1016, "int8", "bigint", 8),
    (Scalar::Float4, 700, 1021, "float4", "real", 4),
    (Scalar::Float8, 701, 1022, "float8", "double precision", 8),
    (Scalar::Numeric, 1700, 1231, "numeric", "numeric", -1),
    (Scalar::Text, 25, 1009, "text", "text", -1),
    (Scalar::Bytea, 17, 1001, "bytea", "bytea", -1),
    (Scalar::Date, 1082, 1182, "date", "date", 4),
    (Scalar::Time, 1083, 1183, "time", "time without time zone", 8),
    (Scalar::Timestamp, 1114, 1115, "timestamp", "timestamp without time zone", 8),
    (Scalar::Timestamptz, 1184, 1185, "timestamptz", "timestamp with time zone", 8),
    (Scalar::Interval, 1186, 1187, "interval", "interval", 16),
    (Scalar::Json, 114, 199, "json", "json", -1),
];

impl PostgresType {
    /// A single value.
    pub const fn one(scalar: Scalar) -> Self {
        Self { scalar, list: false }
    }

    /// What values of `data_type` become.
    pub fn of(data_type: &DataType) -> Self {
        Self::one(match data_type {
            DataType::Boolean => Scalar::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Scalar::Int2,
            DataType::Int32 | DataType::UInt16 => Scalar::Int4,
            DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Scalar::Int8,
            DataType::Float16 | DataType::Float32 => Scalar::Float4,
            DataType::Float64 => Scalar::Float8,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                Scalar::Numeric
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Scalar::Bytea
            }
            DataType::Date32 | DataType::Date64 => Scalar::Date,
            DataType::Time32(_) | DataType::Time64(_) => Scalar::Time,
            DataType::Timestamp(_, None) => Scalar::Timestamp,
            DataType::Timestamp(_, Some(_)) => Scalar::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => Scalar::Interval,
            DataType::Dictionary(_, values) => return Self::of(values),
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                let element = Self::of(element.data_type());
                let list = !element.list && element.scalar != Scalar::Json;
                return Self { scalar: if list { element.scalar } else { Scalar::Json }, list };
            }
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => Scalar::Json,
            _ => Scalar::Text,
        })
    }

    /// The type with the number `oid`, if it is one of these.
    pub fn with_oid(oid: u32) -> Option<Self> {
        let found = |row: &&Row| row.1 == oid || row.2 == oid;
        ROWS.iter().find(found).map(|row| Self { scalar: row.0, list: row.2 == oid })
    }

    /// The type with the internal name `name`, if it is a single value.
    pub(super) fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.3 == name).map(|row| Self::one(row.0))
    }

    /// How values of this type look inside: what [`PostgresType::of`] begins with.
    pub(super) fn data_type(self) -> DataType {
        match self.scalar {
            Scalar::Bool => DataType::Boolean,
            Scalar::Int2 => DataType::Int16,
            Scalar::Int4 => DataType::Int32,
            Scalar::Int8 => DataType::Int64,
            Scalar::Float4 => DataType::Float32,
            Scalar::Float8 | Scalar::Numeric => DataType::Float64,
            Scalar::Date => DataType::Date32,
            Scalar::Time => DataType::Time64(TimeUnit::Microsecond),
            Scalar::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Scalar::Timestamptz => store::table::time_type(),
            Scalar::Text | Scalar::Bytea | Scalar::Interval | Scalar::Json => DataType::Utf8,
        }
    }

    /// Its number in the protocol.
    pub fn oid(self) -> u32 {
        if self.list { self.row().2 } else { self.row().1 }
    }

    /// The number of the type of its elements, 0 when it has none.
    pub fn element_oid(self) -> u32 {
        if self.list { self.row().1 } else { 0 }
    }

    /// Bytes of one value; -1 when they vary.
    pub fn size(self) -> i16 {
        if self.list { -1 } else { self.row().5 }
    }

    /// Its name in SQL.
    pub fn name(self) -> String {
        if self.list { format!("{}[]", self.row().4) } else { self.row().4.to_owned() }
    }

    /// Its name in the catalogue.
    pub fn internal_name(self) -> String {
        if self.list { format!("_{}", self.row().3) } else { self.row().3.to_owned() }
    }

    /// All of them, for the catalogue.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().flat_map(|row| [false, true].map(|list| Self { scalar: row.0, list }))
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.0 == self.scalar).unwrap_or(&ROWS[0])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn columns_of_the_store_have_the_types_that_clients_expect() {
        let list = |element| DataType::List(Arc::new(Field::new("item", element, true)));
        for (data_type, name, oid) in [
            (store::table::word_type(), "text", 25),
            (store::table::time_type(), "timestamp with time zone", 1184),
            (store::table::vector_type(), "double precision[]", 1022),
            (DataType::Float64, "double precision", 701),
            (DataType::UInt32, "bigint", 20),
            (DataType::Utf8View, "text", 25),
            (DataType::Null, "text", 25),
            (list(DataType::Struct(Fields::empty())), "json", 114),
            (list(list(DataType::Int64)), "json", 114),
            (DataType::Decimal128(10, 2), "numeric", 1700),
        ] {
            let found = PostgresType::of(&data_type);
            assert_eq!((found.name().as_str(), found.oid()), (name, oid), "{data_type}");
            assert_eq!(PostgresType::with_oid(oid), Some(found));
        }
    }

    #[test]
    fn each_type_stands_where_it_is_looked_for() {
        for row in ROWS {
            assert_eq!(PostgresType::one(row.0).oid(), row.1);
        }
    }
}
