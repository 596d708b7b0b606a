//! Import of a reference server's data.
