//! Whether an answer is a listing of what was asked for, and what it tells.

use actors::ports::archive::ListedObject;
use actors::timestamp::Timestamp;

use super::{Asked, PAGE};
use crate::adapters::bucket::xml::Document;

const ROOT: &str = "ListBucketResult";

/// One answer, without what was told before and with keys and names as callers know them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Page {
    /// In the order of their keys.
    pub(in super::super) objects: Vec<ListedObject>,
    /// Names below the prefix, without it and without the `/`.
    pub(in super::super) folders: Vec<String>,
    pub(in super::super) more: bool,
    /// How the server goes on.
    pub(super) token: Option<String>,
}

impl Page {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.folders.is_empty()
    }

    /// The fault is told as what the answer is instead.
    pub(in super::super) fn parse(text: &[u8], asked: &Asked<'_>) -> Result<Self, String> {
        let elements = Elements::parse(text)?;
        if elements.name != asked.place.bucket {
            return Err("it is a listing of another bucket".to_owned());
        }
        let decode: fn(String) -> Result<String, String> = match elements.encoding.as_str() {
            "" => Ok,
            "url" => decoded,
            _ => return Err("its encoding is unknown".to_owned()),
        };
        // Some servers send the prefix as it is, although they encode keys.
        if elements.prefix != asked.prefix && decode(elements.prefix)? != asked.prefix {
            return Err("it is a listing of another prefix".to_owned());
        }
        let more = match elements.is_truncated.as_str() {
            "false" => false,
            "true" => true,
            _ => return Err("it does not say whether it is complete".to_owned()),
        };
        if elements.contents.len() + elements.folders.len() > PAGE {
            return Err("it is longer than what was asked for".to_owned());
        }
        let keys = elements.contents.into_iter();
        let objects = keys.map(|entry| Ok((decode(entry.key)?, entry.size, entry.modified)));
        let folders = elements.folders.into_iter().map(decode);
        Ok(Self {
            objects: asked.objects(objects.collect::<Result<_, String>>()?)?,
            folders: asked.names(folders.collect::<Result<_, String>>()?)?,
            more,
            token: Some(elements.token).filter(|token| !token.is_empty()),
        })
    }
}

/// Key, size and date as they stand in an answer.
type Told = (String, String, String);

impl Asked<'_> {
    fn objects(&self, told: Vec<Told>) -> Result<Vec<ListedObject>, String> {
        if !told.is_sorted_by(|(one, ..), (next, ..)| one < next) {
            return Err("its keys do not rise".to_owned());
        }
        let mut objects = Vec::with_capacity(told.len());
        for (mut key, size, modified) in told {
            let Some(rest) = key.strip_prefix(&self.prefix).filter(|_| !key.is_empty()) else {
                return Err("it holds a key that was not asked for".to_owned());
            };
            if self.folders && rest.contains('/') {
                return Err("it holds keys in folders".to_owned());
            }
            if self.after.as_ref().is_some_and(|after| key <= *after) {
                return Err("it begins before the key that it was to follow".to_owned());
            }
            let key = key.split_off(self.place.folder.len());
            // The folder of the store itself is an object where somebody made it by hand.
            if !key.is_empty() {
                objects.push(ListedObject {
                    key,
                    size: size.parse().map_err(|_| "an object has no size".to_owned())?,
                    last_modified: modified.parse::<Timestamp>().ok(),
                });
            }
        }
        Ok(objects)
    }

    fn names(&self, folders: Vec<String>) -> Result<Vec<String>, String> {
        if !folders.is_sorted_by(|one, next| one < next) {
            return Err("its folders do not rise".to_owned());
        }
        let mut names = Vec::with_capacity(folders.len());
        for folder in folders {
            let name = folder
                .strip_prefix(&self.prefix)
                .and_then(|rest| rest.strip_suffix('/'));
            let Some(name) = name.filter(|name| self.folders && !name.contains('/')) else {
                return Err("it holds a folder that was not asked for".to_owned());
            };
            match &self.after {
                Some(after) if folder > *after => names.push(name.to_owned()),
                // The page before ended with it, and some servers repeat it then.
                Some(after) if after.starts_with(&folder) => {}
                Some(_) => return Err("it begins before the folder that it was to follow".to_owned()),
                None => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }
}

/// The elements of an answer that matter, as they stand there.
#[derive(Default)]
struct Elements {
    name: String,
    prefix: String,
    is_truncated: String,
    encoding: String,
    token: String,
    contents: Vec<Entry>,
    folders: Vec<String>,
}

#[derive(Default)]
struct Entry {
    key: String,
    size: String,
    modified: String,
}

impl Document for Elements {
    const ROOT: &str = ROOT;
    const WHAT: &str = "listing";

    fn begin(&mut self, path: &str) {
        if path == "Contents" {
            self.contents.push(Entry::default());
        }
    }

    fn take(&mut self, path: &str, content: &str) {
        let entry = self.contents.last_mut();
        let place = match path {
            "Name" => Some(&mut self.name),
            "Prefix" => Some(&mut self.prefix),
            "IsTruncated" => Some(&mut self.is_truncated),
            "EncodingType" => Some(&mut self.encoding),
            "NextContinuationToken" => Some(&mut self.token),
            "Contents/Key" => entry.map(|entry| &mut entry.key),
            "Contents/Size" => entry.map(|entry| &mut entry.size),
            "Contents/LastModified" => entry.map(|entry| &mut entry.modified),
            "CommonPrefixes/Prefix" => return self.folders.push(content.to_owned()),
            _ => None,
        };
        if let Some(place) = place {
            content.clone_into(place);
        }
    }
}

/// URL encoding as S3 writes it: `+` is a space.
fn decoded(text: String) -> Result<String, String> {
    if !text.contains(['%', '+']) {
        return Ok(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let digits = digit().zip(digit());
                let (high, low) = digits.ok_or_else(|| "a key in it is not encoded as it says".to_owned())?;
                (high << 4 | low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| "a key in it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
