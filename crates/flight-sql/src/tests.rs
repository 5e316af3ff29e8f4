//! Calls as a client sends them, to a server with an empty store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{ActionCancelQueryRequest, CommandGetDbSchemas, CommandGetTables, ProstMessageExt, SqlInfo};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightInfo};
use futures::TryStreamExt;
use prost::Message;
use query::Engine;
use store::{Store, StoreOptions, SystemDisk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{Account, Service, Settings, serve};

const PASSWORD: &str = "correct horse";
/// More than any question of these tests may take.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) AS g(n) WHERE n % 7 = 3";

type Client = FlightSqlServiceClient<Channel>;

struct House {
    address: String,
    turns: Arc<Semaphore>,
    stop: CancellationToken,
    served: JoinHandle<()>,
    _data: tempfile::TempDir,
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    bytes.iter_mut().zip(number.iter().cycle()).for_each(|(byte, number)| *byte = *number);
    Ok(())
}

/// A server that has one turn, and gives each question `timeout`.
async fn house(timeout: Duration) -> House {
    let data = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(data.path().to_owned());
    let opened = tokio::task::spawn_blocking(move || Store::open(options, Arc::new(SystemDisk))).await.unwrap();
    let turns = Arc::new(Semaphore::new(1));
    let engine = Arc::new(Engine::new(64 << 20).unwrap());
    let service = Service { store: Arc::new(opened.unwrap().0), engine, turns: Arc::clone(&turns), timeout };
    let account = Account::new("tongmai".to_owned(), PASSWORD, [3; 32]);
    let settings = Settings { account, connections_max: 3, random };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, service, settings, stop.clone()));
    House { address, turns, stop, served, _data: data }
}

impl House {
    /// A client that has not said who it is.
    async fn stranger(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
    }

    async fn client(&self) -> Client {
        let mut client = self.stranger().await;
        client.handshake("tongmai", PASSWORD).await.unwrap();
        client
    }

    /// Waits until nobody has the one turn.
    async fn is_idle(&self) {
        let turn = tokio::time::timeout(Duration::from_secs(20), self.turns.acquire()).await;
        drop(turn.expect("the turn is given back").unwrap());
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.served).await.expect("it ends").unwrap();
    }
}

async fn fetch(client: &mut Client, info: FlightInfo) -> Result<Vec<RecordBatch>, String> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let rows = client.do_get(ticket).await.map_err(|error| error.to_string())?;
    rows.try_collect().await.map_err(|error| error.to_string())
}

async fn ask(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let info = client.execute(sql.to_owned(), None).await.map_err(|error| error.to_string())?;
    let promised = info.clone().try_decode_schema().unwrap();
    let rows = fetch(client, info).await?;
    assert!(rows.iter().all(|batch| *batch.schema() == promised), "{sql}: {promised}");
    Ok(rows)
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[track_caller]
fn fails<T>(outcome: Result<T, impl ToString>, expected: &str) {
    let Err(error) = outcome else { panic!("no error `{expected}`") };
    let error = error.to_string();
    assert!(error.contains(expected), "`{expected}` is missing in `{error}`");
}

#[tokio::test]
async fn questions_are_answered_once_it_is_known_who_asks() {
    let house = house(Duration::from_secs(60)).await;
    let mut client = house.stranger().await;
    fails(client.execute("SELECT 1".to_owned(), None).await, "no user name");
    fails(client.handshake("tongmai", "wrong horse").await, "wrong user name or password");
    fails(client.handshake("somebody", PASSWORD).await, "wrong user name or password");
    client.set_token("AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    fails(client.execute("SELECT 1".to_owned(), None).await, "token is not known");
    client.clear_token();
    client.handshake("tongmai", PASSWORD).await.unwrap();
    assert_eq!(numbers(&ask(&mut client, "SELECT 7").await.unwrap()), [7]);
    let rows = ask(&mut client, "SELECT n FROM generate_series(1, 100000) AS g(n) ORDER BY n").await.unwrap();
    assert_eq!(numbers(&rows), (1..=100_000).collect::<Vec<_>>());
    // No rows have columns nevertheless.
    let none = client.execute("SELECT asset FROM assets".to_owned(), None).await.unwrap();
    assert_eq!(none.clone().try_decode_schema().unwrap().field(0).name(), "asset");
    assert!(fetch(&mut client, none).await.unwrap().iter().all(|batch| batch.num_rows() == 0));
    drop(client);
    house.end().await;
}

#[tokio::test]
async fn prepared_statements_are_asked_again_until_they_are_closed() {
    let house = house(Duration::from_secs(60)).await;
    let mut client = house.client().await;
    let mut statement = client.prepare("SELECT 1 AS one UNION ALL SELECT 2".to_owned(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).name(), "one");
    for _ in 0..2 {
        let info = statement.execute().await.unwrap();
        let mut found = numbers(&fetch(&mut client, info).await.unwrap());
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    }
    statement.close().await.unwrap();
    fails(client.prepare("SELECT * FROM nowhere".to_owned(), None).await.map(drop), "not found");
    fails(client.prepare("SELECT $1::bigint".to_owned(), None).await.map(drop), "parameters are not supported");
    house.end().await;
}

#[tokio::test]
async fn what_would_change_something_is_refused() {
    let house = house(Duration::from_secs(60)).await;
    let mut client = house.client().await;
    for sql in ["DROP TABLE assets", "INSERT INTO assets VALUES ('a', 'b')", "COPY assets TO 'a.csv'", "CREATE TABLE a"]
    {
        fails(ask(&mut client, sql).await, "this server only reads");
        fails(client.prepare(sql.to_owned(), None).await.map(drop), "this server only reads");
    }
    fails(client.execute_update("DELETE FROM assets".to_owned(), None).await, "this server only reads");
    fails(client.begin_transaction().await, "no transactions");
    fails(ask(&mut client, "BEGIN").await, "no transactions");
    fails(ask(&mut client, "SET a = 1").await, "only SELECT");
    fails(ask(&mut client, "SELECT 1; SELECT 2").await, "expected one question, got 2");
    fails(ask(&mut client, "").await, "expected one question, got 0");
    fails(ask(&mut client, "SELEC 1").await, "this is no SQL");
    house.end().await;
}

#[tokio::test]
async fn tables_are_listed_with_their_columns() {
    let house = house(Duration::from_secs(60)).await;
    let mut client = house.client().await;
    let info = client.get_catalogs().await.unwrap();
    let found = fetch(&mut client, info).await.unwrap();
    assert_eq!(found[0].column(0).as_string::<i32>().value(0), "tongmai");
    let schemas = CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None };
    let info = client.get_db_schemas(schemas).await.unwrap();
    let found = fetch(&mut client, info).await.unwrap();
    assert_eq!(found[0].column(1).as_string::<i32>().value(0), "public");
    let info = client.get_table_types().await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap()[0].num_rows(), 1);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::FlightSqlServerReadOnly]).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap()[0].num_rows(), 2);
    for (pattern, expected) in [("%", vec!["assets", "observations", "signals"]), ("ass%", vec!["assets"])] {
        let tables = CommandGetTables {
            catalog: Some("tongmai".to_owned()),
            table_name_filter_pattern: Some(pattern.to_owned()),
            include_schema: true,
            ..CommandGetTables::default()
        };
        let info = client.get_tables(tables).await.unwrap();
        let found = fetch(&mut client, info).await.unwrap();
        let names: Vec<_> = found[0].column(2).as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, expected);
        assert!(found[0].column(4).as_binary::<i32>().iter().flatten().all(|columns| !columns.is_empty()));
    }
    house.end().await;
}

