//! The commands `train` and `tts-train`: each flag once, with its help, its type and what of the configuration it sets.

use std::path::PathBuf;

use argh::FromArgs;
use primal_device::grid::GridId;

use super::device::DeviceName;
use super::overrides::{Overrides, one_of};
use crate::Result;
use primal_engine::config::{self, ConfigOf, SpeechConfig, TextTable, Tokenizer, votes_of};

/// Sorts the flags of a list by who has them: `train`, `tts_train`, or `both`. What is read of a flag without `=>` is no part of the configuration.
macro_rules! commands {
    (@sort [$($train:tt)*] [$($tts:tt)*] both { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort [$($train)* { $($flag)* }] [$($tts)* { $($flag)* }] $($rest)*);
    };
    (@sort [$($train:tt)*] $tts:tt train { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort [$($train)* { $($flag)* }] $tts $($rest)*);
    };
    (@sort $train:tt [$($tts:tt)*] tts_train { $($flag:tt)* } $($rest:tt)*) => {
        commands!(@sort $train [$($tts)* { $($flag)* }] $($rest)*);
    };
    (@sort [$($train:tt)*] [$($tts:tt)*]) => {
        command!(
            /// train a model; without flags: a small one on generated stories
            Train, "train", ConfigOf<impl TextTable>: $($train)*
        );
        command!(
            /// train a voice on a corpus of speech
            TtsTrain, "tts-train", SpeechConfig: $($tts)*
        );
    };
    ($($list:tt)*) => { commands!(@sort [] [] $($list)*); };
}

/// A command of such flags.
macro_rules! command {
    (
        $(#[$about:meta])*
        $Command:ident, $name:tt, $Config:ty:
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
        /// configuration: gpt-nano, gpt-small-cpu (default), gpt-0.1b, or a .toml file
        config: Option<String>
    }
    tts_train {
        /// configuration: ghost-tts (default), ghost-tts-nano, or a .toml file
        config: Option<String>
    }
    train {
        /// text files or folders, or "stories" (default); may be repeated
        data: Vec<String>
    }
    train {
        /// bytes, english1k or gpt2
        tokenizer: Option<String> => model.tokenizer_mut, |flag, name| Ok(Tokenizer::from_name(name, flag)?)
    }
    both {
        /// votes (default), poltergeist, qat or adamw
        optimizer: Option<String> => train.optimizer, |flag, name| one_of(flag, config::RULES, name, config::rule(name))
    }
    train {
        /// grid: prime13, prime15, fine15 or uniform15
        grid: Option<String> => model.grid_mut, |flag, name| one_of(flag, config::GRIDS, name, GridId::from_name(name))
    }
    both {
        /// bits of a vote: 8 (default) or 4
        votes: Option<i64> => train.votes, |flag, bits| one_of(flag, config::VOTES, bits, votes_of(*bits))
    }
    train {
        /// sequences of a micro-batch
        batch: Option<usize> => train.batch
    }
    train {
        /// tokens of a sequence
        seq_len: Option<usize> => train.seq_len
    }
    tts_train {
        /// frames of a micro-batch, at most
        batch_frames: Option<usize> => train.batch_frames
    }
    both {
        /// micro-batches a step
        grad_accum: Option<u32> => train.grad_accum
    }
    both {
        /// steps in all; with --resume, more of them for a run
        steps: Option<u64> => train.steps
    }
    both {
        /// peak learning rate
        lr: Option<f32> => train.lr
    }
    both {
        /// steps of linear warm-up
        warmup: Option<u64> => train.warmup
    }
    both {
        /// seed of start values, data order and flips
        seed: Option<u64> => train.seed
    }
    both {
        /// validate every so many steps
        validate_every: Option<u64> => train.validate_every
    }
    train {
        /// print a sample every so many steps
        sample_every: Option<u64> => train.sample_every
    }
    tts_train {
        /// draw a sample every so many steps, and speak it if there is a vocoder
        sample_every: Option<u64> => train.sample_every
    }
    tts_train {
        /// vocoder for samples: safetensors, as `primal-host import hifigan` makes it
        vocoder: Option<PathBuf>
    }
    both {
        /// save every so many steps
        checkpoint_every: Option<u64> => train.checkpoint_every
    }
    both {
        /// checkpoints to keep besides the best
        keep: Option<usize> => train.keep
    }
    train {
        /// folder of the new run (default: runs/<configuration>)
        out: Option<PathBuf>
    }
    tts_train {
        /// folder where the corpus' features are kept (default: that of the run)
        cache: Option<PathBuf>
    }
    both {
        /// folder of a run to continue with its own configuration; --steps, --validate-every, --sample-every, --checkpoint-every and --keep change it
        resume: Option<PathBuf>
    }
    both {
        /// checkpoint whose weights the new run starts with, with its configuration unless --config names another for the same model
        from: Option<PathBuf>
    }
    both {
        /// device: cpu (default) or cuda
        device: DeviceName = "DeviceName::default()"
    }
    both {
        /// threads (default: all cores)
        threads: Option<usize>
    }
}
