//! Logging, to standard error: text for people by default, or one JSON object a line for machines.
//!
//! `BED__LOG_LEVEL` sets the level of this program; libraries stay one or two levels quieter. `RUST_LOG`, with
//! env_logger's filters, overrides both. Each JSON object has `time`, `level`, `target` and `message`, and the
//! key-values of the record beside them; where they apply, `feed` (`source/model/action`), `key` (of an object, or of a
//! stream) and `error`.
//!
//! The same record serves both forms: its message says it all, for people, and what is in the message already is not
//! said again beside it. A panic is a record too. Only what is wrong with the command line, and help, are always text:
//! they come before there are settings.

use std::io::{self, Write};
use std::sync::OnceLock;

use actors::timestamp::Timestamp;
use env_logger::Builder;
use env_logger::fmt::Formatter;
use indicatif::{MultiProgress, ProgressBar};
use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Record};

use crate::observe::remarks;
use crate::observe::snapshot::Remark;
use crate::settings::logging::LogSettings;

/// Libraries that say more at INFO than an operator wants to know.
const LIBRARIES: [&str; 10] = [
    "sled",
    "hyper",
    "rusoto_core",
    "rusoto_credential",
    "rustls",
    "awc",
    "actix",
    "actix_http",
    "mio",
    "h2",
];

/// Starts logging. In a process that logs already nothing changes.
pub fn start(settings: &LogSettings, rust_log: Option<&str>) {
    let mut builder = Builder::new();
    match rust_log {
        Some(filters) => {
            builder.parse_filters(filters);
        }
        None => {
            builder.filter_level(settings.level);
            for library in LIBRARIES {
                builder.filter_module(library, quieter(settings.level));
            }
        }
    }
    if settings.pretty {
        builder.format(write_text);
    } else {
        builder.format(|buffer, record| write_json(buffer, record, &now()));
    }
    let logger = builder.build();
    let level = logger.filter();
    // Err: somebody has started logging before, and has the say.
    if log::set_boxed_logger(Box::new(BesideProgress(logger))).is_ok() {
        log::set_max_level(level);
    }
}

/// The progress that moves on the terminal, if there is any.
static PROGRESS: OnceLock<MultiProgress> = OnceLock::new();

/// Shows `bar` on the terminal; lines of the log appear above it from now on.
pub fn with_progress(bar: ProgressBar) -> ProgressBar {
    PROGRESS.get_or_init(MultiProgress::new).add(bar)
}

/// Keeps what an operator should know of also where it can be asked for.
fn remember(record: &Record<'_>) {
    // What cannot be told of a record is missing from it; the log itself complains.
    let unsaid = unsaid(record).unwrap_or_default();
    remarks::latest().add(Remark {
        time: Timestamp::now(),
        level: record.level().to_string(),
        message: format!("{}{unsaid}", record.args()),
    });
}

/// Clears the progress away for as long as a line is written.
struct BesideProgress(env_logger::Logger);

