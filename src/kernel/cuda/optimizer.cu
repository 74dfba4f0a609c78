// AdamW (arXiv 1711.05101, algorithm 2) and the norm that clipping needs, one pass over each buffer.

struct AdamW {
    float gradient_scale, lr, beta1, beta2, eps, weight_decay;
    float correction1, correction2;  // 1 - beta^step
};

INLINE float adamw_step(float p, float g, float& m, float& v, AdamW a) {
    g *= a.gradient_scale;
    m = a.beta1 * m + (1.f - a.beta1) * g;
    v = a.beta2 * v + (1.f - a.beta2) * g * g;
    float update = m / a.correction1 / (square_root(v / a.correction2) + a.eps);
    return p - a.lr * (update + a.weight_decay * p);
}

// master, m, v: [n] f32. `copy` gets the parameters that the model computes with.
KERNEL(256, 1) adamw(float* master, element* copy, const float* gradient, float* m, float* v, i64 n,
                   float gradient_scale, float lr, float beta1, float beta2, float eps, float weight_decay,
                   float correction1, float correction2) {
    AdamW a = {gradient_scale, lr, beta1, beta2, eps, weight_decay, correction1, correction2};
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) {
        float first = m[i], second = v[i];
        float p = adamw_step(master[i], gradient[i], first, second, a);
        master[i] = p;
        copy[i] = rounded(p);
        m[i] = first;
        v[i] = second;
    }
}

// A number per (seed, place), uniform in 32 bits: the finaliser of SplitMix64.
INLINE u32 noise(u64 seed, u64 place) {
    u64 z = seed + place * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (u32)((z ^ (z >> 31)) >> 32);
}

// bf16 up or down with the probability that keeps the expectation.
INLINE u16 stochastic(float x, u32 noise16) {
    u32 bits = bits_of(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return (u16)pack_bf16(x, 0.f);
    return (u16)((bits + (noise16 & 0xffffu)) >> 16);
}

// A parameter as it is kept: rounded at random to 16 bits, exact in 32.
#if ELEMENT_BF16
INLINE element kept(float x, u32 noise16) { return stochastic(x, noise16); }
#else
INLINE element kept(float x, u32) { return x; }
#endif

// Both moments in bf16, rounded stochastically like parameters in bf16, no master (arXiv 2502.20566). The noise is a
// function of seed and place alone: the same step gives the same bits. `seed` differs from step to step.
KERNEL(256, 1) adamw_bf16(element* parameters, const float* gradient, u16* m, u16* v, i64 n, u64 seed,
                        float gradient_scale, float lr, float beta1, float beta2, float eps, float weight_decay,
                        float correction1, float correction2) {
    AdamW a = {gradient_scale, lr, beta1, beta2, eps, weight_decay, correction1, correction2};
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) {
        float first = float_of((u32)m[i] << 16), second = float_of((u32)v[i] << 16);
        float p = adamw_step(value_of(parameters[i]), gradient[i], first, second, a);
        u32 a0 = noise(seed, 2 * i), a1 = noise(seed, 2 * i + 1);
        parameters[i] = kept(p, a0);
        m[i] = stochastic(first, a0 >> 16);
        v[i] = stochastic(second, a1);
    }
}

// partial[block] = sum of squares of the block's share of x [n], in f64; the host adds the partial sums in order.
KERNEL(256, 1) squared_norm(const float* x, double* partial, i64 n) {
    double sum = 0, *sums = (double*)shared_memory;
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) sum += (double)x[i] * x[i];
    sums[THREAD] = sum;
    barrier();
    for (int half = BLOCK / 2; half; half /= 2) {
        if (THREAD < half) sums[THREAD] += sums[THREAD + half];
        barrier();
    }
    if (THREAD == 0) partial[BLOCK_X] = sums[0];
}
