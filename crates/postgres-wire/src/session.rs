//! One client's commands, in the order in which they come: the simple protocol (a text at a time) and the extended one
//! (parse, bind, execute). Knows no bytes and no passwords.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut;
use query::postgres::{self, Command, Description, PARAMETERS_MAX, PostgresType, Question, SERVER_VERSION, Scalar};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cancel::Registered;
use crate::channel::{Channel, Ended};
use crate::error::{Severity, SqlError};
use crate::message::{self, Bind, Format, Frontend, MESSAGE_BYTES_MAX, Target};
use crate::parameter;
use crate::portal::{Portal, Progress, Watch, put_columns};
use crate::server::Service;

/// Prepared statements of one connection; drivers keep some hundred of them.
const STATEMENTS_MAX: usize = 1_024;
/// Bytes of SQL in all prepared statements of one connection.
const STATEMENTS_BYTES_MAX: usize = 4 << 20;
/// Portals of one connection.
const PORTALS_MAX: usize = 64;

/// A prepared statement.
struct Statement {
    plan: Plan,
    /// Types that the client said, 0 where it did not.
    declared: Vec<u32>,
    described: Option<Arc<Description>>,
    bytes: usize,
}

#[derive(Clone)]
enum Plan {
    Nothing,
    Ask(Arc<Question>),
    Do(Command),
}

/// A statement with its parameters.
enum Bound {
    Nothing,
    Ask(Box<Portal>),
    Do(Command),
}

/// Between `BEGIN` and `COMMIT`. Nothing is written, so that only the client can tell the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    Failed,
}

