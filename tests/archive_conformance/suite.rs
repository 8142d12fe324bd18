//! The promises. Each function gets two stores that are there, and empty.

use actors::encryption::{AesKey, HEADER, encrypted};
use actors::fault::{Fault, FaultKind};
use actors::ports::Archive;
use actors::ports::archive::{FolderPage, Store};
use actors::timestamp::Timestamp;

use super::{Ground, KEY};

pub async fn keys(archive: &dyn Archive, store: Store, prefix: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = archive
            .list(store, prefix, keys.last().map(String::as_str))
            .await
            .unwrap();
        assert!(!page.more || !page.objects.is_empty(), "no way on");
        keys.extend(page.objects.into_iter().map(|object| object.key));
        if !page.more {
            return keys;
        }
    }
}

async fn read(archive: &dyn Archive, store: Store, key: &str) -> Result<Vec<u8>, Fault> {
    let mut body = archive.read(store, key).await?;
    let announced = body.length();
    let mut content = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        content.extend_from_slice(&chunk);
    }
    assert_eq!(announced, Some(content.len() as u64), "the length of {key}");
    Ok(content)
}

pub async fn pages_together_are_all_keys_below_the_prefix(ground: &dyn Ground) {
    let before = Timestamp::now();
    let planted: Vec<String> = (0..2345).map(|i| format!("samples/content/{i:04}")).collect();
    for key in &planted {
        ground.plant(Store::Streams, key, key.as_bytes());
    }
    for other in [
        "samples/content-a/x",
        "samples/contents/x",
        "samples/conten/x",
        "a/content/x",
    ] {
        ground.plant(Store::Streams, other, b"x");
    }
    let (mut listed, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = ground
            .archive()
            .list(Store::Streams, "samples/content/", after.as_deref())
            .await
            .unwrap();
        sizes.push(page.objects.len());
        for object in &page.objects {
            assert_eq!(object.size, 20);
            let written = object.last_modified.unwrap();
            assert!(written.since(before).as_secs() < 60 && before.since(written).as_secs() < 60);
        }
        listed.extend(page.objects.into_iter().map(|object| object.key));
        after = listed.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(listed, planted);
    assert_eq!(sizes, [1000, 1000, 345]);
    assert_eq!(
        keys(ground.archive(), Store::Streams, "").await.len(),
        planted.len() + 4
    );
    assert_eq!(
        keys(ground.archive(), Store::Streams, "samples/content/23").await,
        planted[2300..],
        "a prefix need not end with a slash"
    );
}

pub async fn a_listing_goes_on_behind_any_key(ground: &dyn Ground) {
    for key in ["a/1", "a/2", "b/1", "b/2", "c/1"] {
        ground.plant(Store::Events, key, b"x");
    }
    for (prefix, after, expected) in [
        ("b/", Some("b/1"), &["b/2"] as &[_]),
        ("b/", Some("b/15"), &["b/2"]),
        ("b/", Some("b/"), &["b/1", "b/2"]),
        ("b/", Some("b/2"), &[]),
        // A cursor of another prefix, as one of another restore may be.
        ("b/", Some("a/9"), &["b/1", "b/2"]),
        ("b/", Some("b"), &["b/1", "b/2"]),
        ("b/", Some("c/1"), &[]),
        ("b/", None, &["b/1", "b/2"]),
        ("", Some("b"), &["b/1", "b/2", "c/1"]),
        ("d/", None, &[]),
    ] {
        let page = ground.archive().list(Store::Events, prefix, after).await.unwrap();
        let found: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(
            (found.as_slice(), page.more),
            (expected, false),
            "{prefix} after {after:?}"
        );
    }
}

pub async fn folders_are_told_by_name(ground: &dyn Ground) {
    for key in [
        "a-b/x/1",
        "a.b",
        "a/x/1",
        "a/x/2",
        "a/y/1",
        "a/z",
        "b/1",
        "system/insert/default/1",
    ] {
        ground.plant(Store::Events, key, b"content");
    }
    let folders = async |prefix, after| {
        ground
            .archive()
            .folders(Store::Events, prefix, after)
            .await
            .unwrap()
    };
    let names = |page: &FolderPage| {
        let objects = page
            .objects
            .iter()
            .map(|object| (object.key.clone(), object.size));
        assert_eq!(page.next, None);
        (page.folders.clone(), objects.collect::<Vec<_>>())
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        names(&folders("", None).await),
        (owned(&["a-b", "a", "b", "system"]), vec![("a.b".to_owned(), 7)])
    );
    assert_eq!(
        names(&folders("a/", None).await),
        (owned(&["x", "y"]), vec![("a/z".to_owned(), 7)])
    );
    assert_eq!(names(&folders("system/insert/", None).await).0, ["default"]);
    assert_eq!(names(&folders("c/", None).await), (vec![], vec![]));
    assert_eq!(
        names(&folders("", Some("a/x/1")).await).0,
        ["b", "system"],
        "a folder does not follow what is in it"
    );
}

pub async fn pages_of_folders_together_are_all_of_them(ground: &dyn Ground) {
    let (mut names, mut keys) = (Vec::new(), Vec::new());
    for i in 0..1200 {
        if i % 10 == 0 {
            keys.push(format!("samples/{i:04}"));
        }
        names.push(format!("{i:04}-x"));
    }
    for key in &keys {
        ground.plant(Store::Streams, key, b"x");
    }
    for name in &names {
        for file in ["1", "2"] {
            ground.plant(Store::Streams, &format!("samples/{name}/{file}"), b"x");
        }
    }
    let (mut found, mut after, mut sizes) = (FolderPage::default(), None, Vec::new());
    loop {
        let page = ground
            .archive()
            .folders(Store::Streams, "samples/", after.as_deref())
            .await
            .unwrap();
        sizes.push(page.folders.len() + page.objects.len());
        found.folders.extend(page.folders);
        found.objects.extend(page.objects);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.folders, names);
    assert_eq!(
        found
            .objects
            .into_iter()
            .map(|object| object.key)
            .collect::<Vec<_>>(),
        keys
    );
    assert_eq!(sizes, [1000, 320]);
}

pub async fn keys_with_odd_names_are_listed_and_read_to_the_letter(ground: &dyn Ground) {
    let mut planted: Vec<String> = [
        "a b",
        " a ",
        "a+b",
        "a%2Fb",
        "a%",
        "100%25",
        "ü",
        "日本",
        "\u{1f980}",
        "\u{ffff}",
        "a..b",
        "..a",
        "a=b&c<d>\"e'",
        "~(x)!*",
        "a?b#c",
        "a\u{1}b\u{1f}",
        "a\tb\nc\r",
        "a\\b",
        "\u{7f}",
        "a:b",
        "2025-07-30T11:00:40Z-20-5f",
    ]
    .map(|name| format!("samples/{name}/{name}"))
    .to_vec();
    for key in &planted {
        ground.plant(Store::Streams, key, key.as_bytes());
    }
    planted.sort();
    assert_eq!(keys(ground.archive(), Store::Streams, "samples/").await, planted);
    for key in &planted {
        assert_eq!(
            read(ground.archive(), Store::Streams, key).await.unwrap(),
            key.as_bytes(),
            "{key:?}"
        );
        let folder = &key[..=key.rfind('/').unwrap()];
        assert_eq!(
            keys(ground.archive(), Store::Streams, folder).await,
            [key.as_str()]
        );
    }
    let mut folders = ground
        .archive()
        .folders(Store::Streams, "samples/", None)
        .await
        .unwrap()
        .folders;
    let mut names: Vec<_> = planted
        .iter()
        .map(|key| key.split('/').nth(1).unwrap().to_owned())
        .collect();
    folders.sort();
    names.sort();
    assert_eq!(folders, names);
}

pub async fn an_object_is_read_as_it_is(ground: &dyn Ground) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for content in [&b""[..], b"content", &large] {
        ground.plant(Store::Events, "a/b/c", content);
        assert_eq!(
            read(ground.archive(), Store::Events, "a/b/c").await.unwrap(),
            content
        );
    }
}

