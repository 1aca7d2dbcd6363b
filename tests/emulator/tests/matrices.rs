//! Matrix instructions (ISA manual 9.7.14): fragments are laid out as its figures show, and products compared with those of whole matrices.

mod common;

use common::{Size, execute, module};
use half::{bf16, f16};

/// How a type of factor lies in a 32-bit register.
struct Factor {
    name: &'static str,
    packed: usize,
    /// Small integers are numbers of every type.
    bits: fn(i32) -> u32,
}

const F16: Factor = Factor { name: "f16", packed: 2, bits: |x| f16::from_f32(x as f32).to_bits().into() };
const BF16: Factor = Factor { name: "bf16", packed: 2, bits: |x| bf16::from_f32(x as f32).to_bits().into() };
const TF32: Factor = Factor { name: "tf32", packed: 1, bits: |x| (x as f32).to_bits() };
const S8: Factor = Factor { name: "s8", packed: 4, bits: |x| x as u8 as u32 };

/// Element (row, column) of the factors and of the addend.
fn a_at(row: usize, column: usize) -> i32 {
    (row as i32 * 3 + column as i32 * 5) % 7 - 3
}
fn b_at(row: usize, column: usize) -> i32 {
    (row as i32 * 2 + column as i32 * 3) % 5 - 2
}
fn c_at(row: usize, column: usize) -> i32 {
    row as i32 - 4 * column as i32
}

/// Row and column in `a` of element `i` of a lane (figures of m16n8k4 to m16n8k32, m8n8k16): groups of `packed` neighbours; groups go to the
/// lower half of the rows first, then `4 · packed` columns to the right.
fn a_place(m: usize, packed: usize, lane: usize, i: usize) -> (usize, usize) {
    let (group, within) = (i / packed, i % packed);
    let halves = m / 8;
    (lane / 4 + 8 * (group % halves), lane % 4 * packed + within + 4 * packed * (group / halves))
}

fn b_place(packed: usize, lane: usize, i: usize) -> (usize, usize) {
    (lane % 4 * packed + i % packed + 4 * packed * (i / packed), lane / 4)
}

fn c_place(lane: usize, i: usize) -> (usize, usize) {
    (lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2)
}

/// The words of a lane's fragment, as the kernel selects them by lane.
fn fragment(count: usize, packed: usize, value: impl Fn(usize, usize) -> u32) -> Vec<[u32; 32]> {
    let word = |lane: usize, register: usize| (0..packed).fold(0, |word, k| word | value(lane, register * packed + k) << (32 / packed * k));
    (0..count / packed).map(|register| std::array::from_fn(|lane| word(lane, register))).collect()
}

/// Executes an `mma` and gives element (row, column) of the result as it stands in the registers.
fn multiply(form: &str, m: usize, k: usize, factor: &Factor, half_sums: bool, sum_bits: fn(i32) -> u32) -> Vec<Vec<u32>> {
    let packed_sums = if half_sums { 2 } else { 1 };
    let a = fragment(m * k / 32, factor.packed, |lane, i| {
        let (row, column) = a_place(m, factor.packed, lane, i);
        (factor.bits)(a_at(row, column))
    });
    let b = fragment(8 * k / 32, factor.packed, |lane, i| {
        let (row, column) = b_place(factor.packed, lane, i);
        (factor.bits)(b_at(row, column))
    });
    let c = fragment(m * 8 / 32, packed_sums, |lane, i| {
        let (row, column) = c_place(lane, i);
        sum_bits(c_at(row, column))
    });
    let mut body = String::from(".reg .b32 %t, %x<64>; .reg .b64 %at, %base; mov.u32 %t, %tid.x; mul.wide.u32 %base, %t, 4;\n");
    let mut tables = String::new();
    let mut next = 0;
    let mut operand = |rows: &[[u32; 32]], body: &mut String| {
        let names: Vec<String> = rows
            .iter()
            .map(|row| {
                let values: Vec<String> = row.iter().map(u32::to_string).collect();
                tables += &format!(".global .align 4 .u32 t{next}[32] = {{{}}};\n", values.join(", "));
                *body += &format!("mov.u64 %at, t{next}; add.u64 %at, %at, %base; ld.global.u32 %x{next}, [%at];\n");
                next += 1;
                format!("%x{}", next - 1)
            })
            .collect();
        format!("{{{}}}", names.join(", "))
    };
    let (x, y, z) = (operand(&a, &mut body), operand(&b, &mut body), operand(&c, &mut body));
    let results: Vec<String> = (0..c.len()).map(|i| format!("%x{}", 40 + i)).collect();
    body += &format!("mma.sync.aligned.{form} {{{}}}, {x}, {y}, {z};\nadd.u64 %at, %out, %base;\n", results.join(", "));
    for (i, name) in results.iter().enumerate() {
        body += &format!("st.global.u32 [%at+{}], {name};\n", 128 * i);
    }
    let source = module(&body).replace(".visible .entry", &format!("{tables}.visible .entry"));
    let words = execute(&source, Size::threads(32), 32 * c.len()).unwrap_or_else(|fault| panic!("{fault}\n{source}"));
    let mut result = vec![vec![0; 8]; m];
    for lane in 0..32 {
        for i in 0..m * 8 / 32 {
            let (row, column) = c_place(lane, i);
            let word = words[i / packed_sums * 32 + lane];
            result[row][column] = if half_sums { word >> (16 * (i % 2)) & 0xffff } else { word };
        }
    }
    result
}

