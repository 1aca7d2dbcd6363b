//! What an optimizer keeps of a matrix, whatever the rule: the list of rules as an enum, and the way from it to a rule's own code.

use crate::config::Rule;

use super::rule::UpdateRule;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $module:ident,)+) => {
        /// What a rule keeps of a matrix.
        #[derive(Clone, Debug)]
        pub enum MatrixState {
            $($(#[$doc])* $rule(super::$module::$rule),)+
            /// The matrix is not trained.
            Frozen(super::frozen::Frozen),
        }

        $(
            impl From<super::$module::$rule> for MatrixState {
                fn from(state: super::$module::$rule) -> Self {
                    Self::$rule(state)
                }
            }
        )+

        /// `with_rule!(rule, R => …)`: the expression with the type `R` of a [`Rule`].
        macro_rules! with_rule {
            ($of:expr, $type:ident => $do:expr) => {
                match $of {
                    $(Rule::$rule => {
                        type $type = $crate::optim::$module::$rule;
                        $do
                    })+
                }
            };
        }

        /// `with_state!(state, it => …)`: the expression with what is in a [`MatrixState`].
        macro_rules! with_state {
            ($of:expr, $it:ident => $do:expr) => {
                match $of {
                    $(MatrixState::$rule($it) => $do,)+
                    MatrixState::Frozen($it) => $do,
                }
            };
        }
    };
}
crate::config::rule::each_rule!(rules);
pub(super) use {with_rule, with_state};

impl Rule {
    /// Whether weights are float: models of this rule have no grid.
    pub fn is_float(self) -> bool {
        with_rule!(self, R => R::IS_FLOAT)
    }
}
