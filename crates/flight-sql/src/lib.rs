//! Arrow Flight SQL, for reading: whole columns, as ADBC and JDBC drivers and notebooks take them.
//!
//! In the order in which a call goes through it: `server` listens, `connection` bounds what a connection may be, `access`
//! lets in whoever knows the password or holds a token, `flight` says what each call means, `statement` understands and
//! describes a question, `answer` runs one and streams its rows, `catalog` lists what can be asked for. `handles` keeps
//! what clients name: tokens, tickets and prepared statements.
//!
//! Nothing here can change what is stored, and nothing here knows the HTTP API. The clock is tokio's; randomness is a
//! parameter.

mod access;
mod answer;
mod catalog;
mod connection;
mod error;
mod flight;
mod handles;
mod server;
mod statement;

#[cfg(test)]
mod tests;

pub use access::Account;
pub use server::{Service, Settings, serve};
