//! The schemas `pg_catalog` and `information_schema`: the tables that can be asked for, as PostgreSQL's clients look
//! them up. Made anew for the question that names one, from the tables that are there.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::functions::SETTINGS;
use super::{DATABASE, PostgresType, empty};

const PG_CATALOG: i64 = 11;
const PUBLIC: i64 = 2_200;
const INFORMATION_SCHEMA: i64 = 13_000;
const OWNER: i64 = 10;
const ACCESS_METHOD: i64 = 2;
/// The first number that PostgreSQL gives to what a user makes.
const FIRST_OID: i64 = 16_384;

/// The number of the table `name`: the same every time, without a list to keep it in.
pub(super) fn table_oid(name: &str) -> i64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    FIRST_OID + (hash % (i32::MAX as u64 - FIRST_OID as u64)) as i64
}

/// Makes both schemas known to `context`.
pub(super) fn register(context: &SessionContext) -> Result<()> {
    let names = context.state_ref().read().config_options().catalog.clone();
    let catalog = context.catalog(&names.default_catalog);
    let tables = catalog.as_ref().and_then(|catalog| catalog.schema(&names.default_schema));
    if let (Some(catalog), Some(tables)) = (catalog, tables) {
        for schema in [Schema::PgCatalog, Schema::InformationSchema] {
            let lookup = Arc::new(Lookup { schema, tables: Arc::clone(&tables) });
            catalog.register_schema(schema.name(), lookup)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Schema {
    PgCatalog,
    InformationSchema,
}

impl Schema {
    fn name(self) -> &'static str {
        match self {
            Self::PgCatalog => "pg_catalog",
            Self::InformationSchema => "information_schema",
        }
    }

    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::PgCatalog => &[
                "pg_am",
                "pg_attribute",
                "pg_class",
                "pg_database",
                "pg_namespace",
                "pg_roles",
                "pg_settings",
                "pg_tables",
                "pg_type",
                "pg_user",
            ],
            Self::InformationSchema => &["columns", "schemata", "tables", "views"],
        }
    }
}

/// A table as the catalogue describes it.
struct Described {
    name: String,
    oid: i64,
    columns: SchemaRef,
}

#[derive(Debug)]
struct Lookup {
    schema: Schema,
    tables: Arc<dyn SchemaProvider>,
}

impl Lookup {
    async fn described(&self) -> Result<Vec<Described>> {
        let mut names = self.tables.table_names();
        names.sort();
        let mut described = Vec::with_capacity(names.len());
        for name in names {
            if let Some(table) = self.tables.table(&name).await? {
                described.push(Described { oid: table_oid(&name), columns: table.schema(), name });
            }
        }
        Ok(described)
    }
}

#[async_trait]
impl SchemaProvider for Lookup {
    fn table_names(&self) -> Vec<String> {
        let empty = matches!(self.schema, Schema::PgCatalog).then(empty::names).into_iter().flatten();
        self.schema.tables().iter().copied().chain(empty).map(str::to_owned).collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let rows = match (self.schema, name) {
            (Schema::PgCatalog, "pg_am") => access_methods()?,
            (Schema::PgCatalog, "pg_attribute") => attributes(&self.described().await?)?,
            (Schema::PgCatalog, "pg_class") => classes(&self.described().await?)?,
            (Schema::PgCatalog, "pg_database") => databases()?,
            (Schema::PgCatalog, "pg_namespace") => namespaces()?,
            (Schema::PgCatalog, "pg_roles") => roles()?,
            (Schema::PgCatalog, "pg_settings") => settings()?,
            (Schema::PgCatalog, "pg_tables") => tables(&self.described().await?)?,
            (Schema::PgCatalog, "pg_type") => types()?,
            (Schema::PgCatalog, "pg_user") => users()?,
            (Schema::InformationSchema, "columns") => schema_columns(&self.described().await?)?,
            (Schema::InformationSchema, "schemata") => schemata()?,
            (Schema::InformationSchema, "tables") => schema_tables(&self.described().await?)?,
            (Schema::InformationSchema, "views") => schema_tables(&[])?,
            (Schema::PgCatalog, name) => match empty::columns(name) {
                Some(columns) => RecordBatch::new_empty(columns),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)))
    }
}

