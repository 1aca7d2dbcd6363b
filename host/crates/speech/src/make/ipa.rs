//! Transcriptions of WikipediaHomographData in the phones of the voices.

use crate::Phone;

/// Vowels and consonants, longer ones first.
const SOUNDS: [(&str, &str); 44] = [
    ("eɪ", "EY"),
    ("aɪ", "AY"),
    ("ɔɪ", "OY"),
    ("aʊ", "AW"),
    ("oʊ", "OW"),
    ("iː", "IY"),
    ("uː", "UW"),
    ("ɑː", "AA"),
    ("ɔː", "AO"),
    ("ɚ", "ER"),
    ("æ", "AE"),
    ("ɛ", "EH"),
    ("ɪ", "IH"),
    ("ʊ", "UH"),
    ("ʌ", "AH"),
    ("ə", "AH"),
    ("i", "IY"),
    ("u", "UW"),
    ("ɑ", "AA"),
    ("ɔ", "AO"),
    ("e", "EY"),
    ("o", "OW"),
    ("ʤ", "JH"),
    ("ʧ", "CH"),
    ("ʃ", "SH"),
    ("ʒ", "ZH"),
    ("θ", "TH"),
    ("ð", "DH"),
    ("ŋ", "NG"),
    ("ɹ", "R"),
    ("r", "R"),
    ("ɡ", "G"),
    ("j", "Y"),
    ("h", "HH"),
    ("b", "B"),
    ("d", "D"),
    ("f", "F"),
    ("k", "K"),
    ("l", "L"),
    ("m", "M"),
    ("n", "N"),
    ("p", "P"),
    ("s", "S"),
    ("t", "T"),
];
const MORE: [(&str, &str); 3] = [("v", "V"), ("w", "W"), ("z", "Z")];

/// The phones of a transcription; secondary stress counts as primary, as in the voices' dictionary.
pub fn phones(text: &str) -> Vec<Phone> {
    let mut phones = Vec::new();
    let mut stressed = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let sound = SOUNDS.iter().chain(&MORE).find(|(sign, _)| rest.starts_with(sign));
        rest = &rest[sound.map_or(first.len_utf8(), |(sign, _)| sign.len())..];
        stressed |= matches!(first, '\'' | 'ˌ');
        let Some((sign, name)) = sound else { continue };
        let vowel = Phone::from_name(name).is_none();
        let stress = if stressed && *sign != "ə" { "1" } else { "0" };
        phones.extend(Phone::from_name(&if vowel { format!("{name}{stress}") } else { (*name).into() }));
        stressed &= !vowel;
    }
    phones
}

/// What a phone in the place of another one costs.
fn cost(a: Phone, b: Phone) -> f64 {
    let vowel = |phone: Phone| phone.name().ends_with(['0', '1']);
    let weak = |phone: Phone| phone.name().ends_with('0');
    match (a, b) {
        _ if a == b => 0.0,
        _ if a.base() == b.base() => 0.4,
        _ if vowel(a) && vowel(b) && weak(a) && weak(b) => 0.3,
        _ if vowel(a) && vowel(b) => 0.9,
        _ => 1.0,
    }
}

fn distance(a: &[Phone], b: &[Phone]) -> f64 {
    let mut row: Vec<f64> = (0..=b.len()).map(|at| at as f64).collect();
    for (i, &a) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i as f64 + 1.0;
        for (j, &b) in b.iter().enumerate() {
            let best = (diagonal + cost(a, b)).min(row[j] + 1.0).min(row[j + 1] + 1.0);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

/// Further away than this, a pronunciation of the dictionary is another one.
const FAR: f64 = 1.3;

/// The dictionary's form of each transcription where it has one, so that words sound as the voices learnt them.
pub fn settle(sounds: &[Vec<Phone>], dictionary: Option<&Vec<Vec<Phone>>>) -> Vec<Vec<Phone>> {
    let known = dictionary.map(Vec::as_slice).unwrap_or_default();
    let nearest =
        |to: &[Phone], among: &[Vec<Phone>]| (0..among.len()).min_by(|&a, &b| distance(to, &among[a]).total_cmp(&distance(to, &among[b])));
    let settled = |(number, sound): (usize, &Vec<Phone>)| {
        let entry = nearest(sound, known).map(|at| &known[at]);
        // It has to be nearer to this transcription than to the word's other ones.
        let entry = entry.filter(|entry| distance(sound, entry) <= FAR && nearest(entry, sounds) == Some(number));
        entry.unwrap_or(sound).clone()
    };
    sounds.iter().enumerate().map(settled).collect()
}
