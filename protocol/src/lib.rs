//! What both ends must agree on. No I/O, no clock, no async.
