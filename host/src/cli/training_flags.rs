//! The commands `train`, `tts-train` and `plan`: each flag once, with its help, its type and what of the configuration it sets.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::{self, ScaleForm};

use super::device::DeviceName;
use super::limits::MemorySize;
use super::overrides::{Overrides, one_of};
use crate::configurations::default_of;
use crate::{Error, Result};
use primal_engine::config::{
    self, ConfigOf, Divisor, Family, ModelTable, Reduce, SpeechConfig, TextTable, Tokenizer, VoteStart, Windows, votes_of,
};
use primal_engine::memory::Act;
use primal_engine::nn::embedding::Embeddings;

/// Sorts the flags of a list by the commands that have them. What is read of a flag without `=>` is no part of the configuration.
macro_rules! commands {
    (@sort [$($train:tt)*] $tts:tt $plan:tt train $(, $other:ident)* { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort [$($train)* { $($flag)* }] $tts $plan $($other),* { $($flag)* } $($rest)*);
    };
    (@sort $train:tt [$($tts:tt)*] $plan:tt tts_train $(, $other:ident)* { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort $train [$($tts)* { $($flag)* }] $plan $($other),* { $($flag)* } $($rest)*);
    };
    (@sort $train:tt $tts:tt [$($plan:tt)*] plan { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort $train $tts [$($plan)* { $($flag)* }] $($rest)*);
    };
    (@sort $train:tt $tts:tt $plan:tt { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort $train $tts $plan $($rest)*);
    };
    (@sort [$($train:tt)*] [$($tts:tt)*] [$($plan:tt)*]) => {
        command!(
            /// train a model; without flags: a small one on generated stories
            Train, "train", ConfigOf<impl TextTable>: $($train)*
        );
        command!(
            /// train a voice on a corpus of speech
            TtsTrain, "tts-train", SpeechConfig: $($tts)*
        );
        command!(
            /// print every span of memory that training would use, or running with --generate
            PlanCommand, "plan", ConfigOf<impl ModelTable> {
                /// plan what `generate` and `chat` use, with the weights that they map, in place of training
                #[argh(switch)]
                generate: bool,
                /// print one JSON object
                #[argh(switch)]
                json: bool
            }: $($plan)*
        );
    };
    ($($list:tt)*) => { commands!(@sort [] [] [] $($list)*); };
}

