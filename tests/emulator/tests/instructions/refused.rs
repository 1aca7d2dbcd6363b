//! What is no instruction.

use crate::common::{device, module};

/// What is not supported is refused when the module is loaded, with its name and line.
#[test]
fn refuses_what_it_does_not_know() {
    let refused = |body: &str| device().load(&module(body), 0).map(|_| ()).unwrap_err().to_string();
    let cases = [
        (".reg .b32 %a;\nfrobnicate.b32 %a, %a;", "line 10: instruction `frobnicate.b32` is not supported"),
        (".reg .b32 %a;\nadd.rainbow.s32 %a, %a, %a;", "line 10: modifier `.rainbow` of `add.rainbow.s32` is not supported"),
        (".reg .b32 %a;\nadd.s32 %a, %b, %a;", "line 10: `%b` is not declared"),
        (".reg .b32 %a; .reg .b16 %b;\nadd.s32 %a, %b, %a;", "line 10: register `%b` has 16 bits, not 32"),
        (".reg .b32 %a;\nadd.s32 %a, %a;", "line 10: `add.s32` takes 3 operands, not 2"),
        (".reg .b32 %a;\nbra nowhere;", "label `nowhere` is not there"),
        ("tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [t, {%r1}];", "line 9: "),
        ("wmma.load.a.sync.aligned.m16n16k16.row.f16 {%r1}, [%out];", "line 9: instruction `wmma"),
    ];
    for (body, expected) in cases {
        let message = refused(body);
        assert!(message.contains(expected), "{body}\ngot {message:?}, expected {expected:?}");
    }
}
