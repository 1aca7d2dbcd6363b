//! Markdown and HTML as plain text: what a reader of the rendered page would read aloud.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use pulldown_cmark::{Event, Options, Parser, html};

/// Ends a line that is one by itself, such as an item of a list: [`super::sentences()`] makes a pause there.
pub const LINE_END: char = '\u{2028}';

/// Elements whose content nobody reads.
const SILENT: [&[u8]; 8] = [b"head", b"script", b"style", b"template", b"noscript", b"svg", b"math", b"textarea"];
/// Elements that begin and end a line.
const LINES: [&[u8]; 8] = [b"li", b"tr", b"td", b"th", b"dt", b"dd", b"option", b"summary"];
/// Elements that begin and end a paragraph.
const PARAGRAPHS: [&[u8]; 26] = [
    b"p",
    b"div",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"ul",
    b"ol",
    b"dl",
    b"table",
    b"blockquote",
    b"pre",
    b"hr",
    b"section",
    b"article",
    b"header",
    b"footer",
    b"nav",
    b"aside",
    b"main",
    b"figure",
    b"figcaption",
    b"form",
    b"body",
];
/// How a page begins that is HTML as a whole.
const PAGES: [&str; 5] = ["<!doctype", "<html", "<?xml", "<head", "<body"];

/// The text of a page: Markdown with any HTML in it, or HTML. No mark is left, entities are characters, images are what stands for them.
pub fn plain(page: &str) -> String {
    let page = page.trim_start_matches('\u{FEFF}');
    let start = page.trim_start();
    if PAGES.iter().any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag))) {
        return text_of(page);
    }
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let events = Parser::new_ext(page, options).filter(|event| !matches!(event, Event::FootnoteReference(_)));
    let mut rendered = String::new();
    html::push_html(&mut rendered, events);
    text_of(&rendered)
}

/// The text of HTML.
fn text_of(html: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    // What is in a script or a style is no text.
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => page.start(&tag),
            Token::EndTag(tag) => page.end(&tag.name),
            Token::String(text) if page.silent.is_none() => page.text(&String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
    page.text
}

/// Text so far.
#[derive(Default)]
struct Page {
    text: String,
    /// Whether white space stands before what comes next.
    space: bool,
    /// The element whose content is not read, and how many of them are open.
    silent: Option<(Vec<u8>, usize)>,
}

impl Page {
    fn start(&mut self, tag: &StartTag<()>) {
        let name: &[u8] = &tag.name;
        match &mut self.silent {
            Some((silent, depth)) => *depth += usize::from(silent == name && !tag.self_closing),
            None if SILENT.contains(&name) && !tag.self_closing => self.silent = Some((name.into(), 1)),
            None => {
                self.border(name);
                if let Some(text) = tag.attributes.get(&b"alt"[..]).filter(|_| name == b"img") {
                    self.text(&String::from_utf8_lossy(text));
                }
            }
        }
    }

    fn end(&mut self, name: &[u8]) {
        match &mut self.silent {
            Some((silent, depth)) if silent == name => {
                *depth -= 1;
                if *depth == 0 {
                    self.silent = None;
                }
            }
            // Most pages leave out the end of a head.
            Some(_) => {}
            None => self.border(name),
        }
    }

    fn border(&mut self, name: &[u8]) {
        let end = if PARAGRAPHS.contains(&name) {
            "\n\n"
        } else if name == b"br" || LINES.contains(&name) {
            "\u{2028}"
        } else {
            return;
        };
        self.space = false;
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            if self.text.ends_with(LINE_END) {
                self.text.pop();
            }
            self.text.push_str(end);
        }
    }

    /// Appends text, runs of white space as one space.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.space = true;
                continue;
            }
            if std::mem::take(&mut self.space) && !self.text.is_empty() && !self.text.ends_with(char::is_whitespace) {
                self.text.push(' ');
            }
            self.text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_read_is_left() {
        for (page, expected) in [
            ("The *ghost* in the **machine** is `singing`.", "The ghost in the machine is singing.\n\n"),
            ("# A title\nA text\nover two lines.", "A title\n\nA text over two lines.\n\n"),
            ("- milk\n- eggs\n  1. six\n\n> quoted", "milk\u{2028}eggs\n\nsix\n\nquoted\n\n"),
            ("[a link](https://example.com \"title\") and ![a picture](x.png).", "a link and a picture.\n\n"),
            ("<b>bold</b> &amp; caf&eacute;<br>next", "bold & café\u{2028}next\n\n"),
            ("<p>one</p><script>let x = \"</p>\";</script><!-- two --><style>p{}</style><p>three", "one\n\nthree"),
            ("<!DOCTYPE html><html><head><title>t</title></head><body>\n    <h1>A</h1>\n\n    <p>b\n</body></html>", "A\n\nb\n\n"),
            ("---\ntitle: x\n---\ntext[^1]\n\n[^1]: note", "text\n\n1\n\nnote\n\n"),
            ("| a | b |\n|---|---|\n| c | d |", "a\u{2028}b\u{2028}c\u{2028}d\n\n"),
            ("```rust\nfn main() {}\n```", "fn main() {}\n\n"),
            ("~~gone~~ ***", "gone ***\n\n"),
            ("", ""),
        ] {
            assert_eq!(plain(page), expected, "{page:?}");
        }
    }

    proptest! {
        #[test]
        fn no_page_is_too_odd(page in "([<>/!*_#`\\[\\]()&;~|\\-\n ]|<script>|</|<!--|<svg/>|&#x|[a-z]{1,5}|\\PC){0,60}") {
            let _ = plain(&page);
        }
    }
}
