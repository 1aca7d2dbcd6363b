//! What one step asks of a device, as the dry mode of the emulated GPU writes it (`tests/emulator/src/tally.rs`), and as it is kept in a file.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::predictions::Predictions;
use super::request::{Request, Step};

/// A run's shape, and one of its steps on each architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// The configuration.
    pub config: String,
    /// Sequences of a batch.
    pub batch: u64,
    /// Tokens of a sequence.
    pub seq_len: u64,
    /// By architecture.
    pub steps: BTreeMap<String, Step>,
}

/// Names of the kernels' parameters.
pub type Signatures = BTreeMap<String, Vec<String>>;

/// The kernels of an architecture in the text of `target/kernels/manifest.json`.
pub fn signatures(manifest: &str, arch: &str) -> Result<Signatures, String> {
    let manifest: serde_json::Value = serde_json::from_str(manifest).map_err(|error| error.to_string())?;
    let kernels = manifest["architectures"][arch]["kernels"].as_object().ok_or_else(|| format!("no kernels for {arch}"))?;
    let name = |parameter: &serde_json::Value| parameter[0].as_str().unwrap_or_default().to_owned();
    let parameters = |kernel: &serde_json::Value| kernel["parameters"].as_array().into_iter().flatten().map(name).collect();
    Ok(kernels.iter().map(|(name, kernel)| (name.clone(), parameters(kernel))).collect())
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a number of {what}, found {text:?}"))
}

/// The second step of a dry run, the first that is like all others: the work up to a copy to the host, with a batch that was uploaded and float
/// tensors that AdamW moved. Of parameters it has those that the predictions of a kernel need, or all if there are none.
pub fn second_step(dry: &str, signatures: &Signatures, predictions: &Predictions) -> Result<Step, String> {
    let is_step = |section: &&str| section.contains("\tadamw") && section.contains("\tto device\t") && section.contains("\tto host\t");
    let section = dry.split("\n\n").filter(is_step).nth(1);
    let section = section.ok_or("expected two steps, each with one copy to the host, at its end; found fewer")?;
    let mut step = Step::default();
    for line in section.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let bytes = |kernel: String, bytes: &str| Request { kernel, blocks: None, parameters: [("bytes".into(), bytes.into())].into() };
        let (times, request) = match fields[..] {
            ["memory", allocated] => {
                step.allocated = number(allocated, "bytes")?;
                continue;
            }
            ["memset", times, each] => (times, bytes("memset".into(), each)),
            ["copy", times, direction, each] => (times, bytes(format!("copy {direction}"), each)),
            ["kernel", times, name, blocks, _, ref values @ ..] => {
                let signature = signatures.get(name).filter(|signature| signature.len() == values.len());
                let signature = signature.ok_or_else(|| format!("kernel {name} of {} parameters is not in the manifest", values.len()))?;
                let needed = predictions.parameters_of(name);
                let is_needed = |parameter: &str| needed.as_ref().is_none_or(|needed| needed.contains(parameter));
                let kept = signature.iter().zip(values).filter(|(parameter, _)| is_needed(parameter));
                let parameters = kept.map(|(parameter, value)| (parameter.clone(), (*value).to_owned())).collect();
                (times, Request { kernel: name.into(), blocks: Some(grid(blocks)?), parameters })
            }
            _ => return Err(format!("{line:?} is no line of a dry run")),
        };
        *step.requests.entry(request).or_default() += number(times, "requests")?;
    }
    Ok(step)
}

/// Blocks in x and y of `x,y` or `x,y,z`.
fn grid(text: &str) -> Result<[u64; 2], String> {
    let mut sizes = text.split(',').map(|size| number(size, "blocks"));
    let mut next = || sizes.next().unwrap_or_else(|| Err(format!("expected blocks in x and y, found {text:?}")));
    Ok([next()?, next()?])
}

impl Count {
    /// As the lines of a file, with the predicted milliseconds of each kernel for the work that the review saw.
    ///
    /// # Errors
    /// Errors of [`Predictions::work`]; an architecture that the review did not see.
    pub fn to_text(&self, predictions: &Predictions, reviewed: &Self) -> Result<String, String> {
        let mut text = String::from(
            "# A step of training as `cargo xtask count-step` counted it, fields separated by tabs. step: configuration, sequences, tokens of each. arch:\n\
             # architecture, bytes allocated. Then launches, kernel, blocks, parameters; memsets and copies too. ms: kernel, launches and predicted\n\
             # milliseconds in all on the card of this architecture, by predictions.tsv.\n",
        );
        let mut line = |fields: &[&str]| writeln!(text, "{}", fields.join("\t")).expect("strings take all");
        line(&["step", &self.config, &self.batch.to_string(), &self.seq_len.to_string()]);
        for (arch, step) in &self.steps {
            line(&["arch", arch, &step.allocated.to_string()]);
            for (request, count) in &step.requests {
                let blocks = request.blocks.map_or("-".to_owned(), |[x, y]| format!("{x},{y}"));
                let parameters = request.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
                line(&[&count.to_string(), &request.kernel, &blocks, &parameters]);
            }
            let card = predictions.cards.iter().position(|card| card.arch == *arch);
            let (card, then) = card.zip(reviewed.steps.get(arch)).ok_or_else(|| format!("the review has no {arch}"))?;
            for (kernel, (launches, time)) in predictions.by_kernel(card, step, &predictions.work(card, then)?)? {
                line(&["ms", kernel, &launches.to_string(), &time.map_or("-".to_owned(), |time| format!("{time:.3}"))]);
            }
        }
        Ok(text)
    }

