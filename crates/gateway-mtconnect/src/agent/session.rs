//! Follows one agent: device models first, then where to go on, then its observations, for ever. Knows how the pieces
//! work together, and leaves HTTP, XML and the arithmetic of positions to them.

use std::convert::Infallible;
use std::time::Duration;

use gateway::{Backoff, Connection, GatewayError, IngestError, Link, Pending, Rejection};

use super::AgentOptions;
use super::align::{self, Gap, Start};
use super::decode::{Decoder, DecoderError, Taken};
use super::document::{AgentError, Document, DocumentError, Streams, read_document};
use super::http::{Answer, Http, HttpError, Sampling};
use super::multipart::MultipartError;
use super::position::{Position, Repeats, read_cursor, write_cursor};

/// The longest wait before an agent is tried again.
const WAIT_SECS_MAX: u64 = 30;
/// The shortest wait between two polls, and before a request that changed nothing is made again.
const POLL_MS_MIN: u64 = 100;
/// How much of an answer that cannot be read is kept before the mistake, and as much behind it.
const EXCERPT_BYTES: usize = 512;

/// Why the agent cannot be followed for now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the answer to `{request}` cannot be read")]
    Document { request: &'static str, source: DocumentError },
    #[error("the agent answered `{request}` with HTTP status {status}")]
    Status { request: &'static str, status: u16 },
    #[error("the agent refused `{request}`: {told}")]
    Told { request: &'static str, told: String },
    #[error("the device models cannot be used")]
    Models(#[source] DecoderError),
    #[error("what was read cannot be delivered")]
    Delivery(#[source] IngestError),
}

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Go on from the position.
    On,
    /// Nothing new came: wait a little first.
    Wait,
    /// What came cannot be used, nor what follows it in a stream: ask anew.
    Again,
    /// The buffer may not hold what is next: look where to go on.
    Align,
    /// The agent lives anew: ask for its device models as well.
    Probe,
}

/// How observations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Stream,
    Poll,
}

/// One run of the gateway.
pub(super) struct Session<'a> {
    link: &'a Link,
    options: &'a AgentOptions,
    http: Http,
    pending: Pending,
    backoff: Backoff,
    decoder: Option<Decoder>,
    position: Option<Position>,
    repeats: Repeats,
    mode: Mode,
    /// How many observations are asked for at once; fewer while the agent sends what cannot be read.
    count: u32,
    /// The position at which even a single observation could not be read before.
    spoilt_at: Option<u64>,
    device_model_change_time: Option<Box<str>>,
}

impl<'a> Session<'a> {
    /// Goes on at the durable position of `link`, if there is one.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub(super) fn new(link: &'a Link, options: &'a AgentOptions) -> Result<Self, GatewayError> {
        let http = Http::new(&options.url, options.device.as_deref(), options.heartbeat_ms)?;
        let stored = link.cursor();
        let read = stored.as_deref().map(read_cursor);
        if let Some(None) = read {
            tracing::warn!(gateway = link.name(), "stored position cannot be read, the agent's buffer is read in full");
        }
        let (position, repeats) = read.flatten().unzip();
        Ok(Self {
            link,
            options,
            http,
            pending: Pending::default(),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(WAIT_SECS_MAX), options.seed),
            decoder: None,
            position,
            repeats: repeats.unwrap_or_default(),
            mode: Mode::Stream,
            count: options.count_max.max(1),
            spoilt_at: None,
            device_model_change_time: None,
        })
    }

    /// Follows the agent, trying again after every trouble.
    ///
    /// # Errors
    /// When what was read cannot be delivered.
    pub(super) async fn run(&mut self) -> Result<Infallible, GatewayError> {
        loop {
            self.link.report(Connection::Connecting);
            let trouble = match self.follow().await {
                Ok(never) => match never {},
                Err(Trouble::Delivery(error)) => return Err(GatewayError::Delivery(error)),
                Err(trouble) => trouble,
            };
            // A new attempt may meet another agent behind the address: ask it everything again.
            self.decoder = None;
            self.mode = Mode::Stream;
            self.link.report(Connection::Waiting(chain(&trouble)));
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
    }

    /// Waits until what was decoded is durable.
    ///
    /// # Errors
    /// When it cannot be delivered.
    pub(super) async fn settle(&mut self) -> Result<(), GatewayError> {
        self.pending.settle().await.map_err(GatewayError::Delivery)
    }

    async fn follow(&mut self) -> Result<Infallible, Trouble> {
        let mut turn = Turn::Probe;
        self.link.counters().connected();
        loop {
            turn = match turn {
                Turn::Probe => {
                    self.probe().await?;
                    Turn::Align
                }
                Turn::Align => {
                    let turn = self.align().await?;
                    self.link.report(Connection::Connected);
                    turn
                }
                Turn::Wait => {
                    let wait_ms = u64::from(self.options.interval_ms).max(POLL_MS_MIN);
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    Turn::On
                }
                Turn::Again => {
                    tokio::time::sleep(Duration::from_millis(POLL_MS_MIN)).await;
                    Turn::On
                }
                Turn::On if self.mode == Mode::Stream => self.stream().await?,
                Turn::On => self.poll().await?,
            };
        }
    }

    async fn probe(&mut self) -> Result<(), Trouble> {
        let answer = self.http.probe().await?;
        self.count_bytes(answer.body.len());
        let decoder = match Decoder::new(&answer.body, self.options) {
            Ok(decoder) => decoder,
            Err(error) => {
                // The agent may have answered with an error document or a page for people.
                return Err(match read_document(&answer.body) {
                    Ok(Document::Error(errors)) => told("probe", &errors),
                    _ if answer.status >= 400 => Trouble::Status { request: "probe", status: answer.status },
                    _ => Trouble::Models(error),
                });
            }
        };
        self.link.report_assets(decoder.assets());
        for warning in decoder.warnings() {
            tracing::debug!(gateway = self.link.name(), %warning, "device model");
        }
        self.decoder = Some(decoder.succeeding(self.decoder.take()));
        self.device_model_change_time = None;
        Ok(())
    }

    /// Looks what the buffer holds and settles where to go on.
    async fn align(&mut self) -> Result<Turn, Trouble> {
        let answer = self.http.current().await?;
        let (body, streams) = match self.read_streams("current", answer) {
            // A single odd value must not keep us from all others: the header of any answer tells enough.
            Err(Trouble::Document { source: DocumentError::Malformed { .. }, .. }) => {
                let answer = self.http.sample(None, 1).await?;
                let (_, mut streams) = self.read_streams("sample", answer)?;
                streams.devices.clear();
                (Vec::new(), streams)
            }
            read => read?,
        };
        let highest = highest_of(&streams);
        let Start::From { next, snapshot, gap } = align::plan(self.position.as_ref(), &streams.header, highest) else {
            // The position is as good as it was before, so do not ask again at once.
            return Ok(Turn::Wait);
        };
        if let Some(gap) = &gap {
            tracing::warn!(gateway = self.link.name(), reason = gap.reason, "gap");
        }
        let mut taken = self.take(&body, &streams, snapshot).await?;
        // From here on nothing can go wrong before the position is delivered with what it stands for.
        self.position = Some(Position { instance_id: streams.header.instance_id, next });
        if let Some(gap) = gap {
            self.record_gap(&gap, &mut taken);
        }
        self.deliver(taken).await?;
        Ok(Turn::On)
    }

    async fn stream(&mut self) -> Result<Turn, Trouble> {
        let Some(position) = &self.position else { return Ok(Turn::Align) };
        let mut stream = match self.http.stream(position.next, self.count, self.options.interval_ms).await? {
            Sampling::Stream(stream) => stream,
            Sampling::Answer(answer) => return self.answer_instead_of_stream(answer).await,
        };
        loop {
            let (body, bytes) = match stream.next_part().await {
                Ok(part) => part,
                Err(HttpError::Parts(error @ MultipartError::PartTooLong { .. })) => {
                    return self.spoilt(&error.to_string(), &[]).await;
                }
                Err(error) => return Err(error.into()),
            };
            self.count_bytes(bytes);
            let answer = Answer { status: 200, body };
            let count = self.count;
            match self.answer_to_sample(answer).await? {
                // With another count the request has to be made anew.
                Turn::On | Turn::Wait if self.count == count => {}
                turn => return Ok(turn),
            }
        }
    }

    /// Takes an answer that is no stream, and asks for no further stream unless it says that the position is wrong.
    async fn answer_instead_of_stream(&mut self, answer: Answer) -> Result<Turn, Trouble> {
        let status = answer.status;
        let turn = match self.answer_to_sample(answer).await {
            Ok(Turn::Align) => return Ok(Turn::Align),
            // What was wrong with it may have been the wish for a stream.
            Err(Trouble::Told { .. } | Trouble::Status { .. } | Trouble::Document { .. }) => Ok(Turn::On),
            turn => turn,
        };
        self.mode = Mode::Poll;
        tracing::info!(gateway = self.link.name(), status, "agent does not stream, polling it");
        turn
    }

    async fn poll(&mut self) -> Result<Turn, Trouble> {
        let Some(position) = &self.position else { return Ok(Turn::Align) };
        let answer = match self.http.sample(Some(position.next), self.count).await {
            Err(error @ HttpError::TooLarge { .. }) => return self.spoilt(&error.to_string(), &[]).await,
            answer => answer?,
        };
        self.count_bytes(answer.body.len());
        self.answer_to_sample(answer).await
    }

    /// Takes one answer to `sample`, from a stream or by itself.
    async fn answer_to_sample(&mut self, answer: Answer) -> Result<Turn, Trouble> {
        let status = answer.status;
        let streams = match read_document(&answer.body) {
            Ok(Document::Streams(streams)) => streams,
            Ok(Document::Error(errors)) if errors.iter().any(|error| is_out_of_range(&error.code)) => {
                return Ok(Turn::Align);
            }
            Ok(Document::Error(errors)) => return Err(told("sample", &errors)),
            Err(_) if status >= 400 => return Err(Trouble::Status { request: "sample", status }),
            Err(DocumentError::Malformed { offset, problem }) => {
                let (detail, excerpt) = excerpt(&answer.body, offset, &problem);
                return self.spoilt(&detail, excerpt).await;
            }
            Err(source) => return Err(Trouble::Document { request: "sample", source }),
        };
        let Some(position) = &self.position else { return Ok(Turn::Align) };
        if streams.header.instance_id != position.instance_id {
            return Ok(Turn::Probe);
        }
        let before = position.next;
        let lowest = sequences(&streams).filter(|sequence| *sequence >= before).min();
        if streams.header.first_sequence.is_some_and(|first| first > before) && lowest.is_none_or(|low| low > before) {
            return Ok(Turn::Align);
        }
        if self.is_model_changed(&streams) {
            self.probe().await?;
        }
        // Some agents tell the end of their buffer even where the answer ends before it for being full; and reading
        // never goes back.
        let next = match highest_of(&streams) {
            Some(highest) if sequences(&streams).count() >= self.count as usize => highest + 1,
            highest => align::next_of(&streams.header, highest),
        };
        let next = next.max(before);
        let is_full = streams.header.last_sequence.is_some_and(|last| last >= next);
        let taken = self.take(&answer.body, &streams, before..u64::MAX).await?;
        if let Some(position) = &mut self.position {
            position.next = next;
        }
        if next > before {
            self.deliver(taken).await?;
        }
        self.backoff.reset();
        self.spoilt_at = None;
        self.count = self.count.saturating_mul(2).min(self.options.count_max.max(1));
        Ok(if is_full && next > before { Turn::On } else { Turn::Wait })
    }

    /// Whether the agent says that its device models are others than those that were read.
    fn is_model_changed(&mut self, streams: &Streams) -> bool {
        let told = &streams.header.device_model_change_time;
        let is_changed = self.device_model_change_time.is_some() && self.device_model_change_time != *told;
        self.device_model_change_time.clone_from(told);
        is_changed
    }

    /// Decodes what is in `wanted`; asks for the device models once when a data item is not in them.
    async fn take(&mut self, body: &[u8], streams: &Streams, wanted: std::ops::Range<u64>) -> Result<Taken, Trouble> {
        if self.decoder.as_mut().is_some_and(|decoder| decoder.meets_unknown(streams, &wanted)) {
            self.probe().await?;
        }
        let Some(decoder) = &self.decoder else { return Ok(Taken::default()) };
        let mut taken = decoder.take(streams, &wanted, &mut self.repeats);
        self.link.counters().read(0, 1, taken.observations, self.link.clock().now());
        for (refusal, place) in std::mem::take(&mut taken.refusals) {
            let bytes = body.get(place).unwrap_or_default();
            self.link.reject(refusal.rejection(&bytes[..bytes.len().min(2 * EXCERPT_BYTES)]));
        }
        for wish in std::mem::take(&mut taken.assets_wanted) {
            let document = self.fetch_asset(wish.asset_id()).await;
            taken.add_asset(&wish, document.as_deref());
        }
        Ok(taken)
    }

    /// The document of an asset; where it cannot be had, that is told and the change is recorded without it.
    async fn fetch_asset(&self, asset_id: &str) -> Option<String> {
        let problem = match self.http.asset(asset_id).await {
            Ok(answer) if answer.status < 400 => match String::from_utf8(answer.body) {
                Ok(document) if !document.contains("MTConnectError") => return Some(document),
                Ok(_) => "the agent does not have it".to_owned(),
                Err(error) => format!("expected UTF-8, {}", error.utf8_error()),
            },
            Ok(answer) => format!("the agent answered with HTTP status {}", answer.status),
            Err(error) => chain(&error),
        };
        self.link.reject(Rejection { reason: "asset not fetched", detail: &problem, bytes: asset_id.as_bytes() });
        None
    }

    fn record_gap(&mut self, gap: &Gap, taken: &mut Taken) {
        let (Some(decoder), Some(position)) = (&self.decoder, &self.position) else { return };
        decoder.record_gap(gap, &position.instance_id, self.link.clock().now(), taken, &mut self.repeats);
    }

    /// Delivers `taken` with the position behind it: the position goes with the last batch, so that it is durable
    /// only when all are.
    async fn deliver(&mut self, taken: Taken) -> Result<(), Trouble> {
        let Some(position) = &self.position else { return Ok(()) };
        let cursor = write_cursor(position, &self.repeats);
        let Some(decoder) = &self.decoder else { return Ok(()) };
        let mut batches = decoder.batches(taken, self.link.clock().now());
        let last = batches.pop();
        for batch in batches {
            self.pending.deliver(self.link, batch, None).await.map_err(Trouble::Delivery)?;
        }
        if let Some(last) = last {
            self.pending.deliver(self.link, last, Some(cursor)).await.map_err(Trouble::Delivery)?;
        }
        Ok(())
    }

    /// After an answer that cannot be read: asks for less and less, and at last leaves out the one observation that
    /// spoils the answer, telling so. The good ones beside it are not lost.
    async fn spoilt(&mut self, detail: &str, excerpt: &[u8]) -> Result<Turn, Trouble> {
        self.link.reject(Rejection { reason: "malformed document", detail, bytes: excerpt });
        if self.count > 1 {
            self.count /= 2;
            return Ok(Turn::Again);
        }
        // Perhaps only the stream is cut wrongly.
        if self.mode == Mode::Stream {
            self.mode = Mode::Poll;
            return Ok(Turn::Again);
        }
        let Some(position) = &mut self.position else { return Ok(Turn::Align) };
        if self.spoilt_at.replace(position.next) != Some(position.next) {
            return Ok(Turn::Again);
        }
        let gap = Gap {
            reason: "an observation of the agent cannot be read",
            sequences: position.next..position.next + 1,
            previous: None,
        };
        position.next += 1;
        let mut taken = Taken::default();
        self.record_gap(&gap, &mut taken);
        self.deliver(taken).await?;
        Ok(Turn::Again)
    }

    fn read_streams(&mut self, request: &'static str, answer: Answer) -> Result<(Vec<u8>, Streams), Trouble> {
        match read_document(&answer.body) {
            Ok(Document::Streams(streams)) => Ok((answer.body, streams)),
            Ok(Document::Error(errors)) => Err(told(request, &errors)),
            Err(_) if answer.status >= 400 => Err(Trouble::Status { request, status: answer.status }),
            Err(source) => {
                if let DocumentError::Malformed { offset, problem } = &source {
                    let (detail, bytes) = excerpt(&answer.body, *offset, problem);
                    self.link.reject(Rejection { reason: "malformed document", detail: &detail, bytes });
                }
                Err(Trouble::Document { request, source })
            }
        }
    }

    fn count_bytes(&self, bytes: usize) {
        self.link.counters().read(bytes as u64, 0, 0, self.link.clock().now());
    }
}

fn sequences(streams: &Streams) -> impl Iterator<Item = u64> {
    streams.devices.iter().flat_map(|device| &device.said).map(|said| said.sequence)
}

fn highest_of(streams: &Streams) -> Option<u64> {
    sequences(streams).max()
}

/// The standard's word, and what other agents say instead.
fn is_out_of_range(code: &str) -> bool {
    matches!(code, "OUT_OF_RANGE" | "OutOfRange" | "MTInvalidRange")
}

fn told(request: &'static str, errors: &[AgentError]) -> Trouble {
    let told: Vec<_> = errors.iter().take(5).map(|error| format!("{} {:.200}", error.code, error.message)).collect();
    Trouble::Told { request, told: if told.is_empty() { "no reason given".into() } else { told.join("; ") } }
}

/// Where the mistake is, and the bytes around it.
fn excerpt<'b>(body: &'b [u8], offset: usize, problem: &str) -> (String, &'b [u8]) {
    let end = body.len().min(offset.saturating_add(EXCERPT_BYTES));
    (format!("offset {offset}: {problem}"), &body[offset.saturating_sub(EXCERPT_BYTES).min(end)..end])
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
