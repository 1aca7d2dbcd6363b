//! The rules that can move the weights of linear layers: names here, each one's work in the file `optim/NAME.rs`.

use serde::{Deserialize, Serialize};

/// Hands the list of rules to a macro. To add one: a line here, its file in `optim/`, and its `mod` in `optim/mod.rs`.
macro_rules! each_rule {
    ($then:ident) => {
        $then! {
            /// Votes in units of the local gap, with hysteresis; no shadow weights.
            Votes = votes,
            /// PRIMAL's first rule: z-score votes, cleared each step, random flips.
            Poltergeist = poltergeist,
            /// Shadow weights and a straight-through estimator, for comparison.
            Qat = qat,
            /// The float twin: no grid.
            Adamw = adamw,
        }
    };
}
pub(crate) use each_rule;

/// `"a, b or c"`, of names.
macro_rules! alternatives {
    ($name:ident) => { stringify!($name) };
    ($name:ident $last:ident) => { concat!(stringify!($name), " or ", stringify!($last)) };
    ($name:ident $($rest:ident)+) => { concat!(stringify!($name), ", ", alternatives!($($rest)+)) };
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:ident,)+) => {
        /// Which rule moves the weights of linear layers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Rule {
            $($(#[$doc])* $rule,)+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            /// The name in configurations and flags.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => stringify!($name),)+
                }
            }
        }

        /// The names of rules, for errors.
        pub const RULES: &str = alternatives!($($name)+);
    };
}
each_rule!(rules);

/// The rule of that name.
pub fn rule(name: &str) -> Option<Rule> {
    Rule::ALL.iter().copied().find(|rule| rule.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_one_name_in_configurations_flags_and_errors() {
        for &each in Rule::ALL {
            assert_eq!(rule(each.name()), Some(each));
            assert_eq!(serde_json::to_value(each).expect("a name"), each.name());
            assert!(RULES.contains(each.name()), "{} in {RULES:?}", each.name());
        }
        assert_eq!(rule("vote"), None);
        assert!(RULES.starts_with("votes, ") && RULES.contains(" or "), "{RULES:?}");
    }
}
