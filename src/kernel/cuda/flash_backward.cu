// Flash attention, backward: dq, dk, dv from do, with the scores computed again from q, k and the log-sum-exp.
//
// P = exp(scale q k^T - lse), dP = do v^T, dS = P (dP - delta) with delta = sum(do * o) per row, and
// dv = P^T do, dk = scale dS^T q, dq = scale dS k ("FlashAttention-2", arXiv 2307.08691, algorithm 2).
// `flash_backward_kv` owns keys and walks over queries: the query heads that share a key head pass one after the
// other, so dk and dv need no atomics. dq comes either from atomic additions beside it (five products, any order of
// summation) or from `flash_backward_q` (seven products, the same bits every time).

#define BACKWARD_KEYS 128
#define BACKWARD_ROWS 64

// delta [heads, n] = sum over HEAD_DIM of do * o. One warp per row of one head; grid [ceil(n * heads / 8)].
KERNEL(256, 1) flash_delta(const u16* o, const u16* d_o, float* delta, int heads, int n) {
    i64 row = (i64)BLOCK_X * 8 + (THREAD >> 5);
    bool valid = row < (i64)n * heads;
    float sum = 0.f;
    for (int d = (THREAD & 31) * 2; valid && d < HEAD_DIM; d += 64) {
        u32 a = *(const u32*)(o + row * HEAD_DIM + d), b = *(const u32*)(d_o + row * HEAD_DIM + d);
        sum += float_of(a << 16) * float_of(b << 16) + float_of(a & 0xffff0000u) * float_of(b & 0xffff0000u);
    }
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) sum += shuffle_xor(sum, mask);
    if (valid && (THREAD & 31) == 0) delta[(row % heads) * n + row / heads] = sum;
}

// Where query `row` finds its log-sum-exp and delta; a row past the end gets P = 0.
INLINE void load_row_figures(float* to, const float* lse, const float* delta, int head, int n, int row, int end) {
    int at = THREAD;
    if (at < BACKWARD_ROWS) {
        bool valid = row + at < end;
        to[at] = valid ? lse[(i64)head * n + row + at] * LOG2_E : -LOWEST;
        to[BACKWARD_ROWS + at] = valid ? delta[(i64)head * n + row + at] : 0.f;
    }
}

