//! The files of the chart and what was rendered from it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_yaml_ng::Value;

/// A file of the project.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Its only document.
pub fn yaml(name: &str) -> Value {
    serde_yaml_ng::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files below a folder that end so, by name.
pub fn below(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let entry = entry.expect("an entry");
        let name = format!("{folder}/{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            found.extend(below(&name, end));
        } else if name.ends_with(end) {
            found.push(name);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder}: nothing ends with {end}");
    found
}

/// What was rendered from one file of values.
pub struct Rendered {
    /// Its name.
    pub name: String,
    manifests: Vec<Value>,
}

impl Rendered {
    /// Those of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.manifests
            .iter()
            .filter(move |manifest| manifest["kind"] == kind)
    }

    /// The specification of every pod that runs the program, checks included.
    pub fn pods(&self) -> Vec<&Value> {
        let templates = ["Deployment", "Job"]
            .into_iter()
            .flat_map(|kind| self.of_kind(kind));
        let templates = templates.map(|manifest| &manifest["spec"]["template"]["spec"]);
        templates
            .chain(self.of_kind("Pod").map(|pod| &pod["spec"]))
            .collect()
    }
}

/// All snapshots.
pub fn rendered() -> Vec<Rendered> {
    let read = |name: String| {
        let text = text(&name);
        let manifests = serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).expect("YAML"))
            .filter(|manifest| !manifest.is_null())
            .collect();
        Rendered { name, manifests }
    };
    below("tests/chart/snapshots", ".yaml")
        .into_iter()
        .map(read)
        .collect()
}
