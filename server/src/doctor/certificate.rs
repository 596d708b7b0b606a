//! The configured certificate: readable, with the key that belongs to it, and valid today.

use photosync_protocol::findings::Finding;
use rustls::pki_types::ServerName;

use super::index::shown_time;
use crate::clock::{Clock, DAY_MS};
use crate::config::Config;
use crate::serve::tls::{is_valid_for, read_certificate};

const CHECK: &str = "tls";
/// Whoever renews certificates automatically has done so by then: 14 days before the end.
const SOON_MS: i64 = 14 * DAY_MS;

pub(super) fn look(config: &Config, clock: &Clock) -> Finding {
    let Some(files) = &config.tls else {
        let seen = "no certificate of its own: devices know this server by its key";
        return Finding::fine(CHECK, seen);
    };
    let leaf = match read_certificate(files) {
        Ok(leaf) => leaf,
        Err(error) => {
            let fix = "tls.cert and tls.key must name files in PEM that the account of the server can read and that \
                       belong together";
            return Finding::broken(CHECK, error.message, fix);
        }
    };
    let shown = files.cert.display();
    let renew = "renew it; a service reads it at `systemctl reload photosync`, otherwise restart the server";
    let Some((from_ms, to_ms)) = validity_ms(&leaf) else {
        let seen = format!("the dates of the certificate {shown} cannot be read");
        return Finding::warning(CHECK, seen, renew);
    };
    let now_ms = clock.now_ms();
    if now_ms > to_ms {
        let seen = format!("the certificate {shown} ended on {}", shown_time(to_ms));
        return Finding::broken(CHECK, seen, renew);
    }
    if now_ms < from_ms {
        let seen = format!("the certificate {shown} is not valid before {}", shown_time(from_ms));
        return Finding::broken(CHECK, seen, "wait, or is the clock of this machine wrong?");
    }
    if let Some(host) = unnamed_host(config, &leaf) {
        let seen = format!("the certificate {shown} is not one for {host}, the public address");
        let fix =
            "get one with that name; until then browsers and old phone apps refuse the address";
        return Finding::warning(CHECK, seen, fix);
    }
    let seen = format!("the certificate is valid until {}", shown_time(to_ms));
    match to_ms.saturating_sub(now_ms) < SOON_MS {
        true => Finding::warning(CHECK, seen, renew),
        false => Finding::fine(CHECK, seen),
    }
}

/// The public host, if the certificate does not name it although nobody else ends TLS for it.
fn unnamed_host(config: &Config, leaf: &rustls::pki_types::CertificateDer<'_>) -> Option<String> {
    let url: axum::http::Uri = config.public_url.as_ref()?.parse().ok()?;
    let host = url.host().filter(|_| config.trusted_proxies.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).ok()?;
    (!is_valid_for(leaf, &name)).then_some(host)
}

/// Begin and end of a certificate (RFC 5280 §4.1), Unix milliseconds. Its signature and everything else is not judged.
fn validity_ms(certificate: &[u8]) -> Option<(i64, i64)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let (tag, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate).filter(|_| tag == SEQUENCE)?;
    let has_version = rest.first() == Some(&VERSION);
    // Version if it is there, serial number, algorithm, issuer.
    for _ in 0..if has_version { 4 } else { 3 } {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (from_tag, from, rest) = element(validity)?;
    let (to_tag, to, _) = element(rest)?;
    Some((time_ms(from_tag, from)?, time_ms(to_tag, to)?))
}

/// The first element of DER: its tag, its contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first, mut rest) = (*der.first()?, usize::from(*der.get(1)?), der.get(2..)?);
    let length = match first {
        0..=0x7F => first,
        // Long form, with as many bytes of length.
        0x81..=0x84 => {
            let (bytes, after) = rest.split_at_checked(first & 0x7F)?;
            rest = after;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length)?;
    Some((tag, contents, after))
}

/// UTCTime (`YYMMDDHHMMSSZ`, years 1950 to 2049) or GeneralizedTime (`YYYYMMDDHHMMSSZ`), Unix milliseconds.
fn time_ms(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| -> Option<i64> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day) = (part(0)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of a date, with years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let in_era = year.rem_euclid(400);
    let days = year.div_euclid(400) * 146_097 + in_era * 365 + in_era / 4 - in_era / 100
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some((days * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_and_end_of_a_certificate_are_read_in_both_of_their_spellings() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = rcgen::CertificateParams::new(["photos.example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        let certificate = params.self_signed(&key).unwrap();
        let (from_ms, to_ms) = validity_ms(certificate.der()).unwrap();
        assert_eq!(shown_time(from_ms), "2024-02-29 00:00 UTC");
        assert_eq!(shown_time(to_ms), "2051-03-01 00:00 UTC");
        assert_eq!(time_ms(0x17, b"991231235959Z"), Some(946_684_799_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        let whole = params.self_signed(&key).unwrap().der().to_vec();
        for end in 0..whole.len() {
            // Nothing but not panicking is asked: what is cut behind the dates still has them.
            let _ = validity_ms(&whole[..end]);
        }
        for wrong in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x17\x02ab"] {
            assert_eq!(validity_ms(wrong), None);
        }
    }
}
