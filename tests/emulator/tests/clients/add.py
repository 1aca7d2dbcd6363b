"""Adds two vectors through a CUDA driver that is opened at run time: add.py LIBRARY MODULE.ptx"""

import ctypes
import sys

N = 1000
driver = ctypes.CDLL(sys.argv[1])
source = open(sys.argv[2], "rb").read()


def call(name, *arguments):
    code = getattr(driver, name)(*arguments)
    if code:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(code, ctypes.byref(text))
        sys.exit(f"{name}: {code} {text.value.decode()}")


def buffer():
    address = ctypes.c_uint64()
    call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * N))
    return address


Vector = ctypes.c_float * N
a, b, c = Vector(*range(N)), Vector(*(0.5 * i for i in range(N))), Vector()
context, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
call("cuInit", 0)
call("cuCtxCreate_v2", ctypes.byref(context), 0, 0)
call("cuModuleLoadData", ctypes.byref(module), source)
call("cuModuleGetFunction", ctypes.byref(function), module, b"add")
x, y, z = buffer(), buffer(), buffer()
call("cuMemcpyHtoD_v2", x, a, ctypes.c_size_t(4 * N))
call("cuMemcpyHtoD_v2", y, b, ctypes.c_size_t(4 * N))
n = ctypes.c_uint32(N)
params = (ctypes.c_void_p * 4)(*(ctypes.addressof(value) for value in (x, y, z, n)))
call("cuLaunchKernel", function, 4, 1, 1, 256, 1, 1, 0, None, params, None)
call("cuCtxSynchronize")
call("cuMemcpyDtoH_v2", c, z, ctypes.c_size_t(4 * N))
assert list(c) == [1.5 * i for i in range(N)], list(c)
print("added 1000 numbers")
