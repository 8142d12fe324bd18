use proptest::prelude::*;

use super::*;
use crate::settings::Place;

const LIST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/\
    2006-03-01/\"><Name>b</Name><Prefix>one/a</Prefix><StartAfter>one/a%2B</StartAfter><KeyCount>3</KeyCount>\
    <MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
    <NextContinuationToken>t/+=</NextContinuationToken><Contents><Key>one/a+b/%00%01</Key><LastModified>\
    2026-11-23T08:12:10.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>7</Size>\
    <Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents><Contents><Size>12345678901</Size>\
    <Key>one/a/..//%C3%BC%2B%25&amp;</Key></Contents></ListBucketResult>";

const FOLDERS: &str = "<ListBucketResult><Name>b</Name><Prefix>one/a/</Prefix><IsTruncated>false</IsTruncated>\
    <EncodingType>url</EncodingType><Contents><Key>one/a/k</Key><Size>0</Size></Contents><CommonPrefixes><Prefix>\
    one/a//</Prefix></CommonPrefixes><CommonPrefixes><Prefix>one/a/f/</Prefix></CommonPrefixes><CommonPrefixes>\
    <Prefix>one/a/g+%2B/</Prefix></CommonPrefixes></ListBucketResult>";

fn place() -> Place {
    Place {
        bucket: "b".to_owned(),
        folder: "one/".to_owned(),
    }
}

fn keys(text: &str) -> Result<Page, String> {
    Page::parse(text.as_bytes(), &Asked::keys(&place(), "a", Some("a ")))
}

fn folders(text: &str, after: Option<&str>) -> Result<Page, String> {
    Page::parse(text.as_bytes(), &Asked::folders(&place(), "a/", after))
}

fn object(key: &str, size: u64, date: Option<&str>) -> ListedObject {
    ListedObject {
        key: key.to_owned(),
        size,
        last_modified: date.map(|date| date.parse().unwrap()),
    }
}

#[test]
fn the_objects_of_a_listing_are_found_by_their_true_keys() {
    let page = keys(LIST).unwrap();
    assert_eq!(
        page,
        Page {
            objects: vec![
                object("a b/\0\u{1}", 7, Some("2026-11-23T08:12:10Z")),
                object("a/..//ü+%&", 12_345_678_901, None),
            ],
            folders: vec![],
            more: true,
            token: Some("t/+=".to_owned()),
        }
    );
    let last = LIST.replace(">true<", ">false<");
    assert!(!keys(&last).unwrap().more);
}

#[test]
fn without_an_encoding_keys_are_as_they_are() {
    let text = LIST
        .replace("<EncodingType>url</EncodingType>", "")
        .replace("%00%01", "%00+&lt;");
    let found = keys(&text).unwrap();
    assert_eq!(found.objects[0].key, "a+b/%00+<");
}

#[test]
fn folders_are_told_by_name_and_those_of_the_last_page_left_out() {
    let page = folders(FOLDERS, None).unwrap();
    assert_eq!(page.folders, ["", "f", "g +"]);
    assert_eq!(page.objects, [object("a/k", 0, None)]);
    let text = FOLDERS.replace("<CommonPrefixes><Prefix>one/a//</Prefix></CommonPrefixes>", "");
    assert_eq!(folders(&text, Some("a/f/\u{10ffff}")).unwrap().folders, ["g +"]);
    let before = folders(FOLDERS, Some("a/f/\u{10ffff}")).unwrap_err();
    assert!(before.contains("begins before the folder"), "{before}");
}

