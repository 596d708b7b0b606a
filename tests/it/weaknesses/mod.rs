//! One test per known weakness of the old server that concerns a server, under its number. Each name is a sentence
//! that stays true here.

mod loss;
pub(crate) mod robustness;
mod security;
