use std::collections::HashSet;

use super::*;

#[test]
fn grammar_parses() {
    GRAMMAR.plots.iter().for_each(drop);
}

#[test]
#[ignore]
fn show() {
    let mut teller = Teller::new(&GRAMMAR);
    for plot in 0..GRAMMAR.plots.len() {
        let mut out = String::new();
        teller.tell_named(plot, 42, &mut out);
        println!("{out}");
    }
}
