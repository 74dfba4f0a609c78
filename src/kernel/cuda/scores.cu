// The two steps of attention between matrix products of a library: softmax of scores, and their gradient.
//
// s, dp: [kv_heads, rows, width] f32, the products q k^T and do v^T of a chunk of query rows against one document,
// for one query head of each key head. lse and delta point to the chunk's first row; `head_stride` floats further
// lies the query head of the next key head. Grid [rows, kv_heads].

// p = softmax(scale s), lse = log(sum(exp(scale s))).
KERNEL(256, 1) score_softmax(const float* s, element* p, float* lse, int width, i64 head_stride, float scale) {
    i64 row = ((i64)BLOCK_Y * BLOCKS_X + BLOCK_X) * width;
    float highest = -3.0e38f, sum = 0.f;
    for (int j = THREAD; j < width; j += BLOCK) {
        float x = s[row + j] * scale, high = larger(highest, x);
        sum = sum * exponential(highest - high) + exponential(x - high);
        highest = high;
    }
    float high = block_max(highest);
    float total = block_sum(sum * exponential(highest - high));
    for (int j = THREAD; j < width; j += BLOCK) p[row + j] = rounded(exponential(s[row + j] * scale - high) / total);
    if (THREAD == 0) lse[BLOCK_Y * head_stride + BLOCK_X] = high + logarithm(total);
}

// p = exp(scale s - lse), ds = scale p (dp - delta).
KERNEL(256, 1) score_gradient(const float* s, const float* dp, element* p, element* ds, const float* lse,
                              const float* delta, int width, i64 head_stride, float scale) {
    i64 row = ((i64)BLOCK_Y * BLOCKS_X + BLOCK_X) * width, figure = BLOCK_Y * head_stride + BLOCK_X;
    float own_lse = lse[figure], own_delta = delta[figure];
    for (int j = THREAD; j < width; j += BLOCK) {
        float probability = exponential(s[row + j] * scale - own_lse);
        p[row + j] = rounded(probability);
        ds[row + j] = rounded(scale * probability * (dp[row + j] - own_delta));
    }
}
