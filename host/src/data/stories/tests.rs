use std::collections::{BTreeSet, HashMap, HashSet};

use super::grammar::{Form, Op, Slot};
use super::*;

const BYTES: usize = 400_000;
/// Tellings of each plot: enough to meet nearly all of its alternatives.
const TELLINGS: u64 = 60;

/// `TELLINGS` stories of each plot.
fn told() -> Vec<String> {
    let mut teller = Teller::new(&GRAMMAR);
    let tellings = (0..GRAMMAR.plots.len()).flat_map(|plot| (0..TELLINGS).map(move |index| (plot, index)));
    let tell = |(plot, index)| {
        let mut story = String::new();
        teller.choose(plot as u64, index);
        teller.tell_plot(plot, &mut story);
        story
    };
    tellings.map(tell).collect()
}

/// Checks every line of every story but the titles; `check` says what is wrong with one.
fn each_paragraph(check: impl Fn(&str) -> Option<String>) {
    for story in told() {
        for line in story.lines().skip(1).filter(|line| !line.is_empty()) {
            let wrong = check(line);
            assert_eq!(wrong, None, "{line}");
        }
    }
}

/// A paragraph's parts outside and inside of quotation marks, in turns, the first one outside.
fn parts(line: &str) -> Vec<&str> {
    line.split('"').collect()
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphabetic())
}

fn words_of(class: &str) -> impl Iterator<Item = &'static str> {
    let class = GRAMMAR.class(class).unwrap();
    GRAMMAR.words[class].iter().map(|word| word.fields[0].as_str())
}

#[test]
fn the_same_seed_tells_the_same_stories() {
    let text = stories(7, BYTES);
    assert_eq!(text, stories(7, BYTES));
    assert!(text.starts_with(&stories(7, BYTES / 3)));
}

#[test]
fn another_seed_tells_other_stories() {
    let mut seen: HashMap<String, u64> = HashMap::new();
    for seed in 0..20 {
        for story in stories(seed, 20_000).split_terminator("\n\n") {
            let other = seen.insert(story.to_string(), seed);
            assert_eq!(other, None, "seed {seed} also tells\n{story}");
        }
    }
}

#[test]
fn stories_fill_the_size() {
    for bytes in [5_000, 50_000, BYTES] {
        let text = stories(1, bytes);
        assert!(text.len() <= bytes && text.len() + 3_000 > bytes, "{} bytes of {bytes}", text.len());
        assert!(text.ends_with("\n\n"));
    }
    assert_eq!(stories(1, 0).split_terminator("\n\n").count(), 1);
}

#[test]
fn dozens_of_plots_are_all_told() {
    let plots = GRAMMAR.plots.len();
    assert!(plots >= 36, "{plots} plots");
    let mut teller = Teller::new(&GRAMMAR);
    let mut count = vec![0; plots];
    (0..100 * plots as u64).for_each(|index| count[teller.choose(1, index)] += 1);
    for (plot, count) in count.into_iter().enumerate() {
        assert!((50..200).contains(&count), "plot {plot} is told {count} times, expected about 100");
    }
}

#[test]
fn most_stories_begin_like_the_prompt_of_the_samples() {
    let text = stories(1, BYTES);
    let (stories, openings) = (text.matches("\n\n").count(), text.matches("\nOnce upon a time, ").count());
    assert!(openings * 5 > stories * 2 && openings * 4 < stories * 3, "{openings} of {stories}");
}

#[test]
fn the_vocabulary_is_small_but_not_tiny() {
    let text = stories(1, 10 * BYTES).to_lowercase();
    let words: HashSet<&str> = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).collect();
    assert!((500..=1000).contains(&words.len()), "{} words", words.len());
}

#[test]
fn everything_in_the_files_is_used() {
    fn visit(ops: &[Op], rules: &mut HashSet<usize>, slots: &mut HashSet<usize>) {
        for op in ops {
            match op {
                Op::Choice(all) => all.iter().for_each(|ops| visit(ops, rules, slots)),
                Op::Slot(slot, ..) => _ = slots.insert(*slot),
                Op::Rule(rule) if rules.insert(*rule) => GRAMMAR.rules[*rule].iter().for_each(|ops| visit(ops, rules, slots)),
                _ => {}
            }
        }
    }
    let (mut rules, mut slots) = (HashSet::new(), HashSet::new());
    GRAMMAR.plots.iter().for_each(|plot| visit(&plot.ops, &mut rules, &mut slots));
    let unused: Vec<usize> = (0..GRAMMAR.rules.len()).filter(|rule| !rules.contains(rule)).collect();
    assert!(unused.is_empty(), "rules {unused:?} in the order of the file");

    let mut classes: HashSet<usize> = GRAMMAR.names.into_iter().flatten().collect();
    classes.extend(GRAMMAR.plots.iter().flat_map(|plot| plot.kinds));
    classes.extend(slots.into_iter().filter_map(|slot| match GRAMMAR.slots[slot] {
        Slot::Word(class) => Some(class),
        Slot::Hero | Slot::Friend => None,
    }));
    let unused: Vec<&str> =
        (0..GRAMMAR.words.len()).filter(|class| !classes.contains(class)).map(|class| GRAMMAR.words[class][0].fields[0].as_str()).collect();
    assert!(unused.is_empty(), "the classes of {unused:?}");
}

