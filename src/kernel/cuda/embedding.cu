// The embedding's gradient: rows of dx are added to the table's rows, always in the same order.
//
// In masked diffusion half of all positions may hold one id, so the positions of an id are cut into pieces of bounded
// length. An id with one piece goes straight into the table; the others leave one partial sum per piece, which the
// second kernel adds up.

// Positions order[begin..end) of one id; `slot` is the row of `partial`, or -1: the table's row `id`.
struct Piece {
    int begin, end, id, slot;
};
// Rows [begin, end) of `partial`, for the table's row `id`.
struct Pieces {
    int begin, end, id;
};

// dx: [n, width]; table: [vocab, width] f32; partial: [slots, width] f32. Grid [pieces, ceil(width / 256)].
KERNEL(256, 1) embedding_pieces(const element* dx, const int* order, const Piece* pieces, float* table, float* partial,
                                int width) {
    int j = BLOCK_Y * BLOCK + THREAD;
    Piece piece = pieces[BLOCK_X];
    if (j >= width) return;
    float sum = 0.f;
    for (int i = piece.begin; i < piece.end; i++) sum += value_of(dx[(i64)order[i] * width + j]);
    if (piece.slot < 0)
        table[(i64)piece.id * width + j] += sum;
    else
        partial[(i64)piece.slot * width + j] = sum;
}

// Grid [ids with several pieces, ceil(width / 256)].
KERNEL(256, 1) embedding_sums(const float* partial, const Pieces* ids, float* table, int width) {
    int j = BLOCK_Y * BLOCK + THREAD;
    Pieces own = ids[BLOCK_X];
    if (j >= width) return;
    float sum = 0.f;
    for (int slot = own.begin; slot < own.end; slot++) sum += partial[(i64)slot * width + j];
    table[(i64)own.id * width + j] += sum;
}
