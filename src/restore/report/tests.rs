//! What is on the terminal.

use std::io;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, TermLike};

use super::*;

/// A terminal of one line: what stands in it.
#[derive(Clone, Debug, Default)]
struct Screen(Arc<Mutex<String>>);

impl Screen {
    fn text(&self) -> String {
        self.0.lock().unwrap().trim_end().to_owned()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.lock().unwrap().clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_terminal_shows_each_line_with_its_bar_and_nothing_where_there_is_no_line_any_more() {
    let screens: Vec<Screen> = std::iter::repeat_with(Screen::default).take(3).collect();
    let bars: Vec<ProgressBar> = screens
        .iter()
        .map(|screen| {
            let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
            ProgressBar::with_draw_target(Some(0), target)
        })
        .collect();
    let line = |text: &str, share| Line {
        text: text.to_owned(),
        share,
    };
    let shown = || screens.iter().map(Screen::text).collect::<Vec<_>>();
    show(
        &bars,
        &[
            line("streams: 1 of 4", Some((1, 4))),
            line("streams of zoo: 1", None),
        ],
    );
    assert_eq!(
        shown(),
        [
            "█████░░░░░░░░░░░░░░░  25% streams: 1 of 4",
            "streams of zoo: 1",
            ""
        ]
    );
    show(&bars, &[line("ended", None)]);
    assert_eq!(shown(), ["ended", "", ""]);
    // More than was counted, for it has come since.
    show(&bars, &[line("streams: 9 of 9", Some((9, 4)))]);
    assert_eq!(shown()[0], "████████████████████ 100% streams: 9 of 9");
}