template <bool WITH_DQ>
INLINE void backward_kv(const u16* q, const u16* k, const u16* v, const u16* d_o, const float* lse, const float* delta,
                        float* dq, u16* dk, u16* dv, const Work* work, int heads, int kv_heads, int n, float scale) {
    int lane = THREAD & 31, warp = THREAD >> 5;
    Work w = work[BLOCK_X];
    int kv_head = BLOCK_Y, group = heads / kv_heads;
    int q_stride = heads * HEAD_DIM, kv_stride = kv_heads * HEAD_DIM;
    float scale_log2 = scale * LOG2_E;

    // K and V stay; Q and dO come in two stages, so that one arrives while the other is used.
    u32 k_tile = shared_address(shared_memory), v_tile = k_tile + BACKWARD_KEYS * ROW_BYTES;
    u32 stage_0 = v_tile + BACKWARD_KEYS * ROW_BYTES;
    const u32 d_o_offset = BACKWARD_ROWS * ROW_BYTES, stage_bytes = 2 * d_o_offset;
    u32 ds_tile = stage_0 + 2 * stage_bytes;
    float* figures = (float*)(shared_memory + (ds_tile - k_tile) + (WITH_DQ ? BACKWARD_KEYS * BACKWARD_ROWS * 2 : 0));

    load_tile<BACKWARD_KEYS, 256>(k_tile, k + kv_head * HEAD_DIM, kv_stride, w.row, w.end);
    load_tile<BACKWARD_KEYS, 256>(v_tile, v + kv_head * HEAD_DIM, kv_stride, w.row, w.end);
    load_tile<BACKWARD_ROWS, 256>(stage_0, q + kv_head * group * HEAD_DIM, q_stride, w.begin, w.end);
    load_tile<BACKWARD_ROWS, 256>(stage_0 + d_o_offset, d_o + kv_head * group * HEAD_DIM, q_stride, w.begin,
                                  w.end);
    load_row_figures(figures, lse, delta, kv_head * group, n, w.begin, w.end);
    commit_copies();

    float dk_sum[HEAD_DIM / 8][4], dv_sum[HEAD_DIM / 8][4];
    clear<HEAD_DIM / 8>(dk_sum);
    clear<HEAD_DIM / 8>(dv_sum);
    // A warp owns 16 keys. Its accumulators hold S^T: rows are keys, columns are queries.
    int own_row = w.row + warp * 16 + (lane >> 2);
    const u32 k_left = left_address(k_tile, warp * 16, lane), v_left = left_address(v_tile, warp * 16, lane);
    const u32 q_right = right_address(stage_0, 0, lane), q_transposed = left_address(stage_0, 0, lane);

    int steps_per_head = (w.end - w.begin + BACKWARD_ROWS - 1) / BACKWARD_ROWS;
    int n_steps = group * steps_per_head;
    for (int i = 0; i < n_steps; i++) {
        int head = kv_head * group + i / steps_per_head;
        int row = w.begin + (i % steps_per_head) * BACKWARD_ROWS;
        u32 stage = (i & 1) * stage_bytes;
        float* own_figures = figures + (i & 1) * 2 * BACKWARD_ROWS;
        wait_copies<0>();
        barrier();
        if (i + 1 < n_steps) {
            int next_head = kv_head * group + (i + 1) / steps_per_head;
            int next_row = w.begin + ((i + 1) % steps_per_head) * BACKWARD_ROWS;
            u32 next = stage_0 + stage_bytes - stage;
            load_tile<BACKWARD_ROWS, 256>(next, q + next_head * HEAD_DIM, q_stride, next_row, w.end);
            load_tile<BACKWARD_ROWS, 256>(next + d_o_offset, d_o + next_head * HEAD_DIM, q_stride, next_row,
                                          w.end);
            load_row_figures(figures + (~i & 1) * 2 * BACKWARD_ROWS, lse, delta, next_head, n, next_row,
                             w.end);
            commit_copies();
        }

        float p[BACKWARD_ROWS / 8][4], ds[BACKWARD_ROWS / 8][4];
        clear<BACKWARD_ROWS / 8>(p);
        clear<BACKWARD_ROWS / 8>(ds);
        multiply_rows<BACKWARD_ROWS>(p, k_left, q_right + stage);
        multiply_rows<BACKWARD_ROWS>(ds, v_left, q_right + stage + d_o_offset);
#pragma unroll
        for (int j = 0; j < BACKWARD_ROWS / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int column = j * 8 + (lane & 3) * 2 + (e & 1);
                float probability = exp2_fast(p[j][e] * scale_log2 - own_figures[column]);
                if (own_row + (e >> 1) * 8 >= w.end) probability = 0.f;
                p[j][e] = probability;
                ds[j][e] = probability * (ds[j][e] - own_figures[BACKWARD_ROWS + column]);
            }
#pragma unroll
        for (int j = 0; j < BACKWARD_ROWS / 16; j++) {
            u32 a[4], b[4], c[4];
            as_left(a, &p[2 * j]);
            as_left(c, &ds[2 * j]);
            if (WITH_DQ) {
#pragma unroll
                for (int x = 0; x < 4; x++) {
                    int key = warp * 16 + (lane >> 2) + (x & 1) * 8, chunk = j * 2 + (x >> 1);
                    store_shared(ds_tile + (u32)(key * (BACKWARD_ROWS / 8) + (chunk ^ (key & 7))) * 16u + (lane & 3) * 4,
                                 c[x]);
                }
            }
#pragma unroll
            for (int d = 0; d < HEAD_DIM / 16; d++) {
                load_matrices_transposed(b, step(q_transposed + stage + d_o_offset, d) + j * 16 * ROW_BYTES);
                multiply(dv_sum[2 * d], a, b[0], b[1]);
                multiply(dv_sum[2 * d + 1], a, b[2], b[3]);
                load_matrices_transposed(b, step(q_transposed + stage, d) + j * 16 * ROW_BYTES);
                multiply(dk_sum[2 * d], c, b[0], b[1]);
                multiply(dk_sum[2 * d + 1], c, b[2], b[3]);
            }
        }
        if (WITH_DQ) {
            // dq [64, HEAD_DIM] += dS [64, 128] K: four groups of 16 rows, two halves of the columns.
            barrier();
            int rows = (warp & 3) * 16, columns = (warp >> 2) * (HEAD_DIM / 2);
            const u32 k_transposed = left_address(k_tile, 0, lane) ^ (u32)(columns * 2);
            float dq_sum[HEAD_DIM / 16][4];
            clear<HEAD_DIM / 16>(dq_sum);
#pragma unroll
            for (int j = 0; j < BACKWARD_KEYS / 16; j++) {
                u32 a[4], b[4];
                int key = j * 16 + (lane & 7) + ((lane >> 4) << 3), chunk = rows / 8 + ((lane >> 3) & 1);
                load_matrices_transposed(a, ds_tile + (u32)(key * (BACKWARD_ROWS / 8) + (chunk ^ (key & 7))) * 16u);
#pragma unroll
                for (int d = 0; d < HEAD_DIM / 32; d++) {
                    load_matrices_transposed(b, step(k_transposed, d) + j * 16 * ROW_BYTES);
                    multiply(dq_sum[2 * d], a, b[0], b[1]);
                    multiply(dq_sum[2 * d + 1], a, b[2], b[3]);
                }
            }
#pragma unroll
            for (int d = 0; d < HEAD_DIM / 16; d++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int at = row + rows + (lane >> 2) + (e >> 1) * 8;
                    if (at < w.end)
                        add_global(dq + (i64)at * q_stride + head * HEAD_DIM + columns + d * 8 + (lane & 3) * 2 + (e & 1),
                                   dq_sum[d][e] * scale);
                }
        }
    }
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 8; d++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = own_row + r * 8;
            if (row < w.end) {
                i64 at = (i64)row * kv_stride + kv_head * HEAD_DIM + d * 8 + (lane & 3) * 2;
                *(u32*)(dk + at) = pack_bf16(dk_sum[d][2 * r] * scale, dk_sum[d][2 * r + 1] * scale);
                *(u32*)(dv + at) = pack_bf16(dv_sum[d][2 * r], dv_sum[d][2 * r + 1]);
            }
        }
}

