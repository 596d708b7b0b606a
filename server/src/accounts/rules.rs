//! Decisions about accounts. No I/O, no clock.

use std::net::IpAddr;

use crate::config::RegistrationMode;

/// Shortest password a new account may have, in characters: the old clients' own rule for resets.
pub const MIN_PASSWORD_CHARS: usize = 6;

/// Whether an address belongs to a private network: loopback, RFC 1918, link-local, unique local (RFC 4193), or
/// shared address space (RFC 6598, which overlay networks use).
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
    }
}

/// How somebody may get an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Freely.
    Free,
    /// If the e-mail was invited.
    ByInvitation,
    /// Not at all.
    No,
}

/// What `mode` means for a request from `address`; `forwarded` = it carried forwarding headers, so that a proxy on
/// the local network does not turn the whole world into neighbours.
pub fn registration_for(mode: RegistrationMode, address: IpAddr, forwarded: bool) -> Registration {
    match mode {
        RegistrationMode::Open => Registration::Free,
        RegistrationMode::Invite => Registration::ByInvitation,
        RegistrationMode::Closed => Registration::No,
        RegistrationMode::Auto if is_private(address) && !forwarded => Registration::Free,
        RegistrationMode::Auto => Registration::ByInvitation,
    }
}

/// Whether a device's last complete inventory (or, before the first one, its first sign-in) is longer ago than `limit_ms`.
/// A limit of 0 means that it never is.
pub fn is_overdue(since_ms: i64, now_ms: i64, limit_ms: i64) -> bool {
    limit_ms > 0 && now_ms.saturating_sub(since_ms) > limit_ms
}

/// A plan size old clients may ask for, in GB; anything else is ignored.
pub fn plan_gb(value: Option<&serde_json::Value>) -> Option<i64> {
    let number = match value? {
        serde_json::Value::Number(number) => number.as_i64()?,
        serde_json::Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    matches!(number, 100 | 200 | 400 | 1000).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_neighbours_may_register_by_default() {
        let of = |address: &str, forwarded| {
            registration_for(RegistrationMode::Auto, address.parse().unwrap(), forwarded)
        };
        for private in [
            "127.0.0.1",
            "192.168.1.9",
            "10.0.0.1",
            "172.16.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.0.1",
        ] {
            assert_eq!(of(private, false), Registration::Free, "{private}");
            assert_eq!(of(private, true), Registration::ByInvitation, "{private} through a proxy");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert_eq!(of(public, false), Registration::ByInvitation, "{public}");
        }
    }

    #[test]
    fn a_device_is_overdue_after_the_last_day_not_on_it() {
        assert!(!is_overdue(5, 12, 7));
        assert!(is_overdue(5, 13, 7));
        assert!(!is_overdue(5, i64::MAX, 0));
        assert!(!is_overdue(10, 5, 7), "a clock that was set back");
    }

    #[test]
    fn only_the_four_known_plans_count() {
        let of = |value| plan_gb(Some(&value));
        assert_eq!(of(serde_json::json!(100)), Some(100));
        assert_eq!(of(serde_json::json!("1000")), Some(1000));
        assert_eq!(of(serde_json::json!(5)), None);
        assert_eq!(of(serde_json::json!(true)), None);
        assert_eq!(plan_gb(None), None);
    }
}
