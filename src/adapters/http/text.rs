//! Foreign text made fit for an error: short, on one line, without credentials.

/// The most characters of a foreign text that are shown.
const LONGEST: usize = 300;

/// Words at which a text that echoes a request turns into its credentials.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "aws4-hmac-sha256",
    "x-amz-security-token",
    "x-amz-signature",
];

/// The beginning of a body, for people: one line, bounded, without what looks like credentials.
pub(crate) fn excerpt(body: &[u8]) -> String {
    // Four bytes a character at most; what lies behind cannot be shown anyway.
    let shown = &body[..body.len().min(4 * LONGEST)];
    let text = String::from_utf8_lossy(shown);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = without_credentials(&words.join(" "));
    let mut short: String = line
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if line.chars().count() > LONGEST || body.len() > shown.len() {
        short.push('…');
    }
    if short.is_empty() {
        short.push_str("no text");
    }
    short
}

/// Cuts a text where it begins to echo the credentials of a request.
pub(crate) fn without_credentials(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match CREDENTIALS.iter().filter_map(|word| lower.find(word)).min() {
        Some(place) => format!("{}…", &text[..place]),
        None => text.to_owned(),
    }
}

/// An error with its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_of_a_proxy_becomes_one_line() {
        let page = b"<html>\r\n  <h1>502 Bad\tGateway</h1>\n</html>\n";
        assert_eq!(excerpt(page), "<html> <h1>502 Bad Gateway</h1> </html>");
        assert_eq!(excerpt(b" \n"), "no text");
    }

    #[test]
    fn an_echoed_request_loses_its_credentials() {
        let echo = b"got: GET /x\nAuthorization: AWS4-HMAC-SHA256 Credential=AK/x, Signature=abc";
        assert_eq!(excerpt(echo), "got: GET /x …");
    }

    proptest! {
        #[test]
        fn an_excerpt_is_always_short_and_on_one_line(body in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let text = excerpt(&body);
            prop_assert!(text.chars().count() <= LONGEST + 1);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