#[tokio::test]
async fn a_question_ends_when_it_is_cancelled_or_its_client_goes() {
    let house = house(Duration::from_secs(600)).await;
    for way in ["sql", "flight", "gone"] {
        let mut client = house.client().await;
        let mut other = house.client().await;
        let info = client.execute(LONG.to_owned(), None).await.unwrap();
        let fetching = tokio::spawn({
            let info = info.clone();
            async move { fetch(&mut client, info).await }
        });
        while house.turns.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let action = match way {
            "sql" => {
                let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
                let body = request.as_any().encode_to_vec();
                Some(Action::new("CancelQuery", body))
            }
            "flight" => Some(Action::new("CancelFlightInfo", CancelFlightInfoRequest::new(info).encode_to_vec())),
            _ => None,
        };
        match action {
            Some(action) => {
                let mut results = other.do_action(action).await.unwrap();
                assert!(results.try_next().await.unwrap().is_some());
                fails(fetching.await.unwrap(), "the query was cancelled");
            }
            None => fetching.abort(),
        }
        house.is_idle().await;
    }
    house.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_keeps_nothing_longer_than_a_question_may_take() {
    let house = house(Duration::from_secs(2)).await;
    let mut client = house.client().await;
    let sql = "SELECT n, 'a text that is long enough to fill what lies between: ' || n \
               FROM generate_series(1, 100000000) AS g(n)";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut rows = client.do_get(ticket).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    house.is_idle().await;
    fails(rows.try_collect::<Vec<_>>().await, "the query was stopped after 2 s");
    fails(ask(&mut client, LONG).await, "the query was stopped after 2 s");
    house.end().await;
}

#[tokio::test]
async fn the_end_of_the_server_ends_what_is_under_way() {
    let house = house(Duration::from_secs(600)).await;
    let mut client = house.client().await;
    let info = client.execute(LONG.to_owned(), None).await.unwrap();
    let fetching = tokio::spawn(async move { fetch(&mut client, info).await });
    while house.turns.available_permits() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let silent = TcpStream::connect(&house.address).await.unwrap();
    house.end().await;
    fails(fetching.await.unwrap(), "the query was cancelled");
    drop(silent);
}

#[tokio::test]
async fn connections_are_bounded_and_nonsense_ends_only_its_own() {
    let house = house(Duration::from_secs(60)).await;
    for bytes in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0; 4_096], &[0xff; 64], b"Q\0\0\0\x0dSELECT 1\0"]
    {
        let mut stream = TcpStream::connect(&house.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok() && answer.len() < 500, "{bytes:?} was answered by {answer:?}");
    }
    let mut client = house.client().await;
    let held = [TcpStream::connect(&house.address).await.unwrap(), TcpStream::connect(&house.address).await.unwrap()];
    // Both have to be accepted first: each is asked for what it did not send.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut further = TcpStream::connect(&house.address).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), further.read_to_end(&mut answer)).await;
    assert!(read.is_ok() && answer.is_empty(), "it is cut off at once: {answer:?}");
    assert_eq!(numbers(&ask(&mut client, "SELECT 7").await.unwrap()), [7]);
    drop(held);
    house.end().await;
}