#[test]
fn stories_are_clean_text() {
    for story in told() {
        assert!(story.ends_with("\n\n"), "{story}");
        for wrong in [
            "  ", " \n", "\n ", " .", " ,", " !", " ?", "..", ",,", ",.", ".,", "!.", "?.", "!!", "??", "?!", "!?", "\n\n\n", ".\".",
            "!\".", "?\".",
        ] {
            assert!(!story.contains(wrong), "{wrong:?} in {story}");
        }
        let strange = story.chars().find(|c| !c.is_ascii_alphanumeric() && !" \n.,!?\"'".contains(*c));
        assert_eq!(strange, None, "{story}");
    }
}

#[test]
fn titles_are_capitalised() {
    for story in told() {
        let title = story.lines().next().unwrap();
        let small = ["a", "and", "at", "for", "in", "on", "the", "to"];
        let wrong = title.split(' ').find(|word| !word.starts_with(|c: char| c.is_ascii_uppercase()) && !small.contains(word));
        assert_eq!(wrong, None, "{title}");
        assert!(title.starts_with(|c: char| c.is_ascii_uppercase()) && !title.ends_with(['.', '!', ',']), "{title}");
    }
}

#[test]
fn sentences_begin_with_a_capital_and_end_with_a_mark() {
    each_paragraph(|line| {
        let text = line.replace('"', "");
        let mut tail = text.as_str();
        while let Some(at) = tail.find(". ") {
            tail = &tail[at + 2..];
            if !tail.starts_with(|c: char| c.is_ascii_uppercase()) {
                return Some(tail.to_string());
            }
        }
        let capital = text.starts_with(|c: char| c.is_ascii_uppercase());
        (!capital || !text.ends_with(['.', '!', '?'])).then(|| "its begin or end".to_string())
    });
}

#[test]
fn capitals_inside_a_sentence_are_names() {
    let mut names: HashSet<&str> =
        GRAMMAR.names.iter().flatten().flat_map(|&class| GRAMMAR.words[class].iter().map(|word| word.fields[0].as_str())).collect();
    names.extend(words_of("petname"));
    names.extend(words_of("teacher").flat_map(|name| name.split(' ').map(bare)));
    names.extend(["I", "Mom", "Dad", "Mother", "Father", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]);
    each_paragraph(|line| {
        line.split(' ').collect::<Vec<_>>().windows(2).find_map(|pair| {
            let capital = pair[1].starts_with(|c: char| c.is_ascii_uppercase());
            let begins = pair[0].ends_with(['.', '!', '?', '"']);
            (capital && !begins && !names.contains(bare(pair[1]))).then(|| pair.join(" "))
        })
    });
}

#[test]
fn quotes_open_close_and_are_punctuated() {
    each_paragraph(|line| {
        let parts = parts(line);
        if parts.len().is_multiple_of(2) {
            return Some("an odd number of quotation marks".to_string());
        }
        (1..parts.len()).step_by(2).find_map(|at| {
            let (before, quote, after) = (parts[at - 1], parts[at], parts[at + 1]);
            let goes_on = before.ends_with(", ") && at > 1;
            let begins = before.is_empty() || before.ends_with(' ');
            let capital = quote.starts_with(|c: char| c.is_ascii_uppercase()) || goes_on;
            let introduced = before.trim().is_empty() || before.trim_end().ends_with([',', '.', '!', '?']);
            let next_is_lower = after.trim_start().starts_with(|c: char| c.is_ascii_lowercase());
            let closes = match quote.chars().last() {
                // The sentence goes on: `," said Tom.`
                Some(',') => after.starts_with(' ') && after.trim().len() > 3,
                Some('.') => !next_is_lower,
                Some('!' | '?') => true,
                _ => false,
            };
            let spaced = after.is_empty() || after.starts_with(' ');
            (!(begins && capital && introduced && closes && spaced)).then(|| format!("the quote {quote:?}"))
        })
    });
}

#[test]
fn questions_have_a_question_mark() {
    let openings = [
        "Where ",
        "Who ",
        "Why ",
        "Do you ",
        "Does ",
        "Did ",
        "Can ",
        "May ",
        "Shall ",
        "Is ",
        "Are ",
        "Will you ",
        "What is ",
        "What do ",
        "What did ",
        "What should ",
        "How do ",
        "How much ",
    ];
    each_paragraph(|line| {
        let parts = parts(line);
        (1..parts.len()).step_by(2).find_map(|at| {
            let (quote, after) = (parts[at], parts[at + 1].trim_start());
            let asked = openings.iter().any(|opening| quote.starts_with(opening))
                || after.starts_with("asked ")
                || parts[at - 1].ends_with(" asked, ");
            let said = after.starts_with("said ");
            let question = quote.contains('?');
            (asked && !question || said && quote.ends_with('?')).then(|| format!("the question {quote:?}"))
        })
    });
}

