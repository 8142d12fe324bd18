//! Which multipart uploads are open, told by the files that s3s-fs keeps of them, and the list of them, page by page,
//! which s3s-fs does not give.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// Uploads of one page if the client does not say otherwise; S3's own limit.
const PAGE: usize = 1000;

/// A multipart upload that is neither complete nor aborted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenUpload {
    /// The bucket of the object.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// What the server called the upload.
    pub id: String,
}

/// The open uploads of a server whose buckets are folders of `root`, in the order of a list.
///
/// # Errors
/// The folder cannot be read.
pub fn open(root: &Path) -> io::Result<Vec<OpenUpload>> {
    let names = std::fs::read_dir(root)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut open: Vec<OpenUpload> = names
        .filter_map(|name| parsed(&name))
        .filter(|upload| root.join(format!(".upload-{}.json", upload.id)).exists())
        .collect();
    open.sort();
    Ok(open)
}

/// `.bucket-{bucket}.object-{key}.upload-{id}.metadata.json`, bucket and key in base64 for URLs.
fn parsed(name: &str) -> Option<OpenUpload> {
    let name = name.strip_prefix(".bucket-")?.strip_suffix(".metadata.json")?;
    let (bucket, rest) = name.split_once(".object-")?;
    let (key, id) = rest.split_once(".upload-")?;
    Some(OpenUpload {
        bucket: unbase64(bucket)?,
        key: unbase64(key)?,
        id: id.to_owned(),
    })
}

fn unbase64(text: &str) -> Option<String> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What a client wants to have listed, by the parameters of its query.
pub(super) struct Asked {
    params: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn of(query: &str) -> Self {
        let params = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        Self {
            params: params.collect(),
        }
    }

    pub(super) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A page of the list.
    pub(super) fn answer(&self, bucket: &str, open: &[OpenUpload]) -> String {
        let (prefix, after) = (
            self.param("prefix"),
            (self.param("key-marker"), self.param("upload-id-marker")),
        );
        let most = self.param("max-uploads").parse().unwrap_or(PAGE).min(PAGE);
        let mut wanted = open
            .iter()
            .filter(|upload| upload.bucket == bucket && upload.key.starts_with(prefix))
            .filter(|upload| (upload.key.as_str(), upload.id.as_str()) > after);
        let page: Vec<&OpenUpload> = wanted.by_ref().take(most).collect();
        let truncated = wanted.next().is_some();
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListMultipartUploadsResult><Bucket>{}</Bucket>\
             <Prefix>{}</Prefix><IsTruncated>{truncated}</IsTruncated>",
            escaped(bucket),
            escaped(prefix)
        );
        let last = page.last().filter(|_| truncated);
        for (name, value) in [
            ("NextKeyMarker", last.map(|upload| &upload.key)),
            ("NextUploadIdMarker", last.map(|upload| &upload.id)),
        ] {
            if let Some(value) = value {
                push(&mut text, name, value);
            }
        }
        for upload in page {
            text.push_str("<Upload>");
            push(&mut text, "Key", &upload.key);
            push(&mut text, "UploadId", &upload.id);
            text.push_str("</Upload>");
        }
        text.push_str("</ListMultipartUploadsResult>");
        text
    }
}

pub(super) fn push(text: &mut String, name: &str, value: &str) {
    // writing to a string cannot fail
    let _ = write!(text, "<{name}>{}</{name}>", escaped(value));
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(key: &str, id: &str) -> OpenUpload {
        OpenUpload {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn a_file_tells_bucket_and_key() {
        let name = ".bucket-YXp1bA.object-YS_DvC8_.upload-12ab.metadata.json";
        let expected = OpenUpload {
            bucket: "azul".to_owned(),
            ..upload("a/ü/?", "12ab")
        };
        assert_eq!(parsed(name), Some(expected));
        assert_eq!(parsed(".bucket-YXp1bA.object-YS_DvC8_.metadata.json"), None);
    }

    #[test]
    fn pages_together_are_the_list_of_the_prefix() {
        let open = [
            upload("a", "1"),
            upload("a", "2"),
            upload("a&b", "3"),
            upload("b", "4"),
        ];
        let first = Asked::of("uploads=&prefix=a&max-uploads=2").answer("b", &open);
        assert!(
            first.contains("<UploadId>2<") && !first.contains("<UploadId>3<"),
            "{first}"
        );
        assert!(
            first.contains("<IsTruncated>true<") && first.contains("<NextUploadIdMarker>2<"),
            "{first}"
        );
        let second = Asked::of("uploads&prefix=a&key-marker=a&upload-id-marker=2").answer("b", &open);
        assert!(second.contains("<Key>a&amp;b</Key><UploadId>3<"), "{second}");
        assert!(
            !second.contains("<UploadId>2<") && !second.contains("<UploadId>4<"),
            "{second}"
        );
        assert!(second.contains("<IsTruncated>false<"), "{second}");
    }
}
