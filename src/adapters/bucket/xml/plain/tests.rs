use proptest::prelude::*;

use super::super::{is_whole, parse_any};
use super::*;

/// Everything that a document says, in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct All(Vec<(String, Option<String>)>);

impl Document for All {
    const ROOT: &str = "List";
    const WHAT: &str = "list";

    fn begin(&mut self, path: &str) {
        self.0.push((path.to_owned(), None));
    }

    fn take(&mut self, path: &str, content: &str) {
        self.0.push((path.to_owned(), Some(content.to_owned())));
    }
}

fn quick(text: &str) -> Option<All> {
    parse(text.as_bytes())
}

fn slow(text: &str) -> Option<All> {
    parse_any(text.as_bytes())
        .ok()
        .filter(|_| is_whole(text.as_bytes()))
}

/// What is read is read as by the other parser, and whole to it.
fn agrees(text: &str) -> bool {
    quick(text).is_none_or(|read| slow(text) == Some(read))
}

const LIST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<List xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
    <Name>b</Name><Prefix/><Marker ></Marker ><Contents>\n <Key>a&amp;b&#10;&#xe9;&lt;&gt;&quot;&apos;é</Key><Size>1</Size>\
    <Owner><ID>x</ID></Owner></Contents>text</List>\n";

#[test]
fn what_servers_write_is_read_here_and_as_by_the_other_parser() {
    assert!(quick(LIST).is_some());
    assert_eq!(quick(LIST), slow(LIST));
    for text in [
        "<List/>",
        "<List />",
        "<?xml version=\"1.0\"?><List></List>",
        " \n<List>\n</List>\t",
    ] {
        assert_eq!(quick(text), slow(text), "{text}");
        assert!(quick(text).is_some(), "{text}");
    }
}

#[test]
fn what_is_no_plain_document_is_left_to_the_other_parser() {
    for text in [
        "",
        " ",
        "text",
        "<List>",
        "<List></Lists>",
        "<List><Key></List></Key>",
        "<List/><List/>",
        "<List/>x",
        "x<List/>",
        "&amp;<List/>",
        "<Other/>",
        "\u{feff}<List/>",
        "<!-- c --><List/>",
        "<!DOCTYPE List [<!ENTITY e \"x\">]><List>&e;</List>",
        "<List>&e;</List>",
        "<List>&amp</List>",
        "<List>&#0;</List>",
        "<List>&#x1;</List>",
        "<List>&#xffff;</List>",
        "<List>&#xd800;</List>",
        "<List>&#+65;</List>",
        "<List>&#;</List>",
        "<List>\u{1}</List>",
        "<List>\u{ffff}</List>",
        "<List>]]></List>",
        "<List>\r\n</List>",
        "<List><![CDATA[x]]></List>",
        "<List><a:b/></List>",
        "<List><1a/></List>",
        "<List><a b=\"c\"/></List>",
        "<List xmlns=\"\"/>",
        "<List xmlns=\"http://www.w3.org/2000/xmlns/\"/>",
        "<List xmlns=\"http:/x\" xmlns=\"http:/x\"/>",
        "<List/><?xml version=\"1.0\"?>",
        "<?xml version=\"1.1\"?><List/>",
        "<?xml version=\"1.0\" encoding=\"latin1\"?><List/>",
        " <?xml version=\"1.0\"?><List/>",
        "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><List/>",
    ] {
        assert_eq!(quick(text), None, "{text}");
    }
    assert_eq!(parse::<All>(b"<List>\xff</List>"), None);
    let deep = |depth: usize| format!("<List>{}{}</List>", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(quick(&deep(DEEPEST - 1)).is_some() && quick(&deep(DEEPEST)).is_none());
}

#[test]
fn no_beginning_of_a_document_is_whole() {
    let end = LIST.trim_end().len();
    for cut in (0..end).filter(|cut| LIST.is_char_boundary(*cut)) {
        assert_eq!((quick(&LIST[..cut]), slow(&LIST[..cut])), (None, None), "{cut}");
    }
}

const PARTS: &str = "(<List>|</List>|<List|<a>|</a>|<a/>|<b>|</b>|</|/>|>|<|<!--|-->|<\\?x|\\?>|<!\\[CDATA\\[|\\]\\]>| x=\"1\"\
    | xmlns=\"http://x\"|<\\?xml version=\"1.0\"\\?>|&amp;|&#10;|&#x41;|&#x0;|&lt;|&x;|&|;|=|\"|.|\\s|[a-z]{1,3}){0,20}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn generated_listings_are_read_alike(
        entries in proptest::collection::vec(("[ -~é\u{10348}\n\t]{0,20}", any::<u64>(), any::<bool>()), 0..20)
    ) {
        let mut text = "<List>".to_owned();
        for (key, size, has_tag) in &entries {
            let key = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text += &format!("<Contents><Key>{key}</Key><Size>{size}</Size>");
            text += if *has_tag { "<ETag>&quot;t&quot;</ETag>" } else { "" };
            text += "</Contents>";
        }
        text += "</List>";
        let read = quick(&text);
        prop_assert!(read.is_some(), "{}", text);
        prop_assert_eq!(read, slow(&text));
    }

    #[test]
    fn a_listing_with_something_put_in_or_left_out_is_read_alike_or_not_at_all(
        at in any::<proptest::sample::Index>(), length in 0..12_usize, put in PARTS,
    ) {
        let places: Vec<usize> = LIST.char_indices().map(|(place, _)| place).collect();
        let from = at.index(places.len());
        let to = places.get(from + length).copied().unwrap_or(LIST.len());
        let text = format!("{}{put}{}", &LIST[..places[from]], &LIST[to..]);
        prop_assert!(agrees(&text), "{:?} {:?} {}", quick(&text), slow(&text), text);
    }

    #[test]
    fn whatever_comes_is_read_alike_or_not_at_all(text in PARTS) {
        let whole = format!("<List>{text}</List>");
        prop_assert!(agrees(&text), "{:?} {}", quick(&text), text);
        prop_assert!(agrees(&whole), "{:?} {:?} {}", quick(&whole), slow(&whole), whole);
    }
}
