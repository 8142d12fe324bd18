//! XML as servers write it, read quickly.
//!
//! **What is read here is what [`parse_any`](super::parse_any) would have read, or nothing**: elements with plain
//! names, without attributes but the name space of the root, with text of ordinary characters and references to
//! characters, after at most the usual declaration. All else is left to the other parser: whether it is XML at all,
//! whether it is whole, and what is to be said about it.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{Document, Walk};

/// Declarations that say nothing that is not so anyway.
const DECLARATIONS: [&[u8]; 4] = [
    b"xml version=\"1.0\" encoding=\"UTF-8\"",
    b"xml version=\"1.0\" encoding=\"utf-8\"",
    b"xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"",
    b"xml version=\"1.0\"",
];

/// Answers of S3 are not deeper.
const DEEPEST: usize = 16;

/// The content of a whole document; `None`: the other parser is to look at it.
pub(super) fn parse<D: Document>(text: &[u8]) -> Option<D> {
    // A byte order mark would be skipped.
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| !text.starts_with('\u{feff}'))?;
    let declaration = text.starts_with("<?xml");
    let mut reader = Reader::from_str(text);
    let mut walk = Walk::<D>::default();
    let (mut is_first, mut had_root) = (true, false);
    loop {
        let event = reader.read_event().ok()?;
        let is_within = !walk.starts.is_empty();
        match event {
            Event::Decl(said) if is_first && declaration => {
                DECLARATIONS.contains(&&*said).then_some(())?;
            }
            Event::Start(tag) => begin(&mut walk, &mut had_root, &tag)?,
            Event::Empty(tag) => {
                begin(&mut walk, &mut had_root, &tag)?;
                walk.end();
            }
            Event::End(_) => walk.end(),
            Event::Text(text) if is_within => walk.content.push_str(ordinary(&text)?),
            Event::Text(text) => text.iter().all(|byte| b" \n\t".contains(byte)).then_some(())?,
            Event::GeneralRef(reference) if is_within => walk.content.push(character(&reference)?),
            Event::Eof if had_root && !is_within => return Some(walk.elements),
            _ => return None,
        }
        is_first = false;
    }
}

fn begin<D: Document>(walk: &mut Walk<D>, had_root: &mut bool, tag: &BytesStart<'_>) -> Option<()> {
    let is_root = walk.starts.is_empty();
    if is_root && std::mem::replace(had_root, true) || walk.starts.len() == DEEPEST {
        return None;
    }
    let name = tag.name().into_inner();
    let is_plain =
        name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(u8::is_ascii_alphanumeric);
    let attributes = tag.attributes_raw();
    if !is_plain || !(attributes.trim_ascii().is_empty() || is_root && is_name_space(attributes)) {
        return None;
    }
    walk.begin(std::str::from_utf8(name).ok()?).then_some(())
}

/// Whether it is `xmlns="…"`, and nothing more: one that is S3's, not one of those that XML keeps for itself.
fn is_name_space(attributes: &[u8]) -> bool {
    let attributes = std::str::from_utf8(attributes).unwrap_or_default().trim_ascii();
    let name = attributes
        .strip_prefix("xmlns=\"http")
        .and_then(|name| name.strip_suffix('"'));
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_".contains(&byte);
    name.is_some_and(|name| name.bytes().all(is_usual) && !name.contains("www.w3.org"))
}

/// Text without anything that XML forbids, or reads as something else.
fn ordinary(text: &[u8]) -> Option<&str> {
    let is_odd = |byte: &u8| *byte < b' ' && !b"\n\t".contains(byte) || *byte == b'>';
    if text.iter().any(is_odd) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    (text.is_ascii() || !text.contains(['\u{fffe}', '\u{ffff}'])).then_some(text)
}

/// What stands between `&` and `;`.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    let number = match &**reference {
        b"amp" => return Some('&'),
        b"lt" => return Some('<'),
        b"gt" => return Some('>'),
        b"quot" => return Some('"'),
        b"apos" => return Some('\''),
        reference => reference.strip_prefix(b"#")?,
    };
    let (digits, radix) = match number.strip_prefix(b"x") {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_alphanumeric);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    let code = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(code).filter(|found| matches!(found, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..))
}

#[cfg(test)]
mod tests;
