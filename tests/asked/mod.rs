//! What the chart's alerts and dashboard ask of a running program.

use std::collections::BTreeSet;
use std::path::Path;

/// The names of metrics in these files of the chart that `metrics`, as a program has told them, does not have.
pub fn not_told(files: &[&str], metrics: &str) -> BTreeSet<String> {
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut asked = BTreeSet::new();
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // A label that the PodMonitor sets, and no metric.
        let words = words.filter(|word| *word != "azul_backup_label");
        let names = words.filter(|word| word.starts_with("azul_backup_") || word.starts_with("recovery_"));
        let of_histogram = ["_bucket", "_sum", "_count"];
        asked.extend(names.map(|name| {
            let family = of_histogram.iter().find_map(|end| name.strip_suffix(end));
            family.unwrap_or(name).to_owned()
        }));
    }
    assert!(!asked.is_empty());
    asked
        .into_iter()
        .filter(|name| !told.contains(name.as_str()))
        .collect()
}
