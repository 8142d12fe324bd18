//! Which multipart uploads of a key are open.
//!
//! A list that came to nothing looks like an empty one: an answer is believed only if it is a
//! `ListMultipartUploadsResult` of the bucket and the prefix that were asked for, and every page says whether there
//! is another. The prefix also finds keys that only begin alike: they are compared, and left out.

use actors::fault::{Fault, FaultKind};
use actors::ports::UploadId;

use super::Place;
use super::body::kept;
use super::client::S3;
use super::fault::{Operation, S3Answer};
use super::xml::Document;
use crate::adapters::http::ERROR_BODY;

const ROOT: &str = "ListMultipartUploadsResult";

/// More pages, of up to 1000 uploads, are taken for a server that never ends.
const MOST_PAGES: usize = 100;

/// `None`: the server does not list uploads.
pub(super) async fn list(s3: &S3, place: &Place<'_>) -> Result<Option<Vec<UploadId>>, Fault> {
    let operation = s3.operation("list uploads", place);
    let (mut found, mut after) = (Vec::new(), After::default());
    for _ in 0..MOST_PAGES {
        let Some(text) = page(s3, &operation, place, &after).await? else {
            return Ok(None);
        };
        let page = Page::parse(&text, place).map_err(|why| {
            operation.new_fault(FaultKind::Transient, format!("200, but {why}: not a success"))
        })?;
        found.extend(page.uploads);
        match page.next {
            None => return Ok(Some(found)),
            Some(next) if next == after => break,
            Some(next) => after = next,
        }
    }
    Err(operation.new_fault(FaultKind::Transient, "a list without an end"))
}

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct After {
    key: String,
    upload: String,
}

async fn page(
    s3: &S3,
    operation: &Operation,
    place: &Place<'_>,
    after: &After,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut params = vec![("uploads", ""), ("prefix", place.key.as_str())];
    if *after != After::default() {
        params.push(("key-marker", &after.key));
        params.push(("upload-id-marker", &after.upload));
    }
    let answer = s3.ask(operation, place.bucket, &params).await?;
    let status = answer.status.as_u16();
    if status == 200 {
        return Ok(Some(kept(answer).await));
    }
    let answer = S3Answer::read(answer, ERROR_BODY).await;
    match answer.is_not_implemented() {
        true => Ok(None),
        false => Err(operation.fault(&answer)),
    }
}

/// One answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<UploadId>,
    next: Option<After>,
}

/// The elements of an answer that matter.
#[derive(Default)]
struct Elements {
    bucket: String,
    prefix: String,
    is_truncated: String,
    next: After,
    uploads: Vec<(String, String)>,
}

impl Page {
    fn parse(text: &[u8], place: &Place<'_>) -> Result<Self, String> {
        let elements = Elements::parse(text)?;
        for (what, said, asked) in [
            ("bucket", &elements.bucket, place.bucket),
            ("prefix", &elements.prefix, &place.key),
        ] {
            if said != asked {
                return Err(format!("it is a list of another {what}"));
            }
        }
        let next = match elements.is_truncated.as_str() {
            "false" => None,
            "true" => Some(elements.next),
            _ => return Err("it does not say whether it is complete".to_owned()),
        };
        let of_key = elements.uploads.into_iter().filter(|(key, _)| *key == place.key);
        let uploads: Vec<UploadId> = of_key.map(|(_, id)| UploadId(id)).collect();
        if uploads.iter().any(|id| id.0.is_empty()) {
            return Err("an upload has no id".to_owned());
        }
        Ok(Self { uploads, next })
    }
}

impl Document for Elements {
    const ROOT: &str = ROOT;
    const WHAT: &str = "list of uploads";

    fn begin(&mut self, path: &str) {
        if path == "Upload" {
            self.uploads.push(Default::default());
        }
    }

    fn take(&mut self, path: &str, content: &str) {
        let place = match path {
            "Bucket" => Some(&mut self.bucket),
            "Prefix" => Some(&mut self.prefix),
            "IsTruncated" => Some(&mut self.is_truncated),
            "NextKeyMarker" => Some(&mut self.next.key),
            "NextUploadIdMarker" => Some(&mut self.next.upload),
            "Upload/Key" => self.uploads.last_mut().map(|upload| &mut upload.0),
            "Upload/UploadId" => self.uploads.last_mut().map(|upload| &mut upload.1),
            _ => None,
        };
        if let Some(place) = place {
            content.clone_into(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "samples/content/a&b";

    const LIST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListMultipartUploadsResult xmlns=\"http://s3.\
        amazonaws.com/doc/2006-03-01/\"><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/><NextKeyMarker>\
        samples/content/a&amp;b.more</NextKeyMarker><NextUploadIdMarker>u3</NextUploadIdMarker><Prefix>samples/\
        content/a&amp;b</Prefix><MaxUploads>3</MaxUploads><IsTruncated>true</IsTruncated><Upload><Key>samples/\
        content/a&amp;b</Key><UploadId>u1</UploadId><Initiator><ID>x</ID></Initiator></Upload><Upload><UploadId>\
        u2</UploadId><Key>samples/content/a&amp;b</Key></Upload><Upload><Key>samples/content/a&amp;b.more</Key>\
        <UploadId>u3</UploadId></Upload></ListMultipartUploadsResult>";

    fn place() -> Place<'static> {
        Place {
            bucket: "b",
            key: KEY.to_owned(),
        }
    }

    fn parse(text: &str) -> Result<Page, String> {
        Page::parse(text.as_bytes(), &place())
    }

    #[test]
    fn the_uploads_of_the_key_are_found_and_no_others() {
        let ids = ["u1", "u2"].map(|id| UploadId(id.to_owned()));
        let next = After {
            key: format!("{KEY}.more"),
            upload: "u3".to_owned(),
        };
        assert_eq!(
            parse(LIST),
            Ok(Page {
                uploads: ids.to_vec(),
                next: Some(next)
            })
        );
        let last = LIST.replace(">true<", ">false<");
        assert_eq!(parse(&last).unwrap().next, None);
    }

    #[test]
    fn an_answer_to_another_question_is_no_list() {
        for (from, to) in [
            ("<Bucket>b<", "<Bucket>c<"),
            ("<Bucket>b</Bucket>", ""),
            ("<Prefix>samples", "<Prefix>Samples"),
            ("ListMultipartUploadsResult", "ListBucketResult"),
            (">true<", ">yes<"),
            ("<IsTruncated>true</IsTruncated>", ""),
            ("<UploadId>u1</UploadId>", ""),
        ] {
            let changed = LIST.replace(from, to);
            assert_ne!(changed, LIST);
            parse(&changed).unwrap_err();
        }
        for text in [
            "",
            "<Error><Code>InternalError</Code></Error>",
            "<html><body>ListMultipartUploadsResult</body></html>",
            "<ListMultipartUploadsResult/>",
        ] {
            parse(text).unwrap_err();
        }
    }

    #[test]
    fn no_beginning_of_a_list_is_a_list() {
        for cut in 0..LIST.len() {
            parse(&LIST[..cut]).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_done_with_in_the_end(
            text in "(<ListMultipartUploadsResult>|</ListMultipartUploadsResult>|<Upload>|</Upload>|<Key>|</Key>|<!--|&amp;|.){0,30}",
        ) {
            let _ = parse(&text);
        }
    }
}
