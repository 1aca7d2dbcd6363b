//! Matrix instructions of a warp (ISA manual 9.7.14): `mma.sync` and `ldmatrix`.

use half::{bf16, f16};

use super::Result;
use super::context::Decoder;
use super::memory::address;
use super::words::Words;
use crate::exact::cut_to_f32;
use crate::exec::program::{AccessOp, Inst, Op};
use crate::exec::{Exec, FULL, FaultKind, LANES, Outcome, fault};
use crate::profile::Class;
use crate::ptx::{Instruction, Operand, Space, Type};

/// The most rows, columns and inner elements of a shape.
const MOST: (usize, usize, usize) = (16, 8, 32);

/// All instructions of the family.
pub fn decode(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    match i.opcode {
        "mma" => mma(d, i, w),
        "ldmatrix" => ldmatrix(d, i, w),
        _ => w.unsupported(),
    }
}

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Factor {
    F16,
    Bf16,
    Tf32,
    S8,
    U8,
}

impl Factor {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "f16" => Factor::F16,
            "bf16" => Factor::Bf16,
            "tf32" => Factor::Tf32,
            "s8" => Factor::S8,
            "u8" => Factor::U8,
            _ => return None,
        })
    }

    /// Elements in a 32-bit register.
    fn packed(self) -> usize {
        match self {
            Factor::F16 | Factor::Bf16 => 2,
            Factor::Tf32 => 1,
            Factor::S8 | Factor::U8 => 4,
        }
    }

    fn from_index(index: u64) -> Self {
        [Factor::F16, Factor::Bf16, Factor::Tf32, Factor::S8, Factor::U8][index as usize]
    }

    /// Element `at` of a register. Small integers are exact as singles.
    fn element(self, register: u32, at: usize) -> f32 {
        match self {
            Factor::F16 => f16::from_bits((register >> (16 * at)) as u16).into(),
            Factor::Bf16 => bf16::from_bits((register >> (16 * at)) as u16).into(),
            Factor::Tf32 => f32::from_bits(register & !0x1fff),
            Factor::S8 => f32::from((register >> (8 * at)) as i8),
            Factor::U8 => f32::from((register >> (8 * at)) as u8),
        }
    }
}

/// The accumulators.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    F32,
    F16,
    S32,
}

/// Rows of `a` and inner elements; there are 8 columns.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    k: usize,
}

impl Shape {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "m8n8k16" => Shape { m: 8, k: 16 },
            "m16n8k4" => Shape { m: 16, k: 4 },
            "m16n8k8" => Shape { m: 16, k: 8 },
            "m16n8k16" => Shape { m: 16, k: 16 },
            "m16n8k32" => Shape { m: 16, k: 32 },
            _ => return None,
        })
    }
}

/// `mma.sync.aligned`: slots of the result, a, b and the accumulator stand in `more`, in this order; `imm` holds the shape and types.
fn mma(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let sync = w.take("sync") && w.take("aligned") && w.take("row") && w.take("col");
    let shape = w.needs("shape", Shape::from_name)?;
    let saturate = w.take("satfinite");
    let sum = |word: &str| match word {
        "f32" => Some(Sum::F32),
        "f16" => Some(Sum::F16),
        "s32" => Some(Sum::S32),
        _ => None,
    };
    // The order is: result, a, b, accumulator.
    let result = w.needs("result type", sum)?;
    let (a, b) = (w.needs("type of a", Factor::from_name)?, w.needs("type of b", Factor::from_name)?);
    let addend = w.needs("accumulator type", sum)?;
    let integer = matches!(a, Factor::S8 | Factor::U8);
    let fits = match (a, shape.m, shape.k) {
        (Factor::F16 | Factor::Bf16, 16, 8 | 16) => a == b && result != Sum::S32 && (a == Factor::F16 || result == Sum::F32),
        (Factor::Tf32, 16, 4 | 8) => a == b && result == Sum::F32,
        (Factor::S8 | Factor::U8, 8 | 16, 16) | (Factor::S8 | Factor::U8, 16, 32) => b.packed() == 4 && result == Sum::S32,
        _ => false,
    };
    let [Operand::Vector(to), Operand::Vector(x), Operand::Vector(y), Operand::Vector(z)] = i.operands.as_slice() else {
        return w.unsupported();
    };
    let sums = shape.m * 8 / LANES / if result == Sum::F16 { 2 } else { 1 };
    let lengths = [sums, shape.m * shape.k / a.packed() / LANES, 8 * shape.k / a.packed() / LANES, sums];
    if !sync || !fits || addend != result || saturate && !integer || [to, x, y, z].map(Vec::len) != lengths {
        return w.unsupported();
    }
    let mut more = Vec::new();
    for operand in to {
        more.push(d.destination(operand, Type::B32)?);
    }
    for operand in x.iter().chain(y).chain(z) {
        more.push(d.source(operand, Type::B32)?);
    }
    let imm = u64::from_le_bytes([shape.m as u8, shape.k as u8, a as u8, b as u8, result as u8, saturate.into(), 0, 0]);
    d.emit(Inst { more: more.into(), imm, ..Inst::new(Op::Access(multiply), Class::Matrix) });
    Ok(())
}

