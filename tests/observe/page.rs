//! The page as it is sent: whole, harmless, and of one piece.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::made::{HOSTILE, Made, backup_in_trouble, end_of_restore, healthy_backup, restore};
use crate::raw_http::get;

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

#[test]
fn the_policy_allows_the_style_and_the_script_of_the_page_and_nothing_else() {
    let answer = get(Made::new(healthy_backup()).address(), "/");
    let policy = answer.header("content-security-policy");
    for (kind, open, close) in [
        ("style-src", "<style>", "</style>"),
        ("script-src", "<script>", "</script>"),
    ] {
        let text = between(&answer.body, open, close);
        let hash = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{kind} 'sha256-{hash}'")), "{policy}");
        assert_eq!(answer.body.matches(open).count(), 1);
    }
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for rule in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn nothing_comes_from_elsewhere_and_nothing_is_handled_in_attributes() {
    for snapshot in [healthy_backup(), backup_in_trouble(), restore()] {
        let html = get(Made::new(snapshot).address(), "/").body;
        for forbidden in [
            "src=\"", "href=", "style=\"", " onclick", "url(", "@import", "http://", "https://",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}

#[test]
fn hostile_text_stays_text_wherever_it_comes_from() {
    for snapshot in [backup_in_trouble(), restore()] {
        let html = get(Made::new(snapshot).address(), "/").body;
        assert!(html.contains("&lt;img src=x"), "{html}");
        assert!(!html.contains(HOSTILE) && !html.contains("<img"), "{html}");
        assert_eq!(html.matches("<script").count(), 1);
    }
}

#[test]
fn the_first_thing_on_a_bad_day_is_what_to_do() {
    let html = get(Made::new(backup_in_trouble()).address(), "/").body;
    let attention = between(&html, "<section id=\"attention\"", "</section>");
    for told in [
        "Not ready: feed incidents/binary/mapped",
        "Could not be stored, set aside: 27 streams.",
        "azul-backup failed-streams tells why",
        "May have cost events: 1,414 pulls, in 2 spans of time.",
        "azul-backup suspect-pulls",
        "Behind: 1 feed, the first since 20",
        "The journal holds 470.00 MiB of 512.00 MiB",
        "The volume of local state has 90.00 MiB free of 1.00 GiB",
    ] {
        assert!(attention.contains(told), "{told}\n{attention}");
    }
    assert!(html.contains("<span class=\"badge bad\">NOT READY</span>"));
    assert!(html.contains("<li>and 24 more</li>"));
    let html = get(Made::new(healthy_backup()).address(), "/").body;
    assert!(between(&html, "<section id=\"attention\"", "</section>").contains("Nothing."));
    assert!(html.contains("<span class=\"badge ok\">ready</span>"));
}

#[test]
fn a_restore_shows_how_far_it_is_and_its_verdict() {
    let made = Made::new(restore());
    let html = get(made.address(), "/").body;
    for told in [
        "31,001 of 96,000",
        "about 1 h 6 min",
        "<li aria-current=\"step\">streams</li>",
        "azul-backup dead-letters tells which",
        "is in the bucket, not in BK__SOURCES, not restored",
    ] {
        assert!(html.contains(told), "{told}");
    }
    made.change(end_of_restore);
    let html = get(made.address(), "/").body;
    assert!(
        html.contains("<p class=\"verdict ok\">RESTORED: everything"),
        "{html}"
    );
    assert!(html.contains("2025-07-30 06:02:59 UTC"), "{html}");
}
