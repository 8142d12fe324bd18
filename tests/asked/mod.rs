//! What the chart's alerts and dashboard ask of a running program.

use std::collections::BTreeSet;
use std::path::Path;

/// The value of a series, if it is told.
pub fn value(metrics: &str, series: &str) -> Option<f64> {
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next()?.parse().ok()
}

/// Of these names, and the names of metrics in these files of the chart, those that `metrics`, as a program has told
/// them, does not have.
pub fn not_told(files: &[&str], names: &[&str], metrics: &str) -> BTreeSet<String> {
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut asked: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // A label that the PodMonitor sets, and no metric.
        let words = words.filter(|word| *word != "azul_backup_label");
        let prefixes = ["azul_backup_", "recovery_", "process_"];
        let names = words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)));
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
