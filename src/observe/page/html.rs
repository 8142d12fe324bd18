//! HTML being written. Markup is what stands in this program; everything else goes through [`Html::text`], the one place
//! where text is made harmless.

use std::fmt::{self, Display, Write};

/// What has been written so far.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Any text, as text: between tags, or in an attribute between double quotes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Err: writing to memory does not fail, and no `Display` here does.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// A cell of a table.
    pub(super) fn cell(&mut self, text: impl Display) -> &mut Self {
        self.raw("<td>").text(text).raw("</td>")
    }

    /// A cell with a number, or with anything else that belongs to the right.
    pub(super) fn number(&mut self, text: impl Display) -> &mut Self {
        self.raw("<td class=\"n\">").text(text).raw("</td>")
    }

    /// The cell that names a row.
    pub(super) fn row_name(&mut self, text: impl Display) -> &mut Self {
        self.raw("<th scope=\"row\">").text(text).raw("</th>")
    }

    /// The beginning of a table.
    pub(super) fn table(&mut self, caption: &'static str, columns: &[&'static str]) -> &mut Self {
        self.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
            .raw(caption)
            .raw("\"><table><caption>")
            .raw(caption)
            .raw("</caption><thead><tr>");
        for column in columns {
            self.raw("<th scope=\"col\">").raw(column).raw("</th>");
        }
        self.raw("</tr></thead><tbody>")
    }

    /// Its end.
    pub(super) fn table_end(&mut self) -> &mut Self {
        self.raw("</tbody></table></div>")
    }

    /// A bar of `part` in `whole`.
    pub(super) fn bar(&mut self, label: impl Display, part: u64, whole: u64) -> &mut Self {
        self.bar_of("<progress aria-label=\"", label, part, whole)
    }

    /// A bar of what ought not to be full, and nearly is.
    pub(super) fn full_bar(&mut self, label: impl Display, part: u64, whole: u64) -> &mut Self {
        self.bar_of("<progress class=\"full\" aria-label=\"", label, part, whole)
    }

    fn bar_of(&mut self, open: &'static str, label: impl Display, part: u64, whole: u64) -> &mut Self {
        self.raw(open)
            .text(label)
            .raw("\" max=\"")
            .text(whole.max(1))
            .raw("\" value=\"")
            .text(part.min(whole))
            .raw("\"></progress>")
    }
}

/// Writes text so that no part of it is markup, and none of it deceives the eye: control characters, and those that turn
/// the direction of what follows them, are shown by their numbers.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                    write!(self.0, "{}", c.escape_unicode())?;
                }
                c if c.is_control() => write!(self.0, "{}", c.escape_unicode())?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.finish()
    }

    #[test]
    fn no_text_is_markup() {
        assert_eq!(
            escaped("<script>alert('x')</script> & \"y\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"
        );
        assert_eq!(escaped("größe, 日本"), "größe, 日本");
    }

    #[test]
    fn what_turns_text_around_or_hides_is_shown_by_its_number() {
        assert_eq!(escaped("a\u{202e}b\0c\u{200b}"), "a\\u{202e}b\\u{0}c\\u{200b}");
    }
}
