//! What is to be checked: what a backup and a restore have in common in their settings.

use std::path::PathBuf;

use actors::feed::Feed;
use actors::restore::selection::RestoreType;
use url::Url;

use crate::adapters::bucket::S3Config;
use crate::adapters::http::HttpTimeouts;
use crate::settings::{BaseUrl, Mode, Place, RestoreSettings, Settings};

/// One of the two stores.
#[derive(Clone, Debug)]
pub struct StoreTerms {
    /// `streams` or `events`.
    pub what: &'static str,
    /// Where it lies.
    pub place: Place,
}

/// Room that local state asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What the journal may hold.
    pub journal: u64,
    /// The largest answer of the dispatcher.
    pub answer: u64,
}

/// Everything that is checked.
#[derive(Clone, Debug)]
pub struct Terms {
    /// For which mode.
    pub mode: Mode,
    /// The dispatcher's base URL for events.
    pub events: BaseUrl,
    /// That for streams.
    pub streams: BaseUrl,
    /// The S3 server, and who asks it.
    pub s3: S3Config,
    /// What lies there; of a restore, only what it reads.
    pub stores: Vec<StoreTerms>,
    /// The feeds of each source that is not excluded, and each feed of `system`.
    pub sources: Vec<Vec<Feed>>,
    /// A part of consumers' names.
    pub backup_id: String,
    /// Folder of the local state.
    pub local_data: PathBuf,
    /// What local state asks for.
    pub room: Room,
    /// How many feeds there are.
    pub feeds: usize,
    /// What is odd about the settings.
    pub warnings: Vec<String>,
}

impl Terms {
    /// For a backup with these settings.
    pub fn of_backup(settings: &Settings) -> Self {
        let place = |bucket: &str| Place {
            bucket: bucket.to_owned(),
            folder: String::new(),
        };
        Self {
            mode: Mode::Backup,
            events: settings.dispatcher.events.clone(),
            streams: settings.dispatcher.streams.clone(),
            s3: S3Config::of(&settings.bucket, timeouts()),
            stores: vec![
                StoreTerms {
                    what: "streams",
                    place: place(&settings.bucket.streams),
                },
                StoreTerms {
                    what: "events",
                    place: place(&settings.bucket.events),
                },
            ],
            sources: by_source(settings.feeds()),
            backup_id: settings.backup_id.clone(),
            local_data: settings.local_data.clone(),
            room: Room {
                journal: settings.events.journal_max_bytes,
                answer: crate::backup::largest_answer(settings),
            },
            feeds: settings.feeds().len(),
            warnings: settings.effective.warnings.clone(),
        }
    }

    /// For a restore with these settings.
    pub fn of_restore(settings: &RestoreSettings) -> Self {
        let wants = settings.restore_type;
        let stores = [
            (wants != RestoreType::Events, "streams", &settings.reading.streams),
            (wants != RestoreType::Streams, "events", &settings.reading.events),
        ];
        let stores = stores.into_iter().filter(|(wanted, ..)| *wanted);
        let feeds = settings.sources.feeds();
        Self {
            mode: Mode::Restore,
            events: settings.dispatcher.events.clone(),
            streams: settings.dispatcher.streams.clone(),
            s3: S3Config::of(&settings.bucket, timeouts()),
            stores: stores
                .map(|(_, what, place)| StoreTerms {
                    what,
                    place: place.clone(),
                })
                .collect(),
            feeds: feeds.len(),
            sources: by_source(feeds),
            backup_id: settings.backup_id.clone(),
            local_data: settings.local_data.clone(),
            room: Room::default(),
            warnings: settings.effective.warnings.clone(),
        }
    }

    /// Where local state lies.
    pub fn state_root(&self) -> PathBuf {
        self.local_data.join(super::report::name_of(self.mode))
    }

    /// Every server, each once, in the order in which it is told.
    pub fn servers(&self) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for url in [&self.events, &self.streams, &self.s3.endpoint] {
            let server = Server::of(url);
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }
}

/// All actions of a source are asked for at once; `system` has two models, which have to be asked for by themselves.
fn by_source(feeds: Vec<Feed>) -> Vec<Vec<Feed>> {
    let mut sources: Vec<Vec<Feed>> = Vec::new();
    for feed in feeds {
        let belongs = |group: &&mut Vec<Feed>| {
            let known = group.first();
            known.is_some_and(|known| known.source() == feed.source() && known.model() == feed.model())
        };
        match sources.last_mut().filter(belongs) {
            Some(group) => group.push(feed),
            None => sources.push(vec![feed]),
        }
    }
    sources
}

/// Shorter than those of a run: all of it has to be done within a minute.
pub fn timeouts() -> HttpTimeouts {
    HttpTimeouts {
        connect: super::network::PATIENCE,
        head: super::REQUEST,
        chunk: super::REQUEST,
    }
}

/// A server as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: String,
    /// The port, also where the URL leaves it out.
    pub port: u16,
    /// Whether it is spoken to with TLS.
    pub secure: bool,
}

impl Server {
    /// That of a URL of the settings.
    pub fn of(url: &BaseUrl) -> Self {
        let parsed = Url::parse(url.as_str()).ok();
        let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
        let port = parsed.as_ref().and_then(Url::port_or_known_default);
        Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.unwrap_or_default(),
            secure: url.is_secure(),
        }
    }

    /// `host:port`, with brackets where an address needs them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_what_the_url_names() {
        for (url, authority, secure) in [
            ("http://d", "d:80", false),
            ("https://s3.example.org", "s3.example.org:443", true),
            ("https://[::1]:9000/path", "[::1]:9000", true),
        ] {
            let server = Server::of(&BaseUrl::parse(url).unwrap());
            assert_eq!((server.authority().as_str(), server.secure), (authority, secure));
        }
    }
}
