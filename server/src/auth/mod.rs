//! Proofs of identity: passwords, tokens, and the limits on guessing them. Knows no account and no route.

pub mod aliases;
pub mod identity;
pub mod passwords;
pub mod throttle;
pub mod tokens;

/// Random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness no key and no id is safe; nothing could be done with an error either.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random 128-bit id as 32 hex digits.
pub fn random_id() -> String {
    hex::encode(random_bytes::<16>())
}
