/* Adds two vectors through a CUDA driver that is opened at run time: add LIBRARY MODULE.ptx */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

static void *find(const char *name)
{
    void *address = dlsym(library, name);
    if (!address) {
        fprintf(stderr, "%s: not found\n", name);
        exit(2);
    }
    return address;
}

#define CALL(name, types, ...)                                                          \
    do {                                                                                \
        int code = ((int(*) types)find(#name))(__VA_ARGS__);                            \
        if (code) {                                                                     \
            fprintf(stderr, "%s: error %d\n", #name, code);                             \
            return 2;                                                                   \
        }                                                                               \
    } while (0)

int main(int count, char **arguments)
{
    enum { N = 1000 };
    static float a[N], b[N], c[N];
    static char source[1 << 16];
    unsigned long long x, y, z;
    unsigned n = N;
    void *context, *module, *function;
    FILE *file = count == 3 ? fopen(arguments[2], "rb") : NULL;
    library = count == 3 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    if (!library || !file || !fread(source, 1, sizeof source - 1, file)) {
        fprintf(stderr, "usage: add LIBRARY MODULE.ptx: %s\n", dlerror());
        return 2;
    }
    for (int i = 0; i < N; i++) {
        a[i] = (float)i;
        b[i] = 0.5f * (float)i;
    }
    CALL(cuInit, (unsigned), 0);
    CALL(cuDevicePrimaryCtxRetain, (void **, int), &context, 0);
    CALL(cuCtxSetCurrent, (void *), context);
    CALL(cuModuleLoadData, (void **, const void *), &module, source);
    CALL(cuModuleGetFunction, (void **, void *, const char *), &function, module, "add");
    CALL(cuMemAlloc_v2, (unsigned long long *, size_t), &x, sizeof a);
    CALL(cuMemAlloc_v2, (unsigned long long *, size_t), &y, sizeof b);
    CALL(cuMemAlloc_v2, (unsigned long long *, size_t), &z, sizeof c);
    CALL(cuMemcpyHtoD_v2, (unsigned long long, const void *, size_t), x, a, sizeof a);
    CALL(cuMemcpyHtoD_v2, (unsigned long long, const void *, size_t), y, b, sizeof b);
    void *params[] = {&x, &y, &z, &n};
    CALL(cuLaunchKernel,
         (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **),
         function, 4, 1, 1, 256, 1, 1, 0, NULL, params, NULL);
    CALL(cuCtxSynchronize, (void));
    CALL(cuMemcpyDtoH_v2, (void *, unsigned long long, size_t), c, z, sizeof c);
    for (int i = 0; i < N; i++) {
        if (c[i] != 1.5f * (float)i) {
            fprintf(stderr, "c[%d] = %g\n", i, c[i]);
            return 1;
        }
    }
    puts("added 1000 numbers");
    return 0;
}
