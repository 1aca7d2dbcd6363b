//! Predicted times: the rule and the table of `device/package/predictions.tsv`.

use std::collections::{BTreeMap, BTreeSet};

use super::request::{Request, Step};

/// A card that the review has a column of times for.
#[derive(Debug)]
pub struct Card {
    /// Name of the card.
    pub name: String,
    /// Architecture of the card.
    pub arch: String,
    /// Multiprocessors.
    pub processors: f64,
    /// Memory of the card, as `PTX_EMU_MEMORY` takes it.
    pub memory: String,
}

/// What the time of a group of kernels goes with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Basis {
    Flop,
    Bytes,
    Launches,
}

/// Kernels that the review took together.
#[derive(Debug)]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// `mma/FMA`, `FMA`, `memory` or `latency`.
    pub unit: String,
    basis: Basis,
    /// The review's launches, TFLOP and GB.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares the count with them"))]
    pub review: [Option<f64>; 3],
    /// The review's milliseconds on each card …
    milliseconds: Vec<Option<f64>>,
    /// … for the work of this group: itself, or another one.
    reviewed: usize,
}

/// A sum of products.
#[derive(Debug)]
struct Formula(Vec<Vec<Factor>>);

#[derive(Debug)]
enum Factor {
    Number(f64),
    Parameter(String),
}

#[derive(Debug)]
struct Kernel {
    name: String,
    /// A parameter and the value that it must have.
    condition: Option<(String, String)>,
    group: usize,
    flop: Formula,
    bytes: Formula,
    /// Blocks that a multiprocessor of each card holds.
    resident: Vec<f64>,
}

/// What a group of kernels does in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Launches, memsets and copies.
    pub requests: u64,
    /// Floating-point operations.
    pub flop: f64,
    /// Bytes that are read and written.
    pub bytes: f64,
    /// What the time goes with; blocks that leave the card idle count for what it could have done.
    pub effective: f64,
}

impl Work {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.flop += other.flop;
        self.bytes += other.bytes;
        self.effective += other.effective;
    }
}

/// The table.
#[derive(Debug)]
pub struct Predictions {
    /// The cards.
    pub cards: Vec<Card>,
    /// The groups.
    pub groups: Vec<Group>,
    kernels: Vec<Kernel>,
}

fn float(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("expected a number, found {text:?}"))
}

fn optional(text: &&str) -> Result<Option<f64>, String> {
    if *text == "-" { Ok(None) } else { float(text).map(Some) }
}

impl Formula {
    fn parse(text: &str) -> Result<Self, String> {
        let factor = |text: &str| match text.trim() {
            "" => Err(format!("expected a sum of products, found {text:?}")),
            text if text.starts_with(|c: char| c.is_ascii_digit()) => float(text).map(Factor::Number),
            text => Ok(Factor::Parameter(text.to_owned())),
        };
        let products = text.split('+').map(|product| product.split('*').map(factor).collect());
        Ok(Self(products.collect::<Result<_, _>>()?))
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().filter_map(|factor| match factor {
            Factor::Number(_) => None,
            Factor::Parameter(name) => Some(name.as_str()),
        })
    }

    fn value(&self, of: &Request) -> Result<f64, String> {
        let value = |factor: &Factor| match factor {
            Factor::Number(number) => Ok(*number),
            Factor::Parameter(name) => parameter(of, name),
        };
        self.0.iter().map(|product| product.iter().map(value).product::<Result<f64, _>>()).sum()
    }
}

/// A launch's parameter, or its blocks.
fn parameter(of: &Request, name: &str) -> Result<f64, String> {
    match (name, of.blocks) {
        ("blocks_x", Some([x, _])) => Ok(x as f64),
        ("blocks_y", Some([_, y])) => Ok(y as f64),
        _ => {
            let missing = || format!("{} has no parameter {name} in this count: count anew", of.kernel);
            of.parameters.get(name).and_then(|value| value.parse().ok()).ok_or_else(missing)
        }
    }
}

