//! Long texts in pieces that can be spoken one after the other.

use std::ops::Range;

use super::markup::LINE_END;
use super::normalise::{abbreviation, are_initials, is_counted, is_title};

/// Most words of a piece, as in the sentences that voices learn from: longer ones fade.
const LONGEST: usize = 20;
/// A clause is only split off with so many words.
const SHORTEST: usize = 5;

/// Lines are at least so many characters wide, if their ends mean nothing.
const NARROWEST: usize = 36;

/// What a piece ends with; the later ones have the longer pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A word of a sentence that was too long.
    Words,
    /// A clause of such a sentence.
    Clause,
    /// A sentence, a line that ends by itself, or the text.
    Sentence,
    /// A blank line.
    Paragraph,
}

/// A part of a text that is spoken by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The part, with the white space behind it.
    pub text: &'a str,
    /// What comes to its end.
    pub end: End,
}

/// The texts of [`pieces`].
pub fn sentences(text: &str) -> Vec<&str> {
    pieces(text).into_iter().map(|piece| piece.text).collect()
}

/// The text in pieces of at most about 20 words: split after sentences and after lines that end by themselves, and longer sentences after clauses
/// or, failing that, between words. Joined, the pieces are the text.
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let piece = |text, end| Piece { text, end: if ends_paragraph(text) { End::Paragraph } else { end } };
    let mut pieces = Vec::new();
    let (mut start, mut words) = (0, 0);
    // Where the piece was last split between clauses, and the words up to there.
    let mut clause = None;
    let mut lines = Lines::new(text);
    let mut word_starts = word_starts(text).peekable();
    while let Some(word_start) = word_starts.next() {
        let word_end = word_starts.peek().copied().unwrap_or(text.len());
        let word = &text[word_start..word_end];
        words += 1;
        let end = if ends_sentence(word, &text[word_end..]) || lines.end(word_start..word_end) {
            Some((word_end, End::Sentence))
        } else {
            if words >= SHORTEST && ends_clause(word) {
                clause = Some(word_end);
            }
            (words >= LONGEST).then(|| clause.map_or((word_end, End::Words), |at| (at, End::Clause)))
        };
        if let Some((end, kind)) = end.filter(|&(end, _)| end < text.len()) {
            pieces.push(piece(&text[start..end], kind));
            start = end;
            clause = None;
            words = self::word_starts(&text[end..word_end]).count();
        }
    }
    if start < text.len() {
        pieces.push(piece(&text[start..], End::Sentence));
    }
    pieces
}

/// Whether blank lines end this piece.
fn ends_paragraph(piece: &str) -> bool {
    piece[piece.trim_end().len()..].matches('\n').count() > 1
}

/// Tells ends of lines that mean something from those where the text was only broken to fit a width.
struct Lines<'a> {
    text: &'a str,
    /// A paragraph, and the characters of its longest line.
    paragraph: Range<usize>,
    width: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, paragraph: 0..0, width: 0 }
    }

    /// Whether a word, with the white space behind it, ends a line by itself: a heading, an item of a list, a verse.
    fn end(&mut self, word: Range<usize>) -> bool {
        let text = self.text;
        let end = word.start + text[word.clone()].trim_end().len();
        let (space, rest) = (&text[end..word.end], &text[word.end..]);
        if space.contains(LINE_END) {
            return true;
        }
        let Some(next) = rest.split_whitespace().next().filter(|_| space.contains('\n')) else { return false };
        if is_bullet(next) {
            return true;
        }
        if word.start >= self.paragraph.end {
            let len = text[word.start..].find("\n\n").unwrap_or(text.len() - word.start);
            let start = text[..word.start].rfind('\n').map_or(0, |at| at + 1);
            self.paragraph = start..word.start + len;
            let widths = text[self.paragraph.clone()].lines().map(|line| line.trim_end().chars().count());
            self.width = widths.max().unwrap_or(0).max(NARROWEST);
        }
        // Whoever breaks lines to fit a width would have put the next word here.
        let line = text[..end].rsplit('\n').next().unwrap_or_default();
        line.chars().count() + 1 + next.chars().count() <= self.width
    }
}

/// Whether a word is what stands before an item of a list: `-`, `•`, `2.`, `(c)`.
fn is_bullet(word: &str) -> bool {
    let number = word.trim_start_matches('(').strip_suffix(['.', ')']);
    matches!(word, "-" | "*" | "+" | "–" | "—" | "•" | "◦" | "▪" | "·")
        || number.is_some_and(|number| !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
        || number.is_some_and(|letter| word.ends_with(')') && letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase())
}

/// Where words begin: the first one with the white space before it.
fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let mut white = false;
    let mut first = true;
    text.char_indices().filter_map(move |(at, c)| {
        let starts = at == 0 || (white && !c.is_whitespace() && !first);
        white = c.is_whitespace();
        first &= white;
        starts.then_some(at)
    })
}

