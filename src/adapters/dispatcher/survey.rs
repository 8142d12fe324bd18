//! What tells whether there is a dispatcher, and what it has, without taking anything from anybody.
//!
//! A pull moves the offsets of the consumer that it names. So a survey names a consumer of its own, never that of a
//! backup, and sends no deployment key: neither the backup nor Azul's autoscaling notices. Each name that is new costs
//! the dispatcher a consumer and Kafka a group, until they forget it: a survey asks for all actions of a source at once.

use std::time::Duration;

use actors::fault::Fault;
use actors::feed::Feed;
use actors::ports::{AnswerSink, ByteStream, PullAnswer, PullFault};
use url::Url;

use super::answer::{self, Answer};
use super::{AwcDispatcher, pull, request};
use crate::adapters::http::excerpt;

/// How long the dispatcher may collect, as it is told.
const DEADLINE: Duration = Duration::from_secs(1);

/// More of what `/` answers is not read.
const LONGEST_ROOT: usize = 4096;

/// What `/` answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootAnswer {
    /// The body, for people: one line, bounded.
    pub text: String,
    /// `Content-Type`.
    pub content_type: String,
}

impl RootAnswer {
    /// # Errors
    /// It breaks off, or is no 200.
    pub(super) async fn of(mut answer: Answer) -> Result<Self, Fault> {
        if answer.status != 200 {
            return Err(answer.into_fault().await);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.body.chunk().await? {
            body.extend_from_slice(&chunk[..chunk.len().min(LONGEST_ROOT - body.len())]);
            if body.len() == LONGEST_ROOT {
                break;
            }
        }
        Ok(Self {
            text: excerpt(&body),
            content_type: answer.content_type,
        })
    }

    /// Whether it is what the dispatcher says of itself.
    pub fn is_of_a_dispatcher(&self) -> bool {
        self.text.contains("Azul Dispatcher")
    }
}

impl AwcDispatcher {
    /// What `/` answers at the URL for events, or at that for streams.
    ///
    /// # Errors
    /// There is no answer, or it is no 200.
    pub async fn root(&self, of_streams: bool) -> Result<RootAnswer, Fault> {
        let base = match of_streams {
            true => &self.target.streams,
            false => &self.target.events,
        };
        RootAnswer::of(self.ask_root(base).await?).await
    }

    pub(super) async fn ask_root(&self, base: &Url) -> Result<Answer, Fault> {
        const PROBE: &str = "probe dispatcher";
        let request = self
            .downloads
            .get(request::root(base).as_str())
            .insert_header(request::user_agent(&self.target.streams_consumer))
            .no_decompress();
        let sent = tokio::time::timeout(self.target.timeouts.head, request.send()).await;
        let response = answer::head(sent, self.target.timeouts.head)
            .map_err(|error| Fault::transient(PROBE, base, error.text))?;
        Ok(Answer::of(
            response,
            self.target.timeouts.chunk,
            PROBE,
            base.as_str(),
        ))
    }

    /// Asks for one event of any of these feeds, which are of one source and one model, under a name that must be the
    /// caller's own.
    ///
    /// # Errors
    /// As for a pull; nothing that matters is lost.
    pub async fn survey(
        &self,
        feeds: &[Feed],
        consumer: &str,
        sink: &mut dyn AnswerSink,
    ) -> Result<PullAnswer, PullFault> {
        let source = feeds
            .first()
            .map_or_else(String::new, |feed| feed.source().to_string());
        let asked = pull::Asked {
            url: request::survey(&self.target.events, feeds, consumer),
            consumer,
            patience: DEADLINE + self.target.timeouts.head,
            target: format!("{source} from {}", self.target.events),
        };
        pull::send(&self.pulls, &self.target, asked, sink).await
    }
}
