//! `tongmai order`: asks something of a vehicle through a running server, and tells what became of it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// How often it is looked whether an order has come to an end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// See the module.
#[derive(clap::Args)]
pub(crate) struct OrderArguments {
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7878", global = true)]
    server: String,
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Ask for the values of parameters.
    Query {
        /// The vehicle.
        vin: String,
        /// Their names, such as report_period.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Set parameters.
    Set {
        /// The vehicle.
        vin: String,
        /// Names and values, such as report_period=10.
        #[arg(required = true, value_name = "NAME=VALUE")]
        values: Vec<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Tell it to do something.
    Control {
        /// The vehicle.
        vin: String,
        /// What: upgrade, power_off, reset, factory_reset, disconnect, alarm or start_sampling_link.
        kind: String,
        /// Of an alarm, its level.
        #[arg(long)]
        level: Option<u8>,
        /// Of an alarm or an upgrade, its text.
        #[arg(long)]
        text: Option<String>,
        /// Other arguments, in hexadecimal digits.
        #[arg(long, value_name = "HEX", conflicts_with = "text")]
        bytes: Option<String>,
        #[command(flatten)]
        patience: Patience,
    },
    /// Show what was ordered, the newest first.
    List {
        /// Only for this vehicle.
        vin: Option<String>,
        /// As many.
        #[arg(long, default_value_t = 20)]
        limit: u16,
    },
}

#[derive(clap::Args)]
struct Patience {
    /// Seconds in which it may be sent, if the vehicle is not connected now.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    expires: u64,
    /// Return at once, without waiting for what becomes of it.
    #[arg(long)]
    no_wait: bool,
}

pub(crate) async fn run(arguments: OrderArguments) -> Result<()> {
    let server = Server { url: arguments.server, client: reqwest::Client::new() };
    let (vin, mut body, patience) = match arguments.order {
        Order::List { vin, limit } => {
            let of_vehicle = vin.map(|vin| format!("&asset=vehicle/{vin}")).unwrap_or_default();
            let orders = server.get(&format!("/api/v1/orders?limit={limit}{of_vehicle}")).await?;
            let orders = orders["orders"].as_array().map(Vec::as_slice).unwrap_or_default();
            return crate::say(&orders.iter().map(line).collect::<String>());
        }
        Order::Query { vin, names, patience } => {
            (vin, json!({ "command": "query_parameters", "parameters": names }), patience)
        }
        Order::Set { vin, values, patience } => {
            let parameters: Result<Map<String, Value>> = values.iter().map(|text| parameter(text)).collect();
            (vin, json!({ "command": "set_parameters", "parameters": parameters? }), patience)
        }
        Order::Control { vin, kind, level, text, bytes, patience } => {
            let said =
                [("level", level.map(Value::from)), ("text", text.map(Value::from)), ("bytes", bytes.map(Value::from))];
            let arguments: Map<String, Value> =
                said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            let arguments = if arguments.is_empty() { Value::Null } else { arguments.into() };
            (vin, json!({ "command": "control", "control": { "kind": kind, "arguments": arguments } }), patience)
        }
    };
    body["asset"] = format!("vehicle/{vin}").into();
    body["expires_secs"] = patience.expires.into();
    let given = server.post("/api/v1/orders", &body).await?;
    if patience.no_wait {
        return crate::say(&line(&given));
    }
    let order = server.end_of(&given, Duration::from_secs(patience.expires)).await?;
    crate::say(&line(&order))?;
    if order["state"] == "answered" { Ok(()) } else { Err(anyhow!("the order was not carried out")) }
}

/// `name=value`, the value as a number where it is one.
fn parameter(text: &str) -> Result<(String, Value)> {
    let (name, value) = text.split_once('=').with_context(|| format!("`{text}`: expected NAME=VALUE"))?;
    let value = match (value.parse::<i64>(), value.parse::<f64>()) {
        (Ok(whole), _) => Value::from(whole),
        (_, Ok(number)) => Value::from(number),
        _ => Value::from(value),
    };
    Ok((name.to_owned(), value))
}

/// One order for people: number, vehicle, state, what was asked, what was answered or why it failed.
fn line(order: &Value) -> String {
    let text = |name: &str| order[name].as_str().unwrap_or_default();
    let mut line = format!("{} {} {} {}", text("id"), text("asset"), text("state"), asked(&order["request"]));
    match (&order["answer"]["parameters"], &order["reason"]) {
        (Value::Array(parameters), _) => {
            let shown = parameters
                .iter()
                .map(|one| format!("{}={}", one["id"].as_str().unwrap_or_default(), plain(&one["value"])));
            line += &format!(": {}", shown.collect::<Vec<_>>().join(" "));
        }
        (_, Value::String(reason)) => line += &format!(": {reason}"),
        _ => {}
    }
    line + "\n"
}

fn asked(request: &Value) -> String {
    match (&request["parameters"], &request["control"]["kind"]) {
        (Value::Array(names), _) => {
            format!("query {}", names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        }
        (Value::Object(values), _) => {
            let values = values.iter().map(|(name, value)| format!("{name}={}", plain(value)));
            format!("set {}", values.collect::<Vec<_>>().join(" "))
        }
        (_, kind) => format!("control {}", plain(kind)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(parts) => ["value", "text", "bytes", "quality"]
            .iter()
            .find_map(|name| parts.get(*name))
            .map_or_else(|| value.to_string(), plain),
        _ => value.to_string(),
    }
}

struct Server {
    url: String,
    client: reqwest::Client,
}

impl Server {
    async fn get(&self, path: &str) -> Result<Value> {
        self.heard(self.client.get(self.at(path))).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.client.post(self.at(path)).header("content-type", "application/json");
        self.heard(request.body(body.to_string())).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    async fn heard(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let unreachable = || format!("failed to reach the server at {} (--server names another one)", self.url);
        let response = request.send().await.with_context(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.with_context(unreachable)?;
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            let message = told["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
            bail!("{message}");
        }
        Ok(told)
    }

    /// The order `given` when it has come to its end.
    async fn end_of(&self, given: &Value, expires: Duration) -> Result<Value> {
        let path = format!("/api/v1/orders?limit=1000&asset={}", given["asset"].as_str().unwrap_or_default());
        // Some time is left for the vehicle to answer.
        let (started, wait_max) = (Instant::now(), expires + Duration::from_secs(120));
        while started.elapsed() < wait_max {
            let orders = self.get(&path).await?;
            let order = orders["orders"].as_array().into_iter().flatten().find(|order| order["id"] == given["id"]);
            match order {
                Some(order) if !matches!(order["state"].as_str(), Some("waiting" | "sent")) => return Ok(order.clone()),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        bail!("the order {} has not come to an end in time: `tongmai order list` shows it", plain(&given["id"]))
    }
}
