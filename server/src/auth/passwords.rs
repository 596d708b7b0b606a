//! Password hashes: Argon2id with the second recommended option of RFC 9106 §4 (t=3, p=4, 64 MiB). At most two
//! run at once, because each takes 64 MiB; further ones wait, but not for ever.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::error::{Context, Error, Result};

/// Work factors of a password hash.
#[derive(Debug, Clone, Copy)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PasswordCost {
    /// RFC 9106 §4, second recommended option.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// For tests only: far too weak for a password.
    pub const CHEAP: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };
}

/// bcrypt sees only this many bytes of a password.
const BCRYPT_BYTES: usize = 72;

/// Hashes at once; each takes [`PasswordCost::memory_kib`].
const AT_ONCE: usize = 2;

/// Makes and checks password hashes.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    permits: Arc<Semaphore>,
    wait: Duration,
    dummy: Arc<OnceLock<String>>,
}

/// What a check of a password says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Right, and hashed as it should be.
    Right,
    /// Right, but hashed by the reference server or with other work factors: hash it again.
    RightButOld,
    /// Wrong.
    Wrong,
}

impl Passwords {
    /// `wait`: longest wait for one of the two places.
    pub fn new(cost: PasswordCost, wait: Duration) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
            .map_err(|source| Error::internal(format!("set Argon2 up: {source}")))?;
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            wait,
            dummy: Arc::default(),
        })
    }

    /// A PHC string of `password` with a fresh salt.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.run(move |argon2, _| hash_now(argon2, &password)).await
    }

    /// Compares `password` with a stored hash. `None` (unknown e-mail, locked account) costs the same time and
    /// is always wrong.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<Verdict> {
        self.run(move |argon2, dummy| match stored {
            Some(stored) if stored.starts_with("$2") => Ok(verify_bcrypt(&password, &stored)),
            Some(stored) => Ok(verify_argon2(argon2, &password, &stored)),
            None => {
                if dummy.get().is_none() {
                    let _ = dummy.set(hash_now(argon2, "nobody")?);
                }
                let hash = dummy.get().map_or("", String::as_str);
                let _ = verify_argon2(argon2, &password, hash);
                Ok(Verdict::Wrong)
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>, &OnceLock<String>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = tokio::time::timeout(self.wait, self.permits.clone().acquire_owned())
            .await
            .map_err(|_| Error::busy())?
            .map_err(|_| Error::busy())?;
        let (argon2, dummy) = (self.argon2.clone(), self.dummy.clone());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&argon2, &dummy)
        })
        .await
        .map_err(|source| Error::internal("check a password").caused_by(source))?
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &str) -> Result<String> {
    let salt: [u8; 16] = super::random_bytes();
    argon2
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|source| Error::internal("hash a password").caused_by(Context(source.to_string())))
}

fn verify_argon2(argon2: &Argon2<'_>, password: &str, stored: &str) -> Verdict {
    let Ok(parsed) = PasswordHash::new(stored) else { return Verdict::Wrong };
    let right =
        PasswordVerifier::<PasswordHash>::verify_password(argon2, password.as_bytes(), &parsed);
    if right.is_err() {
        return Verdict::Wrong;
    }
    match Params::try_from(&parsed) {
        Ok(params)
            if params.m_cost() == argon2.params().m_cost()
                && params.t_cost() == argon2.params().t_cost()
                && params.p_cost() == argon2.params().p_cost() =>
        {
            Verdict::Right
        }
        _ => Verdict::RightButOld,
    }
}

fn verify_bcrypt(password: &str, stored: &str) -> Verdict {
    let bytes = password.as_bytes();
    // The reference gave bcrypt the whole password, of which it took this much.
    match bcrypt::verify(&bytes[..bytes.len().min(BCRYPT_BYTES)], stored) {
        Ok(true) => Verdict::RightButOld,
        Ok(false) | Err(_) => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(PasswordCost::CHEAP, Duration::from_secs(5)).unwrap()
    }

    #[tokio::test]
    async fn a_password_opens_its_own_hash_only() {
        let passwords = passwords();
        let hash = passwords.hash("пароль".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"));
        let verify = |password: &str, stored: Option<&str>| {
            passwords.verify(password.into(), stored.map(String::from))
        };
        assert_eq!(verify("пароль", Some(&hash)).await.unwrap(), Verdict::Right);
        assert_eq!(verify("пароль ", Some(&hash)).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("nobody", None).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("x", Some("not a hash")).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_reference_hash_opens_once_and_asks_to_be_replaced() {
        let long = "x".repeat(100);
        let stored = bcrypt::hash(&long.as_bytes()[..72], 4).unwrap().replacen("$2y$", "$2b$", 1);
        assert_eq!(passwords().verify(long, Some(stored)).await.unwrap(), Verdict::RightButOld);
    }
}