/// Row (of `a` or of the sums) that element group `half` of a lane belongs to.
fn row_of(lane: usize, half: usize) -> usize {
    lane / 4 + 8 * half
}

fn multiply(x: &mut Exec, i: &Inst, mask: u32) -> Outcome<()> {
    whole_warp(mask)?;
    let [m, k, a, b, sum, saturate, ..] = i.imm.to_le_bytes();
    let (m, k) = (m as usize, k as usize);
    let (a_type, b_type) = (Factor::from_index(a.into()), Factor::from_index(b.into()));
    let packed = a_type.packed();
    let sums = m * 8 / LANES / if sum == Sum::F16 as u8 { 2 } else { 1 };
    let (to, rest) = i.more.split_at(sums);
    let (a_slots, rest) = rest.split_at(m * k / packed / LANES);
    let (b_slots, c_slots) = rest.split_at(8 * k / packed / LANES);
    let regs = &x.warp.regs;
    let mut a = [[0f32; MOST.2]; MOST.0];
    let mut b = [[0f32; MOST.1]; MOST.2];
    // Registers of `a` go down the rows first (upper half, lower half), then to the right; those of `b` go down.
    let halves = m / 8;
    for (at, &slot) in a_slots.iter().enumerate() {
        let row = regs.get::<u32>(slot);
        for (lane, &register) in row.iter().enumerate() {
            for element in 0..packed {
                let column = at / halves * 4 * packed + lane % 4 * packed + element;
                a[row_of(lane, at % halves)][column] = a_type.element(register, element);
            }
        }
    }
    for (at, &slot) in b_slots.iter().enumerate() {
        let row = regs.get::<u32>(slot);
        for (lane, &register) in row.iter().enumerate() {
            for element in 0..packed {
                b[at * 4 * packed + lane % 4 * packed + element][lane / 4] = b_type.element(register, element);
            }
        }
    }
    match sum {
        sum if sum == Sum::S32 as u8 => integer_sums(x, &a, &b, (m, k), to, c_slots, saturate != 0),
        sum => float_sums(x, &a, &b, (m, k), to, c_slots, sum == Sum::F16 as u8),
    }
    Ok(())
}

