//! The dispatcher's rules of what an event must say, over decoded values. Written apart from the program's own,
//! for the two are held against each other.

use actors::feed::{Action, Model};
use apache_avro::types::Value;

use crate::decode::{items, text};
use crate::generator::DERIVED_LABELS;

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The dispatcher, which knows a closed list of labels.
    Dispatcher,
    /// A backup, which takes any label.
    Backup,
}

/// Why an event is invalid; `None` if it is valid.
pub fn fault(model: Model, event: &Value, judge: Judge) -> Option<&'static str> {
    if text(event, &["author", "name"]).is_empty() {
        return Some("author.name is empty");
    }
    match model {
        Model::Binary => binary(event, judge),
        Model::Insert => insert(event),
        Model::Delete => None,
    }
}

fn known(action: &str) -> bool {
    Action::BINARY.iter().any(|known| known.as_str() == action)
}

fn binary(event: &Value, judge: Judge) -> Option<&'static str> {
    let action = text(event, &["action"]);
    if !known(action) {
        return Some("action is unknown");
    }
    if text(event, &["source", "name"]).is_empty() {
        return Some("source.name is empty");
    }
    path(items(event, &["source", "path"])).or_else(|| streams(action, event, judge))
}

fn path(nodes: &[Value]) -> Option<&'static str> {
    let (_, before) = nodes
        .split_last()
        .map_or((None, None), |(last, before)| (Some(last), Some(before)));
    let Some(before) = before else {
        return Some("source.path is empty");
    };
    let incomplete = |node: &Value| {
        text(node, &["sha256"]).is_empty()
            || text(node, &["author", "name"]).is_empty()
            || !known(text(node, &["action"]))
    };
    if nodes.iter().any(incomplete) {
        return Some("a node of source.path lacks its sha256, author or action");
    }
    before
        .iter()
        .any(|node| text(node, &["action"]) == "enriched")
        .then_some("an enriched node is not the last of source.path")
}

fn streams(action: &str, event: &Value, judge: Judge) -> Option<&'static str> {
    let streams = items(event, &["entity", "datastreams"]);
    let labels: Vec<&str> = streams.iter().map(|stream| text(stream, &["label"])).collect();
    let content = labels.contains(&"content");
    let unknown = |label: &&str| *label != "content" && !DERIVED_LABELS.contains(label);
    match action {
        _ if judge == Judge::Dispatcher && labels.iter().any(unknown) => Some("a label is unknown"),
        "enriched" if !labels.is_empty() => Some("enriched with datastreams"),
        "mapped" if content => Some("mapped with a content stream"),
        "sourced" | "extracted" | "augmented" if !content => Some("no content stream"),
        "augmented" if labels.iter().all(|label| *label == "content") => {
            Some("augmented without a second label")
        }
        _ => None,
    }
}

fn insert(event: &Value) -> Option<&'static str> {
    let needed: [&[&str]; 4] = [
        &["entity", "parent_sha256"],
        &["entity", "child_history", "sha256"],
        &["entity", "child_history", "action"],
        &["entity", "child_history", "author", "name"],
    ];
    needed
        .iter()
        .any(|way| text(event, way).is_empty())
        .then_some("an insert event lacks something")
}
