// What the memory-bound kernels share: the element type of activations, and sums over a block.
//
// ELEMENT_BF16 is 1 for bf16 activations and 0 for f32; arithmetic is f32 in both cases.

#if ELEMENT_BF16
typedef u16 element;
INLINE float value_of(element x) { return float_of((u32)x << 16); }
INLINE element rounded(float x) { return (element)pack_bf16(x, 0.f); }
#else
typedef float element;
INLINE float value_of(element x) { return x; }
INLINE element rounded(float x) { return x; }
#endif

#define BLOCK 256
// Floats at the start of shared memory that `block_sum` and `block_max` work in.
#define SCRATCH ((float*)shared_memory)
#define SCRATCH_FLOATS 32

INLINE float block_sum(float x) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) x += shuffle_xor(x, mask);
    barrier();
    if ((THREAD & 31) == 0) SCRATCH[THREAD >> 5] = x;
    barrier();
    float total = 0.f;
#pragma unroll
    for (int warp = 0; warp < BLOCK / 32; warp++) total += SCRATCH[warp];
    return total;
}

INLINE float block_max(float x) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) x = larger(x, shuffle_xor(x, mask));
    barrier();
    if ((THREAD & 31) == 0) SCRATCH[THREAD >> 5] = x;
    barrier();
    float highest = SCRATCH[0];
#pragma unroll
    for (int warp = 1; warp < BLOCK / 32; warp++) highest = larger(highest, SCRATCH[warp]);
    return highest;
}
