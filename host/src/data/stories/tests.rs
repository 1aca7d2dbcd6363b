use std::collections::HashSet;

use super::*;

const BYTES: usize = 400_000;

#[test]
fn the_same_seed_tells_the_same_stories() {
    assert_eq!(stories(7, BYTES), stories(7, BYTES));
    assert_ne!(stories(7, BYTES), stories(8, BYTES));
}

#[test]
fn stories_are_plain_text_without_placeholders() {
    let text = stories(1, BYTES);
    assert!(text.is_ascii());
    for mark in ['@', '{', '}', '<', '>', '|', '#', '_', '$'] {
        assert!(!text.contains(mark), "{mark:?} in {:?}", text.lines().find(|line| line.contains(mark)));
    }
}

#[test]
fn stories_differ_and_fill_the_size() {
    let text = stories(1, BYTES);
    assert!(text.len() <= BYTES && text.len() > BYTES - 10_000, "{} bytes of {BYTES}", text.len());
    let all: Vec<&str> = text.split("\n\n").filter(|story| !story.trim().is_empty()).collect();
    let distinct: HashSet<&&str> = all.iter().collect();
    assert!(distinct.len() * 10 > all.len() * 9, "{} of {} are distinct", distinct.len(), all.len());
}

#[test]
fn quotes_are_balanced_in_every_line() {
    let text = stories(1, BYTES);
    let odd = text.lines().find(|line| line.matches('"').count() % 2 == 1);
    assert_eq!(odd, None);
}

#[test]
fn articles_agree() {
    let text = stories(1, BYTES);
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2) {
        let vowel = pair[1].starts_with(['a', 'e', 'i', 'o']);
        match pair[0] {
            "a" | "A" => assert!(!vowel, "{pair:?}"),
            "an" | "An" => assert!(vowel || pair[1].starts_with('u'), "{pair:?}"),
            _ => {}
        }
    }
}