#[test]
fn an_answer_to_another_question_is_no_listing() {
    for (from, to) in [
        ("<Name>b<", "<Name>c<"),
        ("<Name>b</Name>", ""),
        ("<Prefix>one/a<", "<Prefix>one/b<"),
        ("<Prefix>one/a</Prefix>", "<Prefix/>"),
        ("ListBucketResult", "ListMultipartUploadsResult"),
        (">true<", ">yes<"),
        ("<IsTruncated>true</IsTruncated>", ""),
        (">url<", ">base64<"),
        ("<Size>7</Size>", ""),
        ("<Size>7<", "<Size>-7<"),
        ("<Key>one/a+b/%00%01</Key>", ""),
        ("<Key>one/a+b", "<Key>one/b+b"),
        ("<Key>one/a+b", "<Key>two/a+b"),
        ("<Key>one/a+b/%00%01<", "<Key>one/a+<"),
        ("<Key>one/a+b", "<Key>one/a/b"),
        ("<Key>one/a+b/%00%01<", "<Key>one/a/..//%C3%BC%2B%25&amp;<"),
        ("%00", "%0"),
        ("%00", "%zz"),
        ("%00%01", "%"),
        ("%00", "%ff"),
        (
            "</Contents></ListBucketResult>",
            "</Contents><CommonPrefixes><Prefix>one/ab/</Prefix></CommonPrefixes></ListBucketResult>",
        ),
    ] {
        let changed = LIST.replace(from, to);
        assert_ne!(changed, LIST);
        assert!(keys(&changed).is_err(), "{from} → {to}");
    }
    for (from, to) in [
        ("<Key>one/a/k<", "<Key>one/a/k/l<"),
        ("one/a/f/<", "one/a/f<"),
        ("one/a/f/<", "one/a/f/g/<"),
        ("one/a/f/<", "one/f/<"),
        ("one/a/f/<", "one/a/h/<"),
    ] {
        let changed = FOLDERS.replace(from, to);
        assert_ne!(changed, FOLDERS);
        assert!(folders(&changed, None).is_err(), "{from} → {to}");
    }
    for text in [
        "",
        "<Error><Code>InternalError</Code></Error>",
        "<html><body>ListBucketResult</body></html>",
        "<ListBucketResult/>",
    ] {
        keys(text).unwrap_err();
    }
}

#[test]
fn a_listing_is_no_longer_than_what_was_asked_for() {
    let entries = |count: usize| -> String {
        let entry = |i| format!("<Contents><Key>one/a{i:04}</Key><Size>1</Size></Contents>");
        let head = &LIST[..LIST.find("<Contents>").unwrap()];
        head.to_owned() + &(0..count).map(entry).collect::<String>() + "</ListBucketResult>"
    };
    assert_eq!(keys(&entries(1000)).unwrap().objects.len(), 1000);
    assert!(keys(&entries(1001)).unwrap_err().contains("longer than"));
}

#[test]
fn the_folder_of_the_store_is_no_object_of_it() {
    let text = "<ListBucketResult><Name>b</Name><Prefix>one/</Prefix><IsTruncated>false</IsTruncated><Contents><Key>\
                one/</Key><Size>0</Size></Contents><Contents><Key>one/a</Key><Size>1</Size></Contents>\
                </ListBucketResult>";
    let found = Page::parse(text.as_bytes(), &Asked::keys(&place(), "", None)).unwrap();
    assert_eq!(found.objects, [object("a", 1, None)]);
}

#[test]
fn no_beginning_of_a_listing_is_a_listing() {
    for cut in 0..LIST.len() {
        keys(&LIST[..cut]).unwrap_err();
    }
}

#[test]
fn start_after_is_sent_only_where_it_matters() {
    let place = place();
    for (prefix, after, sent) in [
        ("b", None, None),
        ("b", Some("a"), None),
        ("b", Some("b"), None),
        ("b", Some("ba"), Some("one/ba")),
        ("b", Some("c"), Some("one/c")),
        ("", Some(""), None),
        ("", Some("a"), Some("one/a")),
    ] {
        let asked = Asked::keys(&place, prefix, after);
        assert_eq!(asked.after.as_deref(), sent, "{prefix} {after:?}");
        let sent = asked
            .params("1", None)
            .into_iter()
            .any(|(name, _)| name == "start-after");
        assert_eq!(sent, asked.after.is_some());
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_done_with_in_the_end(
        text in "(<ListBucketResult>|</ListBucketResult>|<Contents>|</Contents>|<Key>|</Key>|<!--|&amp;|%0|.){0,30}",
    ) {
        let _ = keys(&text);
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same(key in any::<String>()) {
        let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        prop_assert_eq!(decoded(encoded.clone()), Ok(key.clone()));
        prop_assert_eq!(decoded(encoded.replace('+', "%20").replace("%2F", "/")), Ok(key));
    }
}
