// Flash attention, forward: o and the log-sum-exp of the scores, for documents of any length, both ways.
//
// A block owns 128 query rows of one head, a warp 32 of them, and walks over the document's keys 64 at a time with a
// running maximum and sum ("FlashAttention-2", arXiv 2307.08691, algorithm 1). V arrives while Q K^T is computed and
// the next K while P V is.

#define FORWARD_ROWS 128
#define FORWARD_KEYS 64

// Grid [work, heads]. lse: [heads, n], natural logarithm.
KERNEL(128, 2) flash_forward(const u16* q, const u16* k, const u16* v, u16* o, float* lse, const Work* work,
                             int heads, int kv_heads, int n, float scale) {
    int lane = THREAD & 31, warp = THREAD >> 5;
    Work w = work[BLOCK_X];
    int head = BLOCK_Y, kv_head = head / (heads / kv_heads);
    int q_stride = heads * HEAD_DIM, kv_stride = kv_heads * HEAD_DIM;
    const u16 *q_head = q + head * HEAD_DIM, *k_head = k + kv_head * HEAD_DIM, *v_head = v + kv_head * HEAD_DIM;
    float scale_log2 = scale * LOG2_E;

    u32 q_tile = shared_address(shared_memory);
    u32 k_tile = q_tile + FORWARD_ROWS * ROW_BYTES, v_tile = k_tile + FORWARD_KEYS * ROW_BYTES;
    load_tile<FORWARD_ROWS, 128>(q_tile, q_head, q_stride, w.row, w.end);
    load_tile<FORWARD_KEYS, 128>(k_tile, k_head, kv_stride, w.begin, w.end);
    commit_copies();

    float out[2][HEAD_DIM / 8][4], highest[2][2], sum[2][2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        clear<HEAD_DIM / 8>(out[i]);
        highest[i][0] = highest[i][1] = LOWEST;
        sum[i][0] = sum[i][1] = 0.f;
    }
    const u32 q_left = left_address(q_tile, warp * 32, lane);
    const u32 k_right = right_address(k_tile, 0, lane), v_left = left_address(v_tile, 0, lane);

    for (int key = w.begin; key < w.end; key += FORWARD_KEYS) {
        wait_copies<0>();
        barrier();
        load_tile<FORWARD_KEYS, 128>(v_tile, v_head, kv_stride, key, w.end);
        commit_copies();

        float s[2][FORWARD_KEYS / 8][4];
        clear<FORWARD_KEYS / 8>(s[0]);
        clear<FORWARD_KEYS / 8>(s[1]);
#pragma unroll
        for (int d = 0; d < HEAD_DIM / 16; d++) {
            u32 a[2][4], b[4];
            load_matrices(a[0], step(q_left, d));
            load_matrices(a[1], step(q_left, d) + 16 * ROW_BYTES);
#pragma unroll
            for (int j = 0; j < FORWARD_KEYS / 16; j++) {
                load_matrices(b, step(k_right, d) + j * 16 * ROW_BYTES);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    multiply(s[i][2 * j], a[i], b[0], b[1]);
                    multiply(s[i][2 * j + 1], a[i], b[2], b[3]);
                }
            }
        }
        if (key + FORWARD_KEYS > w.end) {
#pragma unroll
            for (int j = 0; j < FORWARD_KEYS / 8; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (key + j * 8 + (lane & 3) * 2 + (e & 1) >= w.end) s[0][j][e] = s[1][j][e] = LOWEST;
        }
        wait_copies<0>();
        barrier();
        if (key + FORWARD_KEYS < w.end) {
            load_tile<FORWARD_KEYS, 128>(k_tile, k_head, kv_stride, key + FORWARD_KEYS, w.end);
            commit_copies();
        }

        // A row of scores lies in four neighbouring lanes: r = 0 is row lane / 4, r = 1 the row 8 below.
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float high = highest[i][r];
#pragma unroll
                for (int j = 0; j < FORWARD_KEYS / 8; j++)
                    high = larger(high, larger(s[i][j][2 * r], s[i][j][2 * r + 1]));
                high = larger(high, shuffle_xor(high, 1));
                high = larger(high, shuffle_xor(high, 2));
                float correction = exp2_fast((highest[i][r] - high) * scale_log2), total = 0.f;
                float shift = high * scale_log2;
                highest[i][r] = high;
#pragma unroll
                for (int j = 0; j < FORWARD_KEYS / 8; j++)
#pragma unroll
                    for (int e = 2 * r; e < 2 * r + 2; e++) {
                        s[i][j][e] = exp2_fast(s[i][j][e] * scale_log2 - shift);
                        total += s[i][j][e];
                    }
                sum[i][r] = sum[i][r] * correction + total;
#pragma unroll
                for (int d = 0; d < HEAD_DIM / 8; d++) {
                    out[i][d][2 * r] *= correction;
                    out[i][d][2 * r + 1] *= correction;
                }
            }
#pragma unroll
        for (int j = 0; j < FORWARD_KEYS / 16; j++) {
            u32 a[2][4], b[4];
            as_left(a[0], &s[0][2 * j]);
            as_left(a[1], &s[1][2 * j]);
#pragma unroll
            for (int d = 0; d < HEAD_DIM / 16; d++) {
                load_matrices_transposed(b, step(v_left, d) + j * 16 * ROW_BYTES);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    multiply(out[i][2 * d], a[i], b[0], b[1]);
                    multiply(out[i][2 * d + 1], a[i], b[2], b[3]);
                }
            }
        }
    }

    // Through the warp's own rows of the Q tile, so that whole rows are written.
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float total = sum[i][r];
            total += shuffle_xor(total, 1);
            total += shuffle_xor(total, 2);
            int row = warp * 32 + i * 16 + r * 8 + (lane >> 2);
            if ((lane & 3) == 0 && w.row + row < w.end)
                lse[(i64)head * n + w.row + row] = (highest[i][r] * scale_log2 + log2_fast(total)) * LN_2;
            float inverse = 1.f / total;
#pragma unroll
            for (int d = 0; d < HEAD_DIM / 8; d++)
                store_shared(chunk_address(q_tile, row, d) + (lane & 3) * 4,
                             pack_bf16(out[i][d][2 * r] * inverse, out[i][d][2 * r + 1] * inverse));
        }
    barrier();
#pragma unroll
    for (int i = 0; i < FORWARD_ROWS * CHUNKS / 128; i++) {
        int at = i * 128 + THREAD, row = at / CHUNKS, chunk = at % CHUNKS;
        if (w.row + row < w.end) {
            u32 x[4];
            load_shared4(x, chunk_address(q_tile, row, chunk));
            store_global4(o + (i64)(w.row + row) * q_stride + head * HEAD_DIM + chunk * 8, x);
        }
    }
}