    /// From the lines of a file.
    ///
    /// # Errors
    /// A line that is none of [`Count::to_text`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut shape, mut arch, mut steps) = (None, String::new(), BTreeMap::new());
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let mut take = || -> Result<(), String> {
                match fields[..] {
                    ["step", config, batch, seq_len] if shape.is_none() => {
                        shape = Some((config.to_owned(), number(batch, "sequences")?, number(seq_len, "tokens")?));
                    }
                    ["arch", name, allocated] => {
                        arch = name.to_owned();
                        steps.insert(arch.clone(), Step { allocated: number(allocated, "bytes")?, ..Step::default() });
                    }
                    // Follows from the rest.
                    ["ms", ..] => {}
                    [times, kernel, blocks, parameters] => {
                        let step = steps.get_mut(&arch).ok_or("expected an architecture before what it is asked for")?;
                        step.requests.insert(request(kernel, blocks, parameters)?, number(times, "a number of requests")?);
                    }
                    _ => return Err(format!("expected step, arch or a request, found {line:?}")),
                }
                Ok(())
            };
            take().map_err(|error| format!("line {}: {error}", i + 1))?;
        }
        let (config, batch, seq_len) = shape.ok_or("expected the shape of a step, found none")?;
        Ok(Self { config, batch, seq_len, steps })
    }
}

fn request(kernel: &str, blocks: &str, parameters: &str) -> Result<Request, String> {
    let blocks = if blocks == "-" { None } else { Some(grid(blocks)?) };
    let pair = |text: &str| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("expected name=value, found {text:?}")),
    };
    let parameters = parameters.split(' ').filter(|text| !text.is_empty()).map(pair).collect::<Result<_, _>>()?;
    Ok(Request { kernel: kernel.to_owned(), blocks, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_step_of_a_dry_run_is_taken() {
        let table = "column\tC\tsm_90\t1\t8G\ngroup\tall\tlatency\t-\t-\t-\t1\nkernel\tadamw\torder=-\tall\t0\t28*n\t1\n";
        let table = Predictions::parse(table).unwrap();
        let manifest = r#"{"architectures": {"sm_90": {"kernels": {
            "adamw": {"parameters": [["value", "*mut f32"], ["order", "*const u32"], ["n", "u32"], ["rate", "f32"]]}}}}}"#;
        let signatures = signatures(manifest, "sm_90").unwrap();
        let section = |n: u32| {
            format!(
                "kernel\t2\tadamw\t3,1,1\t256,1,1\t-\t-\t{n}\t17\nkernel\t1\tadamw\t3,1,1\t256,1,1\t-\t-\t{n}\t18\nmemset\t4\t8\n\
                 copy\t1\tto device\t64\ncopy\t1\tto host\t12\nmemory\t1000\n\n"
            )
        };
        let forward = "copy\t1\tto device\t64\ncopy\t1\tto host\t12\nmemory\t1000\n\n";
        let dry = [&section(5), forward, &section(6), &section(7)].concat();
        let step = second_step(&dry, &signatures, &table).unwrap();
        let bytes = |kernel: &str, bytes: &str| Request {
            kernel: kernel.into(),
            blocks: None,
            parameters: [("bytes".into(), bytes.into())].into(),
        };
        let parameters = [("n", "6"), ("order", "-")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let launches = Request { kernel: "adamw".into(), blocks: Some([3, 1]), parameters: parameters.into() };
        let requests = [(launches, 3), (bytes("memset", "8"), 4), (bytes("copy to device", "64"), 1), (bytes("copy to host", "12"), 1)];
        assert_eq!(step, Step { allocated: 1000, requests: requests.into() });
        assert!(second_step(&section(5), &signatures, &table).unwrap_err().starts_with("expected two steps"));
        assert!(second_step(&dry, &Signatures::new(), &table).unwrap_err().contains("not in the manifest"));
    }
}
