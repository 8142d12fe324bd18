//! Values as text: what operators write, and what of it may be shown.

use std::time::Duration;

/// What stands in for a secret.
pub const MASK: &str = "****";

/// The longest value that is shown whole.
const SHOWN: usize = 100;

/// On one line, and not longer than a line.
pub fn shortened(text: &str) -> String {
    let line: String = text
        .trim()
        .escape_debug()
        .collect::<String>()
        .replace("\\\"", "\"");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Masks what stands before an `@` in the place where URLs have user and password.
pub fn without_credentials(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| begin + at);
    match text[begin..end].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &text[..begin], &text[begin + at..]),
        None => text.to_owned(),
    }
}

/// `true` and `false` as Go reads them.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether the text says "no".
pub fn is_false(text: &str) -> bool {
    boolean(text) == Some(false)
}

/// Whether the text is the number 0.
pub fn is_zero(text: &str) -> bool {
    text.parse::<f64>() == Ok(0.0)
}

/// For a feature that only leaving the setting out turns off.
pub fn never_off(_: &str) -> bool {
    false
}

/// A number and what follows it, from the front of `text`.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    // Digits and dots only: neither signs nor `inf` come this far.
    text[..end].parse().ok().map(|number| (number, &text[end..]))
}

/// A duration as Go writes it (`1h30m`, `1.5s`, `500ms`), with days besides. A number without a unit is not
/// accepted: Go takes it for nanoseconds, people for seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (count, after) = number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match &after[..end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        sum += count * seconds;
        rest = &after[end..];
    }
    if text.is_empty() {
        return None;
    }
    Duration::try_from_secs_f64(sum).ok()
}

/// A size in bytes: `512MiB`, `512Mi`, `1GB`, `1048576`.
pub fn bytes(text: &str) -> Option<u64> {
    let (count, unit) = number(text)?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "m" => 1000_u64.pow(2),
        "g" => 1000_u64.pow(3),
        "t" => 1000_u64.pow(4),
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return None,
    };
    let size = count * factor as f64;
    (size.fract() == 0.0 && size < 2_f64.powi(53)).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("10s", 10_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("2d", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1 s",
            "10 minutes",
            "1.2.3s",
            "1e9s",
            "1µs",
            "99999999999999999999d",
            "inf",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (text, size) in [
            ("512MiB", 512 << 20),
            ("512Mi", 512 << 20),
            ("512 mib", 512 << 20),
            ("1GB", 1_000_000_000),
            ("2KB", 2000),
            ("1MB", 1_000_000),
            ("1Gi", 1 << 30),
            ("1.5KiB", 1536),
            ("1048576", 1 << 20),
            ("10B", 10),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5", "0.1KiB", "1PiBB", "99999999TiB", "1MM"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn user_and_password_are_masked_wherever_a_url_may_have_them() {
        for (text, shown) in [
            ("http://user:pass@host:1/x", "http://****@host:1/x"),
            ("user:p@ss@host", "****@host"),
            ("http://host/a@b", "http://host/a@b"),
            ("host:9000", "host:9000"),
            ("http://us er:@h", "http://****@h"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn a_shown_value_is_one_short_line() {
        assert_eq!(shortened("a\nb: \"c\"\n"), r#"a\nb: "c""#);
        assert_eq!(shortened(&"é".repeat(500)).chars().count(), SHOWN + 1);
    }
}
