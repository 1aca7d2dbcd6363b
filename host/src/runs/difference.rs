//! In which keys two configurations differ.

use primal_engine::config::{ConfigOf, Family, ModelTable};

/// The keys that a run can change while it goes on, each with its flag, and whether runs of one family only have that.
const CHANGEABLE: [(&str, &str, Option<Family>); 6] = [
    ("train.steps", "--steps", None),
    ("train.validate_every", "--validate-every", None),
    ("train.sample_every", "--sample-every", None),
    ("train.prompts", "--prompt", Some(Family::Text)),
    ("train.checkpoint_every", "--checkpoint-every", None),
    ("train.keep", "--keep", None),
];

/// The flags that a run in progress takes.
pub fn changes(family: Family) -> Vec<&'static str> {
    let has_it = |only: &Option<Family>| only.is_none_or(|only| only == family);
    CHANGEABLE.iter().filter(|(_, _, only)| has_it(only)).map(|(_, flag, _)| *flag).collect()
}

/// A key with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Table and key: `model.heads`.
    pub key: String,
    /// Value of the key in the one.
    pub one: String,
    /// Value of the key in the other.
    pub other: String,
}

impl Difference {
    /// Whether a run can change it.
    pub fn is_changeable(&self) -> bool {
        CHANGEABLE.iter().any(|(key, ..)| *key == self.key)
    }
}

/// All differences of two configurations, in the order of the keys.
pub fn differences<M: ModelTable>(one: &ConfigOf<M>, other: &ConfigOf<M>) -> Vec<Difference> {
    let [one, other] = [one, other].map(|config| toml::Table::try_from(config).expect("a configuration is plain data"));
    let mut found = Vec::new();
    for (table, values) in &one {
        let others = other.get(table).and_then(toml::Value::as_table);
        let keys = values.as_table().into_iter().chain(others).flat_map(toml::Table::keys);
        let keys: std::collections::BTreeSet<&String> = keys.collect();
        for key in keys {
            let shown = |value: Option<&toml::Value>| value.map_or_else(|| "nothing".into(), toml::Value::to_string);
            let (one, other) = (shown(values.get(key)), shown(others.and_then(|others| others.get(key))));
            if one != other {
                found.push(Difference { key: format!("{table}.{key}"), one, other });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use primal_engine::config::{Config, SpeechConfig};

    use crate::configurations::Load;

    #[test]
    fn every_key_that_differs_is_named() {
        let one = Config::load("gpt-nano").expect("an embedded configuration");
        assert_eq!(differences(&one, &one.clone()), []);
        let mut other = one.clone();
        other.model.last_grid = primal_device::grid::by_name("fine15");
        (other.train.lr, other.train.keep) = (0.5, one.train.keep + 1);
        let found = differences(&one, &other);
        let keys: Vec<_> = found.iter().map(|difference| (difference.key.as_str(), difference.is_changeable())).collect();
        assert_eq!(keys, [("model.last_grid", false), ("train.keep", true), ("train.lr", false)]);
        assert_eq!((found[0].one.as_str(), found[0].other.as_str()), ("nothing", "\"fine15\""));
        assert_eq!(found[2].other, "0.5");
    }

    #[test]
    fn what_can_change_is_a_key() {
        let mut config = SpeechConfig::load("ghost-tts-nano").expect("an embedded configuration");
        config.train.prompts.push("Once".into());
        let table = toml::Table::try_from(&config).expect("plain data");
        for (key, ..) in CHANGEABLE {
            let (name, key) = key.split_once('.').expect("table and key");
            assert!(table[name].get(key).is_some(), "{name}.{key}");
        }
        let [text, speech] = [Family::Text, Family::Speech].map(changes);
        assert!(text.contains(&"--prompt") && !speech.contains(&"--prompt") && speech.contains(&"--steps"), "{text:?}, {speech:?}");
    }
}
