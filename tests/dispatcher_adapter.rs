//! The client of the dispatcher against bytes on a socket: the exchanges that were recorded with the real one,
//! and every way in which an answer can fail.

mod raw_tcp;

#[path = "dispatcher_adapter/download.rs"]
mod download;
#[path = "dispatcher_adapter/exists.rs"]
mod exists;
#[path = "dispatcher_adapter/publish.rs"]
mod publish;
#[path = "dispatcher_adapter/pull.rs"]
mod pull;
#[path = "dispatcher_adapter/recorded.rs"]
mod recorded;
#[path = "dispatcher_adapter/recorded_writes.rs"]
mod recorded_writes;
#[path = "dispatcher_adapter/tls.rs"]
mod tls;
#[path = "dispatcher_adapter/tunnel.rs"]
mod tunnel;
#[path = "dispatcher_adapter/upload.rs"]
mod upload;

use std::time::Duration;

use actors::fault::Fault;
use actors::feed::{Action, Feed, SourceName};
use actors::ports::{AnswerSink, ByteStream, Pull};
use async_trait::async_trait;
use azul_backup::adapters::dispatcher::{AwcDispatcher, DispatcherConfig, HttpTarget, TargetConfig};
use azul_backup::adapters::http::HttpTimeouts;
use azul_backup::settings::BaseUrl;
use bytes::Bytes;

/// Short enough for a test that waits for it.
const PATIENCE: Duration = Duration::from_millis(300);

fn dispatcher(url: &str) -> AwcDispatcher {
    AwcDispatcher::new(DispatcherConfig {
        events: BaseUrl::parse(url).unwrap(),
        streams: BaseUrl::parse(url).unwrap(),
        streams_consumer: "backup-streams-events-all-all-1".to_owned(),
        timeouts: HttpTimeouts {
            connect: PATIENCE,
            head: PATIENCE,
            chunk: PATIENCE,
        },
    })
    .unwrap()
}

fn target(url: &str) -> HttpTarget {
    target_within(PATIENCE, url)
}

/// For what is large, and may take its time on a busy machine.
fn patient_target(url: &str) -> HttpTarget {
    target_within(Duration::from_secs(30), url)
}

fn target_within(patience: Duration, url: &str) -> HttpTarget {
    HttpTarget::new(TargetConfig {
        events: BaseUrl::parse(url).unwrap(),
        streams: BaseUrl::parse(url).unwrap(),
        backup_id: "1".to_owned(),
        timeouts: HttpTimeouts {
            connect: patience,
            head: patience,
            chunk: patience,
        },
        published: 2 * patience,
    })
    .unwrap()
}

/// An answer with this body and its length.
fn sized(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn samples(action: Action) -> Feed {
    Feed::binary(SourceName::new("samples").unwrap(), action)
}

fn a_pull() -> Pull {
    Pull {
        feed: samples(Action::Sourced),
        consumer: "backup-events-samples-sourced-1".to_owned(),
        deployment_key: Some("recovery".to_owned()),
        count: 1000,
        deadline: Duration::from_secs(1),
    }
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<u8>);

#[async_trait(?Send)]
impl AnswerSink for Kept {
    async fn take(&mut self, chunk: Bytes) -> Result<(), Fault> {
        self.0.extend_from_slice(&chunk);
        Ok(())
    }
}

/// What was read, and how it ended.
async fn read(mut body: Box<dyn ByteStream>) -> (Vec<u8>, Result<(), Fault>) {
    let mut content = Vec::new();
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => content.extend_from_slice(&chunk),
            Ok(None) => return (content, Ok(())),
            Err(fault) => return (content, Err(fault)),
        }
    }
}
