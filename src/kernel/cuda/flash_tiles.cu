// What the flash attention kernels share: tiles in shared memory and the shapes of the work.
//
// HEAD_DIM is 64 or 128. q, o, do, dq: [n, heads, HEAD_DIM]; k, v, dk, dv: [n, kv_heads, HEAD_DIM]; bf16.
// A tile holds rows of HEAD_DIM bf16 as chunks of 16 bytes. Chunk c of row r lies at place c ^ (r % 8), so that the
// eight rows that `load_matrices` reads at a time lie in different banks.

#define CHUNKS (HEAD_DIM / 8)
#define ROW_BYTES (HEAD_DIM * 2)
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f
// Below every score, and far enough from -inf that differences stay finite.
#define LOWEST (-1e30f)

// One tile of work: the rows from `row` on, of the document that is rows [begin, end). Built on the host.
struct Work {
    int row, begin, end;
};

INLINE u32 chunk_address(u32 tile, int row, int chunk) {
    return tile + (u32)(row * CHUNKS + (chunk ^ (row & 7))) * 16u;
}

// The chunk that lies 2 * pair chunks further in the same row. Tiles start at multiples of 1024 bytes, so the
// places of a row differ in bits that no row number reaches.
INLINE u32 step(u32 address, int pair) { return address ^ (u32)(pair << 5); }

// Where this lane points `load_matrices` to: 16 rows x 16 columns as the left operand …
INLINE u32 left_address(u32 tile, int row, int lane) { return chunk_address(tile, row + (lane & 15), lane >> 4); }
// … and as the right operand whose rows run along the product's columns. Transposed loads use `left_address`.
INLINE u32 right_address(u32 tile, int row, int lane) {
    return chunk_address(tile, row + (lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
}

// Starts copying rows [row, row + ROWS) that lie before `end`; the others become zeros.
template <int ROWS, int THREADS>
INLINE void load_tile(u32 tile, const u16* from, int stride, int row, int end) {
#pragma unroll
    for (int i = 0; i < ROWS * CHUNKS / THREADS; i++) {
        int at = i * THREADS + THREAD, r = at / CHUNKS, c = at % CHUNKS;
        bool valid = row + r < end;
        copy_async(chunk_address(tile, r, c), from + (i64)(valid ? row + r : row) * stride + c * 8, valid);
    }
}

template <int N>
INLINE void clear(float (*x)[4]) {
#pragma unroll
    for (int n = 0; n < N; n++) x[n][0] = x[n][1] = x[n][2] = x[n][3] = 0.f;
}

// Accumulators of two neighbouring 16 x 8 products as a 16 x 16 left operand.
INLINE void as_left(u32* a, const float (*x)[4]) {
    a[0] = pack_bf16(x[0][0], x[0][1]);
    a[1] = pack_bf16(x[0][2], x[0][3]);
    a[2] = pack_bf16(x[1][0], x[1][1]);
    a[3] = pack_bf16(x[1][2], x[1][3]);
}

// x [16, COLUMNS] += rows of one tile x (rows of another)^T, over HEAD_DIM.
template <int COLUMNS>
INLINE void multiply_rows(float (*x)[4], u32 left, u32 right) {
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++) {
        u32 a[4], b[4];
        load_matrices(a, step(left, k));
#pragma unroll
        for (int n = 0; n < COLUMNS / 16; n++) {
            load_matrices(b, step(right, k) + n * 16 * ROW_BYTES);
            multiply(x[2 * n], a, b[0], b[1]);
            multiply(x[2 * n + 1], a, b[2], b[3]);
        }
    }
}
