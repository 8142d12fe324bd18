//! values.yaml, the templates and the README name the same values.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml_ng::Value;

use super::files::{below, text, yaml};

/// What is given to Kubernetes as it is, or read by parts under names that the template computes: all that is below
/// belongs to it.
const WHOLE: [&str; 9] = [
    "stages",
    "backup.resources",
    "restore.resources",
    "backup.volume",
    "restore.volume",
    "podLabels",
    "metrics.dashboard.labels",
    "sources",
    "env",
];

/// Every value that is no map with something in it, by its path, and those of [`WHOLE`] as well.
fn defaults() -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        match value.as_mapping().filter(|map| !map.is_empty()) {
            Some(map) => {
                for (name, value) in map {
                    let name = name.as_str().expect("a name");
                    let path = if path.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(&path, value, found);
                }
            }
            None => {
                found.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", &yaml("helm/values.yaml"), &mut found);
    found
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '_'
}

/// The paths that stand behind `.Values.` in a text; names that stand for a part of the values are resolved.
fn read_by(template: &str) -> BTreeSet<String> {
    let mut text = template.replace("$values.", ".Values.");
    for line in template.lines() {
        let Some((name, rest)) = line.trim_start_matches("{{- ").split_once(" := .Values.") else {
            continue;
        };
        let whole = rest.trim_end_matches(" }}").trim_end_matches(" -}}");
        if name.starts_with('$') && whole.chars().all(is_path) {
            text = text
                .replace(line, "")
                .replace(&format!("{name}."), &format!(".Values.{whole}."));
        }
    }
    let behind = text.split(".Values.").skip(1);
    let paths = behind.map(|rest| rest.split(|c| !is_path(c)).next().unwrap_or_default());
    paths
        .map(|path| path.trim_end_matches('.').to_owned())
        .filter(|path| !path.is_empty())
        .collect()
}

fn is_within(path: &str, whole: &str) -> bool {
    path == whole || path.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'))
}

#[test]
fn every_value_is_read_by_a_template_and_every_value_that_is_read_exists() {
    let templates = below("helm/templates", "").into_iter().map(|name| text(&name));
    let read: BTreeSet<String> = templates.flat_map(|template| read_by(&template)).collect();
    let defaults = defaults();
    for path in defaults.keys() {
        let whole = WHOLE.iter().find(|whole| is_within(path, whole));
        // Nothing but the mode is kept for those who come from another chart.
        let known =
            path == "s3AuthMode" || read.contains(path) || whole.is_some_and(|whole| read.contains(*whole));
        assert!(known, "{path}: no template reads it");
    }
    for path in &read {
        assert!(
            defaults.keys().any(|known| is_within(known, path)),
            "{path} is read, and not in values.yaml"
        );
    }
}

/// The rows of the table of values: path and default.
fn documented() -> BTreeMap<String, Value> {
    let readme = text("helm/README.md");
    let begin = readme
        .find("<!-- values -->")
        .expect("the mark of the table of values");
    let rows = readme[begin..]
        .lines()
        .skip(1)
        .skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        assert!(cells.len() >= 5 && cells[3].ends_with('.'), "{row}");
        (cells[1].to_owned(), serde_yaml_ng::from_str(cells[2]).expect(row))
    })
    .collect()
}

#[test]
fn the_readme_tells_every_value_with_its_default() {
    let (documented, defaults) = (documented(), defaults());
    let names = |map: &BTreeMap<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&defaults));
    for (path, value) in &defaults {
        assert_eq!(&documented[path], value, "{path}");
    }
}

/// What the schema says of a part of the values.
fn schema_of<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(root, |mut part, name| {
        if let Some(definition) = part["$ref"].as_str() {
            part = &root["definitions"][definition.trim_start_matches("#/definitions/")];
        }
        part["properties"].get(name)
    })
}

#[test]
fn the_schema_knows_every_value_and_every_value_of_the_schema_has_a_default() {
    let schema = yaml("helm/values.schema.json");
    let defaults = defaults();
    for path in defaults
        .keys()
        .filter(|path| !path.starts_with("podLabels") && !path.ends_with("grafana_dashboard"))
    {
        assert!(schema_of(&schema, path).is_some(), "{path}: not in the schema");
    }
    let names = schema["properties"].as_mapping().expect("properties").keys();
    for name in names.filter_map(Value::as_str).filter(|name| *name != "global") {
        assert!(
            defaults.keys().any(|path| is_within(path, name)),
            "{name}: not in values.yaml"
        );
    }
}
