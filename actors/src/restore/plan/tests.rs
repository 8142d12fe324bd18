//! What a plan counts, what it finds odd, and how it looks.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::fault::Fault;
use crate::ports::archive::{FolderPage, ListPage, ListedObject};
use crate::ports::bucket::ByteStream;
use crate::restore::selection::{Asked, Window, moment};

/// Keys with sizes, in pages of three.
#[derive(Default)]
struct Shelf {
    streams: Option<BTreeMap<String, u64>>,
    events: Option<BTreeMap<String, u64>>,
    /// A listing of a prefix that begins so fails for good.
    broken: Option<&'static str>,
    listed: RefCell<Vec<String>>,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

const PAGE: usize = 3;

impl Shelf {
    fn new(streams: &[&str], events: &[&str]) -> Self {
        let objects = |keys: &[&str]| Some(keys.iter().map(|key| ((*key).to_owned(), 10)).collect());
        Self {
            streams: objects(streams),
            events: objects(events),
            ..Self::default()
        }
    }

    async fn after(
        &self,
        store: Store,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, Fault> {
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight
            .set(self.most_in_flight.get().max(self.in_flight.get()));
        tokio::task::yield_now().await;
        self.in_flight.set(self.in_flight.get() - 1);
        self.listed.borrow_mut().push(prefix.to_owned());
        if self.broken.is_some_and(|broken| prefix.starts_with(broken)) {
            return Err(Fault::transient("list", prefix, "503"));
        }
        let keys = match store {
            Store::Streams => &self.streams,
            Store::Events => &self.events,
        };
        let Some(keys) = keys else {
            return Err(Fault::missing("list", "bucket", "404 NoSuchBucket"));
        };
        let after = after.unwrap_or("");
        let keys = keys
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let object = |(key, size): (&String, &u64)| ListedObject {
            key: key.clone(),
            size: *size,
            last_modified: None,
        };
        Ok(keys.map(object).collect())
    }
}

#[async_trait(?Send)]
impl Archive for Shelf {
    async fn list(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<ListPage, Fault> {
        let mut objects = self.after(store, prefix, after).await?;
        let more = objects.len() > PAGE;
        objects.truncate(PAGE);
        Ok(ListPage { objects, more })
    }

    async fn folders(&self, store: Store, prefix: &str, after: Option<&str>) -> Result<FolderPage, Fault> {
        let mut page = FolderPage::default();
        for object in self.after(store, prefix, None).await? {
            match object.key[prefix.len()..].split_once('/') {
                Some((folder, _)) if page.folders.last().is_some_and(|last| last == folder) => {}
                Some((folder, _)) => page.folders.push(folder.to_owned()),
                None if after.is_none() => page.objects.push(object),
                None => {}
            }
        }
        page.folders
            .retain(|folder| after.is_none_or(|after| folder.as_str() > after));
        page.next = page
            .folders
            .get(PAGE)
            .and_then(|_| page.folders.get(PAGE - 1))
            .cloned();
        page.folders.truncate(PAGE);
        Ok(page)
    }

    async fn read(&self, _: Store, key: &str) -> Result<Box<dyn ByteStream>, Fault> {
        panic!("a plan reads nothing, least of all {key}");
    }
}

fn terms(change: impl FnOnce(&mut Asked)) -> PlanTerms {
    let mut asked = Asked::default();
    change(&mut asked);
    let names = |names: &[&str]| names.iter().map(|name| SourceName::new(name).unwrap()).collect();
    PlanTerms {
        selection: Selection::of(asked).unwrap(),
        restored: names(&["samples", "zoo"]),
        excluded: names(&["private"]),
        can_decrypt: false,
        retry: RetryPolicy {
            attempts: 2,
            average_delay: Duration::from_millis(1),
            retries: Default::default(),
        },
        at_once: 4,
    }
}

async fn planned(shelf: &Shelf, terms: &PlanTerms) -> Plan {
    plan(shelf, terms, &StopFlag::default()).await
}

fn stream(source: &str, label: &str, number: u8) -> String {
    format!("{source}/{label}/{}", hex::encode([number; 32]))
}

fn told(plan: &Plan, weight: Weight) -> Vec<&str> {
    plan.odd
        .iter()
        .filter(|odd| odd.weight == weight)
        .map(|odd| odd.what.as_str())
        .collect()
}

const BUNDLES: [&str; 4] = [
    "samples/binary/sourced/2025-07-30T06:02:59Z-20-a",
    "samples/binary/sourced/2025-07-31T06:02:59.5Z-7-b",
    "system/insert/default/2025-08-06T02:07:00Z-2-c",
    "zoo/binary/mapped/2025-08-06T02:07:00Z-1-d",
];

#[tokio::test]
async fn everything_is_counted_by_source_and_label_and_by_feed() {
    // Two hundred of one label: more than a page in each of the parallel ranges.
    let mut keys: Vec<String> = (0..200)
        .map(|number| stream("samples", "content", number))
        .collect();
    keys.extend([stream("samples", "pcap", 1), stream("zoo", "content", 1)]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let shelf = Shelf::new(&keys, &BUNDLES);
    let plan = planned(&shelf, &terms(|_| {})).await;
    let labels: Vec<_> = plan
        .streams
        .iter()
        .flat_map(|source| source.labels.iter().map(move |label| (source, label)))
        .map(|(source, label)| {
            (
                source.source.as_str(),
                label.label.as_str(),
                label.tally.objects,
                label.tally.bytes,
            )
        })
        .collect();
    assert_eq!(
        labels,
        [
            ("samples", "content", 200, 2000),
            ("samples", "pcap", 1, 10),
            ("zoo", "content", 1, 10)
        ]
    );
    assert_eq!(plan.feeds.len(), 12);
    let sourced = &plan.feeds[2];
    assert_eq!(sourced.feed.to_string(), "samples/binary/sourced");
    assert_eq!(
        (sourced.tally.objects, sourced.tally.events, sourced.tally.bytes),
        (2, 27, 20)
    );
    assert_eq!(
        [sourced.tally.first, sourced.tally.last].map(|time| time.unwrap().to_string()),
        ["2025-07-30T06:02:59Z", "2025-07-31T06:02:59.5Z"]
    );
    assert_eq!((plan.all_streams().objects, plan.all_events().events), (202, 30));
    assert_eq!((plan.odd.as_slice(), plan.is_doubtful(false)), (&[][..], false));
    assert!(
        shelf.most_in_flight.get() <= 4 && shelf.most_in_flight.get() > 1,
        "side by side, within the limit"
    );
}

#[tokio::test]
async fn what_looks_wrong_is_told() {
    let (plain, encrypted) = (
        stream("samples", "content", 1),
        format!("{}.aesc1", stream("samples", "content", 1)),
    );
    let (other, zoo) = (
        format!("{}.aesc1", stream("samples", "text", 2)),
        stream("zoo", "content", 1),
    );
    let streams = [
        "README",
        "old/content/x",
        "private/content/x",
        "samples/lost",
        "samples/content/!",
        "samples/content/x/y",
        &plain,
        &encrypted,
        &other,
        &zoo,
    ];
    let mut events = BUNDLES.to_vec();
    events.extend([
        "samples/status/default/2025-07-30T06:02:59Z-20-a",
        "samples/binary/binary_mapped/2025-07-30T06:02:59Z-20-a",
        "samples/binary/mapped/0001-01-01T00:00:00Z-3-",
        "samples/binary/mapped/soon",
    ]);
    let plan = planned(&Shelf::new(&streams, &events), &terms(|_| {})).await;
    assert_eq!(
        plan.left_behind
            .sources
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "source `old` is in the bucket, not in BK__SOURCES, not restored",
            "source `private` is in the bucket, excluded_from_backup in BK__SOURCES, not restored (--source private restores it)",
        ]
    );
    assert_eq!(
        told(&plan, Weight::Told),
        [
            "`samples/status/` is no feed that this program knows: not restored",
            "`samples/binary/binary_mapped/` is no feed that this program knows: not restored",
            "1 keys lie in no folder of a label or a feed, and are not restored: `README`",
            "1 objects lie there both plain and encrypted: restored once",
            "1 bundles tell no time in their names: restored first, whatever the times of their events",
        ]
    );
    assert_eq!(
        told(&plan, Weight::Dead),
        [
            "4 keys are neither of a stream nor of a bundle, and become dead letters: `samples/lost`, \
             `samples/content/!`, `samples/content/x/y`, `samples/binary/mapped/soon`"
        ]
    );
    assert_eq!(
        told(&plan, Weight::Against),
        ["1 objects are encrypted, and BK__EXTERNAL_BACKUP__AES_KEY is not set: they cannot be restored"]
    );
    assert_eq!(
        (plan.all_streams().objects, plan.all_streams().both_forms),
        (3, 1)
    );
    assert!(plan.is_doubtful(true));
    let mut with_key = terms(|_| {});
    with_key.can_decrypt = true;
    let plan = planned(&Shelf::new(&streams, &events), &with_key).await;
    assert!(!plan.is_doubtful(false) && plan.has_dead_letters());
}

#[tokio::test]
async fn a_bundle_in_both_forms_counts_once_whatever_lists_between_them() {
    let name = |key: &str| format!("samples/binary/mapped/2025-07-30T06:02:59Z-20-{key}");
    let keys = ["a", "a-b", "a-b.aesc1", "a.aesc1", "b"].map(name);
    assert!(keys.is_sorted());
    let shelf = Shelf::new(&[], &keys.each_ref().map(String::as_str));
    let events = planned(&shelf, &terms(|_| {})).await.all_events();
    assert_eq!((events.objects, events.both_forms, events.events), (3, 2, 60));
}

#[tokio::test]
async fn a_bucket_that_is_missing_or_unreadable_is_never_a_success() {
    let mut shelf = Shelf::new(&[], &BUNDLES);
    shelf.streams = None;
    let plan = planned(&shelf, &terms(|_| {})).await;
    assert_eq!(
        told(&plan, Weight::Against),
        ["the bucket of streams does not exist: list bucket: 404 NoSuchBucket"]
    );
    assert!(
        plan.is_doubtful(true),
        "allowed to be empty is not allowed to be missing"
    );
    assert_eq!(
        plan.all_events().events,
        30,
        "the other one is looked at all the same"
    );

    let mut shelf = Shelf::new(
        &[&stream("samples", "content", 1), &stream("zoo", "content", 1)],
        &BUNDLES,
    );
    shelf.broken = Some("zoo/content/");
    let plan = planned(&shelf, &terms(|_| {})).await;
    let against = told(&plan, Weight::Against);
    assert_eq!(against.len(), 1, "{against:?}");
    assert!(
        against[0].starts_with(
            "zoo/content could not be listed to the end: list zoo/content/: 503 (gave up after 2"
        ),
        "{against:?}"
    );
    assert_eq!(
        told(&plan, Weight::Empty),
        [""; 0],
        "what could not be listed is not said to be empty"
    );
}

#[tokio::test]
async fn what_is_empty_for_a_source_that_was_asked_for_is_told() {
    let shelf = Shelf::new(&[&stream("samples", "content", 1)], &BUNDLES[..3]);
    let plan = planned(&shelf, &terms(|_| {})).await;
    assert_eq!(
        told(&plan, Weight::Empty),
        [
            "source zoo: no streams in the bucket",
            "source zoo: no events in the bucket"
        ]
    );
    assert!(plan.is_doubtful(false) && !plan.is_doubtful(true));
    let empty = planned(&Shelf::new(&[], &[]), &terms(|_| {})).await;
    assert_eq!(
        told(&empty, Weight::Empty),
        ["the bucket of streams is empty", "the bucket of events is empty"]
    );
    assert!(empty.is_doubtful(false) && !empty.is_doubtful(true));
}

#[tokio::test]
async fn one_hash_takes_no_full_listing() {
    let here = Sha256::from_bytes([7; 32]);
    let nowhere = Sha256::from_bytes([209; 32]);
    let mut keys: Vec<String> = (0..100)
        .map(|number| stream("samples", "content", number))
        .collect();
    keys.extend([
        format!("{}.aesc1", stream("samples", "text", 7)),
        stream("zoo", "content", 1),
    ]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let shelf = Shelf::new(&keys, &BUNDLES);
    let mut terms = terms(|asked| asked.sha256s = vec![here, nowhere]);
    terms.can_decrypt = true;
    let plan = planned(&shelf, &terms).await;
    assert_eq!(
        (
            plan.all_streams().objects,
            plan.all_streams().encrypted,
            plan.feeds.len()
        ),
        (2, 1, 0)
    );
    assert_eq!(
        told(&plan, Weight::Empty),
        [format!(
            "1 of the hashes are in no source and label that is selected: `{nowhere}`"
        )]
    );
    let calls = shelf.listed.borrow().len();
    assert!(
        calls <= 12,
        "{calls}: folders, and one listing for each hash, source and label"
    );
}

#[tokio::test]
async fn keys_are_looked_up_one_by_one_and_told_when_they_are_not_there() {
    let shelf = Shelf::new(&[&format!("{}.aesc1", stream("old", "content", 1))], &BUNDLES);
    let text = format!(
        "{}\n{}\n{}\n",
        stream("old", "content", 1),
        stream("old", "content", 2),
        BUNDLES[1]
    );
    let mut terms = terms(|asked| asked.keys = Some(Keys::read(text.as_bytes()).unwrap()));
    terms.can_decrypt = true;
    let plan = planned(&shelf, &terms).await;
    assert_eq!((plan.streams.len(), plan.feeds.len()), (1, 1));
    assert_eq!((plan.all_streams().objects, plan.all_events().events), (1, 7));
    assert_eq!(
        told(&plan, Weight::Dead),
        [format!(
            "1 of the keys are not in the bucket: `{}`",
            stream("old", "content", 2)
        )]
    );
}

#[tokio::test]
async fn a_window_counts_the_bundles_that_have_to_be_read() {
    let feed = |time: &str| format!("samples/binary/sourced/{time}-10-k");
    let names = [
        "2025-01-01T00:00:00Z",
        "2025-02-01T00:00:00Z",
        "2025-05-01T00:00:00Z",
        "2025-06-01T00:00:00Z",
    ];
    let keys = names.map(feed);
    let shelf = Shelf::new(&[], &keys.each_ref().map(String::as_str));
    let terms = terms(|asked| {
        asked.window = Window {
            since: moment("2025-03-01").ok(),
            until: moment("2025-04-01").ok(),
            every_bundle: false,
        };
        asked.sources = vec![SourceName::new("samples").unwrap()];
    });
    let plan = planned(&shelf, &terms).await;
    assert_eq!((plan.all_events().objects, plan.all_events().events), (1, 10));
    assert_eq!(plan.all_events().first, moment(names[2]).ok());
}

#[tokio::test]
async fn labels_beyond_all_reason_are_added_up() {
    let keys: Vec<String> = (0..MOST_LABELS + 5)
        .map(|number| format!("samples/l{number}/{}", hex::encode([1; 32])))
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut terms = terms(|asked| asked.sources = vec![SourceName::new("samples").unwrap()]);
    terms.at_once = 50;
    let plan = planned(&Shelf::new(&keys, &BUNDLES), &terms).await;
    let labels = &plan.streams[0].labels;
    assert_eq!(
        (labels.len(), labels[MOST_LABELS].tally.objects),
        (MOST_LABELS + 1, 5)
    );
    assert_eq!(labels[MOST_LABELS].label, OTHER_LABELS);
    assert_eq!(plan.all_streams().objects as usize, MOST_LABELS + 5);
}

#[tokio::test]
async fn marks_of_folders_stand_for_nothing_and_are_no_dead_letters() {
    let stream = stream("samples", "content", 1);
    let zoo = self::stream("zoo", "content", 1);
    let mut shelf = Shelf::new(&[&stream, &zoo], &BUNDLES);
    for marker in ["samples/", "samples/content/", "samples/empty/", "/"] {
        shelf.streams.as_mut().unwrap().insert(marker.to_owned(), 0);
    }
    for marker in ["samples/", "samples/binary/", "samples/binary/sourced/"] {
        shelf.events.as_mut().unwrap().insert(marker.to_owned(), 0);
    }
    let plan = planned(&shelf, &terms(|_| {})).await;
    assert_eq!((plan.odd.as_slice(), plan.unreadable.count), (&[][..], 0));
    assert_eq!((plan.all_streams().objects, plan.all_events().objects), (2, 4));
}

#[tokio::test]
async fn a_hash_is_looked_for_without_a_look_at_what_lies_beside_it() {
    let wanted = stream("samples", "content", 1);
    let shelf = Shelf::new(&[&wanted, "samples/README"], &BUNDLES);
    let terms = terms(|asked| asked.sha256s = vec![Sha256::from_bytes([1; 32])]);
    let plan = planned(&shelf, &terms).await;
    assert_eq!((plan.all_streams().objects, plan.unreadable.count), (1, 0));
}
