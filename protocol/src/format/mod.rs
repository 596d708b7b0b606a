//! The encrypted formats of the relay, described byte by byte in `docs/FORMAT.md`.
//!
//! Read in this order: [`keys`] (master key, epochs, the 24 words), [`object`] (what every sealed object looks like),
//! [`chunk`], [`manifest`], [`segment`], [`keyring`], and [`v1`] for the format of the published clients. Everything
//! here is a pure function of its arguments; random bytes come in from [`crate::crypto::random`] at the edges that
//! need them.
//!
//! A server never compiles this module: it keeps objects by the hash of their bytes and can open none.

pub mod chunk;
pub mod keyring;
pub mod keys;
pub mod manifest;
pub mod object;
pub mod padding;
pub mod segment;
pub mod v1;

/// Why an object is refused. Nothing of a refused object is used, shown or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Shorter than its own fields.
    Truncated,
    /// Longer than any object of its kind can be.
    TooLong,
    /// It does not begin like an object of this format.
    Unknown,
    /// A sealed object, but not of the kind that was asked for.
    WrongKind,
    /// Sealed in an epoch whose key this device does not have.
    UnknownEpoch,
    /// Changed after it was sealed, or sealed by another account.
    Forged,
    /// The bytes are not those that their id names.
    WrongId,
    /// The padding is not what the length demands.
    BadPadding,
    /// Sealed correctly, with contents that say nothing or contradict themselves.
    BadContents,
    /// The password, or the words, are not those of this keyring.
    WrongSecret,
    /// The cost of the password key is outside what this version reads.
    BadCost,
    /// Older than something this device has already seen, or not its successor.
    RolledBack,
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it is cut off",
            Self::TooLong => "it is longer than any such object can be",
            Self::Unknown => "it is no sealed object of a known version",
            Self::WrongKind => "it is another kind of object than was asked for",
            Self::UnknownEpoch => "it was sealed with a newer key than this device has",
            Self::Forged => "it was changed, or belongs to another account",
            Self::WrongId => "its bytes are not those that its id names",
            Self::BadPadding => "its padding is wrong",
            Self::BadContents => "its contents contradict themselves",
            Self::WrongSecret => "the password or the words are not those of this keyring",
            Self::BadCost => "the cost of its password key is outside the limits",
            Self::RolledBack => "it is older than what was there before",
        })
    }
}

impl std::error::Error for Bad {}

impl From<crate::crypto::Forged> for Bad {
    fn from(_: crate::crypto::Forged) -> Self {
        Self::Forged
    }
}

#[cfg(test)]
mod tests;
