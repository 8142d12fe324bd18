//! `ListObjectsV2` over the files of a bucket, as S3 answers it.
//!
//! s3s-fs says that it encodes keys for URLs and does not, names all that there is for every page, and knows no page
//! smaller than what was asked for.

use std::fmt::Write as _;
use std::fs::Metadata;
use std::io;
use std::path::Path;

use actors::timestamp::Timestamp;

use super::uploads::{Asked, escaped, push};

/// Entries of one page if the client does not say otherwise; S3's own limit.
const PAGE: usize = 1000;

/// One entry of a page.
enum Entry {
    Object {
        key: String,
        metadata: Metadata,
    },
    /// With the `/` at its end.
    Folder(String),
}

impl Entry {
    /// Where the listing goes on behind it.
    fn behind(&self) -> String {
        match self {
            Self::Object { key, .. } => key.clone(),
            Self::Folder(folder) => format!("{folder}{}", char::MAX),
        }
    }
}

/// The answer to `asked` about the bucket whose objects are files below `root`; `most` is the server's own limit.
pub(super) fn answer(bucket: &str, root: &Path, asked: &Asked, most: Option<usize>) -> io::Result<String> {
    let token = asked.param("continuation-token");
    let after = match token.is_empty() {
        true => Some(asked.param("start-after").to_owned()).filter(|after| !after.is_empty()),
        false => Some(text_of(token).ok_or(io::ErrorKind::InvalidInput)?),
    };
    let wanted: usize = asked.param("max-keys").parse().unwrap_or(PAGE);
    let mut walk = Walk {
        prefix: asked.param("prefix").to_owned(),
        after,
        delimited: asked.param("delimiter") == "/",
        most: wanted.min(PAGE).min(most.unwrap_or(PAGE)).max(1),
        found: Vec::new(),
        truncated: false,
    };
    walk.folder(root, "")?;
    Ok(xml(bucket, asked, &walk))
}

/// One walk through the files of a bucket, in the order of keys.
struct Walk {
    prefix: String,
    after: Option<String>,
    delimited: bool,
    most: usize,
    found: Vec<Entry>,
    truncated: bool,
}

impl Walk {
    /// `key` is empty, or ends with `/`.
    fn folder(&mut self, folder: &Path, key: &str) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // What is no text is no key.
            let Ok(mut name) = entry.file_name().into_string() else {
                continue;
            };
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            if self.may_hold(&format!("{key}{name}")) {
                names.push(name);
            }
        }
        // With the slash of folders: `a-b/` lists before `a/`.
        names.sort_unstable();
        for name in names {
            if self.truncated {
                break;
            }
            let (path, key) = (folder.join(&name), format!("{key}{name}"));
            match key.ends_with('/') {
                true => self.enter(&path, key)?,
                false => match path.metadata() {
                    Ok(metadata) => self.push(Entry::Object { key, metadata }),
                    // It was deleted just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Whether an object of this key, or something in this folder, may be asked for.
    fn may_hold(&self, key: &str) -> bool {
        let folder = key.ends_with('/');
        let below = key.starts_with(&self.prefix) || (folder && self.prefix.starts_with(key));
        below
            && self
                .after
                .as_deref()
                .is_none_or(|after| key > after || (folder && after.starts_with(key)))
    }

    fn enter(&mut self, folder: &Path, key: String) -> io::Result<()> {
        if !self.delimited || key.len() <= self.prefix.len() {
            return self.folder(folder, &key);
        }
        let mut inside = Self {
            prefix: key.clone(),
            after: self.after.clone(),
            delimited: false,
            most: 1,
            found: Vec::new(),
            truncated: false,
        };
        inside.folder(folder, &key)?;
        if !inside.found.is_empty() {
            self.push(Entry::Folder(key));
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        match self.found.len() < self.most {
            true => self.found.push(entry),
            false => self.truncated = true,
        }
    }
}

fn xml(bucket: &str, asked: &Asked, walk: &Walk) -> String {
    let url = asked.param("encoding-type") == "url";
    let encoded = |key: &str| match url {
        true => encoded(key),
        false => key.to_owned(),
    };
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{}</Name>",
        escaped(bucket)
    );
    push(&mut text, "Prefix", &encoded(&walk.prefix));
    push(&mut text, "KeyCount", &walk.found.len().to_string());
    push(&mut text, "MaxKeys", &walk.most.to_string());
    if url {
        push(&mut text, "EncodingType", "url");
    }
    push(&mut text, "IsTruncated", &walk.truncated.to_string());
    if let Some(last) = walk.found.last().filter(|_| walk.truncated) {
        push(&mut text, "NextContinuationToken", &token_of(&last.behind()));
    }
    for entry in &walk.found {
        match entry {
            Entry::Folder(folder) => {
                text.push_str("<CommonPrefixes>");
                push(&mut text, "Prefix", &encoded(folder));
                text.push_str("</CommonPrefixes>");
            }
            Entry::Object { key, metadata } => {
                text.push_str("<Contents>");
                push(&mut text, "Key", &encoded(key));
                if let Ok(modified) = metadata.modified() {
                    push(&mut text, "LastModified", &Timestamp::from(modified).to_string());
                }
                push(&mut text, "Size", &metadata.len().to_string());
                text.push_str("<StorageClass>STANDARD</StorageClass></Contents>");
            }
        }
    }
    text.push_str("</ListBucketResult>");
    text
}

/// As S3 encodes keys: a space is `+`, and a slash stays one.
fn encoded(key: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
    encoded.replace("%2F", "/")
}

/// A token holds nothing that a client could take for a key.
fn token_of(key: &str) -> String {
    let mut token = String::with_capacity(2 * key.len());
    for byte in key.bytes() {
        // writing to a string cannot fail
        let _ = write!(token, "{byte:02x}");
    }
    token
}

fn text_of(token: &str) -> Option<String> {
    String::from_utf8(hex::decode(token).ok()?).ok()
}
