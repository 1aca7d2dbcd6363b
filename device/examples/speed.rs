use primal_device::{grid::*, philox::*, vote::*};
use std::time::Instant;
fn main() {
    let n = 1usize << 20;
    let g = GridId::Prime13.grid();
    let rule = VoteRule::new(VoteBits::Eight, 1.0);
    let t = VoteTable::new(&rule, g);
    let mut packed = vec![0x88u8; n / 2];
    let mut votes = vec![0i8; n];
    let grad: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0)).collect();
    for rep in 0..6u64 {
        let s = Instant::now();
        let st = Stream::new(1, 2, rep);
        for b in 0..n / 16 {
            let r = st.bytes(b as u32);
            for j in 0..16 {
                let i = b * 16 + j;
                let c = get(&packed, i);
                let d = wanted_move(grad[i], 0.1, 6e-3);
                let v = t.cast(c, votes[i] as i32, d, uniform_byte(r[j]));
                let (c, v) = t.flip(c, v);
                set(&mut packed, i, c);
                votes[i] = v as i8;
            }
        }
        println!("{:.2} ns/weight", s.elapsed().as_nanos() as f64 / n as f64);
        let s = Instant::now();
        let mut sum = 0u32;
        for b in 0..n / 16 {
            sum = sum.wrapping_add(st.words(b as u32)[0]);
        }
        println!("philox {:.2} ns/weight {sum}", s.elapsed().as_nanos() as f64 / n as f64);
        let s = Instant::now();
        for b in 0..n / 16 {
            let mut codes = [0u8; 16];
            unpack_row(&packed[b * 8..b * 8 + 8], &mut codes);
            let r = st.bytes(b as u32);
            let gr = &grad[b * 16..b * 16 + 16];
            let vs = &mut votes[b * 16..b * 16 + 16];
            for j in 0..16 {
                let d = wanted_move(gr[j], 0.1, 6e-3);
                let v = t.cast(codes[j], vs[j] as i32, d, uniform_byte(r[j]));
                let (c, v) = t.flip(codes[j], v);
                codes[j] = c;
                vs[j] = v as i8;
            }
            pack_row(&codes, &mut packed[b * 8..b * 8 + 8]);
        }
        println!("blocked {:.2} ns/weight", s.elapsed().as_nanos() as f64 / n as f64);
    }
}
