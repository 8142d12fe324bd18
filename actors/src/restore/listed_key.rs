//! What the keys of a listing stand for. An object that was written encrypted has [`ENCRYPTED`] at the end of its
//! key, and is the same stream or bundle all the same.
//!
//! What is read goes by the text of the listing, not by the name that was understood: a time may have been written
//! with more digits than are needed.

use crate::fault::Fault;
use crate::object_key::{BundleKey, NotABundleKey};
use crate::path_segment::Unsafe;
use crate::ports::archive::{ENCRYPTED, ListPage, ListedObject};
use crate::stream_id::StreamId;

/// How an object is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As it is; its key has no mark of encryption.
    #[default]
    Plain,
    /// Encrypted; its key ends with [`ENCRYPTED`].
    Encrypted,
}

/// A name, and whether it was found on an encrypted object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey<T> {
    /// What it is called.
    pub name: T,
    /// Whether its key ends with [`ENCRYPTED`].
    pub is_encrypted: bool,
}

/// The key without the mark of encryption, and whether it had one.
pub fn plain(key: &str) -> (&str, bool) {
    match key.strip_suffix(ENCRYPTED) {
        Some(plain) => (plain, true),
        None => (key, false),
    }
}

/// The stream that a key of the bucket of streams stands for.
///
/// # Errors
/// It stands for none.
pub fn stream(key: &str) -> Result<ListedKey<StreamId>, Unsafe> {
    let (plain, is_encrypted) = plain(key);
    let name = plain.parse()?;
    Ok(ListedKey { name, is_encrypted })
}

/// The bundle that a key of the bucket of events stands for.
///
/// # Errors
/// It stands for none.
pub fn bundle(key: &str) -> Result<ListedKey<BundleKey>, NotABundleKey> {
    let (plain, is_encrypted) = plain(key);
    let name = plain.parse()?;
    Ok(ListedKey { name, is_encrypted })
}

/// Whether it is nothing but the mark of a folder, as consoles and tools for copying make it: nobody backed it up.
pub fn is_folder_marker(object: &ListedObject) -> bool {
    object.size == 0 && object.key.ends_with('/')
}

/// Whether a page, which was listed for this very key, has it.
pub(super) fn lists(page: &ListPage, key: &str) -> bool {
    page.objects.iter().any(|object| object.key == key)
}

/// What the bucket lists, and does not give when it is asked for it.
pub(super) fn lost(operation: &'static str, key: &str) -> Fault {
    let detail = "the bucket lists it, and answers NoSuchKey when it is read: its content is lost";
    Fault::corrupt(operation, key, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_object_has_the_name_of_the_plain_one() {
        let sha256 = "ab".repeat(32);
        let plain = stream(&format!("samples/content/{sha256}")).unwrap();
        let encrypted = stream(&format!("samples/content/{sha256}.aesc1")).unwrap();
        assert_eq!(plain.name, encrypted.name);
        assert!(!plain.is_encrypted && encrypted.is_encrypted);
        let bundle = bundle("samples/binary/mapped/2025-07-30T06:02:59Z-20-key.aesc1").unwrap();
        assert_eq!(bundle.name.kafka_key(), "key");
        assert!(bundle.is_encrypted);
    }
}
