//! What every archive promises: the same suite over S3 on a real socket, in two buckets and in one, and over the one
//! in memory.

#[path = "archive_conformance/suite.rs"]
mod suite;

use actors::encryption::AesKey;
use actors::ports::Archive;
use actors::ports::archive::Store;
use actors::restore::listed_key::Form;
use actors::testkit::FakeArchive;
use actors::timestamp::Timestamp;
use azul_backup::adapters::bucket::{S3Archive, S3Config};
use azul_backup::adapters::http::HttpTimeouts;
use azul_backup::settings::{BaseUrl, Place, ReadingSide, Secret};
use sandbox::s3::{Config, Operation, S3Server};

const KEY: &str = "0123456789abcdefghijklmn";

/// A backup that a test can fill, and what it is read by.
trait Ground {
    fn plant(&self, store: Store, key: &str, content: &[u8]);
    fn lose_bucket(&self, store: Store);
    fn archive(&self) -> &dyn Archive;
    /// The same without an AES key.
    fn without_key(&self) -> Box<dyn Archive>;
}

struct InMemory(FakeArchive);

impl InMemory {
    fn new() -> Self {
        let archive = FakeArchive::new();
        archive.set_key(Some(AesKey::parse(KEY).unwrap()));
        Self(archive)
    }
}

impl Ground for InMemory {
    fn plant(&self, store: Store, key: &str, content: &[u8]) {
        self.0.plant(store, key, content.to_vec(), Timestamp::now());
    }

    fn lose_bucket(&self, store: Store) {
        self.0.lose_bucket(store);
    }

    fn archive(&self) -> &dyn Archive {
        &self.0
    }

    fn without_key(&self) -> Box<dyn Archive> {
        self.0.set_key(None);
        Box::new(self.0.clone())
    }
}

struct OverS3 {
    side: ReadingSide,
    archive: S3Archive,
    server: S3Server,
    _folder: tempfile::TempDir,
}

fn place(bucket: &str, folder: &str) -> Place {
    Place {
        bucket: bucket.to_owned(),
        folder: folder.to_owned(),
    }
}

fn archive(server: &S3Server, side: &ReadingSide) -> S3Archive {
    let config = S3Config {
        endpoint: BaseUrl::parse(&format!("http://{}", server.endpoint())).unwrap(),
        region: "eu-test-7".to_owned(),
        streams_bucket: "not-looked-at".to_owned(),
        events_bucket: "not-looked-at".to_owned(),
        access_key: Secret::new("sandbox"),
        secret_key: Secret::new("sandbox-secret"),
        timeouts: HttpTimeouts::default(),
    };
    S3Archive::new(config, side).unwrap()
}

impl OverS3 {
    fn new(streams: Place, events: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(Config::at(folder.path())).unwrap();
        for place in [&streams, &events] {
            std::fs::create_dir_all(folder.path().join(&place.bucket)).unwrap();
        }
        let side = ReadingSide {
            prefer: Form::Plain,
            streams,
            events,
            aes_key: Some(Secret::new(KEY)),
        };
        Self {
            archive: archive(&server, &side),
            side,
            server,
            _folder: folder,
        }
    }

    fn two_buckets() -> Self {
        Self::new(
            place("azul-backup-1-streams", ""),
            place("azul-backup-1-events", ""),
        )
    }

    fn one_bucket() -> Self {
        Self::new(
            place("one", "azul-backup-1-streams/"),
            place("one", "azul-backup-1-events/"),
        )
    }

    fn place(&self, store: Store) -> &Place {
        match store {
            Store::Streams => &self.side.streams,
            Store::Events => &self.side.events,
        }
    }
}

impl Ground for OverS3 {
    fn plant(&self, store: Store, key: &str, content: &[u8]) {
        let Place { bucket, folder } = self.place(store);
        let path = self.server.object_path(bucket, &format!("{folder}{key}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn lose_bucket(&self, store: Store) {
        let folder = self.server.object_path(&self.place(store).bucket, "");
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn archive(&self) -> &dyn Archive {
        &self.archive
    }

    fn without_key(&self) -> Box<dyn Archive> {
        let side = ReadingSide {
            prefer: Form::Plain,
            aes_key: None,
            ..self.side.clone()
        };
        Box::new(archive(&self.server, &side))
    }
}

/// Runs each of the suite's functions over all.
macro_rules! conformance {
    ($($promise:ident)*) => {$(
        mod $promise {
            #[actix_rt::test]
            async fn over_two_buckets() {
                super::suite::$promise(&super::OverS3::two_buckets()).await;
            }

            #[actix_rt::test]
            async fn over_one_bucket() {
                super::suite::$promise(&super::OverS3::one_bucket()).await;
            }

            #[actix_rt::test]
            async fn in_memory() {
                super::suite::$promise(&super::InMemory::new()).await;
            }
        }
    )*};
}

conformance! {
    pages_together_are_all_keys_below_the_prefix
    a_listing_goes_on_behind_any_key
    folders_are_told_by_name
    pages_of_folders_together_are_all_of_them
    keys_with_odd_names_are_listed_and_read_to_the_letter
    an_object_is_read_as_it_is
    an_encrypted_object_is_read_as_it_was
    what_claims_to_be_encrypted_and_is_too_short_is_corrupt
    what_is_not_there_is_missing
    a_bucket_that_is_not_there_is_never_an_empty_one
    streams_and_events_are_apart
}

#[actix_rt::test]
async fn reading_asks_for_what_it_needs_and_creates_nothing() {
    let ground = OverS3::two_buckets();
    for i in 0..5 {
        ground.plant(Store::Events, &format!("a/{i}"), b"x");
    }
    ground.server.knobs().set_page(Some(2));
    let keys = suite::keys(ground.archive(), Store::Events, "a/").await;
    assert_eq!(keys.len(), 5);
    ground.lose_bucket(Store::Streams);
    ground.archive().list(Store::Streams, "", None).await.unwrap_err();
    let seen = ground.server.counters().seen();
    assert_eq!(seen.requests_of(Operation::ListObjects), 4);
    assert_eq!(seen.requests.len(), 1, "no other request: {seen:?}");
    assert_eq!(ground.server.keys("azul-backup-1-streams").unwrap(), None);
}

#[actix_rt::test]
async fn a_key_that_is_none_is_refused_and_not_shown() {
    let ground = OverS3::two_buckets();
    let side = ReadingSide {
        prefer: Form::Plain,
        aes_key: Some(Secret::new("hunter2")),
        ..ground.side.clone()
    };
    let config = S3Config {
        endpoint: BaseUrl::parse("http://s3.example").unwrap(),
        region: "eu-test-7".to_owned(),
        streams_bucket: String::new(),
        events_bucket: String::new(),
        access_key: Secret::new("sandbox"),
        secret_key: Secret::new("sandbox-secret"),
        timeouts: HttpTimeouts::default(),
    };
    let fault = S3Archive::new(config, &side).err().unwrap().to_string();
    assert_eq!(
        fault,
        "set up S3 client http://s3.example: BK__EXTERNAL_BACKUP__AES_KEY is none: it has 7 bytes"
    );
}
