//! One instruction with its operands and result, and the kernel that executes it.

use crate::common::{Size, execute, module};

/// A value of an operand: 16, 32 or 64 bits, or a predicate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    H(u16),
    W(u32),
    L(u64),
    P(bool),
}
use Operand::{H, L, P, W};

pub const NAN: Operand = W(0x7fff_ffff);

/// An instruction with `%d` as destination and `%a`, `%b`, `%c`, `%e` as sources, the values of these, and the expected result.
pub type Case = (&'static str, &'static [Operand], Operand);

impl Operand {
    fn declaration(self, name: &str) -> String {
        match self {
            H(_) => format!(".reg .b16 {name};"),
            W(_) => format!(".reg .b32 {name};"),
            L(_) => format!(".reg .b64 {name};"),
            P(_) => format!(".reg .pred {name};"),
        }
    }

    fn assignment(self, name: &str) -> String {
        match self {
            H(bits) => format!("mov.b16 {name}, {bits:#x};"),
            W(bits) => format!("mov.b32 {name}, {bits:#x};"),
            L(bits) => format!("mov.b64 {name}, {bits:#x};"),
            P(bit) => format!("setp.ne.u32 {name}, {}, 0;", u32::from(bit)),
        }
    }

    fn store(self) -> &'static str {
        match self {
            H(_) => "st.global.b16 [%at], %d;",
            W(_) => "st.global.b32 [%at], %d;",
            L(_) => "st.global.b64 [%at], %d;",
            P(_) => "selp.u32 %as, 1, 0, %d; st.global.u32 [%at], %as;",
        }
    }

    fn read(self, low: u32, high: u32) -> Operand {
        match self {
            H(_) => H(low as u16),
            W(_) => W(low),
            L(_) => L(u64::from(high) << 32 | u64::from(low)),
            P(_) => P(low != 0),
        }
    }
}

fn source((code, inputs, expected): &Case) -> String {
    let names = ["%a", "%b", "%c", "%e"];
    let declarations: String = inputs.iter().zip(names).map(|(value, name)| value.declaration(name)).collect();
    let assignments: String = inputs.iter().zip(names).map(|(value, name)| value.assignment(name)).collect();
    module(&format!(
        ".reg .b32 %t, %as; .reg .b64 %at; {} {declarations}\nmov.u32 %t, %tid.x; mul.wide.u32 %at, %t, 8; add.u64 %at, %out, %at;\n\
         {assignments}\n{code}\n{}",
        expected.declaration("%d"),
        expected.store()
    ))
}

/// Runs the cases on a full warp and on a part of one.
pub fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        for threads in [32, 20] {
            let words = execute(&source(case), Size::threads(threads), 64).unwrap_or_else(|fault| panic!("{}: {fault}", case.0));
            let got: Vec<Operand> = words.chunks(2).map(|pair| case.2.read(pair[0], pair[1])).collect();
            if let Some(lane) = (0..threads as usize).find(|&lane| got[lane] != case.2) {
                wrong.push(format!("{} of {:x?}: lane {lane} of {threads} got {:x?}, expected {:x?}", case.0, case.1, got[lane], case.2));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