impl Predictions {
    /// From the text of the table.
    ///
    /// # Errors
    /// A line that is none of the table's.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self { cards: Vec::new(), groups: Vec::new(), kernels: Vec::new() };
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
            table.line(&line.split('\t').collect::<Vec<_>>()).map_err(|error| format!("line {}: {error}", i + 1))?;
        }
        Ok(table)
    }

    fn line(&mut self, fields: &[&str]) -> Result<(), String> {
        match *fields {
            // What `run.sh` compares with.
            ["flop" | "card" | "peer", ..] => {}
            ["column", name, arch, processors, memory] => {
                let [name, arch, memory] = [name, arch, memory].map(str::to_owned);
                self.cards.push(Card { name, arch, processors: float(processors)?, memory });
            }
            ["group", name, unit, ref rest @ ..] => {
                let basis = match unit {
                    "mma/FMA" | "FMA" => Basis::Flop,
                    "memory" => Basis::Bytes,
                    "latency" => Basis::Launches,
                    _ => return Err(format!("expected mma/FMA, FMA, memory or latency, found {unit:?}")),
                };
                let (review, milliseconds, reviewed) = match rest {
                    [other] if other.starts_with("= ") => {
                        let other = &self.groups[self.group(&other[2..])?];
                        if other.basis != basis {
                            return Err(format!("expected the unit of {}, {}; found {unit}", other.name, other.unit));
                        }
                        ([None; 3], other.milliseconds.clone(), other.reviewed)
                    }
                    [launches, flop, bytes, milliseconds @ ..] if milliseconds.len() == self.cards.len() => {
                        let milliseconds = milliseconds.iter().map(optional).collect::<Result<_, _>>()?;
                        ([optional(launches)?, optional(flop)?, optional(bytes)?], milliseconds, self.groups.len())
                    }
                    _ => return Err("expected launches, TFLOP, GB and milliseconds on each card, or `= group above`".into()),
                };
                self.groups.push(Group { name: name.to_owned(), unit: unit.to_owned(), basis, review, milliseconds, reviewed });
            }
            ["kernel", name, condition, group, flop, bytes, resident] => {
                let resident = resident.split(' ').map(float).collect::<Result<Vec<_>, _>>()?;
                if resident.len() != self.cards.len() {
                    return Err(format!("expected blocks on {} cards, found {}", self.cards.len(), resident.len()));
                }
                self.kernels.push(Kernel {
                    name: name.to_owned(),
                    condition: condition.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
                    group: self.group(group)?,
                    flop: Formula::parse(flop)?,
                    bytes: Formula::parse(bytes)?,
                    resident,
                });
            }
            _ => return Err(format!("expected a column, a group or a kernel, found {fields:?}")),
        }
        Ok(())
    }

    fn group(&self, name: &str) -> Result<usize, String> {
        self.groups.iter().position(|group| group.name == name).ok_or_else(|| format!("group {name} is not there"))
    }

    /// The parameters that conditions and formulas of a kernel name; `None` for a kernel that is not in the table.
    pub fn parameters_of(&self, kernel: &str) -> Option<BTreeSet<&str>> {
        let mut lines = self.kernels.iter().filter(|line| line.name == kernel).peekable();
        lines.peek()?;
        let names = lines.flat_map(|line| {
            let condition = line.condition.iter().map(|(name, _)| name.as_str());
            condition.chain(line.flop.parameters()).chain(line.bytes.parameters())
        });
        Some(names.collect())
    }

    /// The line of the table for a request.
    fn find(&self, request: &Request) -> Result<&Kernel, String> {
        let holds = |line: &&Kernel| {
            let condition = line.condition.as_ref();
            line.name == request.kernel && condition.is_none_or(|(name, value)| request.parameters.get(name) == Some(value))
        };
        self.kernels.iter().find(holds).ok_or_else(|| format!("{} is not in the table of predictions", request.kernel))
    }

    /// What each group does in a step on a card.
    ///
    /// # Errors
    /// A kernel that is not in the table; a parameter that is not in the count.
    pub fn work(&self, card: usize, step: &Step) -> Result<Vec<Work>, String> {
        let mut work = vec![Work::default(); self.groups.len()];
        for (request, &count) in &step.requests {
            let (group, part) = self.work_of(card, request, count)?;
            work[group].add(part);
        }
        Ok(work)
    }

    /// The group of some equal requests, and their work.
    fn work_of(&self, card: usize, request: &Request, count: u64) -> Result<(usize, Work), String> {
        let line = self.find(request)?;
        let times = count as f64;
        let (flop, bytes) = (times * line.flop.value(request)?, times * line.bytes.value(request)?);
        let room = self.cards[card].processors * line.resident[card];
        let idle = request.blocks.map_or(1.0, |[x, y]| (room / (x * y) as f64).max(1.0));
        let effective = match self.groups[line.group].basis {
            Basis::Flop => flop * idle,
            Basis::Bytes => bytes * idle,
            Basis::Launches => times,
        };
        Ok((line.group, Work { requests: count, flop, bytes, effective }))
    }

    /// Milliseconds of each group on a card: the review's, times work over the work that the review saw. `None` where it has none.
    pub fn milliseconds(&self, card: usize, work: &[Work], reviewed: &[Work]) -> Vec<Option<f64>> {
        work.iter().enumerate().map(|(group, work)| self.time(card, group, *work, reviewed)).collect()
    }

    fn time(&self, card: usize, group: usize, work: Work, reviewed: &[Work]) -> Option<f64> {
        let group = &self.groups[group];
        match work.requests {
            0 => Some(0.0),
            _ => group.milliseconds[card].map(|then| then * work.effective / reviewed[group.reviewed].effective),
        }
    }

    /// Launches and milliseconds of each kernel in a step on a card.
    ///
    /// # Errors
    /// Errors of [`Predictions::work`].
    pub fn by_kernel<'a>(&self, card: usize, step: &'a Step, reviewed: &[Work]) -> Result<BTreeMap<&'a str, (u64, Option<f64>)>, String> {
        let mut kernels: BTreeMap<&str, (u64, Option<f64>)> = BTreeMap::new();
        for (request, &count) in &step.requests {
            let (group, work) = self.work_of(card, request, count)?;
            let (launches, milliseconds) = kernels.entry(&request.kernel).or_insert((0, Some(0.0)));
            *launches += count;
            *milliseconds = milliseconds.zip(self.time(card, group, work, reviewed)).map(|(sum, more)| sum + more);
        }
        Ok(kernels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card of ten processors; products by rows, those of a wide result apart.
    const TABLE: &str = "# head\ncolumn\tC\tsm_90\t10\t8G\n\ngroup\tproducts\tFMA\t-\t1\t-\t8\ngroup\twide\tFMA\t= products\n\
        group\tadds\tmemory\t-\t-\t-\t-\nkernel\tmultiply\toutputs=9\twide\t2*rows*outputs\t4*rows\t2\n\
        kernel\tmultiply\t-\tproducts\t2*rows*outputs\t4*rows + 0.5*blocks_x*blocks_y\t2\nkernel\tadd\t-\tadds\t0\t12*n\t1\n";

    /// A kernel, its launches, their blocks and parameters.
    type Launches<'a> = (&'a str, u64, [u64; 2], &'a [(&'a str, u64)]);

    fn step(requests: &[Launches]) -> Step {
        let request = |&(kernel, count, blocks, parameters): &Launches| {
            let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
            (Request { kernel: kernel.to_owned(), blocks: Some(blocks), parameters }, count)
        };
        Step { allocated: 0, requests: requests.iter().map(request).collect() }
    }

    #[test]
    fn time_goes_with_work_and_with_the_idle_part_of_the_card() {
        let table = Predictions::parse(TABLE).unwrap();
        assert_eq!(table.parameters_of("multiply"), Some(["blocks_x", "blocks_y", "outputs", "rows"].into()));
        assert_eq!(table.parameters_of("divide"), None);
        let of = |requests| table.work(0, &step(requests)).unwrap();
        let reviewed = of(&[("multiply", 3, [20, 2], &[("rows", 100), ("outputs", 5)])]);
        assert_eq!(reviewed[0], Work { requests: 3, flop: 3000.0, bytes: 1260.0, effective: 3000.0 });
        // Twice the work takes twice the time; the card holds twenty blocks, of which five are a quarter.
        let now = of(&[
            ("multiply", 1, [40, 1], &[("rows", 600), ("outputs", 5)]),
            ("multiply", 1, [5, 1], &[("rows", 50), ("outputs", 9)]),
            ("add", 1, [5, 1], &[("n", 10)]),
        ]);
        assert_eq!(table.milliseconds(0, &now, &reviewed), [Some(16.0), Some(9.6), None]);
        assert_eq!(table.milliseconds(0, &reviewed, &reviewed), [Some(8.0), Some(0.0), Some(0.0)]);
        let requests: &[Launches] =
            &[("multiply", 1, [40, 1], &[("rows", 600), ("outputs", 5)]), ("multiply", 2, [5, 1], &[("rows", 50), ("outputs", 9)])];
        assert_eq!(table.by_kernel(0, &step(requests), &reviewed), Ok([("multiply", (3, Some(16.0 + 19.2)))].into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let table = Predictions::parse(TABLE).unwrap();
        let refused = |kernel: &str| table.work(0, &step(&[(kernel, 1, [1, 1], &[("rows", 1)])])).unwrap_err();
        assert_eq!(refused("divide"), "divide is not in the table of predictions");
        assert_eq!(refused("multiply"), "multiply has no parameter outputs in this count: count anew");
        let error = |text: &str| Predictions::parse(text).unwrap_err();
        assert_eq!(error("column\tC\tsm_90\tmany\t8G"), "line 1: expected a number, found \"many\"");
        assert_eq!(error("\ngroup\ta\tFMA\t= b"), "line 2: group b is not there");
    }
}
