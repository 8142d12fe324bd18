//! Alerts and dashboard ask for metrics that there are.

use std::collections::BTreeSet;

use azul_backup::observe::durations;
use azul_backup::observe::metrics::NAMES;
use serde_yaml_ng::Value;

use super::files::{below, text, yaml};

/// Every text under one of these keys, at any depth.
fn under<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if keys.iter().any(|wanted| key == *wanted) => found.push(text),
                    _ => under(value, keys, found),
                }
            }
        }
        Value::Sequence(list) => list.iter().for_each(|value| under(value, keys, found)),
        _ => {}
    }
}

/// Not a metric: the label that the chart's PodMonitor makes of a pod's `azul-backup/label`.
const LABEL: &str = "azul_backup_label";

/// What every program tells of its process, which dashboards for all of them show.
const USUAL: &str = "process_";

/// The words of a query that can only be names of ours.
fn names_in(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let prefixes = ["recovery_", "azul_", USUAL];
    words.filter(move |word| *word != LABEL && prefixes.iter().any(|prefix| word.starts_with(prefix)))
}

fn exported(name: &str) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
    // The histogram has no series of its plain name.
    (NAMES.contains(&name) && name != durations::NAME) || of_histogram.contains(&Some(durations::NAME))
}

fn names_in_file(file: &str) -> BTreeSet<String> {
    let file = yaml(file);
    let mut queries = Vec::new();
    under(&file, &["expr", "query"], &mut queries);
    assert!(!queries.is_empty());
    queries
        .into_iter()
        .flat_map(names_in)
        .map(str::to_owned)
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_only_for_metrics_that_the_program_exports() {
    let mut files = below("helm/alerts", ".yaml");
    files.extend(below("helm/dashboards", ".json"));
    for file in files {
        let names = names_in_file(&file);
        assert!(!names.is_empty(), "{file}");
        for name in names {
            assert!(exported(&name), "{file}: {name}");
        }
    }
}

#[test]
fn the_cases_of_the_alerts_make_up_no_metric() {
    for file in below("tests/chart/alerts", "_test.yaml") {
        let file = yaml(&file);
        let mut series = Vec::new();
        under(&file, &["series"], &mut series);
        assert!(!series.is_empty());
        for name in series.into_iter().flat_map(|series| names_in(series).next()) {
            assert!(exported(name), "{name}");
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = names_in_file("helm/dashboards/azul-backup.json");
    let ours = NAMES.into_iter().filter(|name| !name.starts_with(USUAL));
    for name in ours.filter(|name| *name != durations::NAME) {
        assert!(shown.contains(name), "{name}");
    }
}

#[test]
fn the_runbook_has_a_section_for_every_alert() {
    let runbook = text("helm/RUNBOOK.md");
    for file in below("helm/alerts", ".yaml") {
        let file = yaml(&file);
        let mut alerts = Vec::new();
        under(&file, &["alert"], &mut alerts);
        assert!(!alerts.is_empty());
        for alert in alerts {
            assert!(runbook.contains(&format!("\n## {alert}\n")), "{alert}");
        }
    }
}