// Grid [work, kv_heads], both. The work tiles are of keys.
KERNEL(256, 1) flash_backward_kv(const u16* q, const u16* k, const u16* v, const u16* d_o, const float* lse,
                                 const float* delta, u16* dk, u16* dv, const Work* work, int heads, int kv_heads,
                                 int n, float scale) {
    backward_kv<false>(q, k, v, d_o, lse, delta, 0, dk, dv, work, heads, kv_heads, n, scale);
}
// dq: [n, heads, HEAD_DIM] f32, zero before.
KERNEL(256, 1) flash_backward_kv_atomic(const u16* q, const u16* k, const u16* v, const u16* d_o, const float* lse,
                                        const float* delta, float* dq, u16* dk, u16* dv, const Work* work, int heads,
                                        int kv_heads, int n, float scale) {
    backward_kv<true>(q, k, v, d_o, lse, delta, dq, dk, dv, work, heads, kv_heads, n, scale);
}

// Grid [work, heads]. A warp owns 16 of the block's 128 queries; keys come 64 at a time, in two stages.
KERNEL(256, 1) flash_backward_q(const u16* q, const u16* k, const u16* v, const u16* d_o, const float* lse,
                                const float* delta, u16* dq, const Work* work, int heads, int kv_heads, int n,
                                float scale) {
    int lane = THREAD & 31, warp = THREAD >> 5;
    Work w = work[BLOCK_X];
    int head = BLOCK_Y, kv_head = head / (heads / kv_heads);
    int q_stride = heads * HEAD_DIM, kv_stride = kv_heads * HEAD_DIM;
    const u16 *k_head = k + kv_head * HEAD_DIM, *v_head = v + kv_head * HEAD_DIM;
    float scale_log2 = scale * LOG2_E;

    u32 q_tile = shared_address(shared_memory), d_o_tile = q_tile + 128 * ROW_BYTES;
    u32 stage_0 = d_o_tile + 128 * ROW_BYTES;
    const u32 v_offset = 64 * ROW_BYTES, stage_bytes = 2 * v_offset;
    load_tile<128, 256>(q_tile, q + head * HEAD_DIM, q_stride, w.row, w.end);
    load_tile<128, 256>(d_o_tile, d_o + head * HEAD_DIM, q_stride, w.row, w.end);
    load_tile<64, 256>(stage_0, k_head, kv_stride, w.begin, w.end);
    load_tile<64, 256>(stage_0 + v_offset, v_head, kv_stride, w.begin, w.end);
    commit_copies();

    int own_row = w.row + warp * 16 + (lane >> 2);
    float own_lse[2], own_delta[2], dq_sum[HEAD_DIM / 8][4];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        bool valid = own_row + r * 8 < w.end;
        i64 at = (i64)head * n + own_row + r * 8;
        own_lse[r] = valid ? lse[at] * LOG2_E : -LOWEST;
        own_delta[r] = valid ? delta[at] : 0.f;
    }
    clear<HEAD_DIM / 8>(dq_sum);
    const u32 q_left = left_address(q_tile, warp * 16, lane), d_o_left = left_address(d_o_tile, warp * 16, lane);
    const u32 k_right = right_address(stage_0, 0, lane), k_transposed = left_address(stage_0, 0, lane);

    u32 stage = 0;
    for (int key = w.begin; key < w.end; key += 64) {
        wait_copies<0>();
        barrier();
        if (key + 64 < w.end) {
            u32 next = stage_0 + stage_bytes - stage;
            load_tile<64, 256>(next, k_head, kv_stride, key + 64, w.end);
            load_tile<64, 256>(next + v_offset, v_head, kv_stride, key + 64, w.end);
            commit_copies();
        }
        float p[8][4], ds[8][4];
        clear<8>(p);
        clear<8>(ds);
        multiply_rows<64>(p, q_left, k_right + stage);
        multiply_rows<64>(ds, d_o_left, k_right + stage + v_offset);
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float probability = exp2_fast(p[j][e] * scale_log2 - own_lse[e >> 1]);
                // Past the end K is zero, but exp(0 - lse) may be infinite.
                if (key + j * 8 + (lane & 3) * 2 + (e & 1) >= w.end) probability = 0.f;
                ds[j][e] = probability * (ds[j][e] - own_delta[e >> 1]);
            }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            u32 a[4], b[4];
            as_left(a, &ds[2 * j]);
#pragma unroll
            for (int d = 0; d < HEAD_DIM / 16; d++) {
                load_matrices_transposed(b, step(k_transposed + stage, d) + j * 16 * ROW_BYTES);
                multiply(dq_sum[2 * d], a, b[0], b[1]);
                multiply(dq_sum[2 * d + 1], a, b[2], b[3]);
            }
        }
        stage = stage_bytes - stage;
    }
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 8; d++)
#pragma unroll
        for (int r = 0; r < 2; r++)
            if (own_row + r * 8 < w.end) {
                i64 at = (i64)(own_row + r * 8) * q_stride + head * HEAD_DIM + d * 8 + (lane & 3) * 2;
                *(u32*)(dq + at) = pack_bf16(dq_sum[d][2 * r] * scale, dq_sum[d][2 * r + 1] * scale);
            }
}
