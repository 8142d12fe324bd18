//! Where a backup is read from, and how: what restore needs beyond the names of the buckets.

use actors::encryption::AesKey;
use actors::restore::listed_key::Form;

use super::reader::{Reader, Reason};
use super::secret::Secret;
use super::{bucket_text, is_given};

const BUCKET: &str = "BK__EXTERNAL_BACKUP__BUCKET";
const STATE: &str = "BK__EXTERNAL_BACKUP__AES_STATE";
const KEY: &str = "BK__EXTERNAL_BACKUP__AES_KEY";

/// Where the objects of one store lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// What stands before every key in it: empty, or a folder that ends with `/`.
    pub folder: String,
}

/// Whether objects are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AesState {
    /// Written and read as they are.
    Disabled,
    /// Written encrypted; both kinds are read.
    Enabled,
    /// Written as they are; both kinds are read.
    ReadOnly,
}

impl AesState {
    fn parse(text: &str) -> Result<Self, Reason> {
        match text {
            "disabled" => Ok(Self::Disabled),
            "enabled" => Ok(Self::Enabled),
            "readonly" => Ok(Self::ReadOnly),
            _ => Err(Reason::new()),
        }
    }
}

/// The backup as it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingSide {
    /// Where binaries lie.
    pub streams: Place,
    /// Where bundles lie.
    pub events: Place,
    /// What encrypted objects are read with: 24 printable ASCII characters.
    pub aes_key: Option<Secret>,
    /// What is read of an object that lies there both plain and encrypted.
    pub prefer: Form,
}

impl ReadingSide {
    /// `streams` and `events` are the names of the two buckets, or of the two folders in one-bucket mode.
    pub fn read(reader: &mut Reader<'_>, streams: &str, events: &str) -> Option<Self> {
        let one = reader.optional(BUCKET, bucket_name);
        let aes = aes(reader);
        if one.is_none() && is_given(reader, BUCKET) {
            return None;
        }
        let place = |name: &str| match &one {
            None => Place {
                bucket: name.to_owned(),
                folder: String::new(),
            },
            Some(bucket) => Place {
                bucket: bucket.clone(),
                folder: format!("{name}/"),
            },
        };
        let (state, aes_key) = aes?;
        Some(Self {
            streams: place(streams),
            events: place(events),
            aes_key,
            prefer: match state {
                AesState::Enabled => Form::Encrypted,
                AesState::Disabled | AesState::ReadOnly => Form::Plain,
            },
        })
    }
}

/// The state, and the key: without one, none is needed. A key that is there is used whatever the state says: an
/// object that could be read must not be left behind.
fn aes(reader: &mut Reader<'_>) -> Option<(AesState, Option<Secret>)> {
    let state = reader.required(STATE, AesState::parse);
    let given = is_given(reader, KEY);
    let key = reader.optional(KEY, |text| {
        let checked = AesKey::parse(text);
        checked.map(|_| Secret::new(text)).map_err(|why| why.to_string())
    });
    let state = state?;
    let key = match (state, given, key) {
        (AesState::Disabled, true, Some(key)) => {
            reader.note(format!(
                "{STATE} is disabled, and {KEY} is set: encrypted objects are read with it"
            ));
            Some(Some(key))
        }
        (AesState::Disabled, false, _) => Some(None),
        (_, true, key) => key.map(Some),
        (_, false, _) => {
            reader.blame(STATE, &format!("{KEY} is not set, and it needs one"));
            None
        }
    };
    key.map(|key| (state, key))
}

