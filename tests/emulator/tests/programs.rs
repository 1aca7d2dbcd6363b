//! Whole programs, as NVIDIA's compiler makes them of CUDA C (`tests/programs/programs.cu`).

mod common;

use common::device;
use cuda::device::{Device, LaunchSize, Module, SHARED_BYTES};

struct Programs {
    device: Device,
    module: Module,
}

impl Programs {
    fn new() -> Self {
        let mut device = device();
        let module = device.load(include_str!("programs/programs.ptx"), 0).unwrap();
        Self { device, module }
    }

    fn buffer<T: bytemuck::NoUninit>(&mut self, values: &[T]) -> u64 {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let address = self.device.heap.allocate(bytes.len() as u64, "buffer", 0).unwrap();
        self.device.heap.write(address, bytes).unwrap();
        address
    }

    fn read<T: bytemuck::Pod>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::zeroed(); count];
        self.device.heap.read(address, bytemuck::cast_slice_mut(&mut values)).unwrap();
        values
    }

    /// Launches with 8-byte parameters; `last` is a 4-byte one behind them.
    fn launch(&mut self, kernel: &str, blocks: u32, threads: u32, params: &[u64], last: Option<u32>) {
        let mut block: Vec<u8> = params.iter().flat_map(|param| param.to_le_bytes()).collect();
        block.extend(last.iter().flat_map(|param| param.to_le_bytes()));
        let size = LaunchSize { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0, shared_limit: SHARED_BYTES };
        let executed = self.device.launch(&self.module.kernels[kernel], size, &block).unwrap();
        executed.result.unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn sum_of_an_array() {
    let mut programs = Programs::new();
    let values: Vec<f32> = (0..5000).map(|i| (i % 11) as f32).collect();
    let (out, input) = (programs.buffer(&[0f32]), programs.buffer(&values));
    programs.launch("reduce", 5, 256, &[out, input], Some(5000));
    assert_eq!(programs.read::<f32>(out, 1), [values.iter().sum::<f32>()]);
}

#[test]
fn bitonic_sort() {
    let mut programs = Programs::new();
    let mut values: Vec<i32> = (0..1024).map(|i: i32| i.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % 9973).collect();
    let data = programs.buffer(&values);
    programs.launch("bitonic", 1, 1024, &[data], None);
    values.sort_unstable();
    assert_eq!(programs.read::<i32>(data, 1024), values);
}

#[test]
fn calls_through_a_table() {
    let mut programs = Programs::new();
    let out = programs.buffer(&[0i32; 64]);
    programs.launch("pointers", 1, 64, &[out], None);
    let expected: Vec<i32> = (0..64).map(|t| [t + 1, t * t, -t][t as usize % 3]).collect();
    assert_eq!(programs.read::<i32>(out, 64), expected);
}

#[test]
fn division_of_128_bits() {
    let mut programs = Programs::new();
    let number = |seed: u64, shift: u64| move |t: u64| (seed ^ t).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (t * shift % 60) | 1;
    let [a, b, c] = [number(1, 1), number(2, 7), number(3, 13)].map(|f| (0..64).map(f).collect::<Vec<u64>>());
    let out = programs.buffer(&[0u64; 128]);
    let params = [out, programs.buffer(&a), programs.buffer(&b), programs.buffer(&c)];
    programs.launch("wide", 1, 64, &params, None);
    let expected = |t: usize| u128::from(a[t]) * u128::from(b[t]) / u128::from(c[t]);
    let expected: Vec<u64> = (0..64).flat_map(|t| [expected(t) as u64, (expected(t) >> 64) as u64]).collect();
    assert_eq!(programs.read::<u64>(out, 128), expected);
}

#[test]
fn a_lock_for_each_thread() {
    let mut programs = Programs::new();
    let (lock, counter) = (programs.buffer(&[0i32]), programs.buffer(&[0i32]));
    programs.launch("spin", 20, 64, &[lock, counter], None);
    assert_eq!(programs.read::<i32>(counter, 1), [1280]);
}

#[test]
fn functions_of_the_device_library() {
    /// The library promises 2 units in the last place for sin and 1 for log.
    const TOLERANCE: f64 = 4.0 * f64::EPSILON;
    let mut programs = Programs::new();
    let values: Vec<f64> = (0..64).map(|t| 0.37 * t as f64 - 9.1).collect();
    let (out, input) = (programs.buffer(&[0f64; 128]), programs.buffer(&values));
    programs.launch("functions", 1, 64, &[out, input], None);
    for (x, got) in values.iter().zip(programs.read::<f64>(out, 128).chunks(2)) {
        for (got, expected) in got.iter().zip([x.sin(), (x.abs() + 0.1).ln()]) {
            let error = (got - expected).abs() / expected.abs().max(0.1);
            assert!(error <= TOLERANCE, "at {x}: got {got:e}, expected {expected:e}, error {error:e}, tolerance {TOLERANCE:e}");
        }
    }
}

#[test]
fn divergent_loops() {
    let mut programs = Programs::new();
    let out = programs.buffer(&[0i32; 64]);
    programs.launch("divergent", 1, 64, &[out], None);
    let odd = |t: i32| {
        let mut v = t ^ 2;
        for i in (0..t).filter(|i| i % 3 != 0) {
            v += i;
            if v > 200 {
                break;
            }
        }
        v
    };
    let expected: Vec<i32> = (0..64)
        .map(|t| {
            if t % 2 == 1 {
                odd(t)
            } else if t > 40 {
                -1
            } else {
                (t ^ 4) * 2
            }
        })
        .collect();
    assert_eq!(programs.read::<i32>(out, 64), expected);
}