#[test]
fn articles_agree() {
    // Spoken otherwise than they are spelled; `{a}` does not know them.
    let never = ["hono", "hour", "one", "once", "uni", "use", "eu"];
    each_paragraph(|line| {
        let words: Vec<&str> = line.split_whitespace().map(bare).collect();
        let wrong = |pair: &&[&str]| {
            let next = pair[1].to_ascii_lowercase();
            let vowel = next.starts_with(['a', 'e', 'i', 'o', 'u']);
            let odd = never.iter().any(|start| next.starts_with(start));
            match pair[0] {
                "a" | "A" => vowel || odd,
                "an" | "An" => !vowel || odd,
                _ => false,
            }
        };
        words.windows(2).find(wrong).map(|pair| pair.join(" "))
    });
}

#[test]
fn no_word_stands_twice() {
    each_paragraph(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let twice = |pair: &&[&str]| pair[0].eq_ignore_ascii_case(bare(pair[1]));
        words.windows(2).find(twice).map(|pair| pair.join(" "))
    });
}

/// `he` and `she` come from a slot, never from the text, and a slot's pronoun never before its name: so they agree.
#[test]
fn pronouns_follow_the_names_they_stand_for() {
    fn visit(ops: &[Op], named: &mut BTreeSet<usize>) {
        for op in ops {
            match op {
                Op::Text(text) => {
                    let gendered = ["he", "she", "him", "her", "his", "hers", "himself", "herself"];
                    let word =
                        text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| gendered.contains(&word.to_ascii_lowercase().as_str()));
                    assert_eq!(word, None, "in {text:?}");
                }
                Op::Slot(slot, Form::He | Form::Him | Form::His | Form::Himself, _) => {
                    assert!(named.contains(slot), "a pronoun of {:?} before its name in {ops:?}", GRAMMAR.slots[*slot]);
                }
                Op::Slot(slot, ..) => _ = named.insert(*slot),
                Op::Rule(rule) => visit_one_of(&GRAMMAR.rules[*rule], named),
                Op::Choice(alternatives) => visit_one_of(alternatives, named),
                Op::Article | Op::Paragraph => {}
            }
        }
    }
    /// Named is who is named in every alternative.
    fn visit_one_of(alternatives: &[Vec<Op>], named: &mut BTreeSet<usize>) {
        let visited = alternatives.iter().map(|ops| {
            let mut named = named.clone();
            visit(ops, &mut named);
            named
        });
        *named = visited.reduce(|a, b| &a & &b).unwrap();
    }
    for plot in &GRAMMAR.plots {
        visit(&plot.ops, &mut BTreeSet::from([0]));
    }
}

#[test]
fn nobody_is_both_he_and_she() {
    let female: HashSet<&str> = words_of("girls").chain(words_of("animal_girls")).collect();
    let male: HashSet<&str> = words_of("boys").chain(words_of("animal_boys")).collect();
    assert!(female.is_disjoint(&male));
    each_paragraph(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        words.windows(4).find_map(|window| {
            let [kind, "named", name, next] = *window else { return None };
            let (she, he) = (female.contains(bare(name)), male.contains(bare(name)));
            let wrong = kind == "girl" && !she || kind == "boy" && !he || next == "He" && she || next == "She" && he;
            wrong.then(|| window.join(" "))
        })
    });
}

#[test]
fn faults_in_the_files_are_named() {
    let words =
        "@children: home\ngirl; a house; she\nboy; a house\n@girls\nMia\n@boys\nTom\n@animal_girls\nPip\n@animal_boys\nMoss\n@toy: s\nball";
    let error = |plot| Grammar::parse(words, "@day\nOne day,", &[plot]).map(|_| ()).unwrap_err();
    assert!(Grammar::parse(words, "@day\nOne day,", &["\n=== p : children\n{@day} {hero} had {a} {toy.s} [and|or] {toy2}."]).is_ok());
    assert_eq!(error("\n=== p : dragons\nx"), "no words of class \"dragons\"");
    assert_eq!(error("\n=== p : toy\nx"), "p: the class of a person's kind has the fields of @children");
    assert_eq!(error("\n=== p : children\n{ball}"), "p: no words of class \"ball\"");
    assert_eq!(error("\n=== p : children\n{@night}"), "p: no rule \"night\"");
    assert_eq!(error("\n=== p : children\n{toy.color}"), "p: no form \"color\" in {toy.color}");
    assert_eq!(error("\n=== p : children\n[a|b"), "p: [ without ]");
    assert_eq!(error("\n=== p : children\na|b]"), "p: stray | or ] before \"]\"");
    assert!(Grammar::parse("@place: in\npark", "", &[]).unwrap_err().starts_with("park: expected the fields"));
}