pub async fn an_encrypted_object_is_read_as_it_was(ground: &dyn Ground) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let key = AesKey::parse(KEY).unwrap();
    for plain in [&b""[..], b"content", &large] {
        let bytes = encrypted(&key, &[0xff; HEADER], plain);
        ground.plant(Store::Streams, "a/b/c.aesc1", &bytes);
        let page = ground.archive().list(Store::Streams, "a/", None).await.unwrap();
        assert_eq!(page.objects[0].size, bytes.len() as u64, "as stored");
        assert_eq!(
            read(ground.archive(), Store::Streams, "a/b/c.aesc1")
                .await
                .unwrap(),
            plain
        );
    }
    ground.plant(Store::Streams, "a/b/c", b"plain");
    let without = ground.without_key();
    assert_eq!(read(&*without, Store::Streams, "a/b/c").await.unwrap(), b"plain");
    let fault = read(&*without, Store::Streams, "a/b/c.aesc1").await.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Rejected);
    assert!(
        fault.to_string().contains("BK__EXTERNAL_BACKUP__AES_KEY"),
        "{fault}"
    );
}

pub async fn what_claims_to_be_encrypted_and_is_too_short_is_corrupt(ground: &dyn Ground) {
    ground.plant(Store::Streams, "a/b/c.aesc1", &[7; HEADER - 1]);
    let fault = read(ground.archive(), Store::Streams, "a/b/c.aesc1")
        .await
        .unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Corrupt);
}

