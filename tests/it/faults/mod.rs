//! Uploads over a bad network, through the fault proxy: what is sent twice, what a slow or capped way does, and what
//! a lost answer leaves.

mod client;
mod cuts;
mod network;
