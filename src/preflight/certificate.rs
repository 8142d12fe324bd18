//! Until when a certificate holds. Read from its own bytes, which TLS has checked already; what is not understood is
//! no fault, only not told.

use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Whole days until its end.
pub fn days_left(certificate: &[u8], now: DateTime<Utc>) -> Option<i64> {
    not_after(certificate).map(|end| (end - now).num_days())
}

/// `Certificate.tbsCertificate.validity.notAfter` of X.509.
fn not_after(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let mut whole = Der(certificate);
    let mut certificate = Der(whole.take(SEQUENCE)?);
    let mut signed = Der(certificate.take(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.next()?;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        signed.next()?;
    }
    let mut validity = Der(signed.take(SEQUENCE)?);
    validity.next()?;
    let (kind, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match kind {
        // Two digits of the year: from 1950 on.
        UTC_TIME => match text.get(..2)?.parse::<u32>().ok()? {
            50.. => format!("19{text}"),
            _ => format!("20{text}"),
        },
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc())
}

/// What is left of a series of DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its kind and what it holds.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (kind, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // The length stands in so many bytes; four are more than any certificate needs.
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*kind, content))
    }

    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(kind, _)| *kind == wanted)
            .map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_from_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        for year in [2031, 2075] {
            let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            wanted.not_after = rcgen::date_time_ymd(year, 2, 3);
            let made = wanted.self_signed(&key).unwrap();
            let end = not_after(made.der()).unwrap();
            assert_eq!(end.to_rfc3339(), format!("{year}-02-03T00:00:00+00:00"));
            let before = end - chrono::TimeDelta::hours(49);
            assert_eq!(days_left(made.der(), before), Some(2));
            for cut in 0..made.der().len() {
                // Broken off, it may tell nothing; it never fails.
                let _told = not_after(&made.der()[..cut]);
            }
        }
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