pub async fn what_is_not_there_is_missing(ground: &dyn Ground) {
    ground.plant(Store::Streams, "a/b/c", b"x");
    for (store, key) in [
        (Store::Streams, "a/b/d"),
        (Store::Streams, "a/b/c.aesc1"),
        (Store::Events, "a/b/c"),
    ] {
        let fault = read(ground.archive(), store, key).await.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Missing, "{fault}");
    }
}

pub async fn a_bucket_that_is_not_there_is_never_an_empty_one(ground: &dyn Ground) {
    let archive = ground.archive();
    assert_eq!(
        archive.list(Store::Streams, "", None).await.unwrap(),
        Default::default()
    );
    assert_eq!(
        archive.folders(Store::Streams, "", None).await.unwrap(),
        Default::default()
    );
    ground.lose_bucket(Store::Streams);
    let list = archive.list(Store::Streams, "", None).await.unwrap_err();
    let folders = archive
        .folders(Store::Streams, "a/", Some("a/b"))
        .await
        .unwrap_err();
    let read = read(archive, Store::Streams, "a/b/c").await.unwrap_err();
    assert_eq!(
        (list.kind(), folders.kind()),
        (FaultKind::Missing, FaultKind::Missing)
    );
    assert!(list.to_string().contains("NoSuchBucket"), "{list}");
    assert_eq!(
        read.kind(),
        FaultKind::Rejected,
        "it is not the object that is missing"
    );
}

pub async fn streams_and_events_are_apart(ground: &dyn Ground) {
    ground.plant(Store::Streams, "a/b/c", b"binary");
    ground.plant(Store::Events, "a/b/c", b"events");
    ground.plant(Store::Events, "a/b/d", b"events");
    assert_eq!(keys(ground.archive(), Store::Streams, "").await, ["a/b/c"]);
    assert_eq!(
        keys(ground.archive(), Store::Events, "").await,
        ["a/b/c", "a/b/d"]
    );
    assert_eq!(
        read(ground.archive(), Store::Streams, "a/b/c").await.unwrap(),
        b"binary"
    );
    assert_eq!(
        read(ground.archive(), Store::Events, "a/b/c").await.unwrap(),
        b"events"
    );
}
