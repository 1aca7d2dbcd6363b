//! The main loop of a kernel in a listing of PTX or SASS.

/// Multiply-adds and dot products, in PTX and in SASS.
const PRODUCTS: [&str; 10] = ["fma", "mad", "dp2a", "dp4a", "mma", "FFMA", "IDP", "HMMA", "IMMA", "DFMA"];

/// What a loop is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loop {
    /// Instructions.
    pub instructions: usize,
    /// Of these, multiply-adds, dot products and matrix instructions.
    pub products: usize,
    /// Multiply-adds of a lane in the products.
    pub multiply_adds: usize,
}

/// Multiply-adds of a lane in an instruction; a warp shares those of a matrix instruction.
fn multiply_adds(opcode: &str) -> usize {
    let mut words = opcode.split('.');
    if !words.next().is_some_and(|base| PRODUCTS.contains(&base)) {
        return 0;
    }
    // Shapes of matrices, and forms of dot products where the name does not have it.
    let of = |word: &str| match word {
        "m16n8k8" | "1688" => Some(16 * 8 * 8 / 32),
        "m16n8k16" | "16816" => Some(16 * 8 * 16 / 32),
        "2A" => Some(2),
        "4A" => Some(4),
        _ => None,
    };
    match opcode.as_bytes() {
        [b'd', b'p', digit, ..] => usize::from(digit - b'0'),
        _ => words.find_map(of).unwrap_or(1),
    }
}

/// The innermost loop with most products in the body of a kernel: labels end in `:`, a branch back to one closes a loop.
pub fn main_loop(body: &str) -> Option<Loop> {
    let mut labels = std::collections::BTreeMap::new();
    // Up to each instruction.
    let (mut products, mut adds) = (vec![0], vec![0]);
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for line in body.lines() {
        // SASS lines begin with an address in a comment.
        let line = line.rsplit("*/").next().unwrap_or_default().split("//").next().unwrap_or_default().trim();
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label.to_owned(), products.len() - 1);
            continue;
        }
        let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || ";`()".contains(c)).filter(|word| !word.is_empty()).collect();
        let Some(opcode) = words.iter().find(|word| !word.starts_with('@')) else { continue };
        if !opcode.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let its_adds = multiply_adds(opcode);
        products.push(products[products.len() - 1] + usize::from(its_adds > 0));
        adds.push(adds[adds.len() - 1] + its_adds);
        if let Some(&start) = words.last().and_then(|target| labels.get(*target)) {
            loops.push((start, products.len() - 1));
        }
    }
    let is_innermost = |&&(start, end): &&(usize, usize)| !loops.iter().any(|&(s, e)| (s, e) != (start, end) && start <= s && e <= end);
    let innermost = loops.iter().filter(is_innermost);
    let sizes = innermost.map(|&(start, end)| Loop {
        instructions: end - start,
        products: products[end] - products[start],
        multiply_adds: adds[end] - adds[start],
    });
    sizes.max_by_key(|found| found.products).filter(|found| found.products > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_loop_with_most_products_counts() {
        let ptx = "$L1:\n\tadd.s32 %r1, %r1, 1;\n$L2:\n\tfma.rn.f32 %f1, %f2, %f3, %f1;\n\tadd.s32 %r2, %r2, 1;\n@%p1 bra \t$L2;\n@%p2 bra \t$L1;\n";
        assert_eq!(main_loop(ptx), Some(Loop { instructions: 3, products: 1, multiply_adds: 1 }));
        let sass =
            ".L_x_1:\n        /*0010*/                   FFMA R1, R2, R3, R1 ;\n        /*0020*/               @P0 BRA `(.L_x_1) ;\n";
        assert_eq!(main_loop(sass), Some(Loop { instructions: 2, products: 1, multiply_adds: 1 }));
        assert_eq!(main_loop("\tadd.f32 %f1, %f1, %f1;\n"), None);
    }

    #[test]
    fn matrix_instructions_and_dot_products_are_several_multiply_adds() {
        let of_halves = ["mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "HMMA.16816.F32"].map(multiply_adds);
        assert_eq!((of_halves, multiply_adds("HMMA.1688.F32")), ([64; 2], 32));
        assert_eq!(["dp2a.lo.s32.s32", "IDP.2A.LO.S16.S8", "dp4a.s32.s32", "IDP.4A.S8.S8"].map(multiply_adds), [2, 2, 4, 4]);
        assert_eq!(["fma.rn.f32", "FFMA", "FADD", "LDSM.16.M88.4"].map(multiply_adds), [1, 1, 0, 0]);
    }
}
