//! Tokens that are found in a text before anything else is done with it.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

/// Hides the name of a control token from [`AddedTokens::find`]; no text has this character (Unicode: "noncharacter"), and [`unshielded`] removes it.
const SHIELD: char = '\u{FDD0}';

/// A token with a name that is found as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedToken {
    pub id: u32,
    pub name: String,
    /// Whether it says something to the model that no user's text can say, such as where an answer ends.
    pub is_control: bool,
    /// Whether it takes white space before it, or after it, with it.
    pub strips: [bool; 2],
    /// Whether it is found only where no letter or digit is beside it.
    pub is_word: bool,
}

impl AddedToken {
    /// One that is found wherever its name stands.
    pub fn new(id: u32, name: String, is_control: bool) -> Self {
        Self { id, name, is_control, strips: [false; 2], is_word: false }
    }
}

/// The added tokens of a tokenizer.
#[derive(Debug)]
pub struct AddedTokens {
    tokens: Vec<AddedToken>,
    /// Finds those that are no control tokens, by their place in `tokens`.
    plain: Finder,
    all: Finder,
    control: Finder,
    /// Numbers of control tokens, sorted.
    controls: Vec<u32>,
}

#[derive(Debug)]
struct Finder {
    names: Option<AhoCorasick>,
    places: Vec<usize>,
}

impl Finder {
    /// The leftmost names count, and of those that begin together the longest.
    fn new(tokens: &[AddedToken], wanted: impl Fn(&AddedToken) -> bool) -> Result<Self, String> {
        let places: Vec<usize> = (0..tokens.len()).filter(|&i| wanted(&tokens[i])).collect();
        let names = (!places.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(places.iter().map(|&i| &tokens[i].name)))
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(Self { names, places })
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
        let found = self.names.iter().flat_map(move |names| names.find_iter(text));
        found.map(|found| (self.places[found.pattern().as_usize()], found.range()))
    }
}

impl AddedTokens {
    /// Tokens with names that are not empty.
    ///
    /// # Errors
    /// More of them than can be looked for, in words.
    pub fn new(tokens: Vec<AddedToken>) -> Result<Self, String> {
        let [plain, all, control] = [
            Finder::new(&tokens, |token| !token.is_control)?,
            Finder::new(&tokens, |_| true)?,
            // A name of one character has no place for a shield.
            Finder::new(&tokens, |token| token.is_control && token.name.chars().nth(1).is_some())?,
        ];
        let mut controls: Vec<u32> = tokens.iter().filter(|token| token.is_control).map(|token| token.id).collect();
        controls.sort_unstable();
        Ok(Self { tokens, plain, all, control, controls })
    }

    /// Whether a token is a control token.
    pub fn is_control(&self, token: u32) -> bool {
        self.controls.binary_search(&token).is_ok()
    }

    /// Whether the name of a control token stands in `text`.
    pub fn names_control(&self, text: &str) -> bool {
        self.control.find(text).next().is_some()
    }

    /// Where which of them stand in `text`, in order, with the white space that they take.
    pub fn find(&self, text: &str, controls: bool) -> Vec<(u32, Range<usize>)> {
        let finder = if controls { &self.all } else { &self.plain };
        let mut end = 0;
        let mut found = Vec::new();
        for (place, mut range) in finder.find(text) {
            let token = &self.tokens[place];
            if range.start < end || token.is_word && !stands_alone(text, &range) {
                continue;
            }
            let [before, after] = token.strips;
            if before {
                range.start = end + text[end..range.start].trim_end().len();
            }
            if after {
                range.end = text.len() - text[range.end..].trim_start().len();
            }
            end = range.end;
            found.push((token.id, range));
        }
        found
    }

    /// `text` with something in every name of a control token, so that it is not found as one.
    pub fn shielded<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        // Names may overlap, and then the first round finds one of them alone.
        loop {
            let mut places: Vec<usize> = self.control.find(&text).map(|(_, range)| range.start).collect();
            if places.is_empty() {
                return text;
            }
            let owned = text.to_mut();
            while let Some(start) = places.pop() {
                let first = owned[start..].chars().next().map_or(0, char::len_utf8);
                owned.insert(start + first, SHIELD);
            }
        }
    }
}

/// `text` as it was before it was shielded.
pub fn unshielded(text: &str) -> Cow<'_, str> {
    if text.contains(SHIELD) { text.replace(SHIELD, "").into() } else { text.into() }
}

fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !is_part(text[..range.start].chars().next_back()) && !is_part(text[range.end..].chars().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> AddedTokens {
        let mut word = AddedToken::new(4, "word".into(), false);
        word.is_word = true;
        let mut strips = AddedToken::new(5, "<mask>".into(), false);
        strips.strips = [true, true];
        let control = |id, name: &str| AddedToken::new(id, name.into(), true);
        let plain = AddedToken::new(3, "<tool>".into(), false);
        AddedTokens::new(vec![control(0, "<s>"), control(1, "<s><s>"), control(2, "s><"), plain, word, strips]).unwrap()
    }

    #[test]
    fn the_longest_of_the_leftmost_is_found() {
        let tokens = tokens();
        assert_eq!(tokens.find("a<s><s>b<s>", true), [(1, 1..7), (0, 8..11)]);
        assert_eq!(tokens.find("a<s><s>b<tool>", false), [(3, 8..14)]);
        assert_eq!(tokens.find("a word, swords, word", false), [(4, 2..6), (4, 16..20)]);
        assert_eq!(tokens.find("a <mask>\n <mask> b", false), [(5, 1..10), (5, 10..17)]);
        assert!(AddedTokens::new(Vec::new()).unwrap().find("<s>", true).is_empty());
    }

    #[test]
    fn nothing_in_a_shielded_text_is_a_control_token() {
        let tokens = tokens();
        for text in ["<s>", "<s><s><s>", "a<s><tool>", "s><s><", "none"] {
            let shielded = tokens.shielded(text);
            assert!(tokens.find(&shielded, true).iter().all(|&(id, _)| id > 2), "{text}: {shielded:?}");
            assert_eq!(unshielded(&shielded), text);
        }
    }
}
