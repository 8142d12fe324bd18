//! Whether it is the dispatcher that answers.

use actors::fault::Fault;
use actors::ports::archive::Store;

use super::answer::{Answer, head};
use super::request;
use super::survey::RootAnswer;
use super::target::Place;

const PROBE: &str = "ask the dispatcher who it is";

pub(super) async fn probe(at: &Place, sent: Store) -> Result<(), Fault> {
    let base = match sent {
        Store::Streams => &at.streams,
        Store::Events => &at.events,
    };
    let target = request::root(base);
    let request = at
        .kept
        .get(target.as_str())
        .insert_header(request::user_agent(&request::restores_streams(&at.backup_id)))
        .no_decompress();
    let answered = tokio::time::timeout(at.timeouts.head, request.send()).await;
    let response =
        head(answered, at.timeouts.head).map_err(|error| Fault::transient(PROBE, &target, error.text))?;
    let root = RootAnswer::of(Answer::of(response, at.timeouts.chunk, PROBE, target.as_str())).await?;
    if root.is_of_a_dispatcher() {
        return Ok(());
    }
    let detail = format_args!("200, but it does not say `Azul Dispatcher`: {}", root.text);
    Err(Fault::rejected(PROBE, &target, detail))
}
