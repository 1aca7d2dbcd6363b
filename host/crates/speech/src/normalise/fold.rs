//! Text in few characters: compatibility forms, accents and typographic variants become ASCII where that says the same.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A folded text that knows where each of its bytes came from.
pub struct Folded {
    /// The text: ASCII, and the characters that have no ASCII form.
    pub text: String,
    /// For each byte of `text`, the byte range in the original.
    origins: Vec<Range<u32>>,
}

impl Folded {
    /// Folds a text of less than 4 GiB.
    pub fn new(original: &str) -> Self {
        let mut folded = Self { text: String::with_capacity(original.len()), origins: Vec::with_capacity(original.len()) };
        let mut raised = false;
        for (at, character) in original.char_indices() {
            let origin = at as u32..(at + character.len_utf8()) as u32;
            let was_raised = std::mem::take(&mut raised);
            if character.is_ascii() {
                folded.push(character, &origin);
            } else if is_invisible(character) {
                // It says nothing and must not cut the word that it stands in.
                if let Some(last) = folded.origins.last_mut() {
                    last.end = origin.end;
                }
                raised = was_raised;
            } else if let Some(digit) = superscript(character) {
                if !was_raised && folded.text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ')') {
                    folded.push('^', &origin);
                }
                folded.push(digit, &origin);
                raised = true;
            } else if let Some(text) = replacement(character) {
                text.chars().for_each(|character| folded.push(character, &origin));
            } else if is_combining_mark(character) && folded.ends_in_letter() {
                // An accent: it belongs to the letter before.
                if let Some(last) = folded.origins.last_mut() {
                    last.end = origin.end;
                }
            } else {
                let plain = std::iter::once(character).nfkd().filter(|&c| !is_combining_mark(c));
                let plain: Vec<char> = plain.flat_map(|c| replacement(c).map_or_else(|| vec![c], |text| text.chars().collect())).collect();
                // Other scripts stay as they are: they are reported, and should be recognised in the report.
                // So do free-standing accents, which are accents on a space.
                if plain.iter().all(char::is_ascii) && (character.is_whitespace() || !plain.iter().all(|c| c.is_whitespace())) {
                    plain.into_iter().for_each(|character| folded.push(character, &origin));
                } else {
                    folded.push(character, &origin);
                }
            }
        }
        folded
    }

    /// The original's bytes of a range of the folded text.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        match self.origins.get(range) {
            Some([first, .., last]) => first.start as usize..last.end as usize,
            Some([only]) => only.start as usize..only.end as usize,
            _ => 0..0,
        }
    }

    fn push(&mut self, character: char, origin: &Range<u32>) {
        self.text.push(character);
        self.origins.resize(self.text.len(), origin.clone());
    }

    fn ends_in_letter(&self) -> bool {
        self.text.ends_with(|c: char| c.is_ascii_alphabetic())
    }
}

/// What Unicode's own decompositions do not give.
fn replacement(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{2018}' | '\u{2019}' | '\u{201B}' | '\u{02BC}' | '\u{02B9}' | '\u{2032}' | '\u{00B4}' | '\u{FF07}' => "'",
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{201F}' | '\u{00AB}' | '\u{00BB}' | '\u{2039}' | '\u{203A}' | '\u{201A}' | '\u{2033}' => {
            "\""
        }
        // A dash between clauses is a pause; minus signs and hyphens are not.
        '\u{2014}' | '\u{2015}' => " -- ",
        '\u{2013}' => "\u{2013}",
        '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2212}' | '\u{FE63}' => "-",
        '\u{2026}' => "...",
        '\u{2028}' | '\u{2029}' | '\u{0085}' => "\n",
        '\u{2044}' | '\u{2215}' => "/",
        'ß' => "ss",
        'ẞ' => "SS",
        'æ' => "ae",
        'Æ' => "AE",
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'ł' => "l",
        'Ł' => "L",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' => "th",
        'Þ' => "Th",
        'ı' => "i",
        'º' | '˚' => "°",
        '℃' => "°C",
        '℉' => "°F",
        '№' => "No. ",
        '™' => " trademark",
        '￡' => "£",
        '￥' => "¥",
        '￦' => "₩",
        '½' => " 1/2",
        '¼' => " 1/4",
        '¾' => " 3/4",
        '⅓' => " 1/3",
        '⅔' => " 2/3",
        '⅛' => " 1/8",
        '⅜' => " 3/8",
        '⅝' => " 5/8",
        '⅞' => " 7/8",
        _ => return None,
    })
}

/// Is this a mark for typesetters: a place to hyphenate, a joiner, a direction, a variant of a sign?
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
    )
}

/// The digit, letter or sign that is raised.
fn superscript(character: char) -> Option<char> {
    Some(match character {
        '\u{00B9}' => '1',
        '\u{00B2}' => '2',
        '\u{00B3}' => '3',
        '\u{2070}' => '0',
        '\u{2074}'..='\u{2079}' => char::from(b'4' + (character as u32 - 0x2074) as u8),
        '\u{207A}' => '+',
        '\u{207B}' => '-',
        '\u{2071}' => 'i',
        '\u{02E3}' => 'x',
        '\u{207F}' => 'n',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_become_ascii() {
        for (text, expected) in [
            ("plain", "plain"),
            ("“it’s” café naïve", "\"it's\" cafe naive"),
            ("cafe\u{301}", "cafe"),
            ("ﬁne ＦＵＬＬ", "fine FULL"),
            ("wait…", "wait..."),
            ("a—b", "a -- b"),
            ("2½", "2 1/2"),
            ("10⁶ m² 10⁻¹²", "10^6 m^2 10^-12"),
            ("H₂O", "H2O"),
            ("hy\u{AD}phen ze\u{200B}ro \u{FEFF}", "hyphen zero "),
            ("Привет 你好", "Привет 你好"),
        ] {
            assert_eq!(Folded::new(text).text, expected, "{text}");
        }
    }

    #[test]
    fn every_byte_knows_its_origin() {
        let folded = Folded::new("a—é\u{301}b");
        let at = folded.text.find('b').unwrap();
        assert_eq!(folded.origin(at..at + 1), 8..9);
        let at = folded.text.find('e').unwrap();
        assert_eq!(folded.origin(at..at + 1), 4..8);
        assert_eq!(folded.origin(1..3), 1..4);
    }
}
