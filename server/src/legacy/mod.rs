//! Version 1: the routes of the existing phone and desktop clients, and the data of the reference server. Thin
//! translations onto the capabilities, never a second implementation.

pub mod accounts;
pub mod files;
pub mod import;
pub mod relay;
