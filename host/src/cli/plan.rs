//! `primal-host plan`.

use primal_device::grid::ScaleForm;

use super::limits::{self, MemorySize};
use super::training_flags::{PlanCommand, apply_embeddings};
use crate::configurations::any_text_of;
use crate::output::{print, print_json};
use crate::report::told::Told;
use crate::tasks::{OnTask, on_task, on_text_model};
use crate::{Error, Result};
use primal_engine::config::{ConfigOf, Family, ModelTable, Recompute, TextTable, architecture_of};
use primal_engine::memory::{self, Act, Kind};
use primal_engine::models::registry::OnText;
use primal_engine::models::text::{DecoderShape, TextDecoder, TextModel};
use primal_engine::nn::Parameters;
use primal_engine::train::trainer::{Layout, grid_state_bytes};

impl PlanCommand {
    /// Plans and prints.
    ///
    /// # Errors
    /// Bad flags or configuration.
    pub fn run(self) -> Result<()> {
        let text = any_text_of(&self.config)?;
        if self.generate {
            return on_text_model(&architecture_of(&text, &self.config)?, &self.config, PlannedText { flags: &self, text: &text });
        }
        if let Some(context) = self.context {
            return Err(Error::bad_input("--context", "no such flag without --generate", context, "leave it out, or give --generate too"));
        }
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
        self.apply(&mut config)?;
        apply_embeddings(self.embeddings.as_deref(), &mut config)?;
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
                let most = self.memory.map_or(recomputing.2.total_bytes(), |MemorySize(memory)| memory - memory / limits::REST);
                if keeping.2.total_bytes() <= most { keeping } else { recomputing }
            }
            chosen => plan_with(chosen),
        };
        self.device.require(&T::attention(&layout.model))?;
        limits::warn_without_tiles(&layout, &config.train);
        let recompute = recompute == Recompute::On;
        let (weights, state, total) = (layout.parameters.specs.matrix_weights(), grid_state_bytes(&layout), plan.total_bytes());
        let host = layout.optimizer.host_bytes(&layout.parameters, &config.train);
        if self.json {
            let spans = spans(&plan);
            return print_json(&serde_json::json!({
                "total_bytes": total, "grid_weights": weights, "grid_state_bytes": state, "host_bytes": host, "recompute": recompute, "spans": spans
            }));
        }
        print_spans(&plan)?;
        if host > 0 {
            print(format!("besides, {host} bytes on the host: the votes that a step's micro-batches cast"))?;
        }
        if recompute {
            print("of each block only the input is kept: its activations are recomputed in the backward pass")?;
        }
        let [parameters, kept] = [Kind::Parameter, Kind::State].map(|kind| plan.bytes_of(kind));
        let count = weights + layout.parameters.vectors.iter().map(|vector| vector.len()).sum::<usize>();
        print(format!("{count} parameters, {:.3} bytes of parameters and state each", (parameters + kept) as f64 / count as f64))?;
        let kept = if config.model.scales() == ScaleForm::Row { "codes and votes" } else { "codes, scales of groups and votes" };
        print(format!("{weights} grid weights, {state} bytes of {kept}: {:.3} bytes a weight", state as f64 / weights as f64))
    }
}

impl PlanCommand {
    /// Plans what runs a model: its weights, which lie in the mapped file, and what decoding takes.
    fn plan_generation<M: TextModel>(&self, mut config: ConfigOf<M::Config>) -> Result<()> {
        self.apply(&mut config)?;
        apply_embeddings(self.embeddings.as_deref(), &mut config)?;
        config.check(&self.config)?;
        let context = limits::context(self.context, config.model.context())?;
        let mut plan = memory::Plan::default();
        let (layers, specs) = M::layers(&config.model, config.train.optimizer.is_float());
        let parameters = Parameters::plan(specs, &mut plan);
        let decoder = M::plan_decoder(layers, DecoderShape { context, cache: Act::F16 }, &mut plan);
        self.device.plan_scratch(&mut plan);
        self.device.require(&decoder.attention())?;
        let (weights, total) = (parameters.specs.matrix_weights(), plan.total_bytes());
        let (mapped, cache_bytes) = (plan.bytes_of(Kind::Parameter), plan.bytes_of(Kind::Cache));
        if self.json {
            return print_json(&serde_json::json!({
                "total_bytes": total, "mapped_bytes": mapped, "cache_bytes": cache_bytes, "context": context, "weights": weights,
                "spans": spans(&plan)
            }));
        }
        print_spans(&plan)?;
        print(format!(
            "{weights} weights of matrices in {mapped} bytes that are mapped, {cache_bytes} bytes of keys and values of {context} tokens"
        ))
    }
}

fn spans(plan: &memory::Plan) -> Vec<serde_json::Value> {
    let span = |e: &memory::Entry| serde_json::json!({"name": e.name, "kind": e.kind.name(), "offset": e.offset, "bytes": e.bytes});
    plan.entries().iter().map(span).collect()
}

fn print_spans(plan: &memory::Plan) -> Result<()> {
    for entry in plan.entries() {
        print(format!("{:>12}  {:<10}  {}", entry.bytes, entry.kind.name(), entry.name))?;
    }
    for kind in Kind::ALL {
        print(format!("{:>12}  {} in all", plan.bytes_of(kind), kind.name()))?;
    }
    let total = plan.total_bytes();
    print(format!("{total:>12}  bytes in all ({:.1} MiB)", total as f64 / f64::from(1 << 20)))
}

/// The text model whose running is planned.
struct PlannedText<'a> {
    flags: &'a PlanCommand,
    text: &'a str,
}

impl OnText for PlannedText<'_> {
    type Output = Result<()>;

    fn on<M: TextModel>(self) -> Result<()> {
        self.flags.plan_generation::<M>(ConfigOf::parse(self.text, &self.flags.config)?)
    }
}

/// The configuration that is planned.
struct Planned<'a> {
    flags: &'a PlanCommand,
    text: &'a str,
}

impl OnTask for Planned<'_> {
    fn on<T: Told>(self) -> Result<()> {
        let config = ConfigOf::parse(self.text, &self.flags.config)?;
        self.flags.require_none::<T::Config>()?;
        self.flags.plan::<T>(config)
    }
}
