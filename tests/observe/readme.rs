//! The example of `/status` in the README is one that the program could give.

use serde_json::{Map, Value};

use crate::made::{Made, healthy_backup};
use crate::raw_http::get;

/// Stands for what is left out of an object of the example.
const ELIDED: &str = "…";

/// The example, with what it leaves out as a field of that name.
fn example() -> Value {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme.split_once("/status?pretty'\n").unwrap();
    let (json, _) = rest.split_once("```").unwrap();
    serde_json::from_str(&json.replace(ELIDED, &format!("\"{ELIDED}\": null"))).unwrap()
}

/// Fields that the example has and the program does not, or, where nothing is left out, the other way round.
fn differences(example: &Value, told: &Value, at: &str, found: &mut Vec<String>) {
    match (example, told) {
        (Value::Object(example), Value::Object(told)) => {
            let missing = |these: &Map<String, Value>, others: &Map<String, Value>, whose: &str| {
                let names = these
                    .keys()
                    .filter(|name| *name != ELIDED && !others.contains_key(*name));
                names
                    .map(|name| format!("only in {whose}: {at}/{name}"))
                    .collect::<Vec<_>>()
            };
            found.extend(missing(example, told, "the README"));
            if !example.contains_key(ELIDED) {
                found.extend(missing(told, example, "the program"));
            }
            for (name, value) in example {
                if let Some(told) = told.get(name) {
                    differences(value, told, &format!("{at}/{name}"), found);
                }
            }
        }
        (Value::Array(example), Value::Array(told)) => {
            for value in example {
                differences(value, &told[0], &format!("{at}/0"), found);
            }
        }
        // What is not known is null, on either side.
        (Value::Null, _) | (_, Value::Null) => {}
        (example, told) => {
            if std::mem::discriminant(example) != std::mem::discriminant(told) {
                found.push(format!("of another kind: {at}"));
            }
        }
    }
}

#[test]
fn the_status_in_the_readme_has_the_names_that_the_program_tells() {
    let told = get(Made::new(healthy_backup()).address(), "/status").body;
    let told: Value = serde_json::from_str(&told).unwrap();
    let mut found = Vec::new();
    differences(&example(), &told, "", &mut found);
    assert_eq!(found, [""; 0]);
}
