//! Activations in another form on the CPU.

use super::Convert;
use crate::backend::RunOn;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::activations::for_each_unit;
use crate::backend::cpu::elementwise::CHUNK;

impl RunOn<Cpu> for Convert {
    fn run_on(self, cpu: &mut Cpu) {
        let ((y, scratch), (x,)) = cpu.split((self.y, cpu.scratch()), (self.x,));
        assert_eq!(y.len(), x.len(), "values to convert");
        for_each_unit(y, [x], scratch, [CHUNK, 1], |_, y, [x]| y.copy_from_slice(x));
    }
}