/// Eight products and the sum before them are added up exactly, then cut off. The manual leaves order and rounding open; this is what tensor cores
/// of sm_80 were found to do, but that they have only some bits below the last (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA
/// tensor cores", 2021).
fn float_sums(x: &mut Exec, a: &[[f32; 32]; 16], b: &[[f32; 8]; 32], (m, k): (usize, usize), to: &[u32], from: &[u32], half: bool) {
    let regs = &mut x.warp.regs;
    let place = |lane: usize, at: usize| (row_of(lane, at / 2), lane % 4 * 2 + at % 2);
    let mut c = [[0f32; MOST.1]; MOST.0];
    for at in 0..m / 4 {
        for lane in 0..LANES {
            let (row, column) = place(lane, at);
            c[row][column] = match half {
                false => regs.get::<f32>(from[at])[lane],
                true => f16::from_bits((regs.get::<u32>(from[at / 2])[lane] >> (16 * (at % 2))) as u16).into(),
            };
        }
    }
    for (c, a) in c[..m].iter_mut().zip(a) {
        for (a, b) in a[..k].chunks(8).zip(b.chunks(8)) {
            let mut sums = c.map(f64::from);
            for (&a, b) in a.iter().zip(b) {
                sums = std::array::from_fn(|column| sums[column] + f64::from(a) * f64::from(b[column]));
            }
            *c = sums.map(cut_to_f32);
        }
    }
    let value = |lane: usize, at: usize| {
        let (row, column) = place(lane, at);
        super::float::canonical(c[row][column])
    };
    for (at, &slot) in to.iter().enumerate() {
        if half {
            let bits = |lane, at| u32::from(<f16 as super::float::Float>::bits(value(lane, at).into()));
            regs.set(slot, FULL, &std::array::from_fn::<u32, LANES, _>(|lane| bits(lane, 2 * at) | bits(lane, 2 * at + 1) << 16));
        } else {
            regs.set(slot, FULL, &std::array::from_fn::<f32, LANES, _>(|lane| value(lane, at)));
        }
    }
}

fn integer_sums(x: &mut Exec, a: &[[f32; 32]; 16], b: &[[f32; 8]; 32], (m, k): (usize, usize), to: &[u32], from: &[u32], saturate: bool) {
    let regs = &mut x.warp.regs;
    for at in 0..m / 4 {
        let c = *regs.get::<i32>(from[at]);
        let values: [i32; LANES] = std::array::from_fn(|lane| {
            let (row, column) = (row_of(lane, at / 2), lane % 4 * 2 + at % 2);
            let product: i64 = (0..k).map(|k| (a[row][k] * b[k][column]) as i64).sum();
            let sum = product + i64::from(c[lane]);
            if saturate { sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32 } else { sum as i32 }
        });
        regs.set(to[at], FULL, &values);
    }
}

fn whole_warp(mask: u32) -> Outcome<()> {
    if mask == FULL {
        return Ok(());
    }
    let message = format!("an aligned instruction of the whole warp is executed by lanes {mask:#010x} only");
    fault(FaultKind::LaunchFailed, mask.trailing_zeros() as usize, message)
}

/// `ldmatrix`: up to four 8 × 8 matrices of halves, whose rows the lanes point to.
fn ldmatrix(d: &mut Decoder, i: &Instruction, w: &mut Words) -> Result<()> {
    let known = w.take("sync") && w.take("aligned") && w.take("m8n8") && w.take("b16");
    let count = w.choice(|word| ["x1", "x2", "", "x4"].iter().position(|name| *name == word)).map_or(0, |at| at + 1);
    let transposed = w.take("trans");
    w.ignore(&["shared", "shared::cta"]);
    let [Operand::Vector(to), from] = i.operands.as_slice() else { return w.unsupported() };
    if !known || to.len() != count {
        return w.unsupported();
    }
    let op: AccessOp = |x, i, mask| {
        whole_warp(mask)?;
        let rows = x.load_rows(i, FULL >> (LANES - 8 * i.more.len()))?;
        for (matrix, &slot) in i.more.iter().enumerate() {
            let half = |row: usize, column: usize| rows[column / 2][8 * matrix + row] >> (16 * (column % 2)) & 0xffff;
            let values: [u32; LANES] = std::array::from_fn(|lane| {
                let (line, pair) = (lane / 4, lane % 4 * 2);
                let element = |k| if i.variant == 1 { half(pair + k, line) } else { half(line, pair + k) };
                element(0) | element(1) << 16
            });
            x.warp.regs.set(slot, FULL, &values);
        }
        Ok(())
    };
    let more = to.iter().map(|operand| d.destination(operand, Type::B32)).collect::<Result<_>>()?;
    let mut inst = Inst { more, variant: transposed.into(), ..Inst::new(Op::Access(op), Class::Shared) };
    address(d, from, Space::Shared, &mut inst)?;
    d.emit(inst);
    Ok(())
}
