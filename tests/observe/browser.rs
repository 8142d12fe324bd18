//! What somebody sees who looks at the page.

use crate::made::{HOSTILE, Made, backup_in_trouble, end_of_restore, healthy_backup, restore};
use crate::webdriver::Browser;

#[test]
fn the_page_of_a_backup_follows_the_program_and_says_when_it_is_gone() {
    let Some(browser) = Browser::start("the_page_of_a_backup_follows_the_program_and_says_when_it_is_gone")
    else {
        return;
    };
    let mut made = Made::new(healthy_backup());
    browser.open(made.address());
    let text = browser.shows("samples/binary/enriched");
    assert!(text.starts_with("ready – backup – azul-backup"), "{text}");
    assert!(
        text.contains("caught up") && !text.contains("No answer"),
        "{text}"
    );
    browser.picture("healthy", 1200, "light");

    browser.run("document.getElementById('feeds').dataset.mark = 'kept'");
    *made.snapshot.lock().unwrap() = backup_in_trouble();
    let text = browser.shows("set aside: 27 streams");
    assert!(text.starts_with("NOT READY – backup"), "{text}");
    assert!(text.contains(HOSTILE), "hostile text is there, as text\n{text}");
    let images = browser.run("return document.images.length + document.scripts.length");
    assert_eq!(images, 1, "the script of the page, and nothing else");
    for (width, scheme) in [(1200, "light"), (1200, "dark"), (390, "light")] {
        browser.picture("trouble", width, scheme);
    }

    let closed = browser.run("document.getElementById('failed').open = false; return true");
    assert_eq!(closed, true);
    made.change(|snapshot| snapshot.backup.as_mut().unwrap().streams.failed = 28);
    browser.shows("set aside: 28 streams");
    let open = browser.run("return document.getElementById('failed').open");
    assert_eq!(open, false, "what somebody has closed stays closed");
    assert_eq!(browser.complaints(), [""; 0]);

    made.server = None;
    let text = browser.shows("No answer since 20");
    assert!(text.starts_with("NO ANSWER"), "{text}");
    assert!(text.contains("Everything below is as it was then"), "{text}");
    let shown = browser.run("return getComputedStyle(document.getElementById('silence')).backgroundColor");
    assert_eq!(shown, "rgb(179, 21, 31)", "in red");
    browser.picture("gone", 1200, "light");
}

#[test]
fn the_page_of_a_restore_comes_to_its_verdict() {
    let Some(browser) = Browser::start("the_page_of_a_restore_comes_to_its_verdict") else {
        return;
    };
    let made = Made::new(restore());
    browser.open(made.address());
    let text = browser.shows("31,001 of 96,000");
    assert!(
        text.contains("about 1 h 6 min") && text.contains("<script>document.title"),
        "{text}"
    );
    for (width, scheme) in [(1200, "light"), (390, "dark")] {
        browser.picture("restore", width, scheme);
    }
    made.change(end_of_restore);
    browser.shows("RESTORED: everything that was planned is back");
    let at_once = browser.run("return document.querySelectorAll('progress').length");
    assert_eq!(at_once, 3);
    browser.picture("restored", 1200, "dark");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn without_a_script_the_page_is_whole_and_asks_to_be_loaded_again() {
    let Some(browser) = Browser::start("without_a_script_the_page_is_whole_and_asks_to_be_loaded_again")
    else {
        return;
    };
    browser.without_scripts();
    let made = Made::new(healthy_backup());
    browser.open(made.address());
    let source = browser.source();
    assert!(source.contains("http-equiv=\"refresh\""), "{source}");
    assert!(source.contains("samples/binary/enriched"), "{source}");
    made.change(|snapshot| snapshot.not_ready = vec!["the bucket is away".to_owned()]);
    let begun = std::time::Instant::now();
    while !browser.source().contains("Not ready: the bucket is away") {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(60),
            "it is not loaded again"
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
