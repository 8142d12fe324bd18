//! An event of an older model version, as the dispatcher hands it out after an upgrade of Azul: byte for byte what
//! Azul's encoder writes of the same event in the newer one. What the newer schema does not have any more is left
//! out, `settings` come into being empty, and the event's own version becomes the newer.

use std::collections::HashMap;

use actors::avro::ModelVersion;
use actors::avro::schema::schema;
use actors::feed::Model;
use apache_avro::Schema;

use crate::{decode, encode};

/// The event in version `to`; `None` if it is not an event of version `from`. A version that is not newer changes
/// nothing.
pub fn upgraded(model: Model, from: ModelVersion, to: ModelVersion, event: &[u8]) -> Option<Vec<u8>> {
    if to <= from {
        return Some(event.to_vec());
    }
    let (old, new) = (schema(model, from), schema(model, to));
    let mut upgrade = Upgrade::default();
    named(old, &mut upgrade.old);
    named(new, &mut upgrade.new);
    let mut rest = event;
    decode::long(&mut rest)?;
    let mut out = Vec::with_capacity(event.len());
    encode::long(&mut out, to.number());
    upgrade.fields(old, new, 1, &mut rest, &mut out)?;
    rest.is_empty().then_some(out)
}

/// What names stand for, in either version.
#[derive(Default)]
struct Upgrade<'a> {
    old: HashMap<String, &'a Schema>,
    new: HashMap<String, &'a Schema>,
}

fn named<'a>(schema: &'a Schema, names: &mut HashMap<String, &'a Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.to_string(), schema);
            record.fields.iter().for_each(|field| named(&field.schema, names));
        }
        Schema::Fixed(fixed) => {
            names.insert(fixed.name.to_string(), schema);
        }
        Schema::Array(array) => named(&array.items, names),
        _ => {}
    }
}

fn resolved<'a>(schema: &'a Schema, names: &HashMap<String, &'a Schema>) -> Option<&'a Schema> {
    match schema {
        Schema::Ref { name } => names.get(&name.to_string()).copied(),
        other => Some(other),
    }
}

impl<'a> Upgrade<'a> {
    /// The fields of a record but for the first `done`.
    fn fields(
        &self,
        old: &'a Schema,
        new: &'a Schema,
        done: usize,
        rest: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (Schema::Record(old), Schema::Record(new)) = (old, new) else {
            return None;
        };
        let has_settings = old.fields.iter().any(|field| field.name == "settings");
        let mut wanted = new.fields[done..].iter().peekable();
        for field in &old.fields[done..] {
            match wanted.next_if(|wanted| wanted.name == field.name) {
                Some(same) => self.value(&field.schema, &same.schema, rest, out)?,
                None => self.value(&field.schema, &field.schema, rest, &mut Vec::new())?,
            }
            if !has_settings && wanted.next_if(|wanted| wanted.name == "settings").is_some() {
                encode::long(out, 0);
            }
        }
        wanted.next().is_none().then_some(())
    }

    fn value(&self, old: &'a Schema, new: &'a Schema, rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (old, new) = (
            resolved(old, &self.old)?,
            resolved(new, &self.new).or_else(|| resolved(new, &self.old))?,
        );
        let size = match old {
            Schema::Record(_) => return self.fields(old, new, 0, rest, out),
            Schema::Array(items) => {
                let Schema::Array(new) = new else { return None };
                return blocks(rest, out, |rest, out| {
                    self.value(&items.items, &new.items, rest, out)
                });
            }
            Schema::Map(_) => {
                return blocks(rest, out, |rest, out| {
                    text(rest, out)?;
                    text(rest, out)
                });
            }
            Schema::String | Schema::Bytes => return text(rest, out),
            Schema::Long | Schema::TimestampMicros => {
                encode::long(out, decode::long(rest)?);
                return Some(());
            }
            Schema::Boolean => 1,
            Schema::Fixed(fixed) => fixed.size,
            _ => return None,
        };
        copy(rest, out, size)
    }
}

fn copy(rest: &mut &[u8], out: &mut Vec<u8>, count: usize) -> Option<()> {
    let (copied, after) = rest.split_at_checked(count)?;
    out.extend_from_slice(copied);
    *rest = after;
    Some(())
}

fn text(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = decode::long(rest)?;
    encode::long(out, length);
    copy(rest, out, usize::try_from(length).ok()?)
}

/// An array or a map, in blocks as it was.
fn blocks(
    rest: &mut &[u8],
    out: &mut Vec<u8>,
    item: impl Fn(&mut &[u8], &mut Vec<u8>) -> Option<()>,
) -> Option<()> {
    loop {
        let count = decode::long(rest)?;
        if count < 0 {
            decode::long(rest)?;
        }
        let mut items = Vec::new();
        for _ in 0..count.unsigned_abs() {
            item(rest, &mut items)?;
        }
        match count {
            0 => {
                encode::long(out, 0);
                return Some(());
            }
            1.. => {
                encode::long(out, count);
                out.extend_from_slice(&items);
            }
            _ => encode::block(out, usize::try_from(count.unsigned_abs()).ok()?, &items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::{Shape, World};

    #[test]
    fn an_upgraded_event_is_what_the_newer_version_writes() {
        let mut shape = Shape::new(1, 3, 0).with_events([5, 5, 5, 5, 5]).with_sizes(1..=9);
        shape.system_events = 5;
        let world = World::new(shape).unwrap();
        let mut compared = 0;
        for feed in world.feeds() {
            let model = feed.feed().model();
            for number in 0..feed.len() {
                let event = feed.event(number);
                for from in ModelVersion::ALL {
                    for to in ModelVersion::ALL.into_iter().filter(|to| *to >= from) {
                        let old = event.encoded(from.number());
                        let mut expected = event.clone();
                        if let (crate::generator::Event::Binary(binary), true) =
                            (&mut expected, from == ModelVersion::V4)
                        {
                            binary.source.settings.clear();
                        }
                        let expected = match to == from {
                            true => old.clone(),
                            false => expected.encoded(to.number()),
                        };
                        assert!(
                            upgraded(model, from, to, &old) == Some(expected),
                            "{model:?} {from:?} {to:?}"
                        );
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(
            compared,
            6 * (3 * 25 + 2 * 5),
            "three sources, and the feeds of system"
        );
        assert_eq!(
            upgraded(Model::Binary, ModelVersion::V4, ModelVersion::V6, b"\x08x"),
            None
        );
    }
}