/// See the module.
pub(crate) struct Session<'a> {
    service: &'a Service,
    channel: &'a mut Channel,
    registered: &'a Registered,
    user: String,
    statements: HashMap<String, Statement>,
    portals: HashMap<String, Bound>,
    transaction: Transaction,
    /// After an error everything is left out until the client says where it is.
    skipping: bool,
    timeout: Duration,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        service: &'a Service,
        channel: &'a mut Channel,
        registered: &'a Registered,
        user: String,
    ) -> Self {
        Self {
            service,
            channel,
            registered,
            user,
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::None,
            skipping: false,
            timeout: service.timeout,
        }
    }

    /// Takes commands until the client ends, or cannot be understood.
    pub(crate) async fn run(mut self) -> Result<(), Ended> {
        self.greet();
        self.ready().await?;
        loop {
            let message = self.next().await?;
            let simple = matches!(message, Frontend::Query(_));
            match message {
                Frontend::Terminate => return Ok(()),
                Frontend::Sync => self.sync().await?,
                _ if self.skipping => {}
                message => {
                    let cancelled = self.registered.begin();
                    let outcome = self.take(message, &cancelled).await;
                    self.registered.end();
                    match outcome {
                        Ok(()) => {}
                        Err(Ended::Told(error)) if error.severity == Severity::Error => {
                            self.failed(&error);
                            // Whoever waits for an answer without asking to be told where it ends gets the error too.
                            self.channel.flush().await?;
                        }
                        Err(ended) => return Err(ended),
                    }
                    if simple {
                        self.skipping = false;
                        self.ready().await?;
                    }
                }
            }
            if self.channel.is_full() {
                self.channel.flush().await?;
            }
        }
    }

    /// What drivers want to know before they begin.
    fn greet(&mut self) {
        for (name, value) in [
            ("server_version", SERVER_VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("application_name", ""),
            ("is_superuser", "off"),
            ("session_authorization", &self.user),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("default_transaction_read_only", "on"),
            ("in_hot_standby", "off"),
        ] {
            message::put_parameter_status(&mut self.channel.out, name, value);
        }
    }

    async fn ready(&mut self) -> Result<(), Ended> {
        let status = match self.transaction {
            Transaction::None => b'I',
            Transaction::Open => b'T',
            Transaction::Failed => b'E',
        };
        message::put(&mut self.channel.out, b'Z', |out| out.put_u8(status));
        Ok(self.channel.flush().await?)
    }

    /// The next message. Questions that are not fetched in time give up their turn meanwhile.
    async fn next(&mut self) -> Result<Frontend, Ended> {
        loop {
            let portals = self.portals.values().filter_map(|bound| match bound {
                Bound::Ask(portal) => portal.deadline(),
                _ => None,
            });
            let message = self.channel.message(MESSAGE_BYTES_MAX);
            let Some(deadline) = portals.min() else { return message.await };
            if let Ok(message) = tokio::time::timeout_at(deadline, message).await {
                return message;
            }
            for bound in self.portals.values_mut() {
                if let Bound::Ask(portal) = bound {
                    portal.expire(Instant::now());
                }
            }
        }
    }

    fn failed(&mut self, error: &SqlError) {
        message::put_error(&mut self.channel.out, error);
        self.skipping = true;
        self.portals.clear();
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
    }

    async fn sync(&mut self) -> Result<(), Ended> {
        self.skipping = false;
        if self.transaction == Transaction::None {
            self.portals.clear();
        }
        self.ready().await
    }

    async fn take(&mut self, message: Frontend, cancelled: &CancellationToken) -> Result<(), Ended> {
        match message {
            Frontend::Query(sql) => self.query(&sql, cancelled).await,
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, types, cancelled).await,
            Frontend::Bind(bind) => self.bind(bind, cancelled).await,
            Frontend::Describe(Target::Statement(name)) => self.describe_statement(&name, cancelled).await,
            Frontend::Describe(Target::Portal(name)) => self.describe_portal(&name, cancelled).await,
            Frontend::Execute { portal, rows_max } => self.execute(&portal, rows_max, cancelled).await,
            Frontend::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                message::put_empty(&mut self.channel.out, b'3');
                Ok(())
            }
            Frontend::Flush => Ok(self.channel.flush().await?),
            Frontend::Proof(_) => Err(SqlError::protocol("nobody asked for a proof").into()),
            // Data of a copy that was refused are on their way; PostgreSQL ignores them as well.
            Frontend::CopyData | Frontend::Sync | Frontend::Terminate => Ok(()),
        }
    }

    /// The simple protocol: one text with any number of commands, values as text.
    async fn query(&mut self, sql: &str, cancelled: &CancellationToken) -> Result<(), Ended> {
        self.portals.remove("");
        let commands = self.understand(sql, cancelled).await?;
        if commands.is_empty() {
            message::put_empty(&mut self.channel.out, b'I');
        }
        for command in commands {
            self.allowed(&command)?;
            match command {
                Command::Ask(question) => {
                    let mut portal = Portal::new(question, Vec::new(), Vec::new());
                    let mut watch = Watch { channel: &mut *self.channel, cancelled };
                    portal.start(self.service, self.timeout, &mut watch).await?;
                    portal.describe(&mut watch.channel.out);
                    let progress = portal.send_rows(self.service, 0, &mut watch).await?;
                    self.progressed(portal.question.tag, &progress);
                }
                command => {
                    let tag = self.command(command)?;
                    message::put_complete(&mut self.channel.out, tag);
                }
            }
        }
        Ok(())
    }

    async fn understand(&mut self, sql: &str, cancelled: &CancellationToken) -> Result<Vec<Command>, Ended> {
        let understood = self.service.engine.understand(sql, &self.user);
        let commands = Watch { channel: self.channel, cancelled }.unless(understood).await?;
        Ok(commands.map_err(SqlError::from)?)
    }

    fn progressed(&mut self, tag: &str, progress: &Progress) {
        let out = &mut self.channel.out;
        match progress {
            Progress::Complete { rows } if tag == "SELECT" => message::put_complete(out, &format!("SELECT {rows}")),
            Progress::Complete { .. } => message::put_complete(out, tag),
            Progress::Suspended => message::put_empty(out, b's'),
        }
    }

    /// Whether `command` may be done now.
    fn allowed(&self, command: &Command) -> Result<(), SqlError> {
        if self.transaction == Transaction::Failed && !matches!(command, Command::Commit | Command::Rollback) {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(SqlError::new("25P02", message));
        }
        Ok(())
    }

    /// Does what has no rows; returns its tag.
    fn command(&mut self, command: Command) -> Result<&'static str, SqlError> {
        match command {
            Command::Begin => {
                self.transaction = Transaction::Open;
                Ok("BEGIN")
            }
            Command::Commit | Command::Rollback => {
                let kept = self.transaction != Transaction::Failed && matches!(command, Command::Commit);
                self.transaction = Transaction::None;
                self.portals.clear();
                Ok(if kept { "COMMIT" } else { "ROLLBACK" })
            }
            Command::Discard => {
                self.statements.clear();
                self.portals.clear();
                self.timeout = self.service.timeout;
                Ok("DISCARD ALL")
            }
            Command::Reset => {
                self.timeout = self.service.timeout;
                Ok("RESET")
            }
            Command::Deallocate(None) => {
                self.statements.clear();
                Ok("DEALLOCATE ALL")
            }
            Command::Deallocate(Some(name)) => match self.statements.remove(&name) {
                Some(_) => Ok("DEALLOCATE"),
                None => Err(no_statement(&name)),
            },
            Command::Nothing(tag) => Ok(tag),
            Command::Set(name, value) if name == "statement_timeout" => {
                let asked = duration(&value).ok_or_else(|| {
                    SqlError::new("22023", format!("invalid value for parameter \"statement_timeout\": \"{value}\""))
                })?;
                self.timeout = if asked.is_zero() { self.service.timeout } else { asked.min(self.service.timeout) };
                Ok("SET")
            }
            Command::Set(name, _) if postgres::is_setting(&name) => Ok("SET"),
            Command::Set(name, _) => {
                Err(SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\"")))
            }
            Command::Refused(what) => Err(SqlError::read_only(&what)),
            Command::Ask(_) => Err(SqlError::new("XX000", "a question was taken for a command")),
        }
    }

    async fn parse(
        &mut self,
        name: String,
        sql: &str,
        declared: Vec<u32>,
        cancelled: &CancellationToken,
    ) -> Result<(), Ended> {
        for oid in declared.iter().filter(|oid| **oid != 0) {
            parameter::kind(*oid)?;
        }
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(SqlError::new("42P05", format!("prepared statement \"{name}\" already exists")).into());
        }
        self.statements.remove(&name);
        let bytes: usize = sql.len() + self.statements.values().map(|statement| statement.bytes).sum::<usize>();
        if self.statements.len() >= STATEMENTS_MAX || bytes > STATEMENTS_BYTES_MAX {
            return Err(SqlError::new("54000", "there are too many prepared statements in this connection").into());
        }
        let mut commands = self.understand(sql, cancelled).await?;
        if commands.len() > 1 {
            return Err(SqlError::new("42601", "cannot insert multiple commands into a prepared statement").into());
        }
        let plan = match commands.pop() {
            None => Plan::Nothing,
            Some(command) => {
                self.allowed(&command)?;
                match command {
                    Command::Ask(question) => Plan::Ask(question),
                    Command::Refused(what) => return Err(SqlError::read_only(&what).into()),
                    command => Plan::Do(command),
                }
            }
        };
        self.statements.insert(name, Statement { plan, declared, described: None, bytes: sql.len() });
        message::put_empty(&mut self.channel.out, b'1');
        Ok(())
    }

    /// What the statement takes and gives, which is found out once and only when somebody needs it.
    async fn described(
        &mut self,
        name: &str,
        cancelled: &CancellationToken,
    ) -> Result<Option<Arc<Description>>, Ended> {
        let statement = self.statements.get_mut(name).ok_or_else(|| no_statement(name))?;
        if let (None, Plan::Ask(question)) = (&statement.described, &statement.plan) {
            let snapshot = self.service.store.snapshot();
            let described = self.service.engine.describe(&snapshot, question, self.timeout);
            let described = Watch { channel: self.channel, cancelled }.unless(described).await?;
            statement.described = Some(Arc::new(described.map_err(SqlError::from)?));
        }
        Ok(statement.described.clone())
    }

    async fn describe_statement(&mut self, name: &str, cancelled: &CancellationToken) -> Result<(), Ended> {
        let described = self.described(name, cancelled).await?;
        let statement = self.statements.get(name).ok_or_else(|| no_statement(name))?;
        let types = parameter_types(&statement.declared, described.as_deref());
        let out = &mut self.channel.out;
        message::put(out, b't', |out| {
            out.put_u16(types.len() as u16);
            types.iter().for_each(|oid| out.put_u32(*oid));
        });
        match (described, &statement.plan) {
            (Some(described), Plan::Ask(question)) => put_columns(out, &described.columns, question, &[]),
            _ => message::put_empty(out, b'n'),
        }
        Ok(())
    }

    async fn bind(&mut self, bind: Bind, cancelled: &CancellationToken) -> Result<(), Ended> {
        let statement = self.statements.get(&bind.statement).ok_or_else(|| no_statement(&bind.statement))?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Err(SqlError::new("42P03", format!("cursor \"{}\" already exists", bind.portal)).into());
        }
        let told = statement.declared.len() == bind.values.len() && !statement.declared.contains(&0);
        let described = match told {
            true => statement.described.clone(),
            false => self.described(&bind.statement, cancelled).await?,
        };
        let statement = self.statements.get(&bind.statement).ok_or_else(|| no_statement(&bind.statement))?;
        let types = parameter_types(&statement.declared, described.as_deref());
        let (given, expected) = (bind.values.len(), types.len());
        if given != expected || given > PARAMETERS_MAX {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {expected}",
                bind.statement
            );
            return Err(SqlError::new("08P01", message).into());
        }
        self.portals.remove(&bind.portal);
        if self.portals.len() >= PORTALS_MAX {
            return Err(SqlError::new("54000", "there are too many portals in this connection").into());
        }
        let values =
            bind.values.iter().zip(&types).enumerate().map(|(place, (value, oid))| {
                parameter::value(*oid, Format::at(&bind.formats, place), value.as_deref())
            });
        let values = values.collect::<Result<_, _>>()?;
        let bound = match statement.plan.clone() {
            Plan::Nothing => Bound::Nothing,
            Plan::Do(command) => Bound::Do(command),
            Plan::Ask(question) => {
                let promised = described.map(|described| Arc::clone(&described.columns));
                Bound::Ask(Box::new(Portal::new(question, values, bind.results).promising(promised)))
            }
        };
        self.portals.insert(bind.portal, bound);
        message::put_empty(&mut self.channel.out, b'2');
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str, cancelled: &CancellationToken) -> Result<(), Ended> {
        let bound = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        match bound {
            Bound::Ask(portal) => {
                let mut watch = Watch { channel: self.channel, cancelled };
                portal.start(self.service, self.timeout, &mut watch).await?;
                portal.describe(&mut self.channel.out);
            }
            Bound::Nothing | Bound::Do(_) => message::put_empty(&mut self.channel.out, b'n'),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, rows_max: usize, cancelled: &CancellationToken) -> Result<(), Ended> {
        let bound = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        match bound {
            Bound::Nothing => message::put_empty(&mut self.channel.out, b'I'),
            Bound::Do(command) => {
                let command = command.clone();
                self.allowed(&command)?;
                let tag = self.command(command)?;
                message::put_complete(&mut self.channel.out, tag);
            }
            Bound::Ask(portal) => {
                if self.transaction == Transaction::Failed {
                    return Ok(self.allowed(&Command::Begin)?);
                }
                let mut watch = Watch { channel: self.channel, cancelled };
                portal.start(self.service, self.timeout, &mut watch).await?;
                let progress = portal.send_rows(self.service, rows_max, &mut watch).await?;
                let tag = portal.question.tag;
                self.progressed(tag, &progress);
            }
        }
        Ok(())
    }
}

fn no_statement(name: &str) -> SqlError {
    SqlError::new("26000", format!("prepared statement \"{name}\" does not exist"))
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new("34000", format!("portal \"{name}\" does not exist"))
}

/// What the client said of each parameter, else what the question tells, else text.
fn parameter_types(declared: &[u32], described: Option<&Description>) -> Vec<u32> {
    let found = described.map_or(&[][..], |described| &described.parameters);
    let of = |place: usize| {
        let declared = declared.get(place).copied().filter(|oid| *oid != 0);
        let found = || found.get(place).and_then(Option::as_ref).map(|kind| PostgresType::of(kind).oid());
        declared.or_else(found).unwrap_or_else(|| PostgresType::one(Scalar::Text).oid())
    };
    (0..declared.len().max(found.len())).map(of).collect()
}

/// A time as `SET statement_timeout` takes it: milliseconds, or a number with its unit.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis: u64 = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(digits.parse::<u64>().ok()?.saturating_mul(millis)))
}
