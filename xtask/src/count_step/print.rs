//! Counts and predicted times as Markdown, those of two counts side by side.

use super::count::Count;
use super::predictions::{Predictions, Work};
use super::request::{Request, Step};

/// `then → now`, or one of them if they look the same.
fn change<T>(then: Option<T>, now: T, show: impl Fn(T) -> String) -> String {
    let (then, now) = (then.map(&show), show(now));
    match then {
        Some(then) if then != now => format!("{then} → {now}"),
        _ => now,
    }
}

/// Three digits, or `–` for nothing.
fn short(value: f64) -> String {
    match value {
        0.0 => "–".into(),
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A step on a card: its work and milliseconds by group.
struct Seen<'a> {
    count: &'a Count,
    step: &'a Step,
    work: Vec<Work>,
    milliseconds: Vec<Option<f64>>,
}

impl Seen<'_> {
    fn total(&self) -> f64 {
        self.milliseconds.iter().flatten().sum()
    }

    fn tokens_per_second(&self) -> f64 {
        1e3 * (self.count.batch * self.count.seq_len) as f64 / self.total()
    }

    fn sum(&self, of: impl Fn(&Work) -> f64) -> f64 {
        self.work.iter().map(of).sum()
    }

    fn shape(&self) -> String {
        format!("{}, {} × {}", self.count.config, self.count.batch, self.count.seq_len)
    }
}

/// Prints a table for each card whose architecture was counted; `reviewed` is the count that the review saw.
///
/// # Errors
/// A kernel without a line in the table of predictions; a card that the review's count does not have.
pub fn print(table: &Predictions, reviewed: &Count, then: &Count, now: &Count) -> Result<(), String> {
    for (at, card) in table.cards.iter().enumerate() {
        let by_review = reviewed.steps.get(&card.arch).ok_or_else(|| format!("the review's count has no {}", card.arch))?;
        let by_review = table.work(at, by_review)?;
        let Some(now) = see(table, at, &by_review, now)? else { continue };
        print_card(table, at, see(table, at, &by_review, then)?.as_ref(), &now);
    }
    Ok(())
}

/// A count's step on a card, if it has one.
fn see<'a>(table: &Predictions, card: usize, by_review: &[Work], count: &'a Count) -> Result<Option<Seen<'a>>, String> {
    let Some(step) = count.steps.get(&table.cards[card].arch) else { return Ok(None) };
    let work = table.work(card, step)?;
    let milliseconds = table.milliseconds(card, &work, by_review);
    Ok(Some(Seen { count, step, work, milliseconds }))
}

fn print_card(table: &Predictions, card: usize, then: Option<&Seen>, now: &Seen) {
    let name = &table.cards[card];
    println!("### {} ({}), {}\n", name.name, name.arch, change(then.map(Seen::shape), now.shape(), |shape| shape));
    println!("| kernels | unit | launches | TFLOP | GB | predicted ms |\n|---|---|---|---|---|---|");
    for (i, group) in table.groups.iter().enumerate() {
        let (old, new) = (then.map(|then| then.work[i]), now.work[i]);
        if new.requests + old.map_or(0, |old| old.requests) == 0 {
            continue;
        }
        let cell = |of: &dyn Fn(Work) -> f64| change(old.map(of), of(new), short);
        let time = |time: Option<f64>| time.map_or("?".into(), short);
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            group.name,
            group.unit,
            change(old.map(|old| old.requests), new.requests, |requests| requests.to_string()),
            cell(&|work| work.flop / 1e12),
            cell(&|work| work.bytes / 1e9),
            change(then.map(|then| then.milliseconds[i]), now.milliseconds[i], time)
        );
    }
    let both = |of: &dyn Fn(&Seen) -> f64| change(then.map(of), of(now), short);
    let count = |of: &dyn Fn(&Request) -> bool| change(then.map(|then| then.step.count(of)), now.step.count(of), |count| count.to_string());
    println!(
        "| **total** | | {} + {} memsets + {} copies | {} | {} | **{}** |",
        count(&Request::is_launch),
        count(&|request| request.kernel == "memset"),
        count(&Request::is_copy),
        both(&|seen| seen.sum(|work| work.flop) / 1e12),
        both(&|seen| seen.sum(|work| work.bytes) / 1e9),
        both(&|seen| seen.total())
    );
    println!(
        "\n{} tokens/s predicted; {} GB allocated\n",
        change(then.map(Seen::tokens_per_second), now.tokens_per_second(), |tokens| format!("{tokens:.0}")),
        both(&|seen| seen.step.allocated as f64 / 1e9)
    );
}
