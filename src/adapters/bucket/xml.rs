//! Whether an answer is XML from its beginning to its end, and what its elements hold.
//!
//! rusoto's parsers wait for the end of an element, and where there is none they wait for ever, on the thread
//! that called them. What they get is checked before, by the parser that they use themselves.
//!
//! That parser also has the last word on what is read here. But it is slow, and listings are long: what is as
//! [`plain`] as servers write it is read by a quick one, which knows what it does not understand.

mod plain;

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

/// What an answer says, element by element. Paths begin below the root, `Contents/Key`; that of the root is empty.
pub(super) trait Document: Default {
    /// What the root is called.
    const ROOT: &str;
    /// What the answer is, for people.
    const WHAT: &str;

    /// An element begins.
    fn begin(&mut self, path: &str);

    /// An element has ended; `content` is the text behind the last beginning or end within it.
    fn take(&mut self, path: &str, content: &str);

    /// Reads a whole answer.
    ///
    /// # Errors
    /// It is not whole XML, or something else.
    fn parse(text: &[u8]) -> Result<Self, String> {
        match plain::parse(text) {
            Some(elements) => Ok(elements),
            None => parse_any(text),
        }
    }
}

/// Reads a whole answer, however it is written.
fn parse_any<D: Document>(text: &[u8]) -> Result<D, String> {
    let mut walk = Walk::<D>::default();
    for event in EventReader::new(text) {
        match event.map_err(|error| error.to_string())? {
            XmlEvent::StartElement { name, .. } => {
                let begun = walk.begin(&name.local_name).then_some(());
                begun.ok_or_else(|| format!("it is no {} but <{}>", D::WHAT, name.local_name))?;
            }
            XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => {
                walk.content.push_str(&text);
            }
            XmlEvent::EndElement { .. } => walk.end(),
            _ => {}
        }
    }
    Ok(walk.elements)
}

/// Where a parser stands in a document.
#[derive(Default)]
struct Walk<D> {
    elements: D,
    path: String,
    /// Where each name of the path begins, with its slash; the root's is no part of it.
    starts: Vec<usize>,
    content: String,
}

impl<D: Document> Walk<D> {
    /// An element begins; `false` if it is another root.
    fn begin(&mut self, name: &str) -> bool {
        if self.starts.is_empty() && name != D::ROOT {
            return false;
        }
        self.starts.push(self.path.len());
        match self.starts.len() {
            1 => {}
            2 => self.path.push_str(name),
            _ => self.path.extend(["/", name]),
        }
        self.content.clear();
        self.elements.begin(&self.path);
        true
    }

    /// The innermost element ends.
    fn end(&mut self) {
        self.elements.take(&self.path, &self.content);
        self.content.clear();
        self.path.truncate(self.starts.pop().unwrap_or_default());
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
