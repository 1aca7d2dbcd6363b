use cpu_time::ThreadTime;
use proptest::prelude::*;

use super::*;
use crate::english::ENGLISH;

/// A text as the lexicon of the voice knows words.
fn read(text: &str) -> Normalised {
    normalise(text, &|word| ENGLISH.knows(word))
}

fn said(text: &str) -> String {
    let out = read(text);
    if out.warnings.is_empty() { out.to_text() } else { format!("{:?}", out.warnings) }
}

#[test]
fn texts_as_they_are_said() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        // Words and punctuation.
        ("Hello, world.", "hello, world,"),
        ("“It’s” — she said — ‘fine’…", "it's, she said, fine,"),
        ("well-known", "well known"),
        ("Wait! Why? (Really.)", "wait, why,, really,"),
        ("one - two", "one, two"),
        ("café naïve Ångström", "cafe naive angstrom"),
        ("'Tis the dogs' bone", "'tis the dogs bone"),
        // Numbers.
        ("I have 42 cats", "I have forty two cats"),
        ("1,234 and 0.5 and .25", "one thousand two hundred thirty four and zero point five and point two five"),
        ("It was -5 outside", "it was minus five outside"),
        ("007", "zero zero seven"),
        ("the 1st, 2nd and 33rd", "the first, second and thirty third"),
        ("3/4 of 2 1/2", "three quarters of two and a half"),
        ("½ a cup", "one half a cup"),
        ("version 1.2.3", "version one point two point three"),
        ("pages 5-10", "pages five to ten"),
        ("#1", "number one"),
        // Years and dates.
        ("in 1999 and 2024", "in nineteen ninety nine and twenty twenty four"),
        ("the 1990s, the '80s", "the nineteen nineties, the eighties"),
        ("1914-18", "nineteen fourteen to eighteen"),
        ("1939–1945", "nineteen thirty nine to nineteen forty five"),
        ("March 5, 2020", "march fifth, twenty twenty"),
        ("5 March 2020", "the fifth of march twenty twenty"),
        ("Dec. 25", "december twenty fifth"),
        ("2024-03-05", "march fifth twenty twenty four"),
        ("3/5/2024", "march fifth twenty twenty four"),
        // Times.
        ("at 3:45 p.m.", "at three forty five P M,"),
        ("at 9:05", "at nine oh five"),
        ("at 3:00", "at three o'clock"),
        ("at 15:00", "at fifteen hundred"),
        ("7 am today", "seven A M today"),
        // Money.
        ("$5", "five dollars"),
        ("$1", "one dollar"),
        ("$5.20", "five dollars and twenty cents"),
        ("$0.99", "ninety nine cents"),
        ("£3.5 million", "three point five million pounds"),
        ("$2bn", "two billion dollars"),
        ("20 €", "twenty euros"),
        ("€1,000", "one thousand euros"),
        // Units.
        ("5 km", "five kilometers"),
        ("1 kg", "one kilogram"),
        ("40% of 20°C", "forty percent of twenty degrees celsius"),
        ("60 mph", "sixty miles per hour"),
        ("3.5GHz", "three point five gigahertz"),
        ("5 m²", "five square meters"),
        // Abbreviations.
        ("Mr. Smith and Mrs. Jones", "mister smith and mrs jones"),
        ("Dr. Who", "doctor who"),
        ("Mulholland Dr. is long", "mulholland drive is long"),
        ("St. Paul", "saint paul"),
        ("Main St. is", "main street is"),
        ("No. 5", "number five"),
        ("No. I will not.", "no, I will not,"),
        ("apples, pears, etc.", "apples, pears, et cetera,"),
        ("e.g. this, i.e. that", "for example this, that is that"),
        ("J. K. Rowling", "J K rowling"),
        ("the U.S. economy", "the U S economy"),
        // Acronyms.
        ("the FBI and the NATO", "the F B I and the nato"),
        ("NASA", "nasa"),
        ("UNESCO", "unesco"),
        ("give it to us in the US", "give it to us in the U S"),
        ("CDs and TVs", "C d's and T v's"),
        ("HELLO WORLD IT IS US", "hello world it is us"),
        ("a PhD", "a P H D"),
        ("YouTube on my iPhone", "youtube on my iphone"),
        ("FrogBank on my iFrog", "frog bank on my I frog"),
        ("B2B, MP3, COVID-19", "B two B, M P three, covid nineteen"),
        // Roman numerals.
        ("Henry VIII", "henry the eighth"),
        ("World War II", "world war two"),
        ("Chapter IV", "chapter four"),
        ("I am", "I am"),
        // Addresses.
        ("visit www.example.com", "visit W W W dot example dot com"),
        ("me@example.org", "me at example dot org"),
        ("call 555-123-4567", "call five five five, one two three, four five six seven"),
        // Signs.
        ("salt & pepper", "salt and pepper"),
        ("2 + 2 = 4", "two plus two equals four"),
        ("and/or", "and or"),
        ("4000000000/4000000000", "four billion over four billion"),
        ("first-last_name@xn--abc.co.uk", "first dash last underscore name at X N dash dash A B C dot C O dot U K"),
        ("π ≈ 3.14", "pi approximately three point one four"),
    ] {
        // The word "I" is a small letter among the words; shown here as people write it.
        let expected = expected.replace("I have", "i have").replace("I will", "i will").replace("I am", "i am");
        let found = said(text);
        if found != expected {
            wrong.push(format!("{text:?}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_read_is_reported() {
    for (text, kind, expected) in [
        ("a\u{7}b", "control character", "\u{7}"),
        ("good 😀😀 day", "unknown sign", "😀😀"),
        ("say Привет now", "other script", "Привет"),
        ("你好", "other script", "你好"),
    ] {
        let out = read(text);
        assert_eq!(out.warnings.len(), 1, "{text:?}: {:?}", out.warnings);
        let warning = &out.warnings[0];
        assert_eq!((warning.kind, &warning.text[..], &text[warning.source.clone()]), (kind, expected, expected));
    }
}

/// Every character is white space, part of an item, or part of a warning.
fn account(text: &str) {
    let out = read(text);
    let mut seen = vec![false; text.len()];
    let sources = out.items.iter().map(|item| &item.source).chain(out.warnings.iter().map(|warning| &warning.source));
    for source in sources {
        assert!(text.get(source.clone()).is_some(), "{source:?} of {text:?}");
        seen[source.clone()].fill(true);
    }
    for (at, character) in text.char_indices() {
        assert!(character.is_whitespace() || fold::is_invisible(character) || seen[at], "{character:?} at {at} of {text:?} is lost");
    }
    for item in &out.items {
        match &item.spoken {
            Spoken::Word(word) => {
                assert!(!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'\''), "{word:?} of {text:?}")
            }
            Spoken::Letter(letter) => assert!(letter.is_ascii_lowercase(), "{letter:?}"),
            Spoken::Pause | Spoken::Silence => {}
        }
    }
}

#[test]
fn a_long_text_is_read_in_one_go() {
    let text = "On 5 March 2020, Dr. Smith paid $5.20 for 3 kg. 😀 ".repeat(2_000);
    account(&text);
    account(&"a".repeat(100_000));
    account(&"1".repeat(100_000));
    account(&".".repeat(100_000));
    account(&"A.".repeat(50_000));
}

#[test]
fn time_is_proportional_to_length() {
    let seconds = |text: &str| {
        let start = ThreadTime::now();
        assert!(!read(text).items.is_empty());
        start.elapsed().as_secs_f64()
    };
    let signs = ('!'..='~').map(String::from);
    let runs =
        ["ab-", "a_", "a/", "AB.", "is.", "A. ", "a@", "a@a.", "1,", "1-", "1/", "1\"", "1 ", "a-a-a-a.", "- ", "etc. ", "a a ABE''"];
    for run in signs.chain(runs.map(String::from)) {
        let [short, long] = [25_000, 200_000].map(|len| run.repeat(len / run.len()));
        // Eight times the text takes 8 times the time of this thread and some for memory, or 64 times if each token looks at all of it. What else
        // this machine does may slow one try, but not all.
        assert!((0..10).any(|_| seconds(&long) < 24.0 * seconds(&short)), "{run:?}");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_of_any_string(text in any::<String>()) {
        account(&text);
    }

    #[test]
    fn nothing_is_lost_of_likely_strings(text in "([A-Z]?[a-z]{1,4}|[0-9]{1,4}|[A-Z]{1,4}|Dr|St|No|e\\.g\\.|U\\.S\\.|VIII)?([ .,:;/'$€%°²–—-]|a\\.m\\.|\u{301}|\n){0,3}([0-9]{1,4}|[A-Za-z]{0,3})[.,'%]?( [0-9]{1,2}[:/.-][0-9]{2}([:/.-][0-9]{2,4})?)?") {
        account(&text);
    }
}