/// A command of such flags, and of switches in braces.
macro_rules! command {
    (
        $(#[$about:meta])*
        $Command:ident, $name:tt, $Config:ty $({ $($(#[$switch_help:meta])* $switch:ident: bool),* })?:
        $({
            $(#[$help:meta])*
            $flag:ident: $Type:ident $(<$Inner:ident>)? $(= $default:tt)? $(=> $table:ident.$key:ident $(, $read:expr)?)?
        })*
    ) => {
        $(#[$about])*
        #[derive(FromArgs)]
        #[argh(subcommand, name = $name)]
        pub struct $Command {
            $(
                $(#[$help])*
                #[argh(option $(, default = $default)?)]
                pub(super) $flag: $Type$(<$Inner>)?,
            )*
            $($(
                $(#[$switch_help])*
                pub(super) $switch: bool,
            )*)?
        }

        impl $Command {
            /// Applies the flags that change the configuration, and names those that were given.
            pub(super) fn apply(&self, config: &mut $Config) -> Result<Vec<String>> {
                let mut flags = Overrides::default();
                $($(set!(flags, $flag, self.$flag, place!(config, $table, $key) $(, $read)?);)?)*
                Ok(flags.given())
            }
        }
    };
}

/// A key of the table `[train]`, or what a method of the model gives to change.
macro_rules! place {
    ($config:ident, train, $key:ident) => {
        &mut $config.train.$key
    };
    ($config:ident, model, $method:ident) => {
        $config.model.$method()
    };
}

/// Sets what a flag says as it is, or what it is read as.
macro_rules! set {
    ($flags:ident, $flag:ident, $value:expr, $to:expr) => {
        $flags.set(stringify!($flag), $value, $to)
    };
    ($flags:ident, $flag:ident, $value:expr, $to:expr, $read:expr) => {
        $flags.set_read(stringify!($flag), $value.as_ref(), $read, $to)?
    };
}

commands! {
    tts_train {
        /// folder of the corpus, with train.jsonl and heldout.jsonl
        data: Option<String>
    }
    tts_train {
        /// folder of the new run
        out: Option<PathBuf>
    }
    train {
        /// configuration: gpt-nano, gpt-small-cpu (default), gpt-0.1b, llama-1.1b, llama-7b, or a .toml file
        config: Option<String>
    }
    tts_train {
        /// configuration: ghost-tts (default), ghost-tts-nano, or a .toml file
        config: Option<String>
    }
    plan {
        /// configuration: a name, such as gpt-nano or ghost-tts, or a .toml file
        config: String = "default_of(Family::Text).to_string()"
    }
    train {
        /// text files or folders, documents and conversations in .jsonl, .ndjson or .json, or "stories" (default); may be repeated
        data: Vec<String>
    }
    train {
        /// files or folders of the same kind that are held back, to validate on, in place of a twentieth of --data; may be repeated
        validation: Vec<String>
    }
    train {
        /// bytes, english1k or gpt2
        tokenizer: Option<String> => model.tokenizer_mut, |flag, name| Ok(Tokenizer::from_name(name, flag)?)
    }
    train, tts_train {
        /// votes (default), poltergeist, qat or adamw
        optimizer: Option<String> => train.optimizer, |flag, name| one_of(flag, config::RULES, name, config::rule(name))
    }
    train {
        /// grid: prime13, prime15, fine15, uniform15, uniform16, int4, uint4, nf4 or e2m1
        grid: Option<String> => model.grid_mut, |flag, name| one_of(flag, &config::grids(), name, grid::by_name(name))
    }
    train, tts_train, plan {
        /// scales: row, group32 or group32-offset (default: what the configuration says)
        scales: Option<String> => model.scales_mut, |flag, name| one_of(flag, config::SCALES, name, ScaleForm::by_name(name))
    }
    train, tts_train, plan {
        /// bits of a vote: 8 (default) or 4
        votes: Option<i64> => train.votes, |flag, bits| one_of(flag, config::VOTES, bits, votes_of(*bits))
    }
    train, tts_train {
        /// votes at the start: zero, spread, peaked, or remainder, which is what an import with --for-training keeps (default: with --from an imported model peaked with 8 bits and spread with 4, with --from a checkpoint as in its run, else zero)
        start: Option<String> => train.vote_start, |flag, name| one_of(flag, config::STARTS, name, VoteStart::from_name(name))
    }
    train, tts_train {
        /// share of a gap at which votes flip a weight, 0.5 to 0.85 (default: 0.52 with --from an imported model, with --from a checkpoint as in its run, else 0.8, of 4 bits 0.85)
        threshold: Option<f32> => train.threshold, |_, share| Ok(Some(*share))
    }
    train {
        /// windows of a text: random (default), or epochs, in each of which every window is learnt once, in an order of its own; documents of .jsonl come so by themselves
        windows: Option<String> => train.windows, |flag, name| one_of(flag, config::WINDOWS, name, Windows::from_name(name))
    }
    train, tts_train {
        /// what a gradient is divided by before it votes: root, of its mean square, or mean-square (default: root, but mean-square for votes with --from an imported model, and with --from a checkpoint as in its run)
        divisor: Option<String> => train.divisor, |flag, name| one_of(flag, config::DIVISORS, name, Divisor::from_name(name))
    }
    train, plan {
        /// table of embeddings and head: frozen; grid, with votes; or float, the table alone (default: what the configuration says, which for an imported model is frozen)
        embeddings: Option<String>
    }
    train, plan {
        /// how activations are stored that the backward pass needs: f32 (default) or f16, of half the size
        activations: Option<String> => train.activations, |flag, name| one_of(flag, config::ACTS, name, Act::from_name(name))
    }
    train, plan {
        /// sequences of a micro-batch
        batch: Option<usize> => train.batch
    }
    train, plan {
        /// tokens of a sequence
        seq_len: Option<usize> => train.seq_len
    }
    tts_train, plan {
        /// frames of a micro-batch, at most
        batch_frames: Option<usize> => train.batch_frames
    }
    train, tts_train, plan {
        /// micro-batches a step
        grad_accum: Option<u32> => train.grad_accum
    }
    train, tts_train, plan {
        /// how micro-batches of a step come together: in-order (default), or by votes (default on several ranks) or gradients, which ranks can share
        reduce: Option<String> => train.reduce, |flag, name| one_of(flag, config::REDUCES, name, Reduce::from_name(name))
    }
    train, tts_train, plan {
        /// with votes, rows of a large layer's gradient that are held at a time, a multiple of 16 (default: 0, all); they vote without what later rows say of their columns in this step
        gradient_rows: Option<usize> => train.gradient_rows, |_, rows| Ok((*rows > 0).then_some(*rows))
    }
    train, tts_train {
        /// steps in all; with --resume, more of them for a run
        steps: Option<u64> => train.steps
    }
    train, tts_train {
        /// peak learning rate (default: what the configuration says, which with --from a checkpoint is its run's; with --from an imported model 2e-4 for votes of 8 bits that begin peaked, else 1e-4)
        lr: Option<f32> => train.lr
    }
    train, tts_train, plan {
        /// train the scales of groups as well, by votes or poltergeist, at this part of the learning rate, 0 to 1 (default: 0, they stay as they are)
        group_scale_lr: Option<f32> => train.group_scale_lr
    }
    train, tts_train {
        /// steps of linear warm-up
        warmup: Option<u64> => train.warmup
    }
    train, tts_train {
        /// seed of start values, data order and flips
        seed: Option<u64> => train.seed
    }
    train, tts_train {
        /// validate every so many steps, and after the last; 0 for only then
        validate_every: Option<u64> => train.validate_every
    }
    train, tts_train {
        /// tokens of a validation at most, or frames of speech (default: what the configuration says; 8192 with --from an imported model)
        validation_tokens: Option<u64> => train.validation_tokens
    }
    train {
        /// text that samples continue, or a question where conversations are learnt; may be repeated (default: the beginning of a text that is held back, or of a story)
        prompt: Vec<String>
    }
    train {
        /// print a sample every so many steps, and after the last; 0 for only then
        sample_every: Option<u64> => train.sample_every
    }
    tts_train {
        /// draw a sample every so many steps, and speak it if there is a vocoder
        sample_every: Option<u64> => train.sample_every
    }
    tts_train {
        /// vocoder for samples: safetensors, as `primal-host import` makes it
        vocoder: Option<PathBuf>
    }
    train, tts_train {
        /// save every so many steps, and after the last; 0 for only then
        checkpoint_every: Option<u64> => train.checkpoint_every
    }
    train, tts_train {
        /// checkpoints to keep besides the best
        keep: Option<usize> => train.keep
    }
    train {
        /// folder of the new run (default: one in runs/ with the name of the configuration, or with --from of the model or the run)
        out: Option<PathBuf>
    }
    tts_train {
        /// folder where the corpus' features are kept (default: that of the run)
        cache: Option<PathBuf>
    }
    train, tts_train {
        /// folder of a run to continue with its own configuration; --steps, --validate-every, --sample-every, --prompt, --checkpoint-every and --keep change it
        resume: Option<PathBuf>
    }
    train, tts_train {
        /// checkpoint or imported model whose weights the new run starts with; with a checkpoint's configuration, or with settings that suit an imported model, unless --config names another for the same model
        from: Option<PathBuf>
    }
    train, tts_train, plan {
        /// device: cpu (default) or cuda
        device: DeviceName = "DeviceName::default()"
    }
    plan {
        /// with --generate: tokens that are remembered (default: the model's context, at most 4096)
        context: Option<usize>
    }
    plan {
        /// memory of the device, as 11GB or 7.5GiB: what of the activations would be kept there; without it, the least that a run can do with
        memory: Option<MemorySize>
    }
    train, tts_train {
        /// threads (default: all cores)
        threads: Option<usize>
    }
}

/// Applies the flag `--embeddings`, which says how the table is kept and whether it is trained; its name, if it was given.
pub(super) fn apply_embeddings(flag: Option<&str>, config: &mut ConfigOf<impl ModelTable>) -> Result<Option<String>> {
    const FLAG: &str = "--embeddings";
    let Some(name) = flag else { return Ok(None) };
    let Some(table) = config.model.embeddings_mut() else {
        return Err(Error::bad_input(FLAG, "no such flag: the table of this model is of floats", name, "leave it out"));
    };
    let (kept, is_trained) = match name {
        // A head of its own goes on as it was.
        "float" => (Embeddings::Float, config.train.trains_table),
        "frozen" if *table == Embeddings::Float => {
            let hint = "leave it out: floats are trained; or give grid";
            return Err(Error::bad_input(FLAG, "a model whose table is not of floats", "one of floats", hint));
        }
        "frozen" => (*table, Some(false)),
        "grid" => (Embeddings::Matrix, Some(true)),
        _ => return Err(Error::bad_input(FLAG, "frozen, grid or float", name, "give one of them")),
    };
    *table = kept;
    config.train.trains_table = is_trained;
    Ok(Some(FLAG.into()))
}

#[cfg(test)]
mod tests {
    use primal_device::grid::GRIDS;

    use super::*;
    use crate::configurations::Load;

    #[test]
    fn help_and_errors_name_all_grids() {
        let help = Train::from_args(&["train"], &["--help"]).err().expect("help is no command").output;
        let other = Train::from_args(&["train"], &["--grid", "prime17"]).expect("a flag");
        let mut config = primal_engine::config::Config::load("gpt-nano").expect("an embedded configuration");
        let error = other.apply(&mut config).expect_err("no such grid").to_string();
        for grid in GRIDS {
            let name = grid.name();
            assert!(help.contains(name) && error.contains(name), "{name} in {help}\nand in {error}");
        }
        assert!(error.contains("--grid") && error.contains("prime17"), "{error}");
    }
}
