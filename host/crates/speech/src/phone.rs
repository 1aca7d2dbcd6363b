//! The symbols that speech is written in: ARPAbet, vowels with a stress digit, and a pause.

use std::fmt;

/// All names, by index: the pause, then the rest in the order of their letters. Trained embeddings depend on this order.
const NAMES: [&str; Phone::COUNT] = [
    "SIL", "AA0", "AA1", "AE0", "AE1", "AH0", "AH1", "AO0", "AO1", "AW0", "AW1", "AY0", "AY1", "B", "CH", "D", "DH", "EH0", "EH1", "ER0",
    "ER1", "EY0", "EY1", "F", "G", "HH", "IH0", "IH1", "IY0", "IY1", "JH", "K", "L", "M", "N", "NG", "OW0", "OW1", "OY0", "OY1", "P", "R",
    "S", "SH", "T", "TH", "UH0", "UH1", "UW0", "UW1", "V", "W", "Y", "Z", "ZH",
];

/// A phone: an index below [`Phone::COUNT`].
///
/// The set is that of CMUdict without secondary stress: 24 consonants, 15 vowels with stress 0 or 1, and [`Phone::SIL`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(u8);

impl From<Phone> for u32 {
    fn from(phone: Phone) -> Self {
        phone.0.into()
    }
}

impl Phone {
    /// Number of phones: the rows of an embedding.
    pub const COUNT: usize = 55;
    /// A pause, at the ends of an utterance and between its phrases.
    pub const SIL: Self = Self(0);

    /// The phone of an index, where there is one.
    pub const fn new(index: u8) -> Option<Self> {
        if (index as usize) < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// The phone of a name such as `AH0`, `NG` or `SIL`, in upper case; secondary stress (2) counts as primary (1).
    pub fn from_name(name: &str) -> Option<Self> {
        let index = match name.strip_suffix('2') {
            Some(vowel) => Self::all().position(|phone| phone.name().strip_suffix('1') == Some(vowel)),
            None => NAMES.iter().position(|known| *known == name),
        };
        index.map(|index| Self(index as u8))
    }

    /// Name of the phone.
    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    /// Index of the phone, below [`Phone::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether it is a vowel, and so carries stress.
    pub fn is_vowel(self) -> bool {
        self.name().ends_with(['0', '1'])
    }

    /// Whether it is a vowel with stress.
    pub fn is_stressed(self) -> bool {
        self.name().ends_with('1')
    }

    /// A vowel with or without stress; other phones stay.
    #[must_use]
    pub fn with_stress(self, stress: bool) -> Self {
        let index = if self.is_stressed() { self.0 - 1 } else { self.0 };
        Self(index + u8::from(stress && self.is_vowel()))
    }

    /// The phone's name without the stress.
    pub fn base(self) -> &'static str {
        self.name().trim_end_matches(['0', '1'])
    }

    /// All phones in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(|index| Self(index as u8))
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The phones of names with spaces between them, where all are known.
pub fn parse(names: &str) -> Option<Vec<Phone>> {
    names.split_whitespace().map(Phone::from_name).collect()
}

/// Their names, with spaces between them.
pub fn names(phones: &[Phone]) -> String {
    phones.iter().map(|phone| phone.name()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indices_are_one_to_one() {
        assert_eq!(Phone::SIL.name(), "SIL");
        assert!(NAMES[1..].is_sorted(), "{NAMES:?}");
        for (index, phone) in Phone::all().enumerate() {
            assert_eq!(phone.index(), index);
            assert_eq!(Phone::new(index as u8), Some(phone));
            assert_eq!(Phone::from_name(phone.name()), Some(phone));
            assert_eq!(phone.with_stress(phone.is_stressed()), phone);
            assert_eq!(phone.with_stress(!phone.is_stressed()).is_stressed(), phone.is_vowel() && !phone.is_stressed());
            assert_eq!(phone.with_stress(!phone.is_stressed()).base(), phone.base());
        }
        assert_eq!(parse(" K AE1 T ").map(|phones| names(&phones)).as_deref(), Some("K AE1 T"));
        assert_eq!(Phone::all().filter(|phone| phone.is_vowel()).count(), 30);
        assert_eq!(Phone::new(Phone::COUNT as u8), None);
    }

    #[test]
    fn secondary_stress_is_stress_and_other_names_are_unknown() {
        assert_eq!(Phone::from_name("EY2"), Phone::from_name("EY1"));
        for name in ["", "AH", "AH3", "ah0", "B2", "SIL2", "2", "PAU"] {
            assert_eq!(Phone::from_name(name), None, "{name}");
        }
    }
}
