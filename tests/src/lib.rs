//! Everything the black-box tests share: the built server as a child process, an HTTP client that sends
//! exactly the bytes it is told to, look-alikes of the old phone and desktop clients, and a corpus of real files.
//!
//! Nothing here uses the server's own code: what the old clients do is written down a second time, so that a
//! mistake cannot be made on both sides at once. [`http`] knows nothing of PhotoSync; [`server`] knows only the
//! ready line and the command line; the clients know only the wire.

pub mod account;
pub mod corpus;
pub mod cuts;
pub mod desktop;
pub mod http;
pub mod names;
pub mod phone;
pub mod proxy;
pub mod relay;
pub mod release;
pub mod report;
pub mod seeded;
pub mod server;
pub mod tus_client;

#[cfg(test)]
mod wire_tests;
