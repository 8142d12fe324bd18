//! What each option selects, what goes together and what does not.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> SourceName {
    SourceName::new(text).unwrap()
}

fn selection(change: impl FnOnce(&mut Asked)) -> Selection {
    let mut asked = Asked::default();
    change(&mut asked);
    Selection::of(asked).unwrap()
}

fn senseless(change: impl FnOnce(&mut Asked)) -> String {
    let mut asked = Asked::default();
    change(&mut asked);
    let faults = Selection::of(asked).expect_err("senseless");
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn feeds(selection: &Selection) -> Vec<String> {
    let configured = [name("zoo"), name("abc")];
    selection
        .feeds(&configured)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn streams(selection: &Selection) -> Vec<String> {
    let configured = [name("zoo"), name("abc")];
    selection
        .stream_sources(&configured)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn keys(text: &str) -> Option<Keys> {
    Some(Keys::read(text.as_bytes()).unwrap())
}

#[test]
fn nothing_asked_is_everything_configured_and_system_first() {
    let all = selection(|_| {});
    assert_eq!(streams(&all), ["abc", "zoo"]);
    let feeds = feeds(&all);
    assert_eq!(feeds.len(), 12);
    assert_eq!(
        feeds[..3],
        [
            "system/insert/default",
            "system/delete/default",
            "abc/binary/sourced"
        ]
    );
    assert!(all.wants_label("anything") && all.window().is_unbounded() && all.notes().is_empty());
    assert_eq!(all.canonical(), r#"{"restore":"all"}"#);
    assert_eq!(all, Selection::default());
}

#[test]
fn the_type_leaves_one_of_both() {
    let only = selection(|asked| asked.restore_type = RestoreType::Streams);
    assert_eq!((streams(&only).len(), feeds(&only).len()), (2, 0));
    let only = selection(|asked| asked.restore_type = RestoreType::Events);
    assert_eq!((streams(&only).len(), feeds(&only).len()), (0, 12));
}

#[test]
fn a_source_is_restored_without_system_and_that_is_said() {
    let zoo = selection(|asked| asked.sources = vec![name("zoo")]);
    assert_eq!(streams(&zoo), ["zoo"]);
    assert_eq!(feeds(&zoo).len(), 5);
    assert_eq!(
        zoo.notes(),
        ["no insert and delete events are restored: they belong to --source system, which is not named"]
    );
    // One that is excluded by default is restored when it is named.
    assert_eq!(
        streams(&selection(|asked| asked.sources = vec![name("private")])),
        ["private"]
    );
    let both = selection(|asked| asked.sources = vec![name("zoo"), name("system")]);
    assert_eq!(
        (streams(&both).len(), feeds(&both).len(), both.notes().len()),
        (1, 7, 0)
    );
    let system = selection(|asked| asked.sources = vec![name("system")]);
    assert_eq!(
        (streams(&system).len(), feeds(&system).len(), system.streams()),
        (0, 2, false)
    );
}

#[test]
fn options_of_events_leave_no_streams_and_that_is_said() {
    let sourced = selection(|asked| asked.actions = vec![Action::Sourced]);
    assert_eq!(streams(&sourced), [""; 0]);
    assert_eq!(feeds(&sourced), ["abc/binary/sourced", "zoo/binary/sourced"]);
    assert!(sourced.notes()[0].starts_with("no streams are restored: --action can only select events"));
    let deletes = selection(|asked| asked.models = vec![Model::Delete]);
    assert_eq!(feeds(&deletes), ["system/delete/default"]);
    let system = selection(|asked| asked.actions = vec![Action::Default]);
    assert_eq!(feeds(&system).len(), 2);
    let window = selection(|asked| asked.window.since = moment("2025-07-01").ok());
    assert_eq!((streams(&window).len(), feeds(&window).len()), (0, 12));
}

#[test]
fn options_of_streams_leave_no_events_unless_these_are_asked_for_too() {
    let hash = Sha256::of(b"x");
    let one = selection(|asked| asked.sha256s = vec![hash]);
    assert_eq!((streams(&one).len(), feeds(&one).len()), (2, 0));
    assert_eq!(
        one.notes(),
        ["no events are restored: --sha256 can only select streams"]
    );
    let pcap = selection(|asked| asked.labels = vec!["pcap".to_owned()]);
    assert!(pcap.wants_label("pcap") && !pcap.wants_label("content") && !pcap.events());
    let both = selection(|asked| {
        asked.labels = vec!["pcap".to_owned()];
        asked.actions = vec![Action::Mapped];
    });
    assert_eq!(
        (streams(&both).len(), feeds(&both).len(), both.notes().len()),
        (2, 2, 0)
    );
}

#[test]
fn keys_select_exactly_what_they_name() {
    let bundle = "old/binary/mapped/2025-07-30T06:02:59Z-20-key";
    let stream = format!("zoo/content/{}", "ab".repeat(32));
    let both = selection(|asked| asked.keys = keys(&format!("{bundle}\n{stream}")));
    assert_eq!(
        (streams(&both), feeds(&both)),
        (vec!["zoo".to_owned()], vec!["old/binary/mapped".to_owned()])
    );
    let system = selection(|asked| asked.keys = keys("system/insert/default/2025-08-06T02:07:00Z-20-k"));
    assert_eq!(
        (feeds(&system), system.streams()),
        (vec!["system/insert/default".to_owned()], false)
    );
    let one = selection(|asked| asked.keys = keys(&stream));
    assert!(one.streams() && !one.events());
}

#[test]
fn what_could_restore_nothing_is_refused() {
    let told = senseless(|asked| {
        asked.restore_type = RestoreType::Events;
        asked.labels = vec!["pcap".to_owned()];
        asked.sha256s = vec![Sha256::of(b"x")];
    });
    assert_eq!(
        told,
        "--label and --sha256 can only select streams, and BK__RESTORE_TYPE=events restores none"
    );
    let told = senseless(|asked| {
        asked.restore_type = RestoreType::Streams;
        asked.window.until = moment("2025-07-01").ok();
    });
    assert_eq!(
        told,
        "--until can only select events, and BK__RESTORE_TYPE=streams restores none"
    );
    let told = senseless(|asked| {
        asked.window = Window {
            since: moment("2025-07-01").ok(),
            until: moment("2025-07-01").ok(),
            every_bundle: false,
        };
    });
    assert_eq!(
        told,
        "--since 2025-07-01T00:00:00Z is not before --until 2025-07-01T00:00:00Z: no event lies between them"
    );
    let of_system = |asked: &mut Asked| asked.sources = vec![name("system")];
    let told = senseless(|asked| {
        of_system(asked);
        asked.restore_type = RestoreType::Streams;
    });
    assert_eq!(
        told,
        "--source system has events only: there are no streams of it"
    );
    for change in [
        (|asked: &mut Asked| asked.actions = vec![Action::Sourced]) as fn(&mut Asked),
        |asked| asked.models = vec![Model::Binary],
    ] {
        let told = senseless(|asked| {
            of_system(asked);
            change(asked);
        });
        assert!(
            told.starts_with("no feed is of that --source, --model and --action"),
            "{told}"
        );
    }
    for (models, actions, sources) in [
        (vec![Model::Insert], vec![Action::Sourced], vec![]),
        (vec![Model::Binary], vec![Action::Default], vec![]),
        (vec![Model::Insert], vec![], vec![name("zoo")]),
    ] {
        let told =
            senseless(|asked| (asked.models, asked.actions, asked.sources) = (models, actions, sources));
        assert!(told.starts_with("no feed is of"), "{told}");
    }
}

#[test]
fn keys_go_with_no_other_selection_and_with_a_type_that_restores_them() {
    let stream = format!("zoo/content/{}", "ab".repeat(32));
    let told = senseless(|asked| {
        asked.keys = keys(&stream);
        asked.sources = vec![name("zoo")];
        asked.restore_type = RestoreType::Events;
    });
    assert_eq!(
        told,
        "--keys-from names exactly what is restored: it goes with no other option that selects\n\
         --keys-from names 1 streams, and BK__RESTORE_TYPE=events restores none"
    );
    let told = senseless(|asked| {
        asked.keys = keys("zoo/binary/mapped/2025-07-30T06:02:59Z-20-key");
        asked.restore_type = RestoreType::Streams;
    });
    assert_eq!(
        told,
        "--keys-from names 1 bundles of events, and BK__RESTORE_TYPE=streams restores none"
    );
}

#[test]
fn that_bundles_are_chosen_by_their_names_is_said_and_goes_with_a_time_alone() {
    let told = |change: fn(&mut Asked)| {
        let selection = selection(change);
        let notes = selection.notes().iter();
        (
            notes.filter(|note| note.contains("--read-every-bundle")).count(),
            selection.window_note().is_some(),
        )
    };
    assert_eq!(
        told(|asked| asked.window.until = moment("2025-07-01").ok()),
        (1, true)
    );
    assert_eq!(told(|_| {}), (0, false));
    assert_eq!(
        told(|asked| {
            asked.window.until = moment("2025-07-01").ok();
            asked.window.every_bundle = true;
        }),
        (0, false)
    );
    let alone = senseless(|asked| asked.window.every_bundle = true);
    assert!(alone.starts_with("--read-every-bundle says"), "{alone}");
    let keyed = senseless(|asked| {
        asked.keys = keys("zoo/binary/mapped/2025-07-30T06:02:59Z-20-key");
        asked.window.every_bundle = true;
    });
    assert!(keyed.contains("no other option that selects"), "{keyed}");
}

#[test]
fn the_canonical_text_names_everything_and_the_type_that_it_comes_to() {
    let hash = Sha256::of(b"x");
    let by_hash = selection(|asked| asked.sha256s = vec![hash]);
    let by_type_too = selection(|asked| {
        asked.restore_type = RestoreType::Streams;
        asked.sha256s = vec![hash, hash];
    });
    assert_eq!(
        by_hash.canonical(),
        format!(r#"{{"restore":"streams","sha256s":["{hash}"]}}"#)
    );
    assert_eq!(
        by_hash.canonical(),
        by_type_too.canonical(),
        "it is the same restore"
    );
    let all = selection(|asked| {
        asked.sources = vec![name("zoo"), name("a\"b")];
        asked.actions = vec![Action::Mapped, Action::Sourced];
        asked.models = vec![Model::Binary];
        asked.window = Window {
            since: moment("2025-07-01").ok(),
            until: moment("2025-08-01").ok(),
            every_bundle: false,
        };
        asked.labels = vec!["pcap".to_owned()];
    });
    assert_eq!(
        all.canonical(),
        r#"{"restore":"all","sources":["a\"b","zoo"],"actions":["sourced","mapped"],"models":["binary"],"since":"2025-07-01T00:00:00Z","until":"2025-08-01T00:00:00Z","labels":["pcap"]}"#
    );
    let every = selection(|asked| {
        asked.window.since = moment("2025-07-01").ok();
        asked.window.every_bundle = true;
    });
    assert_eq!(
        every.canonical(),
        r#"{"restore":"events","since":"2025-07-01T00:00:00Z","read_every_bundle":true}"#
    );
    let stream = format!("zoo/content/{}", "ab".repeat(32));
    let keyed = |text: &str| selection(|asked| asked.keys = keys(text)).canonical();
    assert_eq!(keyed(&stream), keyed(&format!("#\n{stream}.aesc1")));
    assert_ne!(keyed(&stream), keyed(&stream.replace("zoo", "abc")));
}

proptest! {
    #[test]
    fn the_order_of_options_makes_no_difference(
        sources in proptest::collection::vec("[a-z]{1,3}", 0..4),
        labels in proptest::collection::vec("[a-z,\"]{1,3}", 1..4),
        seeds in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let make = |turn: bool| {
            let mut asked = Asked {
                sources: sources.iter().map(|text| name(text)).collect(),
                labels: labels.clone(),
                sha256s: seeds.iter().map(|seed| Sha256::of(&[*seed])).collect(),
                ..Asked::default()
            };
            if turn {
                asked.sources.reverse();
                asked.labels.reverse();
                asked.sha256s.reverse();
            }
            Selection::of(asked).unwrap().canonical()
        };
        prop_assert_eq!(make(false), make(true));
    }

    /// Two selections with one text would share checkpoints: then they must be the same.
    #[test]
    fn other_labels_are_another_restore(
        one in proptest::collection::btree_set("[a,\"\\]\\[]{1,3}", 1..3),
        other in proptest::collection::btree_set("[a,\"\\]\\[]{1,3}", 1..3),
    ) {
        let text = |labels: &BTreeSet<String>| {
            selection(|asked| asked.labels = labels.iter().cloned().collect()).canonical()
        };
        prop_assert_eq!(one == other, text(&one) == text(&other));
    }
}
