// Kernels for tests/programs.rs. programs.ptx is what NVIDIA's compiler makes of them:
// NVRTC 12.9 with --gpu-architecture=compute_80 --device-int128.
extern "C" {

// The sum of all elements: shuffles, shared memory, an atomic addition.
__global__ void reduce(float *out, const float *in, int n)
{
    __shared__ float sums[32];
    float v = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += in[i];
    for (int o = 16; o; o >>= 1) v += __shfl_down_sync(~0u, v, o);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {
        v = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0;
        for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
        if (threadIdx.x == 0) atomicAdd(out, v);
    }
}

// Sorts 1024 numbers.
__global__ void bitonic(int *data)
{
    __shared__ int s[1024];
    int i = threadIdx.x;
    s[i] = data[i];
    __syncthreads();
    for (int k = 2; k <= 1024; k *= 2)
        for (int j = k / 2; j; j /= 2) {
            int l = i ^ j;
            if (l > i) {
                int a = s[i], b = s[l];
                if ((a > b) == ((i & k) == 0)) {
                    s[i] = b;
                    s[l] = a;
                }
            }
            __syncthreads();
        }
    data[i] = s[i];
}

typedef int (*Function)(int);
__device__ int next(int x) { return x + 1; }
__device__ int square(int x) { return x * x; }
__device__ int minus(int x) { return -x; }
__device__ Function table[3] = {next, square, minus};

// Calls through a table of pointers, another one in each lane.
__global__ void pointers(int *out) { out[threadIdx.x] = table[threadIdx.x % 3](threadIdx.x); }

// a · b / c in 128 bits.
__global__ void wide(unsigned long long *out, const unsigned long long *a, const unsigned long long *b, const unsigned long long *c)
{
    int t = threadIdx.x;
    unsigned __int128 x = (unsigned __int128)a[t] * b[t] / c[t];
    out[2 * t] = (unsigned long long)x;
    out[2 * t + 1] = (unsigned long long)(x >> 64);
}

// Every thread takes a lock in turn: lanes of a warp wait for each other.
__global__ void spin(int *lock, int *counter)
{
    bool done = false;
    while (!done)
        if (atomicCAS(lock, 0, 1) == 0) {
            *(volatile int *)counter += 1;
            __threadfence();
            atomicExch(lock, 0);
            done = true;
        }
}

// Sine and logarithm as the device library has them.
__global__ void functions(double *out, const double *in)
{
    int t = threadIdx.x;
    out[2 * t] = sin(in[t]);
    out[2 * t + 1] = log(fabs(in[t]) + 0.1);
}

// Loops with continue and break, shuffles and an early return in divergent code.
__global__ void divergent(int *out)
{
    int t = threadIdx.x, v = t;
    if (t % 2) {
        v = __shfl_xor_sync(0xaaaaaaaau, v, 2);
        for (int i = 0; i < t; i++) {
            if (i % 3 == 0) continue;
            v += i;
            if (v > 200) break;
        }
    } else {
        v = __shfl_xor_sync(0x55555555u, v, 4) * 2;
        if (t > 40) {
            out[t] = -1;
            return;
        }
    }
    out[t] = v;
}
}
