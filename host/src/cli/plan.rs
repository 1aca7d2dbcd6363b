//! `primal-host plan`.

use argh::FromArgs;

use super::device::DeviceName;
use super::limits::{self, Bytes};
use super::overrides::one_of;
use crate::configurations::{any_text_of, default_of};
use crate::output::{print, print_json};
use crate::report::told::Told;
use crate::tasks::{OnTask, on_task};
use crate::{Error, Result};
use primal_engine::config::{ConfigOf, Family, ModelTable, Recompute, VOTES, architecture_of, votes_of};
use primal_engine::memory::{self, Kind};
use primal_engine::train::trainer::{Layout, grid_state_bytes};

/// print every span of memory that training would use
#[derive(FromArgs)]
#[argh(subcommand, name = "plan")]
pub struct Plan {
    /// configuration: a name, such as gpt-nano or ghost-tts, or a .toml file
    #[argh(option, default = "default_of(Family::Text).to_string()")]
    config: String,
    /// of text: sequences of a micro-batch
    #[argh(option)]
    batch: Option<usize>,
    /// of text: tokens of a sequence
    #[argh(option)]
    seq_len: Option<usize>,
    /// of speech: frames of a micro-batch, at most
    #[argh(option)]
    batch_frames: Option<usize>,
    /// bits of a vote: 8 or 4
    #[argh(option)]
    votes: Option<i64>,
    /// device: cpu (default) or cuda
    #[argh(option, default = "DeviceName::default()")]
    device: DeviceName,
    /// memory of the device, as 11GB or 7.5GiB: what of the activations would be kept there; without it, the least that a run can do with
    #[argh(option)]
    memory: Option<Bytes>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
}

impl Plan {
    /// Plans and prints.
    ///
    /// # Errors
    /// Bad flags or configuration.
    pub fn run(self) -> Result<()> {
        let text = any_text_of(&self.config)?;
        on_task(&architecture_of(&text, &self.config)?, &self.config, Planned { flags: &self, text: &text })
    }

    /// Refuses flags that mean nothing for such a model.
    fn require_none<M: ModelTable>(&self) -> Result<()> {
        let flags: &[_] = match M::FAMILY {
            Family::Text => &[("--batch-frames", self.batch_frames)],
            Family::Speech => &[("--batch", self.batch), ("--seq-len", self.seq_len)],
        };
        let given = flags.iter().find_map(|&(flag, value)| Some((flag, value?)));
        given.map_or(Ok(()), |(flag, value)| {
            let expected = format!("no such flag, as {} is {}", self.config, M::FAMILY.kind());
            Err(Error::bad_input(flag, expected, value, "leave it out, or name another configuration with --config"))
        })
    }

    fn plan<T: Told>(&self, mut config: ConfigOf<T::Config>) -> Result<()> {
        let t = &mut config.train;
        t.batch = self.batch.unwrap_or(t.batch);
        t.seq_len = self.seq_len.unwrap_or(t.seq_len);
        t.batch_frames = self.batch_frames.unwrap_or(t.batch_frames);
        if let Some(bits) = self.votes {
            t.votes = one_of("--votes", VOTES, bits, votes_of(bits))?;
        }
        config.model.complete(&mut config.train);
        config.check(&self.config)?;
        let plan_with = |recompute| {
            let (mut config, mut plan) = (config.clone(), memory::Plan::default());
            config.train.recompute = recompute;
            let layout = Layout::<T>::plan(&config, &mut plan);
            self.device.plan_scratch(&mut plan);
            (recompute, layout, plan)
        };
        let (recompute, layout, plan) = match config.train.recompute {
            Recompute::Auto => {
                let (keeping, recomputing) = (plan_with(Recompute::Off), plan_with(Recompute::On));
                let most = self.memory.map_or(recomputing.2.total_bytes(), |Bytes(memory)| memory - memory / limits::REST);
                if keeping.2.total_bytes() <= most { keeping } else { recomputing }
            }
            chosen => plan_with(chosen),
        };
        self.device.require(&T::attention(&layout.model))?;
        let recompute = recompute == Recompute::On;
        let (weights, state, total) = (layout.parameters.specs.matrix_weights(), grid_state_bytes(&layout), plan.total_bytes());
        if self.json {
            let span = |e: &memory::Entry| serde_json::json!({"name": e.name, "kind": e.kind.name(), "offset": e.offset, "bytes": e.bytes});
            let spans: Vec<_> = plan.entries().iter().map(span).collect();
            return print_json(&serde_json::json!({
                "total_bytes": total, "grid_weights": weights, "grid_state_bytes": state, "recompute": recompute, "spans": spans
            }));
        }
        for entry in plan.entries() {
            print(format!("{:>12}  {:<10}  {}", entry.bytes, entry.kind.name(), entry.name))?;
        }
        for kind in [Kind::Parameter, Kind::State, Kind::Gradient, Kind::Activation, Kind::Scratch, Kind::Io] {
            print(format!("{:>12}  {} in all", plan.bytes_of(kind), kind.name()))?;
        }
        print(format!("{total:>12}  bytes in all ({:.1} MiB)", total as f64 / f64::from(1 << 20)))?;
        if recompute {
            print("of each block only the input is kept: its activations are recomputed in the backward pass")?;
        }
        print(format!("{weights} grid weights, {state} bytes of codes and votes: {:.3} bytes a weight", state as f64 / weights as f64))
    }
}

/// The configuration that is planned.
struct Planned<'a> {
    flags: &'a Plan,
    text: &'a str,
}

impl OnTask for Planned<'_> {
    fn on<T: Told>(self) -> Result<()> {
        let config = ConfigOf::parse(self.text, &self.flags.config)?;
        self.flags.require_none::<T::Config>()?;
        self.flags.plan::<T>(config)
    }
}
