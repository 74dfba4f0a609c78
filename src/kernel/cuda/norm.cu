// RMSNorm (arXiv 1910.07467): y = gain x / rms(x). x, y, dx, dy: [n, width].

// 1 / rms of a row.
INLINE float inverse_root(const element* x, int width, float eps) {
    float sum = 0.f;
    for (int j = THREAD; j < width; j += BLOCK) sum += value_of(x[j]) * value_of(x[j]);
    return 1.f / square_root(block_sum(sum) / width + eps);
}

// Grid [n]. The quotient is rounded to the element type before the gain, as in the published models.
KERNEL(256, 1) rms_norm(const element* x, const element* gain, element* y, int width, float eps) {
    i64 row = (i64)BLOCK_X * width;
    float scale = inverse_root(x + row, width, eps);
    for (int j = THREAD; j < width; j += BLOCK)
        y[row + j] = rounded(value_of(rounded(value_of(x[row + j]) * scale)) * value_of(gain[j]));
}

// dx, and the gain's gradient summed over the rows of each block: gain_sums [blocks, width] f32. Grid [blocks].
// A thread owns its columns, so the sums in shared memory need no barrier.
KERNEL(256, 1) rms_norm_backward(const element* x, const element* gain, const element* dy, element* dx,
                                 float* gain_sums, int n, int width, float eps) {
    float* sums = SCRATCH + SCRATCH_FLOATS;
    for (int j = THREAD; j < width; j += BLOCK) sums[j] = 0.f;
    for (i64 i = BLOCK_X; i < n; i += BLOCKS_X) {
        i64 row = i * width;
        float scale = inverse_root(x + row, width, eps), sum = 0.f;
        for (int j = THREAD; j < width; j += BLOCK) {
            float normal = value_of(x[row + j]) * scale, g = value_of(dy[row + j]);
            sums[j] += g * normal;
            sum += g * value_of(gain[j]) * normal;
        }
        float mean = block_sum(sum) / width;
        for (int j = THREAD; j < width; j += BLOCK) {
            float normal = value_of(x[row + j]) * scale;
            dx[row + j] = rounded(scale * (value_of(dy[row + j]) * value_of(gain[j]) - normal * mean));
        }
    }
    for (int j = THREAD; j < width; j += BLOCK) gain_sums[(i64)BLOCK_X * width + j] = sums[j];
}

// total [width] += the sum of `sums` [rows, width], in order. Grid [ceil(width / 256)].
KERNEL(256, 1) add_column_sums(const float* sums, float* total, int rows, int width) {
    int j = BLOCK_X * BLOCK + THREAD;
    if (j >= width) return;
    float sum = 0.f;
    for (int i = 0; i < rows; i++) sum += sums[(i64)i * width + j];
    total[j] += sum;
}
