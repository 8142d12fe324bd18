//! Whether an answer is XML from its beginning to its end, and what its elements hold.
//!
//! rusoto's parsers wait for the end of an element, and where there is none they wait for ever, on the thread
//! that called them. What they get is checked before, by the parser that they use themselves.

use xml::reader::{EventReader, XmlEvent};

/// Whether `text` is one whole XML document, or nothing at all.
pub(super) fn is_whole(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    EventReader::new(text)
        .into_iter()
        .try_fold(false, |_, event| {
            event.map(|event| event == XmlEvent::EndDocument)
        })
        .unwrap_or(false)
}

/// The text of an error, changed where it is not whole XML so that a parser refuses it at its first character.
pub(super) fn disarmed(text: Vec<u8>) -> Vec<u8> {
    if is_whole(&text) {
        return text;
    }
    [b"! ", &text[..]].concat()
}

/// What an answer says, element by element. Paths begin below the root.
pub(super) trait Document: Default {
    /// What the root is called.
    const ROOT: &str;
    /// What the answer is, for people.
    const WHAT: &str;

    /// An element begins.
    fn begin(&mut self, path: &[String]);

    /// An element has ended; `content` is the text behind the last beginning or end within it.
    fn take(&mut self, path: &[&str], content: String);

    /// Reads a whole answer.
    ///
    /// # Errors
    /// It is not whole XML, or something else.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut elements = Self::default();
        let (mut path, mut content) = (Vec::new(), String::new());
        for event in EventReader::new(text) {
            match event.map_err(|error| error.to_string())? {
                XmlEvent::StartElement { name, .. } => {
                    path.push(name.local_name);
                    content.clear();
                    if path[0] != Self::ROOT {
                        return Err(format!("it is no {} but <{}>", Self::WHAT, path[0]));
                    }
                    elements.begin(&path[1..]);
                }
                XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                    content.push_str(&text);
                }
                XmlEvent::EndElement { .. } => {
                    let within: Vec<&str> = path[1..].iter().map(String::as_str).collect();
                    elements.take(&within, std::mem::take(&mut content));
                    path.pop();
                }
                _ => {}
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusoto_core::proto::xml::error::XmlErrorDeserializer;
    use rusoto_core::proto::xml::util::{XmlResponse, find_start_element};

    use super::*;

    const ERROR: &str = "<?xml version=\"1.0\"?>\n<Error><Code>X</Code><Message>why</Message></Error>";

    #[test]
    fn only_a_whole_document_is_whole() {
        assert!(is_whole(b""));
        assert!(is_whole(ERROR.as_bytes()));
        assert!(is_whole(b"<html><body/></html>"));
        for cut in 1..ERROR.len() {
            assert!(!is_whole(&ERROR.as_bytes()[..cut]), "{cut}");
        }
        for text in ["plain text", "<html><br></html>", "\u{feff}"] {
            assert!(!is_whole(text.as_bytes()), "{text}");
        }
    }

    /// What rusoto does with the body of an error.
    fn parsed_by_rusoto(text: &[u8]) -> bool {
        let mut stack = XmlResponse::new(EventReader::new(text).into_iter().peekable());
        find_start_element(&mut stack);
        XmlErrorDeserializer::deserialize("Error", &mut stack).is_ok()
    }

    #[test]
    fn a_whole_error_reaches_rusoto_and_a_broken_one_is_refused_at_once() {
        assert!(parsed_by_rusoto(&disarmed(ERROR.into())));
        for cut in 1..ERROR.len() {
            assert!(!parsed_by_rusoto(&disarmed(ERROR[..cut].into())), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_done_with_in_the_end(
            text in "(<Error>|</Error>|<Code>|</Code>|<Message/>|<!--|-->|<\\?x|&lt;|&|.|\\s){0,30}",
        ) {
            parsed_by_rusoto(&disarmed(text.into_bytes()));
        }
    }
}