fn ends_sentence(word: &str, rest: &str) -> bool {
    let paragraph = word.trim_start().matches('\n').count() > 1;
    let bare = word.trim().trim_end_matches(['"', '\'', ')', ']', '\u{201D}', '\u{2019}', '\u{BB}']);
    let Some(stem) = bare.strip_suffix('.') else { return paragraph || bare.ends_with(['!', '?', '\u{2026}']) };
    let stem = stem.trim_start_matches(|c: char| !c.is_alphanumeric());
    let follows = rest.trim_start_matches(|c: char| !c.is_alphanumeric()).chars().next();
    let inside = is_title(stem) && stem != "no" && follows.is_some()
        || (stem.len() == 1 && stem.chars().all(char::is_uppercase))
        || (stem.contains('.') && follows.is_some() && are_initials(stem, rest))
        || (is_counted(stem) && follows.is_some_and(|c| c.is_ascii_digit()))
        || ((stem.contains('.') || abbreviation(stem).is_some()) && follows.is_some_and(|c| !c.is_uppercase()));
    paragraph || !inside
}

fn ends_clause(word: &str) -> bool {
    word.trim_end().ends_with([',', ';', ':', '\u{2014}', '\u{2013}', ')']) || word.trim_end().ends_with("--")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_in_pieces() {
        for (text, expected) in [
            ("", &[][..]),
            ("One.", &["One."][..]),
            ("One. Two! Three? \"Four.\" Five", &["One. ", "Two! ", "Three? ", "\"Four.\" ", "Five"][..]),
            ("Dr. Smith met Mr. Jones. They spoke.", &["Dr. Smith met Mr. Jones. ", "They spoke."][..]),
            ("J. K. Rowling wrote it.", &["J. K. Rowling wrote it."][..]),
            ("It costs 3.5 dollars, e.g. today. Yes.", &["It costs 3.5 dollars, e.g. today. ", "Yes."][..]),
            ("A heading\n\nA text", &["A heading\n\n", "A text"][..]),
        ] {
            assert_eq!(sentences(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_that_end_by_themselves_are_pieces() {
        for (text, expected) in [
            ("Shopping list\nmilk\neggs", &["Shopping list\n", "milk\n", "eggs"][..]),
            (
                "To buy\n- milk that is fresh and not too expensive for us\n- eggs",
                &["To buy\n", "- milk that is fresh and not too expensive for us\n", "- eggs"],
            ),
            ("a\u{2028}b\r\n2) c", &["a\u{2028}", "b\r\n", "2) c"]),
            (
                "The Ghost in the Machine\nIt was a dark night, and the rain fell on the roofs\nof the old town without an end",
                &["The Ghost in the Machine\n", "It was a dark night, and the rain fell on the roofs\nof the old town without an end"],
            ),
            (
                "It was an exceptionally stormy night, rain\nfell on innumerable rooftops everywhere, but\nnobody was there (in\nLondon)",
                &[
                    "It was an exceptionally stormy night, rain\nfell on innumerable rooftops everywhere, but\nnobody was there (in\n",
                    "London)",
                ],
            ),
        ] {
            assert_eq!(sentences(text), expected, "{text:?}");
        }
        assert!(ends_paragraph("a \n \n") && !ends_paragraph("a\n\nb\n"));
    }

    #[test]
    fn long_sentences_are_split_at_clauses() {
        let text = "one two three four five six seven eight, nine ten eleven twelve thirteen fourteen fifteen sixteen, seventeen eighteen nineteen twenty \
            one two three four five six seven eight nine ten.";
        let pieces = pieces(text);
        assert_eq!(pieces.len(), 2, "{pieces:?}");
        assert!(pieces[0].text.ends_with("sixteen, "), "{pieces:?}");
        let pieces = sentences("word ".repeat(100).leak()).len();
        assert_eq!(pieces, 5);
    }

    #[test]
    fn pieces_know_what_they_end_with() {
        let words = |count: usize| "word ".repeat(count);
        let clauses = format!("{}word, {}end. Last", words(9), words(15));
        for (text, expected) in [
            ("One. Two!\nThree", &[End::Sentence, End::Sentence, End::Sentence][..]),
            ("A heading\n\nOne. \n \n Two.\n", &[End::Paragraph, End::Paragraph, End::Sentence]),
            ("To buy:\n- milk\n- eggs\n\n", &[End::Sentence, End::Sentence, End::Paragraph]),
            (&words(45), &[End::Words, End::Words, End::Sentence]),
            (&clauses, &[End::Clause, End::Sentence, End::Sentence]),
        ] {
            let ends: Vec<End> = pieces(text).iter().map(|piece| piece.end).collect();
            assert_eq!(ends, expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_text(text in "([a-zA-Z]{1,6}[.,;!? \n\"]{1,2}|\\PC){0,80}") {
            let pieces = sentences(&text);
            prop_assert_eq!(pieces.concat(), &text[..]);
            for piece in pieces {
                prop_assert!(piece.split_whitespace().count() <= LONGEST, "{:?}", piece);
            }
        }
    }
}
