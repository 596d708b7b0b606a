//! What old clients see of the 25 routes they call, and what an operator sees of the process: statuses, headers,
//! exit codes, and what is left behind.

mod accounts;
mod files;
mod process;
mod relay;
mod routes;
pub(crate) mod tls;
mod uploads;