/// A bucket's name by the rules of S3.
fn bucket_name(text: &str) -> Result<String, Reason> {
    let name = bucket_text(text)?;
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let allowed = (3..=63).contains(&name.len())
        && name.starts_with(end)
        && name.ends_with(end)
        && !["..", ".-", "-."].iter().any(|pair| name.contains(pair))
        && name.parse::<std::net::Ipv4Addr>().is_err();
    match allowed {
        true => Ok(name),
        false => Err(Reason::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Layers, SettingFaults};

    fn read(settings: &[(&str, &str)]) -> Result<(ReadingSide, Vec<String>), SettingFaults> {
        let variables = settings.iter().map(|(name, value)| (name.into(), value.into()));
        let layers = Layers::read(&variables.collect(), None);
        let mut reader = Reader::new(&layers);
        let side = ReadingSide::read(&mut reader, "azul-backup-1-streams", "azul-backup-1-events");
        let notes = reader.take_notes();
        reader.finish(side.map(|side| (side, notes)))
    }

    fn fault(settings: &[(&str, &str)]) -> String {
        let faults = read(settings).expect_err("a fault").to_string();
        assert_eq!(faults.lines().count(), 1, "{faults}");
        faults
    }

    #[test]
    fn the_stores_are_buckets_of_their_own_or_folders_of_one() {
        let (side, notes) = read(&[]).unwrap();
        let place = |bucket: &str, folder: &str| Place {
            bucket: bucket.to_owned(),
            folder: folder.to_owned(),
        };
        assert_eq!(side.streams, place("azul-backup-1-streams", ""));
        assert_eq!(side.events, place("azul-backup-1-events", ""));
        assert_eq!((side.aes_key, notes.len()), (None, 0));
        let (side, _) = read(&[(BUCKET, "all.of-it")]).unwrap();
        assert_eq!(side.streams, place("all.of-it", "azul-backup-1-streams/"));
        assert_eq!(side.events, place("all.of-it", "azul-backup-1-events/"));
    }

    #[test]
    fn a_bucket_has_a_name_that_s3_allows() {
        for name in [
            "ab",
            "-abc",
            "abc-",
            "a..b",
            "a.-b",
            "Abc",
            "a_b",
            "a/b",
            "10.0.0.1",
            &"a".repeat(64),
        ] {
            let fault = fault(&[(BUCKET, name)]);
            assert!(
                fault.starts_with(&format!(
                    "{BUCKET}: `{name}` is not accepted; accepted: a name S3"
                )),
                "{fault}"
            );
        }
        for name in ["abc", "a.b", "0a-9", &"a".repeat(63)] {
            assert_eq!(read(&[(BUCKET, name)]).unwrap().0.events.bucket, name);
        }
    }

    #[test]
    fn a_key_goes_with_a_state_that_reads_what_is_encrypted() {
        let key = "0123456789abcdefghijklmn";
        for state in ["enabled", "readonly"] {
            let (side, notes) = read(&[(STATE, state), (KEY, key)]).unwrap();
            assert_eq!(
                (side.aes_key, notes.len()),
                (Some(Secret::new(key)), 0),
                "{state}"
            );
            assert_eq!(side.prefer == Form::Encrypted, state == "enabled");
            assert_eq!(
                fault(&[(STATE, state)]),
                format!(
                    "{STATE}: `{state}` is not accepted: {KEY} is not set, and it needs one; accepted: disabled, enabled \
                     or readonly"
                )
            );
        }
        let (side, notes) = read(&[(KEY, key)]).unwrap();
        assert_eq!(side.prefer, Form::Plain);
        assert_eq!((side.aes_key, notes.len()), (Some(Secret::new(key)), 1));
        assert_eq!(
            fault(&[(STATE, "on"), (KEY, key)]),
            format!("{STATE}: `on` is not accepted; accepted: disabled, enabled or readonly")
        );
    }

    #[test]
    fn a_bad_key_is_told_without_it() {
        for (key, why) in [
            ("hunter2", "it has 7 bytes"),
            (
                "hunter2hunter2\nhunter2hu",
                "it holds something else than printable ASCII",
            ),
        ] {
            for state in ["enabled", "disabled"] {
                assert_eq!(
                    fault(&[(STATE, state), (KEY, key)]),
                    format!(
                        "{KEY}: `****` is not accepted: {why}; accepted: exactly 24 printable ASCII characters"
                    )
                );
            }
        }
        let key = "hunter2hunter2hunter2hun";
        let shown = format!("{:?}", read(&[(KEY, key)]).unwrap());
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