fn expected(m: usize, k: usize, sum_bits: fn(i32) -> u32) -> Vec<Vec<u32>> {
    let element = |row, column| sum_bits(c_at(row, column) + (0..k).map(|i| a_at(row, i) * b_at(i, column)).sum::<i32>());
    (0..m).map(|row| (0..8).map(|column| element(row, column)).collect()).collect()
}

#[test]
fn products_of_fragments() {
    let single: fn(i32) -> u32 = |x| (x as f32).to_bits();
    let half: fn(i32) -> u32 = |x| f16::from_f32(x as f32).to_bits().into();
    let integer: fn(i32) -> u32 = |x| x as u32;
    for (m, k, factor, sum, bits) in [
        (16, 8, &F16, "f32", single),
        (16, 16, &F16, "f32", single),
        (16, 8, &F16, "f16", half),
        (16, 16, &F16, "f16", half),
        (16, 8, &BF16, "f32", single),
        (16, 16, &BF16, "f32", single),
        (16, 4, &TF32, "f32", single),
        (16, 8, &TF32, "f32", single),
        (8, 16, &S8, "s32", integer),
        (16, 16, &S8, "s32", integer),
        (16, 32, &S8, "s32", integer),
    ] {
        let name = factor.name;
        let form = format!("m{m}n8k{k}.row.col.{sum}.{name}.{name}.{sum}");
        assert_eq!(multiply(&form, m, k, factor, sum == "f16", bits), expected(m, k, bits), "{form}");
    }
    let saturated = "m16n8k32.row.col.satfinite.s32.s8.s8.s32";
    assert_eq!(multiply(saturated, 16, 32, &S8, false, integer), expected(16, 32, integer));
}

/// What does not fit in a sum is cut off after each eight products.
#[test]
fn sums_are_cut_off() {
    let sum = |k: u32, factor: u32, addend: f32| {
        let registers = |count: u32, name: &str| vec![name; count as usize].join(", ");
        let body = format!(
            ".reg .b32 %t, %one, %f, %c, %d<4>; .reg .b64 %at; mov.u32 %t, %tid.x; mul.wide.u32 %at, %t, 4; add.u64 %at, %out, %at;
             mov.u32 %one, 0x3c003c00; mov.u32 %f, {}; mov.u32 %c, {};
             mma.sync.aligned.m16n8k{k}.row.col.f32.f16.f16.f32 {{%d0, %d1, %d2, %d3}}, {{{}}}, {{{}}}, {{%c, %c, %c, %c}};
             st.global.u32 [%at], %d0;",
            factor << 16 | factor,
            addend.to_bits(),
            registers(k / 4, "%one"),
            registers(k / 8, "%f"),
        );
        let words = execute(&module(&body), Size::threads(32), 32).unwrap_or_else(|fault| panic!("{fault}"));
        f32::from_bits(words[0])
    };
    // Eight times 3 · 2⁻²⁴ is one and a half of the last digit of 8.
    let digit = f32::EPSILON * 8.0;
    assert_eq!(sum(8, 3, 8.0), 8.0 + digit);
    assert_eq!(sum(8, 0x8003, -8.0), -8.0 - digit);
    assert_eq!(sum(16, 3, 8.0), 8.0 + 2.0 * digit);
}

/// 9.7.14.5.15 `ldmatrix`: lane t gets row t/4, columns 2(t mod 4) and the next; with `.trans` row and column change places.
#[test]
fn loads_of_matrices() {
    let load = |form: &str, count: usize| {
        let registers: Vec<String> = (0..count).map(|i| format!("%m{i}")).collect();
        let stores: String = (0..count).map(|i| format!("st.global.u32 [%at+{}], %m{i};\n", 128 * i)).collect();
        // Element (matrix, row, column) is 64 · matrix + 8 · row + column; lane l points to row l of all.
        let body = format!(
            ".reg .b32 %t, %a, %x, %i, %m<4>; .reg .b16 %h; .reg .b64 %at; .reg .pred %p; .shared .align 16 .b8 rows[512];
             mov.u32 %t, %tid.x; mov.u32 %i, 0; mov.u32 %a, rows; mad.lo.u32 %a, %t, 16, %a;
             LOOP: mad.lo.u32 %x, %t, 8, %i; cvt.u16.u32 %h, %x; shl.b32 %x, %i, 1; add.u32 %x, %x, %a; st.shared.u16 [%x], %h;
             add.u32 %i, %i, 1; setp.lt.u32 %p, %i, 8; @%p bra LOOP; bar.sync 0;
             ldmatrix.sync.aligned.m8n8.{form}.shared.b16 {{{}}}, [%a];
             mul.wide.u32 %at, %t, 4; add.u64 %at, %out, %at;\n{stores}",
            registers.join(", ")
        );
        let source = module(&body);
        execute(&source, Size::threads(32), 32 * count).unwrap_or_else(|fault| panic!("{fault}\n{source}"))
    };
    let expected = |count: u32, transposed: bool| -> Vec<u32> {
        let element = |matrix: u32, row: u32, column: u32| 64 * matrix + 8 * row + column;
        let at = |matrix, t: u32, k| {
            let (line, other) = (t / 4, t % 4 * 2 + k);
            if transposed { element(matrix, other, line) } else { element(matrix, line, other) }
        };
        (0..32 * count).map(|i| at(i / 32, i % 32, 0) | at(i / 32, i % 32, 1) << 16).collect()
    };
    assert_eq!(load("x1", 1), expected(1, false));
    assert_eq!(load("x2", 2), expected(2, false));
    assert_eq!(load("x4", 4), expected(4, false));
    assert_eq!(load("x4.trans", 4), expected(4, true));
}
