//! `stories`, the embedded source: an endless, seeded generator of simple English stories, so that training needs no data to start.
//!
//! The stories are written as text files beside this one: `words.txt` (people, animals, places, things), `rules.txt` (sentences that many
//! stories share) and `plots_*.txt`. [`grammar`] reads their small language once; [`teller`] casts a story and tells it.
//!
//! A story is a title line, a few paragraphs of one line each, and a blank line.

mod grammar;
mod teller;

use std::sync::LazyLock;

use grammar::Grammar;
use teller::Teller;

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    Grammar::parse(
        include_str!("words.txt"),
        include_str!("rules.txt"),
        &[
            include_str!("plots_home.txt"),
            include_str!("plots_outdoors.txt"),
            include_str!("plots_friends.txt"),
            include_str!("plots_animals.txt"),
        ],
    )
    .expect("the embedded grammar is parsed by the tests")
});

/// Simple English stories: as many whole stories of the endless sequence of `seed` as fit into `bytes`, at least one. ASCII, the same bytes
/// on every platform; a longer text of the same seed starts with the shorter one.
pub fn stories(seed: u64, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes.saturating_add(4096).min(1 << 30));
    let mut teller = Teller::new(&GRAMMAR);
    for index in 0.. {
        let end = out.len();
        teller.tell(seed, index, &mut out);
        if out.len() >= bytes {
            if out.len() > bytes && end > 0 {
                out.truncate(end);
            }
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests;