/// The columns of one table of the catalogue, all with as many rows.
struct Columns {
    rows: usize,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Columns {
    fn of(rows: usize) -> Self {
        Self { rows, columns: Vec::new() }
    }

    fn numbers(mut self, name: &'static str, values: impl Iterator<Item = i64>) -> Self {
        self.columns.push((name, Arc::new(values.map(Some).collect::<Int64Array>())));
        self
    }

    fn number(self, name: &'static str, value: i64) -> Self {
        let rows = self.rows;
        self.numbers(name, std::iter::repeat_n(value, rows))
    }

    fn texts<T: AsRef<str>>(mut self, name: &'static str, values: impl Iterator<Item = T>) -> Self {
        self.columns.push((name, Arc::new(values.map(Some).collect::<StringArray>())));
        self
    }

    fn text(self, name: &'static str, value: &str) -> Self {
        let rows = self.rows;
        self.texts(name, std::iter::repeat_n(value, rows))
    }

    fn truths(mut self, name: &'static str, values: impl Iterator<Item = bool>) -> Self {
        self.columns.push((name, Arc::new(values.map(Some).collect::<BooleanArray>())));
        self
    }

    fn yes(self, names: &[&'static str]) -> Self {
        let rows = self.rows;
        names.iter().fold(self, |columns, name| columns.truths(name, std::iter::repeat_n(true, rows)))
    }

    fn no(self, names: &[&'static str]) -> Self {
        let rows = self.rows;
        names.iter().fold(self, |columns, name| columns.truths(name, std::iter::repeat_n(false, rows)))
    }

    fn nothing(mut self, names: &[&'static str], data_type: &DataType) -> Self {
        self.columns.extend(names.iter().map(|name| (*name, new_null_array(data_type, self.rows))));
        self
    }

    fn finish(self) -> Result<RecordBatch> {
        let columns = self.columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

fn list_of_texts() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn access_methods() -> Result<RecordBatch> {
    Columns::of(1).number("oid", ACCESS_METHOD).text("amname", "heap").text("amtype", "t").finish()
}

fn namespaces() -> Result<RecordBatch> {
    let all = [(PG_CATALOG, "pg_catalog"), (PUBLIC, "public"), (INFORMATION_SCHEMA, "information_schema")];
    Columns::of(all.len())
        .numbers("oid", all.iter().map(|(oid, _)| *oid))
        .texts("nspname", all.iter().map(|(_, name)| name))
        .number("nspowner", OWNER)
        .nothing(&["nspacl"], &list_of_texts())
        .finish()
}

fn databases() -> Result<RecordBatch> {
    Columns::of(1)
        .number("oid", 5)
        .text("datname", DATABASE)
        .number("datdba", OWNER)
        .number("encoding", 6)
        .text("datlocprovider", "c")
        .text("datcollate", "C.UTF-8")
        .text("datctype", "C.UTF-8")
        .nothing(&["daticulocale"], &DataType::Utf8)
        .no(&["datistemplate"])
        .yes(&["datallowconn"])
        .number("datconnlimit", -1)
        .number("dattablespace", 1_663)
        .nothing(&["datacl"], &list_of_texts())
        .finish()
}

fn roles() -> Result<RecordBatch> {
    Columns::of(1)
        .number("oid", OWNER)
        .text("rolname", DATABASE)
        .yes(&["rolinherit", "rolcanlogin"])
        .no(&["rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"])
        .number("rolconnlimit", -1)
        .nothing(&["rolvaliduntil"], &DataType::Utf8)
        .finish()
}

fn users() -> Result<RecordBatch> {
    Columns::of(1)
        .text("usename", DATABASE)
        .number("usesysid", OWNER)
        .no(&["usecreatedb", "usesuper", "userepl", "usebypassrls"])
        .finish()
}

fn settings() -> Result<RecordBatch> {
    Columns::of(SETTINGS.len())
        .texts("name", SETTINGS.iter().map(|(name, _)| name))
        .texts("setting", SETTINGS.iter().map(|(_, value)| value))
        .nothing(&["unit", "category", "short_desc"], &DataType::Utf8)
        .text("context", "internal")
        .text("vartype", "string")
        .text("source", "default")
        .finish()
}

fn types() -> Result<RecordBatch> {
    let all: Vec<PostgresType> = PostgresType::all().collect();
    Columns::of(all.len())
        .numbers("oid", all.iter().map(|of| i64::from(of.oid())))
        .texts("typname", all.iter().map(|of| of.internal_name()))
        .number("typnamespace", PG_CATALOG)
        .number("typowner", OWNER)
        .numbers("typlen", all.iter().map(|of| i64::from(of.size())))
        .text("typtype", "b")
        .texts("typcategory", all.iter().map(|of| if of.list { "A" } else { "U" }))
        .yes(&["typisdefined"])
        .no(&["typnotnull"])
        .text("typdelim", ",")
        .numbers("typelem", all.iter().map(|of| i64::from(of.element_oid())))
        .numbers("typarray", all.iter().map(|of| if of.list { 0 } else { array_of(*of) }))
        .number("typrelid", 0)
        .number("typbasetype", 0)
        .number("typtypmod", -1)
        .number("typcollation", 0)
        .nothing(&["typdefault"], &DataType::Utf8)
        .finish()
}

fn array_of(of: PostgresType) -> i64 {
    i64::from(PostgresType { list: true, ..of }.oid())
}

fn classes(all: &[Described]) -> Result<RecordBatch> {
    Columns::of(all.len())
        .numbers("oid", all.iter().map(|table| table.oid))
        .texts("relname", all.iter().map(|table| &table.name))
        .number("relnamespace", PUBLIC)
        .number("reltype", 0)
        .number("reloftype", 0)
        .number("relowner", OWNER)
        .number("relam", ACCESS_METHOD)
        .number("relfilenode", 0)
        .number("reltablespace", 0)
        .number("relpages", 0)
        .number("reltuples", -1)
        .number("reltoastrelid", 0)
        .no(&["relhasindex", "relisshared"])
        .text("relpersistence", "p")
        .text("relkind", "r")
        .numbers("relnatts", all.iter().map(|table| table.columns.fields().len() as i64))
        .number("relchecks", 0)
        .no(&["relhasrules", "relhastriggers", "relhassubclass"])
        .no(&["relrowsecurity", "relforcerowsecurity", "relispartition"])
        .yes(&["relispopulated"])
        .text("relreplident", "d")
        .nothing(&["relacl", "reloptions"], &list_of_texts())
        .nothing(&["relpartbound"], &DataType::Utf8)
        .finish()
}

fn attributes(all: &[Described]) -> Result<RecordBatch> {
    let columns = || all.iter().flat_map(|table| table.columns.fields().iter().enumerate().map(move |at| (table, at)));
    let kind = |field: &Field| PostgresType::of(field.data_type());
    Columns::of(columns().count())
        .numbers("attrelid", columns().map(|(table, _)| table.oid))
        .texts("attname", columns().map(|(_, (_, field))| field.name()))
        .numbers("atttypid", columns().map(|(_, (_, field))| i64::from(kind(field).oid())))
        .numbers("attlen", columns().map(|(_, (_, field))| i64::from(kind(field).size())))
        .numbers("attnum", columns().map(|(_, (place, _))| place as i64 + 1))
        .numbers("attndims", columns().map(|(_, (_, field))| i64::from(kind(field).list)))
        .number("atttypmod", -1)
        .number("attstattarget", -1)
        .number("attcollation", 0)
        .truths("attnotnull", columns().map(|(_, (_, field))| !field.is_nullable()))
        .no(&["atthasdef", "attisdropped", "atthasmissing"])
        .yes(&["attislocal"])
        .text("attidentity", "")
        .text("attgenerated", "")
        .text("attstorage", "p")
        .text("attcompression", "")
        .nothing(&["attacl", "attoptions", "attfdwoptions"], &list_of_texts())
        .finish()
}

fn tables(all: &[Described]) -> Result<RecordBatch> {
    Columns::of(all.len())
        .text("schemaname", "public")
        .texts("tablename", all.iter().map(|table| &table.name))
        .text("tableowner", DATABASE)
        .nothing(&["tablespace"], &DataType::Utf8)
        .no(&["hasindexes", "hasrules", "hastriggers", "rowsecurity"])
        .finish()
}

fn schemata() -> Result<RecordBatch> {
    Columns::of(3)
        .text("catalog_name", DATABASE)
        .texts("schema_name", ["public", "pg_catalog", "information_schema"].iter())
        .text("schema_owner", DATABASE)
        .finish()
}

fn schema_tables(all: &[Described]) -> Result<RecordBatch> {
    Columns::of(all.len())
        .text("table_catalog", DATABASE)
        .text("table_schema", "public")
        .texts("table_name", all.iter().map(|table| &table.name))
        .text("table_type", "BASE TABLE")
        .text("is_insertable_into", "NO")
        .nothing(&["view_definition"], &DataType::Utf8)
        .finish()
}

fn schema_columns(all: &[Described]) -> Result<RecordBatch> {
    let columns = || all.iter().flat_map(|table| table.columns.fields().iter().enumerate().map(move |at| (table, at)));
    let kind = |field: &Field| PostgresType::of(field.data_type());
    let shown = |field: &Field| if kind(field).list { "ARRAY".to_owned() } else { kind(field).name() };
    Columns::of(columns().count())
        .text("table_catalog", DATABASE)
        .text("table_schema", "public")
        .texts("table_name", columns().map(|(table, _)| &table.name))
        .texts("column_name", columns().map(|(_, (_, field))| field.name()))
        .numbers("ordinal_position", columns().map(|(_, (place, _))| place as i64 + 1))
        .nothing(&["column_default"], &DataType::Utf8)
        .texts("is_nullable", columns().map(|(_, (_, field))| if field.is_nullable() { "YES" } else { "NO" }))
        .texts("data_type", columns().map(|(_, (_, field))| shown(field)))
        .nothing(&["character_maximum_length", "numeric_precision", "numeric_scale"], &DataType::Int64)
        .text("udt_catalog", DATABASE)
        .text("udt_schema", "pg_catalog")
        .texts("udt_name", columns().map(|(_, (_, field))| kind(field).internal_name()))
        .text("is_updatable", "NO")
        .finish()
}