impl log::Log for BesideProgress {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= log::Level::Warn && self.0.matches(record) {
            remember(record);
        }
        match PROGRESS.get() {
            Some(progress) if self.0.matches(record) => progress.suspend(|| self.0.log(record)),
            _ => self.0.log(record),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn quieter(level: LevelFilter) -> LevelFilter {
    match level {
        LevelFilter::Trace => LevelFilter::Debug,
        LevelFilter::Debug => LevelFilter::Info,
        other => other.min(LevelFilter::Warn),
    }
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn write_text(buffer: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let style = buffer.default_level_style(record.level());
    let (time, level) = (now(), record.level());
    write!(buffer, "{time} {style}{level:5}{style:#} {}", record.args())?;
    let pairs = unsaid(record).map_err(io::Error::other)?;
    write!(buffer, "{pairs}")?;
    if record.level() <= log::Level::Warn || record.level() >= log::Level::Debug {
        write!(buffer, " [{}]", record.target())?;
    }
    writeln!(buffer)
}

/// What may be in the message of a record as well.
const IN_MESSAGES: [&str; 3] = ["feed", "key", "error"];

/// The key-values of a record that its message does not say.
fn unsaid(record: &Record<'_>) -> Result<String, kv::Error> {
    struct Pairs {
        message: String,
        text: String,
    }
    impl<'kvs> VisitSource<'kvs> for Pairs {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
            let said = IN_MESSAGES.contains(&key.as_str()) && self.message.contains(&value.to_string());
            if !said {
                self.text.push_str(&format!(" {key}={value}"));
            }
            Ok(())
        }
    }
    let source = record.key_values();
    if source.count() == 0 {
        return Ok(String::new());
    }
    let mut pairs = Pairs {
        message: record.args().to_string(),
        text: String::new(),
    };
    source.visit(&mut pairs)?;
    Ok(pairs.text)
}

/// One JSON object on one line.
fn write_json(buffer: &mut impl Write, record: &Record<'_>, time: &str) -> io::Result<()> {
    let mut object = Object(serde_json::Map::new());
    // Key-values first: what a record says about itself is not overwritten by what it says about the world.
    record.key_values().visit(&mut object).map_err(io::Error::other)?;
    let Object(mut object) = object;
    for (key, value) in [
        ("time", time.to_owned()),
        ("level", record.level().to_string()),
        ("target", record.target().to_owned()),
        ("message", record.args().to_string()),
    ] {
        object.insert(key.to_owned(), value.into());
    }
    serde_json::to_writer(&mut *buffer, &object)?;
    writeln!(buffer)
}

struct Object(serde_json::Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let number = value
            .to_u64()
            .map(serde_json::Value::from)
            .or_else(|| value.to_i64().map(serde_json::Value::from))
            .or_else(|| value.to_bool().map(serde_json::Value::from))
            .or_else(|| value.to_f64().map(serde_json::Value::from));
        let value = number.unwrap_or_else(|| value.to_string().into());
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(record: &Record<'_>) -> serde_json::Value {
        let mut line = Vec::new();
        write_json(&mut line, record, "2026-11-23T09:48:00.123Z").unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&line).unwrap()
    }

    #[test]
    fn a_json_line_holds_the_message_and_its_key_values() {
        let pairs = [
            ("feed", Value::from("samples/binary/sourced")),
            ("events", Value::from(20)),
        ];
        let pairs = pairs.as_slice();
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("azul_backup")
            .args(format_args!("two\nlines"))
            .key_values(&pairs)
            .build();
        assert_eq!(
            json(&record),
            serde_json::json!({
                "time": "2026-11-23T09:48:00.123Z", "level": "WARN", "target": "azul_backup",
                "message": "two\nlines", "feed": "samples/binary/sourced", "events": 20,
            })
        );
    }

    #[test]
    fn a_text_says_nothing_twice() {
        let pairs = [
            ("feed", "samples/binary/mapped"),
            ("error", "500"),
            ("count", "7"),
        ]
        .as_slice();
        let said = |text: &str| {
            unsaid(
                &Record::builder()
                    .args(format_args!("{text}"))
                    .key_values(&pairs)
                    .build(),
            )
            .unwrap()
        };
        assert_eq!(said("feed samples/binary/mapped: 500, 7 times"), " count=7");
        assert_eq!(said("500"), " feed=samples/binary/mapped count=7");
        assert_eq!(said(""), " feed=samples/binary/mapped error=500 count=7");
    }

    #[test]
    fn a_key_value_does_not_hide_the_message() {
        let pairs = [("message", "other")].as_slice();
        let record = Record::builder()
            .args(format_args!("said"))
            .key_values(&pairs)
            .build();
        assert_eq!(json(&record)["message"], "said");
    }

    #[test]
    fn warnings_and_errors_of_the_log_are_remembered_and_nothing_else_is() {
        use log::Log as _;
        let logger = Builder::new()
            .filter_level(LevelFilter::Info)
            .filter_module("quiet", LevelFilter::Off)
            .target(env_logger::Target::Pipe(Box::new(io::sink())))
            .build();
        let log = BesideProgress(logger);
        let pairs = [("feed", "samples/binary/sourced")].as_slice();
        let levels = [
            (log::Level::Error, "quiet"),
            (log::Level::Info, "here"),
            (log::Level::Warn, "here"),
            (log::Level::Error, "here"),
        ];
        for (level, target) in levels {
            let said = format!("remembered of {target}");
            let args = format_args!("{said}");
            let record = Record::builder()
                .level(level)
                .target(target)
                .key_values(&pairs)
                .args(args)
                .build();
            log.log(&record);
        }
        let latest = remarks::latest().all();
        let told = latest
            .iter()
            .filter(|remark| remark.message.starts_with("remembered of"));
        let told: Vec<_> = told.map(|remark| (&*remark.level, &*remark.message)).collect();
        let message = "remembered of here feed=samples/binary/sourced";
        assert_eq!(told, [("ERROR", message), ("WARN", message)]);
    }

    #[test]
    fn libraries_are_quieter_than_the_program() {
        assert_eq!(quieter(LevelFilter::Info), LevelFilter::Warn);
        assert_eq!(quieter(LevelFilter::Error), LevelFilter::Error);
        assert_eq!(quieter(LevelFilter::Debug), LevelFilter::Info);
    }
}
