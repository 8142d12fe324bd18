//! What text of the network may become: one segment of a key, a path or a URL, and nothing that leaves its place.

/// Text that must not become part of a key, a path or a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` cannot be used in a key or URL", text.escape_debug())]
pub struct Unsafe {
    what: &'static str,
    text: String,
}

impl Unsafe {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        Self {
            what,
            text: text.chars().take(80).collect(),
        }
    }
}

/// The longest segment that a file system takes as a name.
const LONGEST_SEGMENT: usize = 200;

/// Refuses what could leave its place in a path: separators, dot names, control characters, nothing at all.
pub(crate) fn path_segment(what: &'static str, text: &str) -> Result<(), Unsafe> {
    let harmless = !text.is_empty()
        && text.len() <= LONGEST_SEGMENT
        && text != "."
        && !text.contains("..")
        && !text.chars().any(|c| c == '/' || c == '\\' || c.is_control());
    if harmless {
        Ok(())
    } else {
        Err(Unsafe::new(what, text))
    }
}
