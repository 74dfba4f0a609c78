// RoPE, SwiGLU and sums: nothing but loads, a few products, stores.

// sum += x, elementwise over n.
KERNEL(256, 1) accumulate(float* sum, const element* x, i64 n) {
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) sum[i] += value_of(x[i]);
}

// y = x turned by the angles of its position (RoFormer, arXiv 2104.09864), pairs (i, i + dim / 2).
// x, y: [n, heads, dim]; cosine, sine: [n, dim / 2] f32. direction -1 is the transpose, the backward pass.
KERNEL(256, 1) rope(const element* x, element* y, const float* cosine, const float* sine, i64 n, int heads, int dim,
                    float direction) {
    int half = dim / 2;
    i64 total = n * heads * half;
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < total; i += (i64)BLOCKS_X * BLOCK) {
        int pair = (int)(i % half);
        i64 row = i / half, first = row * dim + pair, angle = row / heads * half + pair;
        float c = cosine[angle], s = sine[angle] * direction;
        float a = value_of(x[first]), b = value_of(x[first + half]);
        y[first] = rounded(a * c - b * s);
        y[first + half] = rounded(b * c + a * s);
    }
}

// y = silu(gate) up (arXiv 2002.05202), elementwise over n; silu is rounded to the element type first, as in the
// published models.
KERNEL(256, 1) swiglu(const element* gate, const element* up, element* y, i64 n) {
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) {
        float g = value_of(gate[i]);
        y[i] = rounded(value_of(rounded(g / (1.f + exponential(-g)))) * value_of(up[i]));
    }
}

KERNEL(256, 1) swiglu_backward(const element* gate, const element* up, const element* dy, element* d_gate,
                               element* d_up, i64 n) {
    for (i64 i = (i64)BLOCK_X * BLOCK + THREAD; i < n; i += (i64)BLOCKS_X * BLOCK) {
        float g = value_of(gate[i]), d = value_of(dy[i]), sigmoid = 1.f / (1.f + exponential(-g));
        d_up[i] = rounded(d * g * sigmoid);
        d_gate[i] = rounded(d * value_of(up[i]) * sigmoid * (1.f + g * (1.f - sigmoid)));
    }
}
